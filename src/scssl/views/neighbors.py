"""Mixing with similar cells: of the own batch, of all batches alike, of other batches. They differ in their graph alone.

What scSSL-Bench :cite:p:`ovcharenko2025scssl` describes, with the true neighbours: partners are positions in the whole data
set, read from a directed sparse graph that is made once before training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from scssl._registry import VIEWS
from scssl.data import partners
from scssl.views._base import SHARE, Context, View, coins

if TYPE_CHECKING:
    import scipy.sparse as sp
    from torch import Tensor

    from scssl.data.cells import Cells

INT, GEO, EXC = MIXTURES = ("int", "geo", "exc")


@dataclass(frozen=True)
class Neighbor(View):
    r"""Mix a cell :math:`x` with one partner :math:`x'`, drawn anew for every view of it from a graph.

    A cell that has no partner stays as it is.

    Parameters
    ----------
    alpha
        Share of the cell itself in the mixture, :math:`\lambda`.
    k
        Number of nearest cells that the graph is made of.
    how
        ``"int"``: :math:`\lambda x + (1 - \lambda) x'`; ``"geo"``: :math:`x^\lambda x'^{1 - \lambda}`, where negative
        values count as zero; ``"exc"``: each gene is kept with probability :math:`\lambda`, else that of the partner is
        taken.
    drawn
        Draw :math:`\lambda` for each cell evenly between `alpha` and 1, as CLAIRE does :cite:p:`yan2023claire`, instead of
        :math:`\lambda` = `alpha`, as scSSL-Bench does.
    p
        Probability that a cell is changed.
    """

    main: ClassVar[str] = "alpha"
    graph: ClassVar[str]
    alpha: float = field(default=0.5, metadata=SHARE)
    k: int = field(default=3, metadata={"at_least": 1})
    how: str = field(default=INT, metadata={"choices": MIXTURES})
    drawn: bool = False

    @property
    def key(self) -> str:
        """Where the graph is in ``cells.known``."""
        return f"{self.graph}:{self.k}"

    def prepare(self, cells: Cells) -> None:
        """The graph: that of :func:`scssl.pp.partners` if it was made of these cells and values, else a new one."""
        partners.check(cells, self.graph)
        graph = cells.graph(self.graph, self.k)
        for name, there in cells.present.items():  # a partner has to be measured in the modality that is mixed
            if f"{self.key}/{name}" not in cells.known:
                cells.known[f"{self.key}/{name}"] = partners.among(graph, there)

    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Cells mixed with one of their partners each."""
        graph = context.known.get(f"{self.key}/{context.modality}")
        partner = pick(self.recall(context, self.key) if graph is None else graph, context.index, generator)
        paired = np.flatnonzero(partner >= 0)
        if not len(paired):
            return x
        rows = torch.from_numpy(paired).to(x.device)
        return x.index_copy_(0, rows, self.mix(x[rows], context.values(partner[paired]), generator))

    def mix(self, x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
        """The mixtures of cells and partners, both of shape ``(cells, genes)``."""
        own: Tensor | float = self.alpha
        if self.drawn:
            own = torch.rand((len(x), 1), generator=generator, device=x.device).mul_(1 - self.alpha).add_(self.alpha)
        if self.how == EXC:
            return torch.where(coins(x.shape, own, generator), x, other)
        if self.how == GEO:
            return x.clamp_(min=0).pow_(own).mul_(other.clamp_(min=0).pow_(1 - own))
        return x.mul_(own).add_(other.mul_(1 - own))


@VIEWS.register("knn", summary="mixes with a similar cell of the same batch", reference="yan2023claire")
@dataclass(frozen=True)
class Knn(Neighbor):
    """Mix a cell with one of the `k` nearest cells of its own batch; of all cells where there are no batches."""

    graph: ClassVar[str] = partners.KNN


@VIEWS.register(
    "bbknn", summary="mixes with a similar cell of any batch, all batches alike", reference="polanski2020bbknn"
)
@dataclass(frozen=True)
class Bbknn(Neighbor):
    """Mix a cell with one of the `k` nearest cells in each of the batches :cite:p:`polanski2020bbknn`.

    Every batch has the same share of the partners, as long as it has more than `k` cells.
    """

    graph: ClassVar[str] = partners.BBKNN


@VIEWS.register("mnn", summary="mixes with the same kind of cell in another batch", reference="haghverdi2018mnn")
@dataclass(frozen=True)
class Mnn(Neighbor):
    """Mix a cell with one of its mutual nearest neighbours in other batches :cite:p:`haghverdi2018mnn`.

    Two cells of different batches are partners if each is among the `k` nearest of the other, by cosine in 50 principal
    components. Cells without such a partner stay as they are.
    """

    graph: ClassVar[str] = partners.MNN


def pick(graph: sp.csr_array, index: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """One partner for each of the cells `index`, all of its partners being equally likely; -1 for those without any."""
    first, stop = graph.indptr[index], graph.indptr[index + 1]
    chance = torch.rand(len(index), generator=generator, device=generator.device).cpu().numpy().astype(np.float64)
    place = first + (chance * (stop - first)).astype(first.dtype)
    partner = np.full(len(index), -1, dtype=np.int64)
    paired = stop > first
    partner[paired] = graph.indices[place[paired]]
    return partner

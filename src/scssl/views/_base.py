"""What a view is: a random change of cells that keeps what they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from scssl import _keys
from scssl._errors import InputError
from scssl._specs import ViewSpec  # noqa: TC001 - the check of parameters reads it
from scssl._validate import enforce
from scssl._validate.config import config as check_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scssl._types import Json
    from scssl.data.cells import Cells


TABLE_SIZE = 1 << 20
SHARE = {"at_least": 0, "at_most": 1}


@dataclass(frozen=True)
class Context:
    """What a view may know about the cells it changes.

    Parameters
    ----------
    index
        Positions of the cells in the data set, shape ``(cells,)``.
    values
        Dense values of the cells at given positions: ``values(index) -> (len(index), genes)``.
    n_obs
        Number of cells in the data set.
    modality
        Which modality of the cells is changed.
    known
        What :meth:`View.prepare` of the views found out about all cells.
    """

    index: np.ndarray
    values: Callable[[np.ndarray], Tensor]
    n_obs: int
    modality: str = _keys.DEFAULT_MODALITY
    known: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class View(ABC):
    """A change that happens to each cell with probability `p`, decided by a coin for every cell and every view.

    Subclasses implement :meth:`change` for the cells whose coin fell. Ranges of parameters are declared as in the
    configuration of a method, by ``field(metadata={"at_least": 0})``.
    """

    spec: ClassVar[ViewSpec]
    reads: ClassVar[tuple[str, ...]] = ()
    """Parts of the data that it reads beside the values: ``"counts"``."""
    main: ClassVar[str] = "fraction"
    """The parameter that ``"name:0.5"`` sets."""
    p: float = field(default=0.5, kw_only=True, metadata=SHARE)

    def __post_init__(self) -> None:
        for problem in check_config(type(self), asdict(self)):
            message = f"View {self.spec.name!r}: {problem.message}"
            enforce([replace(problem, message=message, code="bad_view", parameter="views")])

    def prepare(self, cells: Cells) -> None:  # noqa: B027 - most views have nothing to prepare
        """Find out, once before training, what :meth:`change` has to know about all cells: ``cells.known`` keeps it.

        Parameters
        ----------
        cells
            The cells that are trained on.

        Raises
        ------
        InputError
            If the view cannot work on these cells.
        """

    def __call__(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Cells of shape ``(cells, genes)`` in, changed cells of the same shape out; the input is left as it is."""
        return self.apply_(x.clone(), context, generator)

    def apply_(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """The same in place: for a tensor that nobody else holds."""
        chosen = torch.nonzero(torch.rand(len(x), generator=generator, device=x.device) < self.p).squeeze(1)
        if not len(chosen):
            return x
        part = replace(context, index=context.index[chosen.cpu().numpy()])
        return x.index_copy_(0, chosen, self.change(x[chosen], part, generator))

    @abstractmethod
    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """The changed cells; `x` is a copy that may be written to."""

    def recall(self, context: Context, key: str) -> Any:
        """What :meth:`prepare` put under `key`.

        Raises
        ------
        InputError
            If it was not called for these cells.
        """
        if key not in context.known:
            msg = f"View {self.spec.name!r} has to know something about all cells: prepare() was not called for them."
            raise InputError(msg, code="not_prepared", parameter="views", fix="Call view.prepare(cells) first.")
        return context.known[key]

    def needs_genes(self) -> int:
        """Smallest number of genes with which the view does anything."""
        return 1

    def describe(self) -> Json:
        """Name and parameters as plain values."""
        return {"view": self.spec.name, **asdict(self)}


def count_of(share: float, genes: int) -> int:
    """Number of genes that a share of them is: rounded down, as in the published pipelines."""
    return int(share * genes + 1e-9)  # 0.29 * 100 is 28.999...


def choose(shape: Sequence[int], k: int, generator: torch.Generator) -> Tensor:
    """Pick exactly `k` of the genes of each cell at random: a boolean tensor of `shape`."""
    keys = _windows("keys", shape, generator)
    if keys.device.type == "cpu":
        # NumPy's partition is vectorised: ten times faster than torch's kthvalue
        return keys <= torch.from_numpy(np.partition(keys.numpy(), k - 1, axis=1)[:, k - 1 : k])
    return keys <= keys.kthvalue(k, dim=1, keepdim=True).values


def draw(shape: Sequence[int], k: int, generator: torch.Generator) -> Tensor:
    """`k` different genes of each cell: positions of shape ``(cells, k)``.

    Which genes is independent between cells; their order is one random permutation for all cells of the call.
    """
    positions = torch.nonzero(choose(shape, k, generator))[:, 1].view(shape[0], k)
    return positions[:, torch.randperm(k, generator=generator, device=positions.device)]


def coins(shape: Sequence[int], probability: Tensor | float, generator: torch.Generator) -> Tensor:
    """A coin for each gene of each cell: a boolean tensor of `shape`, true with `probability` (of a cell, of all)."""
    return _windows("keys", shape, generator) < probability * TABLE_SIZE


def whole(shape: Sequence[int], n: int, generator: torch.Generator) -> Tensor:
    """A number out of ``0 ... n - 1`` for each gene of each cell: an integer tensor of `shape`."""
    return _windows("keys", shape, generator).long() * n >> 20


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard normal noise of `shape`."""
    return _windows("normal", shape, generator)


def _windows(kind: str, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Random numbers: for each cell a window of a fixed table at a random place.

    One draw a cell instead of one a gene, which would cost more than the network does.
    """
    table = _table(kind, generator.device)
    starts = torch.randint(len(table) - shape[1] + 1, (shape[0],), generator=generator, device=table.device)
    return table.unfold(0, shape[1], 1)[starts]


@cache
def _table(kind: str, device: torch.device) -> Tensor:
    """A million random numbers: all different (``keys``) or standard normal (``normal``)."""
    generator = torch.Generator().manual_seed(0)
    if kind == "keys":
        return torch.randperm(TABLE_SIZE, generator=generator).to(device, torch.int32)
    return torch.randn(TABLE_SIZE, generator=generator).to(device)

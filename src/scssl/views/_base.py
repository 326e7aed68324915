"""What a view is: a random change of cells that keeps what they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from scssl._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scssl._registry import ViewSpec


TABLE_SIZE = 1 << 20


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
    """

    index: np.ndarray
    values: Callable[[np.ndarray], Tensor]
    n_obs: int


@dataclass(frozen=True)
class View(ABC):
    """A change that happens to each cell with probability `p`, decided by a coin for every cell and every view.

    Subclasses implement :meth:`change` for the cells whose coin fell.
    """

    spec: ClassVar[ViewSpec]
    p: float = field(default=0.5, kw_only=True)

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in ("p", "fraction") and not 0 <= value <= 1:
                msg = f"{name}={value!r} of view {self.spec.name!r} is not between 0 and 1."
                fix = f"For example views=['{self.spec.name}:0.2']."
                raise InputError(msg, code="bad_view", parameter="views", fix=fix)

    def __call__(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Cells of shape ``(cells, genes)`` in, changed cells of the same shape out; the input is left as it is."""
        return self.apply_(x.clone(), context, generator)

    def apply_(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """The same in place: for a tensor that nobody else holds."""
        chosen = torch.nonzero(torch.rand(len(x), generator=generator, device=x.device) < self.p).squeeze(1)
        if not len(chosen):
            return x
        part = Context(context.index[chosen.cpu().numpy()], context.values, context.n_obs)
        return x.index_copy_(0, chosen, self.change(x[chosen], part, generator))

    @abstractmethod
    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """The changed cells; `x` is a copy that may be written to."""

    def needs_genes(self) -> int:
        """Smallest number of genes with which the view does anything."""
        return 1

    def describe(self) -> dict[str, Any]:
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

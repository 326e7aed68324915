"""Mini-batches: cells on the device, and the random numbers that belong to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scssl import _random
from scssl.data.cells import BATCH, LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from scssl.data.cells import Cells


@dataclass(frozen=True)
class Batch:
    """Some cells on the device.

    Parameters
    ----------
    x
        For each modality a dense float32 tensor of shape ``(cells, features)``.
    cell
        Hash of the name of each cell, shape ``(cells,)``.
    batch
        Integer code of the experimental batch, shape ``(cells,)``, or ``None``.
    group
        Cells of different groups are not compared by a loss; ``None`` compares all with all.
    present
        For each modality that some cells of the data lack: which of these cells have it, shape ``(cells,)``. The values of
        the others are zero and mean nothing. ``None`` if no cell lacks any.
    label
        Integer code of the label, shape ``(cells,)``; only where labels are what is trained on.
    visible, target
        For each modality which values the network sees and which it has to predict, boolean of the shape of ``x``. ``None``:
        all of them.
    factor
        For each modality with counts how many are one unit of ``expm1`` of the values, shape ``(cells,)``; ``None`` where
        nobody asked.
    """

    x: dict[str, Tensor]
    cell: Tensor
    batch: Tensor | None = None
    group: Tensor | None = None
    present: dict[str, Tensor] | None = None
    label: Tensor | None = None
    visible: dict[str, Tensor] | None = None
    target: dict[str, Tensor] | None = None
    factor: dict[str, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.cell)

    def with_x(self, x: dict[str, Tensor]) -> Batch:
        """The same cells with other values."""
        return replace(self, x=x)


class Batches:
    """Cells as dense mini-batches on a device.

    Parameters
    ----------
    cells
        The cells.
    device
        Where mini-batches go.
    """

    def __init__(self, cells: Cells, device: torch.device | str = "cpu") -> None:
        self.cells, self.device = cells, device

    def take(self, index: np.ndarray) -> Batch:
        """The cells at the positions `index`."""
        cells, on = self.cells, self.device
        x = {name: self._dense(cells.rows(name, index)) for name in cells.matrices}
        present = {name: torch.from_numpy(there[index]).to(on) for name, there in cells.present.items()}
        for name, there in present.items():
            x[name][~there] = 0
        code = {name: torch.from_numpy(held.values[index]).to(on) for name, held in cells.codes.items()}
        names = torch.from_numpy(cells.cell[index])
        return Batch(x, names, code.get(BATCH), present=present or None, label=code.get(LABEL))

    def values(self, modality: str, index: np.ndarray) -> Tensor:
        """Values of some cells in a modality, shape ``(len(index), genes)``."""
        return self._dense(self.cells.rows(modality, index))

    def others(self, modality: str, index: np.ndarray, *, near: np.ndarray) -> Tensor:
        """Values of the cells that views mix those at `near` with."""
        return self._dense(self.cells.others(modality, index, near=near))

    def _dense(self, rows: object) -> Tensor:
        return torch.from_numpy(rows.toarray()).to(self.device, non_blocking=True)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Draw:
    """A mini-batch of one step as random changes see it: which cells, which random numbers, which other cells.

    Parameters
    ----------
    seed
        Seed of the run.
    counters
        Epoch and step.
    index
        Positions of the cells of the mini-batch.
    batches
        All cells.
    prepared
        What the method found out about all cells before training.
    """

    seed: int
    counters: tuple[int, int]
    index: np.ndarray
    batches: Batches
    prepared: object = None

    def generator(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """Random numbers of a name: of this seed, epoch and step alone."""
        return torch.Generator(device).manual_seed(_random.derive(self.seed, name, *self.counters))


def with_factors(batch: Batch, factors: Mapping[str, np.ndarray], index: np.ndarray) -> Batch:
    """The batch with the factors between values and counts of its cells; as it is where there are none."""
    if not factors:
        return batch
    device = batch.x[next(iter(factors))].device
    return replace(batch, factor={name: torch.from_numpy(of[index]).to(device) for name, of in factors.items()})

"""A queue of what the network made of the cells of the last mini-batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Queue(nn.Module):
    """The newest `size` keys, each with the hash of its cell and the code of the cell's batch.

    The newest key comes first. A new tensor takes the place of the old one at every push, so that the gradient of a loss
    that has read the queue is not disturbed. The buffers are not persistent: they are part of a checkpoint, so that a run
    resumes to the same bits, but no cell of the training set is shipped with a saved model.

    Parameters
    ----------
    size
        Number of keys.
    width
        Dimensions of a key.
    """

    keys: Tensor
    cell: Tensor
    batch: Tensor
    filled: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, width), persistent=False)
        self.register_buffer("cell", torch.zeros(size, dtype=torch.int64), persistent=False)
        self.register_buffer("batch", torch.zeros(size, dtype=torch.int64), persistent=False)
        self.register_buffer("filled", torch.zeros(size, dtype=torch.bool), persistent=False)

    def __len__(self) -> int:
        return len(self.keys)

    @torch.no_grad()
    def push(self, keys: Tensor, cell: Tensor, batch: Tensor | None = None) -> None:
        """Add keys, scaled to length one and without their gradient; as many of the oldest leave.

        Parameters
        ----------
        keys
            Shape ``(n, width)``, oldest first; of more than the queue can hold, the last ones stay.
        cell
            Hash of the cell of each key, shape ``(n,)``.
        batch
            Batch code of each cell, or ``None`` where there are no batches.
        """
        codes = torch.zeros_like(cell) if batch is None else batch
        self.keys = self._with(self.keys, F.normalize(keys.float(), dim=1))
        self.cell = self._with(self.cell, cell)
        self.batch = self._with(self.batch, codes)
        self.filled = self._with(self.filled, torch.ones_like(cell, dtype=torch.bool))

    def others(self, cell: Tensor) -> Tensor:
        """For each cell which keys there are of other cells: boolean, shape ``(n, size)``."""
        return self.filled & (self.cell != cell.to(self.cell.device)[:, None])

    def of_batch(self, batch: Tensor) -> Tensor:
        """For each cell which keys are of its batch: boolean, shape ``(n, size)``."""
        return self.batch == batch[:, None]

    @staticmethod
    def _with(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat((new.to(old).flip(0), old))[: len(old)]

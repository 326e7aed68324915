"""Noise instead of an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from scssl import _random
from scssl._registry import METHODS
from scssl.methods._network import Network

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.data.cells import Cells
    from scssl.train.batches import Batch
    from scssl.train.loop import History, Run


@METHODS.register(
    "random",
    title="Random noise",
    family="control",
    compares="off",
    summary="noise that belongs to each cell's name: the floor of every metric",
)
class RandomNoise(Network):
    """Standard normal noise drawn for the name of each cell: the floor of every metric."""

    salt: Tensor

    def build(self) -> None:
        """The seed of the noise, kept with the weights so that a loaded model gives the same noise."""
        self.register_buffer("salt", torch.randint(2**62, (1,)))

    def represent(self, batch: Batch) -> Tensor:
        """Noise of each cell."""
        drawn = _random.noise(batch.cell.numpy(), self.config.width, int(self.salt))
        return torch.from_numpy(drawn).to(self.salt.device)

    def fit(self, cells: Cells, run: Run) -> History:
        """Nothing is learned."""
        return []

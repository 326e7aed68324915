"""Noise instead of an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from scssl import _random
from scssl._registry import METHODS
from scssl.methods._base import Method

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.data.source import Batch, Source
    from scssl.train.loop import Run


@METHODS.register(
    "random",
    title="Random noise",
    family="control",
    trains=False,
    within_batch="off",
    summary="noise that belongs to each cell's name: the floor of every metric",
)
class RandomNoise(Method):
    """Standard normal noise drawn for the name of each cell: the floor of every metric."""

    salt: Tensor

    def build(self) -> None:
        """The seed of the noise, kept with the weights so that a loaded model gives the same noise."""
        self.register_buffer("salt", torch.randint(2**62, (1,)))

    def represent(self, batch: Batch) -> Tensor:
        """Noise of each cell."""
        drawn = _random.noise(batch.cell.numpy(), self.config.width, int(self.salt))
        return torch.from_numpy(drawn).to(self.salt.device)

    def learn(self, source: Source, run: Run) -> list[dict[str, Any]]:
        """Nothing is learned."""
        return []

"""The encoder of the trained methods, as it is before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scssl._registry import METHODS
from scssl.methods import _base
from scssl.nn.encoders import Encoder

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.data.source import Batch, Source
    from scssl.train.loop import Run


@METHODS.register(
    "untrained",
    title="Untrained encoder",
    family="control",
    trains=False,
    within_batch="off",
    summary="random weights: what the architecture gives away for free; a trained method has to beat it",
)
class Untrained(_base.Method):
    """The encoder with random weights: what the architecture alone gives."""

    embeds_one = True

    @dataclass(frozen=True)
    class Config(_base.Config):
        """Configuration of the encoder."""

        hidden: tuple[int, ...] = (128,)
        """Widths of the hidden layers of the encoder."""

    def build(self) -> None:
        """The encoder."""
        self.encoder = Encoder(self.sizes, hidden=self.config.hidden, width=self.config.width)

    @property
    def n_dims(self) -> int:
        """Width of the embedding, all modalities together."""
        return self.encoder.width

    def represent(self, batch: Batch) -> Tensor:
        """The output of the encoder."""
        return self.encoder(batch)

    def learn(self, source: Source, run: Run) -> list[dict[str, Any]]:
        """Nothing is learned."""
        return []

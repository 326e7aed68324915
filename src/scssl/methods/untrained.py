"""The encoder of the trained methods, as it is before training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scssl._registry import METHODS
from scssl.methods import _base
from scssl.methods._network import Network
from scssl.nn.encoders import ACTIVATIONS, Encoder
from scssl.nn.norm import NONE, SHARED

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.data.cells import Cells
    from scssl.train.batches import Batch
    from scssl.train.loop import History, Run


@METHODS.register(
    "untrained",
    title="Untrained encoder",
    family="control",
    compares="off",
    summary="random weights: what the architecture gives away for free; a trained method has to beat it",
)
class Untrained(Network):
    """The encoder with random weights: what the architecture alone gives.

    By default that of the methods that compare views. ``hidden=(512, 256), width=128, activation="selu", batch_norm="none",
    hidden_dropout=0.1`` is that of ``mae``: fine-tuned, it is the control of what its pretraining is worth.
    """

    embeds_one = True

    @dataclass(frozen=True)
    class Config(_base.Config):
        """Configuration of the encoder."""

        hidden: tuple[int, ...] = (128,)
        """Widths of the hidden layers of the encoder."""
        activation: str = field(default="relu", metadata={"choices": tuple(ACTIVATIONS)})
        """Activation of the hidden layers: ``"relu"`` or ``"selu"``."""
        hidden_dropout: float = field(default=0.0, metadata={"at_least": 0, "below": 1})
        """Share of each hidden layer dropped when the encoder is fine-tuned."""
        batch_norm: str = field(default=SHARED, metadata={"choices": (SHARED, NONE)})
        """``"shared"``, or ``"none"``: no norms."""

    def build(self) -> None:
        """The encoder."""
        c = self.config
        self.encoder = Encoder(
            self.sizes,
            hidden=c.hidden,
            width=c.width,
            activation=c.activation,
            hidden_dropout=c.hidden_dropout,
            norm=c.batch_norm != NONE,
        )

    @property
    def n_dims(self) -> int:
        """Width of the embedding, all modalities together."""
        return self.encoder.width

    def represent(self, batch: Batch) -> Tensor:
        """The output of the encoder."""
        return self.encoder(batch)

    def fit(self, cells: Cells, run: Run) -> History:
        """Nothing is learned."""
        return []

"""What methods share that reconstruct their input: the decoder, and a loss over the values that are to be predicted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch

from scssl._errors import InputError
from scssl.data.counts import factors_of
from scssl.methods._base import Prepared
from scssl.methods._trained import SelfSupervised, TrainedConfig
from scssl.nn.decoders import OUTPUTS, Decoder
from scssl.train.batches import Batches, with_factors
from scssl.views.masks import Masking
from scssl.views.pipeline import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from scssl.data.cells import Cells
    from scssl.train.batches import Batch, Draw

START_CELLS = 1024  # cells from which the means are taken that the decoder starts with

PAPER: dict[str, Any] = {
    "hidden": (512, 512, 256, 256),
    "width": 64,
    "activation": "selu",
    "batch_norm": "none",
    "hidden_dropout": 0.1,
    "output": "linear",
    "batch_size": 8192,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "held_out": 0.0,
}
"""The encoder of :cite:t:`richter2025delineating` and how it was trained, as far as it can be said of another optimiser."""


@dataclass(frozen=True)
class DecodingConfig(TrainedConfig):
    """Configuration of every method that reconstructs its input."""

    hidden: tuple[int, ...] = (512, 256)
    """Widths of the hidden layers of the encoder; the decoder has them in reverse order."""
    width: int = field(default=128, metadata={"at_least": 1})
    """Dimensions of the embedding."""
    activation: str = field(default="selu", metadata=TrainedConfig.__dataclass_fields__["activation"].metadata)
    """Activation of the hidden layers: ``"relu"`` or ``"selu"``."""
    hidden_dropout: float = field(default=0.1, metadata={"at_least": 0, "below": 1})
    """Share of each hidden layer, of encoder and decoder, dropped in training."""
    batch_norm: str = field(default="none", metadata=TrainedConfig.__dataclass_fields__["batch_norm"].metadata)
    """``"none"``: no norms, as published; ``"shared"`` or ``"domain"``: in the encoder."""
    fusion: str = field(default="mean", metadata=TrainedConfig.__dataclass_fields__["fusion"].metadata)
    """How several modalities become one embedding. With ``"mean"`` one modality alone has an embedding of the same width,
    and can be decoded into the others."""
    held_out: float = field(default=0.1, metadata={"at_least": 0, "at_most": 0.5})
    """Share of the cells that are not trained on: the weights of the epoch that reconstructs them best are kept, and `patience`
    counts epochs in which they are not reconstructed better. 0: the last epoch is kept. Long training on few cells learns
    them by heart, and neighbours suffer first."""
    views: Any = field(default_factory=lambda: resolve("none"))
    """Changes of the cells before they are encoded; what is reconstructed are the cells without them."""
    output: str = field(default="linear", metadata={"choices": tuple(OUTPUTS)})
    """Last step of the decoder and loss: ``"linear"``: squared errors of the values; ``"nb"``, ``"zinb"``: likelihood of
    ``layers["counts"]`` under a (zero-inflated) negative binomial, with the depth of each cell; ``"sigmoid"``: squared
    errors of values between 0 and 1, for published weights."""


@dataclass(frozen=True)
class Asked(Prepared):
    """What is hidden of the cells and predicted, and their factors between values and counts.

    Parameters
    ----------
    masking
        The masks.
    factors
        For each modality whose counts are predicted, one number a cell.
    """

    masking: Masking
    factors: Mapping[str, np.ndarray]

    @property
    def identity(self) -> str:
        """Hash of the masks: gene sets stand beside the data and the configuration."""
        return self.masking.identity


class Decoding(SelfSupervised):
    """A method that encodes cells and reconstructs them."""

    Config: ClassVar[type[DecodingConfig]] = DecodingConfig
    decoder: Decoder

    def build_heads(self, width: int) -> None:
        """The decoder."""
        c = self.config
        self.decoder = Decoder(
            self.sizes,
            width=width,
            hidden=c.hidden[::-1],
            output=c.output,
            activation=c.activation,
            hidden_dropout=c.hidden_dropout,
        )

    @classmethod
    def reads(cls, config: DecodingConfig) -> frozenset[str]:
        """The parts that the views read, and the counts where these are predicted."""
        return super().reads(config) | ({"counts"} if OUTPUTS[config.output].counts else frozenset())

    @classmethod
    def prepare(cls, config: DecodingConfig, cells: Cells) -> Asked:
        """Find the factors between counts and values, if they are needed, and what is to be hidden."""
        super().prepare(config, cells)
        counted = OUTPUTS[config.output].counts
        factors = factors_of(cells, who=f"output={config.output!r}", parameter="output") if counted else {}
        return Asked(cls.masking(config, cells), factors)

    @classmethod
    def masking(cls, config: DecodingConfig, cells: Cells) -> Masking:
        """The part of a cell that the network does not see: nothing."""
        return Masking()

    def inputs(self, batch: Batch, draw: Draw) -> tuple[Batch, Batch]:
        """The visible part of one view of the cells, and the cells themselves."""
        asked = cast("Asked", draw.prepared)
        batch = with_factors(batch, asked.factors, draw.index)
        return asked.masking(self.view(batch, draw, 0), seed=draw.seed, counters=draw.counters), batch

    def start(self, cells: Cells) -> None:
        """Begin at the mean of each gene, which would take many steps to learn."""
        some = np.unique(np.linspace(0, cells.n_obs - 1, min(cells.n_obs, START_CELLS)).astype(int))
        for name in self.sizes:
            self.start_from(name, Batches(cells).values(name, some))

    def start_from(self, name: str, x: Tensor) -> None:
        """Begin from some cells of a modality, shape ``(cells, features)``."""
        self.decoder.start_from(name, x)

    def loss(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """Mean error over the values to be predicted, mean over the modalities."""
        given, cells = views
        asked = {name: _asked(given, cells, name) for name in self.sizes}
        parts = self.decoder.mean_errors(self.decoder(self.represent(given)), cells.x, cells.factor, asked)
        return {"loss": torch.stack(parts).mean()}

    def decode(self, embedding: Tensor) -> dict[str, Tensor]:
        """Reconstructed values of every modality, on the scale of the input.

        Raises
        ------
        InputError
            If the embedding is that of one modality alone, and the decoder knows only that of all side by side.
        """
        if embedding.shape[1] != self.encoder.width:
            msg = f"The embedding of one modality has {embedding.shape[1]} dimensions, the decoder needs the "
            msg += f"{self.encoder.width} of all modalities side by side (fusion={self.config.fusion!r})."
            raise InputError(msg, code="cannot_decode", parameter="modality", fix="Train with fusion='mean'.")
        return self.decoder.values(embedding)


def _asked(given: Batch, cells: Batch, name: str) -> Tensor | None:
    """Which values of a modality count: those to be predicted, of the cells that have it; ``None``: all."""
    target = None if given.target is None else given.target[name]
    if cells.present is None or name not in cells.present:
        return target
    there = cells.present[name][:, None]
    return there.expand_as(cells.x[name]) if target is None else target & there

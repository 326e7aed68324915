"""What a method is: a description, a frozen configuration, what it builds and its loss. Everything else is shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from scssl._errors import InputError
from scssl._validate import enforce
from scssl._validate.config import config as check_config
from scssl._words import listed, nearest
from scssl.nn.alignment import Alignment
from scssl.nn.encoders import ACTIVATIONS, CLIP, FUSIONS, Encoder
from scssl.nn.norm import BATCH_NORMS, DOMAIN, NONE, BatchNorm1d
from scssl.train.loop import Run, train
from scssl.views.pipeline import describe, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scssl._registry import MethodSpec
    from scssl.data.source import Batch, Source
    from scssl.views.masks import Masking


@dataclass(frozen=True)
class Config:
    """Configuration of any method; methods add fields of their own."""

    width: int = field(default=64, metadata={"at_least": 1})
    """Dimensions of the embedding (of each modality)."""


class Method(nn.Module, ABC):
    """A method as a torch module.

    Parameters
    ----------
    config
        The frozen configuration.
    sizes
        Number of features of each modality.
    batches
        Names of the experimental batches, in the order of their codes in :attr:`Batch.batch`; empty if there are none.
    """

    spec: ClassVar[MethodSpec]
    Config: ClassVar[type[Config]] = Config
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named changes of the defaults, e.g. ``paper``: the published hyper-parameters."""
    embeds_one: bool = False
    """Whether cells can be embedded from one of several modalities alone."""

    def __init__(self, config: Any, sizes: Mapping[str, int], batches: Sequence[str] = ()) -> None:
        super().__init__()
        self.config, self.sizes, self.batches = config, dict(sizes), tuple(batches)
        self.classes: tuple[str, ...] = ()
        self.classifier: nn.Module | None = None
        self.build()

    def add_classifier(self, classes: Sequence[str]) -> None:
        """Put a linear layer on the standardised embedding, of one output a class; replaces one that is there."""
        self.classes = tuple(classes)
        norm = BatchNorm1d(self.n_dims, affine=False)
        self.classifier = nn.Sequential(norm, nn.Linear(self.n_dims, len(self.classes)))

    @abstractmethod
    def build(self) -> None:
        """Make the layers and buffers; `self.config`, `self.sizes` and `self.batches` are there."""

    @abstractmethod
    def represent(self, batch: Batch) -> Tensor:
        """The embedding of a batch, shape ``(cells, width)``."""

    def decode(self, embedding: Tensor) -> dict[str, Tensor]:
        """Values of every modality from embeddings; of methods whose description says ``decodes``."""
        msg = f"method {self.spec.name!r} does not reconstruct its input"
        raise NotImplementedError(msg)

    def embed(self, batch: Batch) -> Tensor:
        """What is kept of a batch, shape ``(cells, n_dims)``: the embedding, unless a method keeps something else."""
        return self.represent(batch)

    def start(self, source: Source) -> None:
        """Set new weights that are better taken from the cells than drawn."""

    @abstractmethod
    def learn(self, source: Source, run: Run) -> list[dict[str, Any]]:
        """Fit to the cells and return the history (empty if there are no epochs)."""

    @property
    def n_dims(self) -> int:
        """Width of the embedding."""
        return self.config.width

    @property
    def tells_batches_apart(self) -> bool:
        """Whether the embedding of a cell depends on the batch it is of."""
        return False

    @classmethod
    def configure(cls, preset: str = "default", **values: Any) -> Any:
        """The configuration of a preset with some values changed.

        Raises
        ------
        InputError
            For an unknown preset or field (lists what exists), a wrong type or a value out of range.
        """
        known = ["default", *cls.presets]
        if preset not in known:
            msg = f"Method {cls.spec.name!r} has no preset {preset!r}. It has {listed(known)}."
            raise InputError(msg, code="unknown_preset", parameter="preset", fix=nearest(preset, known))
        values = {**cls.presets.get(preset, {}), **values}
        enforce(check_config(cls.Config, values))
        if "views" in values:
            values["views"] = resolve(values["views"])
        return cls.Config(**{name: _plain(value) for name, value in values.items()})

    @classmethod
    def prepare(cls, config: Any, source: Source, data: Any) -> Masking | None:
        """Find out, once before training, what the method has to know about all cells; `data` are not changed.

        Returns
        -------
        What is hidden in training, ``None`` for methods that compare two views.
        """
        return None

    def plain_config(self) -> dict[str, Any]:
        """The configuration as plain values; ``configure(**plain)`` gives it back."""
        return plain(self.config)


def plain(config: Any) -> dict[str, Any]:
    """A configuration as plain values."""
    values = asdict(config)
    return {**values, "views": describe(config.views)} if "views" in values else values


def _plain(value: Any) -> Any:
    """A value of a configuration as JSON gives it back: Python numbers, tuples."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(_plain(part) for part in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class TrainedConfig(Config):
    """Configuration of every method that is trained by gradient descent."""

    hidden: tuple[int, ...] = (128,)
    """Widths of the hidden layers of the encoder."""
    dropout: float = field(default=0.0, metadata={"at_least": 0, "below": 1})
    """Share of the embedding dropped in training."""
    hidden_dropout: float = field(default=0.0, metadata={"at_least": 0, "below": 1})
    """Share of each hidden layer of the encoder dropped in training."""
    activation: str = field(default="relu", metadata={"choices": tuple(ACTIVATIONS)})
    """Activation of the hidden layers of the encoder: ``"relu"`` or ``"selu"``."""
    fusion: str = field(default="concat", metadata={"choices": FUSIONS})
    """How several modalities become one embedding: ``"concat"`` (side by side), ``"mean"``, ``"add"``, or ``"clip"``: side
    by side, and a second loss makes the modalities of a cell find each other."""
    batch_norm: str = field(default=BATCH_NORMS[0], metadata={"choices": BATCH_NORMS})
    """``"shared"``: the norms of the encoder standardise all cells alike; ``"domain"``: the cells of each batch by the
    statistics of their batch, which removes shifts and scales of a batch. Needs a batch key. ``"none"``: no norms."""
    views: Any = field(default_factory=lambda: resolve("clear"))
    """Pipeline of views: a name or a list. With several batches, ``mixing`` takes the place of the default."""
    keep_projector: bool = False
    """Whether cells are embedded by the projection head too, instead of the encoder alone. Evaluations of scSSL-Bench found
    no gain in it."""
    max_epochs: int = field(default=60, metadata={"at_least": 1})
    """Passes over the cells."""
    batch_size: int = field(default=256, metadata={"at_least": 2})
    """Cells in a mini-batch."""
    learning_rate: float = field(default=1e-3, metadata={"above": 0})
    """Constant step size of Adam. The paper's 1e-4 needs several times the epochs on sets of some thousand cells."""
    weight_decay: float = field(default=1e-6, metadata={"at_least": 0})
    """Pull of the weights towards zero, as Adam adds it to the gradient."""
    patience: int | None = field(default=None, metadata={"at_least": 1})
    """Stop after this many epochs without improvement of the loss; ``None`` never stops early."""
    total: float | None = field(default=None, metadata={"above": 0})
    """Sum to which the network scales each cell over the genes of the model, between two logarithms; ``None``: values are
    taken as they are. For published weights that were trained on such values."""


class SelfSupervised(Method):
    """A method that trains the shared encoder with a loss over two views; it adds heads and the loss."""

    Config: ClassVar[type[Config]] = TrainedConfig
    embeds_one = True
    encoder: Encoder
    project: nn.Module
    """The projection head, of methods that have one."""

    def build(self) -> None:
        """The encoder, then the heads of the method."""
        c = self.config
        if self.tells_batches_apart and not self.batches:
            msg = f"batch_norm={c.batch_norm!r} keeps statistics of each batch and needs to know the batches."
            raise InputError(msg, code="needs_batch_key", parameter="batch_key", fix="Pass batch_key=, e.g. 'batch'.")
        if c.fusion == CLIP and len(self.sizes) < 2:
            msg = f"fusion={c.fusion!r} brings modalities of a cell together, and there is one: {listed(list(self.sizes))}."
            raise InputError(
                msg, code="needs_modalities", parameter="fusion", fix="Pass a MuData, or leave fusion out."
            )
        self.align = Alignment() if c.fusion == CLIP else None
        self.encoder = Encoder(
            self.sizes,
            hidden=c.hidden,
            width=c.width,
            dropout=c.dropout,
            fusion=c.fusion,
            total=c.total,
            activation=c.activation,
            hidden_dropout=c.hidden_dropout,
            norm=c.batch_norm != NONE,
            n_domains=len(self.batches) if self.tells_batches_apart else 0,
            **self.encoder_options(),
        )
        self.build_heads(self.encoder.width)
        if c.keep_projector and not hasattr(self, "project"):
            msg = f"keep_projector=True asks for a projection head, and {self.spec.name!r} has none."
            raise InputError(msg, code="no_projector", parameter="keep_projector", fix="Leave keep_projector out.")
        self.embeds_one = not c.keep_projector  # the head takes all modalities together

    def encoder_options(self) -> dict[str, Any]:
        """What the method asks of the encoder beyond the configuration that all share."""
        return {}

    @property
    def tells_batches_apart(self) -> bool:
        """Whether the norms keep statistics of each batch."""
        return self.config.batch_norm == DOMAIN

    @property
    def n_dims(self) -> int:
        """Width of the embedding, all modalities together."""
        return self.config.projector[-1] if self.config.keep_projector else self.encoder.width

    def embed(self, batch: Batch) -> Tensor:
        """The output of the encoder, or of the projection head where the configuration keeps it."""
        z = self.represent(batch)
        return self.project(z) if self.config.keep_projector else z

    def build_heads(self, width: int) -> None:
        """Make what the loss needs on top of an embedding of `width` dimensions."""

    @abstractmethod
    def loss(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """``loss`` to go down, and other terms to be watched, as scalars."""

    def objective(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """What is minimised: the loss of the method, and the alignment of modalities where ``fusion="clip"`` asks for it."""
        if self.align is None:
            return self.loss(views)
        with self.encoder.recorded() as made:
            terms = self.loss(views)
        alignment = torch.stack([self.align(batch, codes) for batch, codes in made]).mean()
        return terms | {"loss": terms["loss"] + alignment, "alignment": alignment}

    def after_step(self, progress: float) -> None:
        """Hook after each step, with the share of the run that is done: momentum updates and the like."""

    @property
    def paced(self) -> bool:
        """Whether training goes by the share of the run that is done, so that its length has to be known at the start."""
        return type(self).after_step is not SelfSupervised.after_step

    def represent(self, batch: Batch) -> Tensor:
        """The output of the encoder, which heads and the loss build on."""
        return self.encoder(batch)

    def learn(self, source: Source, run: Run) -> list[dict[str, Any]]:
        """Train by the shared loop."""
        return train(self, source, run)

"""Methods that the shared loop trains, and those among them that learn from two views of a cell."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from scssl._errors import InputError
from scssl._words import listed
from scssl.methods._base import Config
from scssl.methods._network import Network
from scssl.nn.alignment import Alignment
from scssl.nn.encoders import ACTIVATIONS, CLIP, FUSIONS, Encoder
from scssl.nn.norm import BATCH_NORMS, DOMAIN, NONE
from scssl.train.loop import train
from scssl.train.phase import ONE_PHASE
from scssl.views.pipeline import MIXING, augment, resolve

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from scssl._types import Json
    from scssl.data.cells import Cells
    from scssl.methods._base import Prepared
    from scssl.train.batches import Batch, Draw
    from scssl.train.loop import History, Inputs, Run
    from scssl.train.phase import Phase


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


class Trained(Network):
    """A network that the shared loop trains: it says what it is given of a mini-batch and what is minimised."""

    def start(self, cells: Cells) -> None:
        """Set new weights that are better taken from the cells than drawn."""

    def inputs(self, batch: Batch, draw: Draw) -> Inputs:
        """What the objectives are given of a mini-batch; random changes take their numbers from `draw`. The batch itself."""
        return batch

    @abstractmethod
    def objective(self, inputs: Inputs) -> dict[str, Tensor]:
        """``loss`` to go down, and other terms to be watched, as scalars."""

    def compared(self, batch: Batch, draw: Draw) -> tuple[Batch, Batch] | None:
        """Two versions of the same cells whose embeddings should agree; ``None`` where nothing of the kind is trained."""
        return None

    @property
    def costs_inputs(self) -> bool:
        """Whether making the inputs takes long enough to be worth a thread of its own."""
        return True

    def phases(self) -> tuple[Phase, ...]:
        """Parts of the run: by default one, in which all weights follow one objective by Adam."""
        return ONE_PHASE

    def trains_on(self, cells: Cells) -> np.ndarray | None:
        """Positions of the cells of the next epoch; ``None``: all. Cells left out are embedded all the same."""
        return None

    def before_epoch(self, epoch: int, cells: Cells) -> None:
        """Hook before each epoch: pairs drawn again, a refinement. State belongs into buffers, which checkpoints keep.

        The module is in eval mode, and the generators of torch are seeded for the epoch.
        """

    def after_step(self, progress: float) -> None:
        """Hook after each step, with the share of the run that is done: momentum updates and the like."""

    @property
    def paced(self) -> bool:
        """Whether training goes by the share of the run that is done, so that its length has to be known at the start."""
        return type(self).after_step is not Trained.after_step or len(self.phases()) > 1

    def fit(self, cells: Cells, run: Run) -> History:
        """Train by the shared loop, on one device or several."""
        if run.devices not in ("auto", 1):
            from scssl.train.distributed import train_on_several

            return train_on_several(self, cells, run)
        return train(self, cells, run)


class SelfSupervised(Trained):
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

    def encoder_options(self) -> Json:
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

    @classmethod
    def prepare(cls, config: Any, cells: Cells) -> Prepared | None:
        """Have the views find out what they need to know about all cells."""
        for view in config.views:
            view.prepare(cells)
        return None

    @classmethod
    def reads(cls, config: Any) -> frozenset[str]:
        """The parts that the views read."""
        return frozenset(name for view in config.views for name in view.reads)

    @classmethod
    def parts(cls, config: Any) -> tuple[type, ...]:
        """The classes of the views: of the default ones, also those that several batches call for."""
        return tuple({type(view) for view in (*config.views, *resolve(MIXING))})

    def inputs(self, batch: Batch, draw: Draw) -> tuple[Batch, Batch]:
        """Two independent views of the same cells."""
        return self.view(batch, draw, 0), self.view(batch, draw, 1)

    def view(self, batch: Batch, draw: Draw, which: int) -> Batch:
        """One view of the cells: each has random numbers of its own."""
        views, counters = self.config.views, (*draw.counters, which)
        if not views:
            return batch
        return augment(batch, views, draw.batches, draw.index, seed=draw.seed, counters=counters)

    def compared(self, batch: Batch, draw: Draw) -> tuple[Batch, Batch] | None:
        """The two inputs."""
        return self.inputs(batch, draw)

    @property
    def costs_inputs(self) -> bool:
        """Whether there are views to be made."""
        return bool(self.config.views)

    @abstractmethod
    def loss(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """``loss`` to go down, and other terms to be watched, as scalars."""

    def objective(self, inputs: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """What is minimised: the loss of the method, and the alignment of modalities where ``fusion="clip"`` asks for it."""
        if self.align is None:
            return self.loss(inputs)
        with self.encoder.recorded() as made:
            terms = self.loss(inputs)
        alignment = torch.stack([self.align(batch, codes) for batch, codes in made]).mean()
        return terms | {"loss": terms["loss"] + alignment, "alignment": alignment}

    def represent(self, batch: Batch) -> Tensor:
        """The output of the encoder, which heads and the loss build on."""
        return self.encoder(batch)

"""BYOL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from scssl._registry import METHODS
from scssl.methods._trained import SelfSupervised, TrainedConfig
from scssl.nn.heads import head
from scssl.nn.losses import distance_to_target
from scssl.nn.momentum import follow, follower, momentum_at

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.train.batches import Batch


@METHODS.register(
    "byol",
    title="BYOL",
    family="distillation",
    reference="grill2020byol",
    gives=("history",),
    summary="no negatives: one view predicts what a slowly following copy of the network makes of the other",
)
class BYOL(SelfSupervised):
    r"""One view predicts what a slowly following copy of the network makes of the other :cite:p:`grill2020byol`.

    With :math:`p` the prediction from one view and :math:`z'` the projection of the other by the copy, the loss is
    :math:`-\frac{1}{2} [\cos(p_1, z'_2) + \cos(p_2, z'_1)]`. After every step the copy moves towards the network:
    :math:`\theta' \leftarrow m \theta' + (1 - m) \theta`, with :math:`m` rising to 1 in the course of the run.

    The loss takes each cell for itself: there is nothing that ``within_batch="mask"`` could leave out. With a batch key,
    mini-batches, and with them the statistics of batch norm, are those of one batch (``"sample"``).

    Notes
    -----
    Tried for the default, one change at a time (``benchmarks/grid.py``, two real sets): momentum 0.5, 0.9 and 0.99, heads of
    other widths, step size 3e-3 and 3e-4, mini-batches of 128. Momentum 0.99 and the smaller step size score lower; the rest
    changed less than 0.02.
    """

    @dataclass(frozen=True)
    class Config(TrainedConfig):
        """Configuration of BYOL."""

        momentum: float = field(default=0.9, metadata={"at_least": 0, "below": 1})
        """How much of itself the copy keeps in a step, at the start. The published 0.996 is made for many thousand steps;
        in the few hundred that small sets take, such a copy hardly leaves its random start."""
        projector: tuple[int, ...] = (256, 64)
        """Widths of the projection head."""
        predictor: tuple[int, ...] = (256,)
        """Widths of the hidden layers of the predictor."""

    presets: ClassVar = {
        "paper": {
            "learning_rate": 1e-4,
            "max_epochs": 200,
            "momentum": 0.996,
            "projector": (256, 64),
            "predictor": (256,),
        }
    }

    project: nn.Sequential
    target: nn.Module

    def build_heads(self, width: int) -> None:
        """Projection and prediction heads, and the copy of encoder and projection head."""
        c = self.config
        self.project = head((width, *c.projector))
        self.predict = head((c.projector[-1], *c.predictor, c.projector[-1]))
        self.target = follower(self._online())

    def loss(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """Symmetric distance of predictions and targets."""
        encoder, project = self.target.children()
        a, b = (self.predict(self.project(self.represent(view))).float() for view in views)
        to_a, to_b = (project(encoder(view)).float() for view in views)
        return {"loss": (distance_to_target(a, to_b) + distance_to_target(b, to_a)) / 2}

    def after_step(self, progress: float) -> None:
        """Let the copy follow."""
        follow(self.target, self._online(), momentum_at(progress, self.config.momentum))

    def _online(self) -> nn.ModuleList:
        """What the copy follows: encoder and projection head."""
        return nn.ModuleList((self.encoder, self.project))

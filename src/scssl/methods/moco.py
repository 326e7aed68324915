"""MoCo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from scssl._registry import METHODS
from scssl.methods._trained import SelfSupervised, TrainedConfig
from scssl.nn.heads import head
from scssl.nn.losses import info_nce
from scssl.nn.momentum import follow, follower, momentum_at
from scssl.nn.queue import Queue

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.train.batches import Batch


@METHODS.register(
    "moco",
    title="MoCo",
    family="contrastive",
    reference="he2020moco",
    masks=True,
    compares="mask",
    gives=("history",),
    summary="many negatives at a small batch size: a cell repels the cells of the last mini-batches, kept in a queue",
)
class MoCo(SelfSupervised):
    r"""A cell finds its other view among the cells of the last mini-batches :cite:p:`he2020moco`.

    .. math::

        \ell_i = -\log \frac{\exp(\cos(q_i, k_i) / T)}
            {\exp(\cos(q_i, k_i) / T) + \sum_{j \in Q(i)} \exp(\cos(q_i, k_j) / T)}

    :math:`q_i` is the projection of one view of cell :math:`i`, :math:`k_i` what a slowly following copy of the network
    makes of the other view. :math:`Q(i)` holds the keys in a queue of the last mini-batches, except those of cell
    :math:`i` itself: in a small set a cell is in the queue several times. After every step the keys of the mini-batch
    take the place of the oldest ones, and the copy moves towards the network:
    :math:`\theta' \leftarrow m \theta' + (1 - m) \theta`, with :math:`m` rising to 1 in the course of the run.

    With a batch key, :math:`Q(i)` holds cells of the batch of cell :math:`i` only (``within_batch="mask"``). With many
    batches of unequal size this is where the queue pays: the mini-batch may hold a few cells of a batch, the queue holds
    many. The reported loss is shifted, without an effect on the gradient, as if the queue were full and all of it
    were compared; guessing costs :math:`\log(1 + \text{queue})`.

    Notes
    -----
    Tried for the default, one change at a time (``benchmarks/grid.py``, two real sets): momentum 0, 0.5, 0.9 and 0.99; and at
    0.5 temperature 0.3, a queue of 512, mini-batches of 128, step size 3e-3. Momentum between 0 and 0.9 is alike, 0.99
    scores 0.05 lower in the total: such a copy is still half random after the few hundred steps of a small set.
    """

    @dataclass(frozen=True)
    class Config(TrainedConfig):
        """Configuration of MoCo."""

        temperature: float = field(default=0.5, metadata={"above": 0})
        """Divides the cosines; lower pushes near cells apart harder."""
        queue: int = field(default=2048, metadata={"at_least": 1})
        """Number of keys that are kept."""
        momentum: float = field(default=0.9, metadata={"at_least": 0, "below": 1})
        """How much of itself the copy keeps in a step, at the start. The published 0.996 is made for many thousand steps;
        in the few hundred that small sets take, such a copy hardly leaves its random start."""
        symmetric: bool = True
        """Whether each view is the query once; else the first is the query and the second the key."""
        projector: tuple[int, ...] = (64, 64)
        """Widths of the projection head."""

    presets: ClassVar = {
        "paper": {
            "learning_rate": 1e-4,
            "max_epochs": 200,
            "temperature": 0.5,
            "queue": 2048,
            "momentum": 0.996,
            "symmetric": False,
            "projector": (64, 64),
        }
    }

    project: nn.Sequential
    target: nn.Module

    def build_heads(self, width: int) -> None:
        """The projection head, the copy of encoder and projection head, and the queue."""
        c = self.config
        self.project = head((width, *c.projector), norm=False)
        self.target = follower(self._online())
        self.queue = Queue(c.queue, c.projector[-1])

    def loss(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """InfoNCE of queries and keys; then the keys join the queue."""
        pairs = (views, views[::-1]) if self.config.symmetric else (views,)
        keys = [self._key(key) for _, key in pairs]
        terms = [self._compared(query, key) for (query, _), key in zip(pairs, keys, strict=True)]
        for key in keys:
            self.queue.push(key, views[0].cell, views[0].batch)
        return {"loss": torch.stack(terms).mean()}

    def _compared(self, view: Batch, key: Tensor) -> Tensor:
        allowed = self.queue.others(view.cell)
        if view.group is not None:
            allowed = allowed & self.queue.of_batch(view.group)
        query = self.project(self.represent(view))
        return info_nce(query, key, self.queue.keys, allowed, self.config.temperature)

    @torch.no_grad()
    def _key(self, view: Batch) -> Tensor:
        encoder, project = self.target.children()
        return project(encoder(view))

    def after_step(self, progress: float) -> None:
        """Let the copy follow."""
        follow(self.target, self._online(), momentum_at(progress, self.config.momentum))

    def _online(self) -> nn.ModuleList:
        """What the copy follows: encoder and projection head."""
        return nn.ModuleList((self.encoder, self.project))

"""Phases of a run: which parts of a method learn from which objective, in which order, by which optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import torch

from scssl._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

ADAM, ADAMW, SGD = OPTIMIZERS = ("adam", "adamw", "sgd")


@dataclass(frozen=True)
class Optimizer:
    """An optimiser by name; what is ``None`` is taken from the run.

    Parameters
    ----------
    name
        ``"adam"``, ``"adamw"`` or ``"sgd"``.
    learning_rate, weight_decay
        Step size, and pull of the weights towards zero.
    momentum
        Of ``"sgd"``.
    """

    name: str = ADAM
    learning_rate: float | None = None
    weight_decay: float | None = None
    momentum: float = 0.0

    def made(
        self, weights: Sequence[nn.Parameter], *, learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """The optimiser of some weights."""
        lr = learning_rate if self.learning_rate is None else self.learning_rate
        decay = weight_decay if self.weight_decay is None else self.weight_decay
        if self.name == SGD:
            return torch.optim.SGD(weights, lr=lr, weight_decay=decay, momentum=self.momentum)
        kind = {ADAM: torch.optim.Adam, ADAMW: torch.optim.AdamW}[self.name]
        fused = bool(weights) and weights[0].device.type in ("cpu", "cuda")
        return kind(weights, lr=lr, weight_decay=decay, fused=fused)


@dataclass(frozen=True)
class Turn:
    """Steps of one objective on each mini-batch.

    Parameters
    ----------
    trains
        Names of the submodules whose weights move; empty: all of the method.
    objective
        Name of the method of the module that gives the loss.
    steps
        Steps on each mini-batch before the next turn.
    optimizer
        How the weights move.
    """

    trains: tuple[str, ...] = ()
    objective: str = "objective"
    steps: int = 1
    optimizer: Optimizer = Optimizer()

    def weights(self, module: nn.Module) -> list[nn.Parameter]:
        """The weights that this turn moves, in the order of the module.

        Raises
        ------
        InputError
            If a name is no submodule.
        """
        known = dict(module.named_modules())
        for name in self.trains:
            if name not in known:
                msg = f"A turn trains {name!r}, and the module has {', '.join(n for n in known if n and '.' not in n)}."
                raise InputError(msg, code="unknown_part", parameter="phases")
        if not self.trains:
            return list(module.parameters())
        chosen = {id(weight) for name in self.trains for weight in known[name].parameters()}
        return [weight for weight in module.parameters() if id(weight) in chosen]


@dataclass(frozen=True)
class Phase:
    """A part of a run.

    Parameters
    ----------
    name
        How checkpoints and the history call it.
    share
        Its length, relative to the shares of the other phases.
    turns
        What happens on each mini-batch, in this order.
    """

    name: str = "train"
    share: float = 1.0
    turns: tuple[Turn, ...] = (Turn(),)

    def optimizers(
        self, module: nn.Module, *, learning_rate: float, weight_decay: float
    ) -> dict[str, torch.optim.Optimizer]:
        """New optimisers of the phase, one for each turn, by name."""
        return {
            f"{self.name}/{i}": turn.optimizer.made(
                turn.weights(module), learning_rate=learning_rate, weight_decay=weight_decay
            )
            for i, turn in enumerate(self.turns)
        }


ONE_PHASE: tuple[Phase, ...] = (Phase(),)


def phase_at(phases: Sequence[Phase], epoch: int, max_epochs: int) -> Phase:
    """The phase of an epoch: each ends where its share of all epochs does, and has an epoch as long as there are enough."""
    total, end = sum(phase.share for phase in phases), 0
    enough = max_epochs >= len(phases)
    for i, done in enumerate(accumulate(phase.share for phase in phases), start=1):
        last = max_epochs - (len(phases) - i if enough else 0)  # leaves an epoch to each of the phases to come
        end = min(max(round(done / total * max_epochs), end + 1), last)
        if epoch < end:
            return phases[i - 1]
    return phases[-1]

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
        return [p for name, p in module.named_parameters() if any(name.startswith(f"{t}.") for t in self.trains)]


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
    """The phase that an epoch belongs to: ends are the shares of all epochs, rounded, and every phase has an epoch if it can."""
    total = sum(phase.share for phase in phases)
    ends = [round(done / total * max_epochs) for done in accumulate(phase.share for phase in phases)]
    for i in range(len(ends)):  # short runs: no phase is skipped as long as there are epochs for all
        ends[i] = max(ends[i], min(i + 1, max_epochs))
        ends[i] = min(ends[i], max(max_epochs - (len(ends) - 1 - i), 0)) if max_epochs >= len(ends) else ends[i]
    return next((phase for phase, end in zip(phases, ends, strict=True) if epoch < end), phases[-1])

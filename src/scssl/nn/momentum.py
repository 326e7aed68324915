"""Networks that follow another one slowly."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn


def momentum_at(progress: float, start: float) -> float:
    """Momentum after a share `progress` of the run: from `start` to 1 along half a cosine :cite:p:`grill2020byol`."""
    return 1.0 - (1.0 - start) * (math.cos(math.pi * progress) + 1.0) / 2.0


def follower(online: nn.Module) -> nn.Module:
    """A copy that no gradient reaches."""
    return copy.deepcopy(online).requires_grad_(requires_grad=False)


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """``target = momentum * target + (1 - momentum) * online``, weight by weight.

    Statistics of batch norm are not averaged: the target collects those of its own passes.
    """
    for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
        slow.lerp_(fast, 1.0 - momentum)

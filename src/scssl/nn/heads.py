"""Heads: small networks on top of the encoder that exist for the loss only."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


from torch import nn


def head(sizes: Sequence[int], *, last_norm: bool = False, last_bias: bool = True) -> nn.Sequential:
    """Linear layers with batch norm and ReLU between them.

    Parameters
    ----------
    sizes
        Widths, from the embedding to the output.
    last_norm
        Whether the output is batch-normalised too. No linear layer before a batch norm has a bias.
    last_bias
        Whether the last linear layer has a bias (where no norm follows).
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()]
    layers.append(nn.Linear(sizes[-2], sizes[-1], bias=last_bias and not last_norm))
    if last_norm:
        layers.append(nn.BatchNorm1d(sizes[-1]))
    return nn.Sequential(*layers)

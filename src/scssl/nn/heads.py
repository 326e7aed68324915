"""Heads: small networks on top of the encoder that exist for the loss only."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


from torch import nn


def head(
    sizes: Sequence[int], *, norm: bool = True, last_norm: bool = False, last_affine: bool = True
) -> nn.Sequential:
    """Linear layers with batch norm and ReLU between them.

    Parameters
    ----------
    sizes
        Widths, from the embedding to the output.
    norm
        Whether hidden layers are batch-normalised. No linear layer before a batch norm has a bias, all others have one.
    last_norm
        Whether the output is batch-normalised too.
    last_affine
        Whether the batch norm of the output has a learned scale and shift.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes[:-1]):
        layers += [nn.Linear(before, after, bias=not norm), *([nn.BatchNorm1d(after)] if norm else []), nn.ReLU()]
    layers.append(nn.Linear(sizes[-2], sizes[-1], bias=not last_norm))
    if last_norm:
        layers.append(nn.BatchNorm1d(sizes[-1], affine=last_affine))
    return nn.Sequential(*layers)

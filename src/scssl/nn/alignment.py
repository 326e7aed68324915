"""Modalities of the same cell brought together."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scssl.train.batches import Batch

FIRST_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0  # of the cosines, as published


def clip(a: Tensor, b: Tensor, scale: Tensor, group: Tensor | None = None) -> Tensor:
    """Symmetric cross-entropy of finding the other modality of a cell among those of all cells :cite:p:`radford2021clip`.

    Parameters
    ----------
    a, b
        Codes of the same cells in two modalities, shape ``(cells, width)``.
    scale
        Multiplies the cosines.
    group
        Integer code of each cell, shape ``(cells,)``: cells of other groups are left out of the comparison.

    Returns
    -------
    Tensor
        Mean over the cells and both directions; 0 if there is no cell.
    """
    logits = scale * F.normalize(a.float(), dim=1) @ F.normalize(b.float(), dim=1).T
    if group is not None:
        logits = logits.masked_fill(group[:, None] != group[None, :], -torch.inf)
    own = torch.arange(len(a), device=a.device)
    total = F.cross_entropy(logits, own, reduction="sum") + F.cross_entropy(logits.T, own, reduction="sum")
    return total / (2 * max(len(a), 1))


class Alignment(nn.Module):
    """The loss of ``fusion="clip"``, with the scale of the cosines that is learned with it."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    def forward(self, batch: Batch, codes: Mapping[str, Tensor]) -> Tensor:
        """Mean of :func:`clip` over all pairs of modalities, each over the cells that have both."""
        scale = self.log_scale.clamp(max=math.log(LARGEST_SCALE)).exp()
        present = batch.present or {}
        losses = []
        for first, second in combinations(codes, 2):
            both = [present[name] for name in (first, second) if name in present]
            cells = slice(None) if not both else torch.stack(both).all(dim=0)
            group = None if batch.group is None else batch.group[cells]
            losses.append(clip(codes[first][cells], codes[second][cells], scale, group))
        return torch.stack(losses).mean()

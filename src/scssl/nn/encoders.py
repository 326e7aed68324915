"""Encoders: from expression to an embedding."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


import torch
from torch import Tensor, nn

FUSIONS = ("concat", "mean", "add")


def mlp(sizes: Sequence[int], *, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers with batch norm: ReLU between them, none after the last, dropout at the end.

    The encoder of scSSL-Bench :cite:p:`ovcharenko2025scssl` is ``mlp((genes, 128, 64))``.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.Dropout(dropout) if last else nn.ReLU()]
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """One network for each modality, fused into one embedding.

    Parameters
    ----------
    sizes
        Number of features of each modality.
    hidden
        Widths of the hidden layers.
    width
        Width of the embedding of each modality.
    dropout
        Share of the embedding that is dropped in training.
    fusion
        How several modalities become one embedding: ``concat``, ``mean`` or ``add``.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        hidden: Sequence[int],
        width: int,
        dropout: float = 0.0,
        fusion: str = "concat",
    ) -> None:
        super().__init__()
        self.names, self.fusion = tuple(sizes), fusion
        self.parts = nn.ModuleList(mlp((n, *hidden, width), dropout=dropout) for n in sizes.values())
        self.width = width * len(sizes) if fusion == "concat" else width

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Dense values of each modality in, embedding of shape ``(cells, width)`` out."""
        codes = [part(x[name]) for name, part in zip(self.names, self.parts, strict=True)]
        if self.fusion == "concat":
            return codes[0] if len(codes) == 1 else torch.cat(codes, dim=1)
        total = torch.stack(codes).sum(0)
        return total if self.fusion == "add" else total / len(codes)

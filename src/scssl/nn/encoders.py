"""Encoders: from expression to an embedding."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scssl.nn.dropout import Dropout
from scssl.nn.inputs import INDICATOR, ZERO, Input
from scssl.nn.norm import BatchNorm1d, DomainBatchNorm1d

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scssl.train.batches import Batch

CONCAT, MEAN, ADD, CLIP = FUSIONS = ("concat", "mean", "add", "clip")
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "selu": nn.SELU}


class MLP(nn.Sequential):
    """Linear layers with batch norm: an activation between them, none after the last, dropout at the end.

    The encoder of scSSL-Bench :cite:p:`ovcharenko2025scssl` is ``MLP((genes, 128, 64))``, that of
    :cite:t:`richter2025delineating` is ``MLP((genes, 512, 512, 256, 256, 64), norm=False, activation="selu",
    hidden_dropout=0.1)``.

    Parameters
    ----------
    sizes
        Widths, from the features to the embedding.
    dropout
        Share of the output that is dropped in training.
    activation
        Name of the activation of the hidden layers, of `ACTIVATIONS`.
    hidden_dropout
        Share of each hidden layer that is dropped in training.
    norm
        Whether every layer is batch-normalised.
    n_domains
        Number of experimental batches that the norms tell apart; 0: all cells share their statistics. All norms do, not
        the first alone: else the later ones would standardise by a mix of batches in eval mode that they did not have
        in training, where a mini-batch may hold one batch only.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        dropout: float = 0.0,
        activation: str = "relu",
        hidden_dropout: float = 0.0,
        norm: bool = True,
        n_domains: int = 0,
    ) -> None:
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(sizes)):
            layers.append(nn.Linear(before, after))
            if norm:
                layers.append(DomainBatchNorm1d(after, n_domains) if n_domains else BatchNorm1d(after))
            if i == len(sizes) - 2:
                layers.append(Dropout(dropout))
            else:
                layers += [ACTIVATIONS[activation](), *([Dropout(hidden_dropout)] if hidden_dropout else [])]
        super().__init__(*layers)

    def forward(self, x: Tensor, domain: Tensor | None = None) -> Tensor:
        """Values of shape ``(cells, features)`` in, codes out; `domain` as in :class:`~scssl.nn.norm.DomainBatchNorm1d`."""
        for layer in self:
            x = layer(x, domain) if isinstance(layer, DomainBatchNorm1d) else layer(x)
        return x


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
        How several modalities become one embedding: ``concat`` (zeros where a cell lacks a modality), ``mean`` (over the
        modalities that a cell has) or ``add`` (as many times that mean as there are modalities: the sum, for complete
        cells, and of the same size for the others). ``clip`` is ``concat``; the loss that belongs to it is
        :class:`~scssl.nn.alignment.Alignment`.
    hidden_as
        What the network sees in place of a hidden value, see :class:`~scssl.nn.inputs.Input`.
    total
        Sum to which each cell is scaled before the network; ``None``: values are taken as they are.
    **layers
        `activation`, `hidden_dropout`, `norm` and `n_domains` of :class:`MLP`.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        hidden: Sequence[int],
        width: int,
        dropout: float = 0.0,
        fusion: str = "concat",
        hidden_as: str = ZERO,
        total: float | None = None,
        **layers: Any,
    ) -> None:
        super().__init__()
        self.names, self.fusion = tuple(sizes), fusion
        self.inputs = nn.ModuleList(Input(n, hidden_as=hidden_as, total=total) for n in sizes.values())
        widths = [(n * (2 if hidden_as == INDICATOR else 1), *hidden, width) for n in sizes.values()]
        self.parts = nn.ModuleList(MLP(w, dropout=dropout, **layers) for w in widths)
        self.width = width * len(sizes) if fusion in (CONCAT, CLIP) else width
        self._made: list[tuple[Batch, dict[str, Tensor]]] | None = None

    def forward(self, batch: Batch) -> Tensor:
        """Some cells in, their embedding of shape ``(cells, width)`` out; of one modality if they come with one alone."""
        by_name = self.codes(batch)
        if self._made is not None:
            self._made.append((batch, by_name))
        codes = list(by_name.values())
        if len(codes) == 1:
            return codes[0]
        if self.fusion in (CONCAT, CLIP):
            return torch.cat(codes, dim=1)
        mean = torch.stack(codes).sum(0) / self._how_many(batch)
        return mean if self.fusion == MEAN else mean * len(codes)

    def codes(self, batch: Batch) -> dict[str, Tensor]:
        """What each modality of the batch becomes on its own, zeros for the cells that lack it.

        These cells do not reach the network of the modality: they have no part in its statistics.
        """
        parts = zip(self.names, self.inputs, self.parts, strict=True)
        return {name: _code(entry, part, batch, name) for name, entry, part in parts if name in batch.x}

    @contextmanager
    def recorded(self) -> Iterator[list[tuple[Batch, dict[str, Tensor]]]]:
        """A list of what comes in and of the codes before their fusion, for every pass inside the block."""
        self._made = []
        try:
            yield self._made
        finally:
            self._made = None

    def _how_many(self, batch: Batch) -> Tensor | int:
        """The number of modalities that each cell has, shape ``(cells, 1)``."""
        if batch.present is None:
            return len(self.names)
        lacks = torch.stack([~there for there in batch.present.values()])
        return len(self.names) - lacks.sum(0).unsqueeze(1)


def _code(entry: nn.Module, part: nn.Module, batch: Batch, name: str) -> Tensor:
    x = entry(batch.x[name], None if batch.visible is None else batch.visible[name])
    if batch.present is None or name not in batch.present:
        return part(x, batch.batch)
    cells = torch.nonzero(batch.present[name]).squeeze(1)
    code = part(x[cells], None if batch.batch is None else batch.batch[cells])
    return code.new_zeros(len(batch), code.shape[1]).index_copy(0, cells, code)

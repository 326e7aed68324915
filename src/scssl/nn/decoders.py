"""Decoders: from an embedding back to the values of every modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scssl.nn.encoders import MLP
from scssl.nn.likelihoods import negative_binomial, zero_inflated
from scssl.nn.losses import mean_squared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SMALLEST_FACTOR, SMALLEST_MEAN = 1e-8, 1e-4


class Linear(nn.Module):
    """Values as the last layer gives them, and their squared error.

    Parameters
    ----------
    features
        Number of features.
    """

    outputs: ClassVar[int] = 1
    """Numbers that the last layer gives for each feature."""
    counts: ClassVar[bool] = False
    """Whether the error is that of counts."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def values(self, out: Tensor) -> Tensor:
        """What is reconstructed, on the scale of the input, from the last layer."""
        return out

    def start(self, x: Tensor) -> Tensor:
        """What the last layer would have to give to reconstruct the mean of these cells."""
        return x.mean(dim=0)

    def mean_error(self, out: Tensor, x: Tensor, factor: Tensor | None, asked: Tensor | None) -> Tensor:
        """Mean error over the values that are asked for, shape ``(cells, features)``; ``None``: all."""
        return mean_squared(self.values(out), x, asked)


class Sigmoid(Linear):
    """Values between 0 and 1, as the published weights were trained: no larger one can be reconstructed."""

    def values(self, out: Tensor) -> Tensor:
        """Sigmoid of the last layer."""
        return out.sigmoid()

    def start(self, x: Tensor) -> Tensor:
        """The same, for means between 0 and 1."""
        return x.mean(dim=0).clamp(0.01, 0.99).logit()


class NegativeBinomial(Linear):
    r"""Counts with mean :math:`s e^o`: :math:`o` from the last layer, :math:`s` the counts of one unit in this cell.

    For values :math:`x = \log(1 + n / s)` the mean is, on their scale, :math:`\log(1 + e^o)`. Each feature has a dispersion
    of its own, the same in all cells.
    """

    counts = True

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.log_dispersion = nn.Parameter(torch.zeros(features))

    def values(self, out: Tensor) -> Tensor:
        """The mean, as logarithm of 1 + counts in units of the cell."""
        return F.softplus(out)

    def start(self, x: Tensor) -> Tensor:
        """The logarithm of the mean in units of the cell."""
        return x.expm1().mean(dim=0).clamp(min=SMALLEST_MEAN).log()

    def mean_error(self, out: Tensor, x: Tensor, factor: Tensor | None, asked: Tensor | None) -> Tensor:
        """The same, of minus the log likelihood."""
        errors = self.errors(out, x, factor)
        return errors.mean() if asked is None else (errors * asked).sum() / asked.sum().clamp(min=1)

    def errors(self, out: Tensor, x: Tensor, factor: Tensor | None) -> Tensor:
        """Minus the log likelihood of every count, shape ``(cells, features)``."""
        counts, log_factor = counted(x, factor)
        return -negative_binomial(counts, out + log_factor, self.log_dispersion)


class ZeroInflated(NegativeBinomial):
    """The same with zeros on top; their log odds are the second half of the last layer."""

    outputs = 2

    def values(self, out: Tensor) -> Tensor:
        """The mean, zeros on top included."""
        mean, dropout = out.chunk(2, dim=1)
        return F.softplus(mean - F.softplus(dropout))

    def start(self, x: Tensor) -> Tensor:
        """The same, with few zeros on top."""
        mean = super().start(x)
        return torch.cat((mean, torch.full_like(mean, -2.0)))

    def errors(self, out: Tensor, x: Tensor, factor: Tensor | None) -> Tensor:
        """The same, with zeros on top."""
        counts, log_factor = counted(x, factor)
        mean, dropout = out.chunk(2, dim=1)
        return -zero_inflated(counts, mean + log_factor, self.log_dispersion, dropout)


OUTPUTS: dict[str, type[Linear]] = {
    "linear": Linear,
    "nb": NegativeBinomial,
    "zinb": ZeroInflated,
    "sigmoid": Sigmoid,
}


def counted(x: Tensor, factor: Tensor | None) -> tuple[Tensor, Tensor]:
    """The counts behind values ``log(1 + n / s)``, and ``log(s)`` of every cell, shape ``(cells, 1)``."""
    if factor is None:
        msg = "the factors between counts and values are not known"
        raise ValueError(msg)
    s = factor[:, None]
    return (x.expm1() * s).round(), s.clamp(min=SMALLEST_FACTOR).log()


class Decoder(nn.Module):
    """One network for each modality, from the fused embedding to its values.

    Parameters
    ----------
    sizes
        Number of features of each modality.
    width
        Width of the embedding.
    hidden
        Widths of the hidden layers, from the embedding to the values.
    output
        Name of the last step, of `OUTPUTS`.
    activation, hidden_dropout
        As in :class:`~scssl.nn.encoders.MLP`.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        width: int,
        hidden: Sequence[int],
        output: str = "linear",
        activation: str = "relu",
        hidden_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.names = tuple(sizes)
        self.outputs = nn.ModuleList(OUTPUTS[output](n) for n in sizes.values())
        self.parts = nn.ModuleList(
            MLP(
                (width, *hidden, n * OUTPUTS[output].outputs),
                activation=activation,
                hidden_dropout=hidden_dropout,
                norm=False,
            )
            for n in sizes.values()
        )

    def forward(self, embedding: Tensor) -> dict[str, Tensor]:
        """What the last layers give for each modality, float32."""
        return {name: part(embedding).float() for name, part in zip(self.names, self.parts, strict=True)}

    @torch.no_grad()
    def start_from(self, name: str, x: Tensor) -> None:
        """Let the last layer of a modality begin at the mean of some cells."""
        last = [layer for layer in self.parts[self.names.index(name)].modules() if isinstance(layer, nn.Linear)][-1]
        last.bias.copy_(self._ends()[name].start(x))

    def values(self, embedding: Tensor) -> dict[str, Tensor]:
        """Reconstructed values of each modality, on the scale of the input."""
        out = self(embedding)
        return {name: end.values(out[name]) for name, end in self._ends().items()}

    def mean_errors(
        self,
        out: Mapping[str, Tensor],
        x: Mapping[str, Tensor],
        factor: Mapping[str, Tensor] | None,
        asked: Mapping[str, Tensor | None],
    ) -> list[Tensor]:
        """Mean error of each modality over what is asked for of it."""
        known = factor or {}
        return [end.mean_error(out[name], x[name], known.get(name), asked[name]) for name, end in self._ends().items()]

    def _ends(self) -> dict[str, Linear]:
        return dict(zip(self.names, cast("list[Linear]", list(self.outputs)), strict=True))

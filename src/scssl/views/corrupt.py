"""Corruptions of single cells: mask, Gaussian noise, inner swap, crossover, replacement.

The definitions are those of CLEAR :cite:p:`han2022clear` as scSSL-Bench :cite:p:`ovcharenko2025scssl` uses them, except
that the inner swap is a true permutation. Shares of genes are exact counts, not probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from scssl._registry import VIEWS
from scssl.views._base import SHARE, Context, View, choose, count_of, draw, normal, whole

if TYPE_CHECKING:
    from torch import Tensor

POOL = 256


@VIEWS.register("mask", summary="sets a share of the genes to zero", reference="han2022clear")
@dataclass(frozen=True)
class Mask(View):
    """Set a share of the genes of a cell to zero.

    Parameters
    ----------
    fraction
        Share of the genes.
    p
        Probability that a cell is changed.
    """

    fraction: float = field(default=0.2, metadata=SHARE)

    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Zeros in exactly ``int(fraction * genes)`` places of each cell."""
        k = count_of(self.fraction, x.shape[1])
        return x.mul_(~choose(x.shape, k, generator)) if k else x


@VIEWS.register("gaussian", summary="adds normal noise to a share of the genes", reference="han2022clear")
@dataclass(frozen=True)
class Gaussian(View):
    """Add normal noise to a share of the genes of a cell; values may become negative.

    Parameters
    ----------
    fraction
        Share of the genes.
    sigma
        Standard deviation of the noise, in units of the input (log-normalised expression).
    p
        Probability that a cell is changed.
    """

    fraction: float = field(default=0.8, metadata=SHARE)
    sigma: float = field(default=0.2, metadata={"at_least": 0})

    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Noise in exactly ``int(fraction * genes)`` places of each cell."""
        k = count_of(self.fraction, x.shape[1])
        if not k:
            return x
        noise = normal(x.shape, generator).mul_(self.sigma)
        return x.add_(noise.mul_(choose(x.shape, k, generator)))


@VIEWS.register("inner_swap", summary="exchanges the values of pairs of genes", reference="han2022clear")
@dataclass(frozen=True)
class InnerSwap(View):
    """Exchange the values of pairs of genes within a cell: a permutation, no value is lost or doubled.

    Parameters
    ----------
    fraction
        Share of the genes that take part: ``int(fraction * genes / 2)`` pairs of different genes.
    p
        Probability that a cell is changed.
    """

    fraction: float = field(default=0.1, metadata=SHARE)

    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Values of the pairs exchanged."""
        pairs = count_of(self.fraction / 2, x.shape[1])
        if not pairs:
            return x
        genes = draw(x.shape, 2 * pairs, generator)
        return x.scatter_(1, genes, x.gather(1, genes.roll(pairs, dims=1)))


@VIEWS.register("crossover", summary="takes a share of the genes from another cell", reference="han2022clear")
@dataclass(frozen=True)
class CrossOver(View):
    """Replace a share of the genes of a cell by those of one random cell of the data set.

    Parameters
    ----------
    fraction
        Share of the genes.
    p
        Probability that a cell is changed.
    """

    fraction: float = field(default=0.25, metadata=SHARE)

    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Values of one other cell in exactly ``int(fraction * genes)`` places."""
        k = count_of(self.fraction, x.shape[1])
        if not k:
            return x
        partner = torch.randint(context.n_obs, (len(x),), generator=generator, device=x.device)
        other = context.values(partner.cpu().numpy())
        return x.lerp_(other, choose(x.shape, k, generator).to(x.dtype))


@VIEWS.register(
    "replace", summary="takes each of a share of the genes from a cell of its own", reference="han2022clear"
)
@dataclass(frozen=True)
class Replace(View):
    """Replace a share of the genes of a cell, each by its value in another random cell: CLEAR's mutation.

    The donors are drawn from 256 random cells of the data set, new ones for every mini-batch and view: of as many cells as
    a mini-batch has, each gene of each cell meets any other one equally likely, without a look-up in the whole data set
    for every value.

    Parameters
    ----------
    fraction
        Share of the genes.
    p
        Probability that a cell is changed.
    """

    fraction: float = field(default=0.25, metadata=SHARE)

    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Values of other cells in exactly ``int(fraction * genes)`` places."""
        k = count_of(self.fraction, x.shape[1])
        if not k:
            return x
        pool = torch.randint(context.n_obs, (POOL,), generator=generator, device=x.device)
        others = context.values(pool.cpu().numpy())
        genes = draw(x.shape, k, generator)
        return x.scatter_(1, genes, others[whole(genes.shape, POOL, generator), genes])

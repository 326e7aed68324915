"""Negative binomial noise: what the same cell would have looked like, measured once more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from scssl._registry import VIEWS
from scssl.views._base import SHARE
from scssl.views._counts import CountView, kept

if TYPE_CHECKING:
    from torch import Tensor


@VIEWS.register(
    "nb_noise", summary="draws counts once more, with negative binomial noise", reference="richter2025delineating"
)
@dataclass(frozen=True)
class NbNoise(CountView):
    r"""Counts are drawn once more, with the noise that counts of cells have.

    Of the counts :math:`n` of a gene, :math:`k \sim \mathrm{Binomial}(n, 1 - f)` stay, and the others come from a negative
    binomial of their mean: :math:`n' = k + \mathrm{NB}(f n, \phi)`. The expectation of :math:`n'` is :math:`n`, its variance
    is :math:`f (2 - f) n + \phi f^2 n^2`: at :math:`f = 1` that of a negative binomial with mean :math:`n` and dispersion
    :math:`\phi`, of which :math:`n` Poisson, as sampling molecules makes it, and :math:`\phi n^2` what cells of one type
    differ by. The values of the view are :math:`\log(1 + n' / s)`, with the factor :math:`s` of each cell from
    ``layers["counts"]``.

    :cite:t:`richter2025delineating` add a negative binomial draw to the values that has nothing to do with the cell, and so
    makes every zero positive. Here a zero stays a zero.

    Works on RNA and on protein, as :func:`scssl.pp.recipe` makes them; peaks (ATAC) stay as they are. Put it first, before
    `thin`: values that another view has changed are rounded to the nearest count.

    Parameters
    ----------
    fraction
        Share of the counts that are drawn once more.
    dispersion
        Dispersion :math:`\phi` of the negative binomial; 0: Poisson. 0.1 is that of the published noise (10 failures).
    p
        Probability that a cell is changed.
    """

    fraction: float = field(default=1.0, metadata=SHARE)
    dispersion: float = field(default=0.1, metadata={"at_least": 0})

    def redraw(self, counts: Tensor, generator: torch.Generator) -> Tensor:
        """Those that stay, and those that are drawn once more."""
        new = negative_binomial(counts * self.fraction, self.dispersion, generator)
        return new if self.fraction == 1 else new + kept(counts, 1 - self.fraction, generator)

    @property
    def idle(self) -> bool:
        """Whether nothing is drawn once more."""
        return self.fraction == 0


def negative_binomial(mean: Tensor, dispersion: float, generator: torch.Generator) -> Tensor:
    """Counts with these means and variance ``mean + dispersion * mean ** 2``: Poisson draws of gamma rates."""
    if dispersion > 0:
        shape = torch.full_like(mean, 1 / dispersion)
        mean = mean * torch._standard_gamma(shape, generator=generator) * dispersion
    return torch.poisson(mean, generator=generator)

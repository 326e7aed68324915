"""Thinning: what the same cell would have looked like, sequenced less deeply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scssl._registry import VIEWS
from scssl.views._base import SHARE
from scssl.views._counts import CountView, kept

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@VIEWS.register("thin", summary="loses a share of the counts, as at lower depth", reference="neufeld2024inference")
@dataclass(frozen=True)
class Thin(CountView):
    r"""Binomial thinning :cite:p:`neufeld2024inference`: each count of a cell is lost with probability `fraction`.

    The values :math:`x = \log(1 + n / s)` of a cell are taken back to its counts :math:`n`, of which
    :math:`n' \sim \mathrm{Binomial}(n, 1 - f)` stay; the view is :math:`\log(1 + n' / (s (1 - f)))`. Before the logarithm its
    expectation is the cell itself, and the noise is that of lower depth. The factor :math:`s` of each cell is found once
    from ``layers["counts"]``.

    Works on RNA and on protein, as :func:`scssl.pp.recipe` makes them; peaks (ATAC) stay as they are, because TF-IDF is not
    a scale of the cell. Put it before views that do not keep whole counts: values that another view has changed are rounded to
    the nearest count.

    Parameters
    ----------
    fraction
        Share of the counts that are lost.
    p
        Probability that a cell is changed.
    """

    fraction: float = field(default=0.5, metadata=SHARE)

    def redraw(self, counts: Tensor, generator: torch.Generator) -> Tensor:
        """Those that stay."""
        return kept(counts, self.share, generator)

    @property
    def idle(self) -> bool:
        """Whether nothing is lost."""
        return self.fraction == 0

    @property
    def share(self) -> float:
        """Share of the counts that stay."""
        return 1 - self.fraction

"""Thinning: what the same cell would have looked like, sequenced less deeply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from scssl._errors import InputError
from scssl._registry import VIEWS
from scssl.data.counts import factors
from scssl.data.recipe import kind_of
from scssl.data.source import parts_of
from scssl.views._base import SHARE, Context, View

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.data.source import Source


@VIEWS.register("thin", summary="loses a share of the counts, as at lower depth", reference="neufeld2024inference")
@dataclass(frozen=True)
class Thin(View):
    r"""Binomial thinning :cite:p:`neufeld2024inference`: each count of a cell is lost with probability `fraction`.

    The values :math:`x = \log(1 + n / s)` of a cell are taken back to its counts :math:`n`, of which
    :math:`n' \sim \mathrm{Binomial}(n, 1 - f)` stay; the view is :math:`\log(1 + n' / (s (1 - f)))`. Before the logarithm its
    expectation is the cell itself, and the noise is that of lower depth. The factor :math:`s` of each cell is found once
    from ``layers["counts"]``.

    Works on RNA and on protein, as :func:`scssl.pp.recipe` makes them; peaks (ATAC) stay as they are, because TF-IDF is not
    a scale of the cell. Put it first: values that another view has changed are rounded to the nearest count.

    Parameters
    ----------
    fraction
        Share of the counts that are lost.
    p
        Probability that a cell is changed.
    """

    fraction: float = field(default=0.5, metadata=SHARE)

    def prepare(self, source: Source, data: Any) -> None:
        """The factor between counts and values of each cell; checks that every count is found again."""
        parts = parts_of(data, list(source.matrices))
        if all(kind_of(name) == "atac" for name in parts):
            msg = f"View 'thin' cannot thin {', '.join(map(repr, parts))}: TF-IDF values are not scaled counts."
            raise InputError(msg, code="no_counts", parameter="views", fix="Choose other views, e.g. 'mask:0.5'.")
        for name, part in parts.items():
            counted = kind_of(name) != "atac"
            source.known[_key(name)] = (
                factors(source, name, part, who="view 'thin'", parameter="views") if counted else None
            )

    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Values of the thinned counts."""
        known = self.recall(context, _key(context.modality))
        if known is None or self.fraction == 0:
            return x
        factor = torch.from_numpy(known[context.index]).to(x.device)[:, None]
        counts = x.clamp(min=0).expm1_().mul_(factor).round_()
        present = counts > 0
        kept = _binomial(counts[present], 1 - self.fraction, generator)
        scaled = x.zero_().masked_scatter_(present, kept).div_(factor * (1 - self.fraction))
        return scaled.nan_to_num_(nan=0.0).log1p_()  # 0 / 0: cells without counts, or none left


def _binomial(counts: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """How many of each of the counts stay. Most are 1, for which a comparison does what takes torch's sampler long."""
    kept = (torch.rand(len(counts), generator=generator, device=counts.device) < share).to(counts.dtype)
    several = counts > 1
    more = counts[several]
    return kept.masked_scatter_(several, torch.binomial(more, torch.full_like(more, share), generator=generator))


def _key(modality: str) -> str:
    return f"thin/{modality}"

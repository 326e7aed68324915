"""What views share that change counts: values are taken back to the counts of a cell, and the new ones to values."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from scssl._errors import InputError
from scssl.data.kinds import kind_of
from scssl.views._base import Context, View

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.data.cells import Cells


@dataclass(frozen=True)
class CountView(View):
    r"""A change of the counts :math:`n` behind the values :math:`x = \log(1 + n / s)` of a cell.

    The factor :math:`s` of each cell is found once from ``layers["counts"]``; views of counts share it. Subclasses implement
    :meth:`redraw`, and :attr:`share` if they change how many counts are to be expected. Values that another view has changed
    are rounded to the nearest count.
    """

    reads: ClassVar[tuple[str, ...]] = ("counts",)

    def prepare(self, cells: Cells) -> None:
        """The factor between counts and values of each cell; checks that every count is found again."""
        if all(kind_of(name).of_peaks for name in cells.matrices):
            msg = f"View {self.spec.name!r} has nothing to change in {', '.join(map(repr, cells.matrices))}: "
            msg += "TF-IDF values are not scaled counts."
            raise InputError(msg, code="no_counts", parameter="views", fix="Choose other views, e.g. 'mask:0.5'.")
        for name in cells.matrices:
            if kind_of(name).of_peaks:
                cells.known[key_of(name)] = None
            else:
                cells.factors(name, who=f"view {self.spec.name!r}", parameter="views")

    def change(self, x: Tensor, context: Context, generator: torch.Generator) -> Tensor:
        """Values of the changed counts; a count of zero stays zero."""
        known = self.recall(context, key_of(context.modality))
        if known is None or self.idle:
            return x
        factor = torch.from_numpy(known[context.index]).to(x.device)[:, None]
        counts = x.clamp(min=0).expm1_().mul_(factor).round_()
        present = counts > 0
        scaled = x.zero_().masked_scatter_(present, self.redraw(counts[present], generator)).div_(factor * self.share)
        return scaled.nan_to_num_(nan=0.0).log1p_()  # 0 / 0: cells without counts, or none left

    @abstractmethod
    def redraw(self, counts: Tensor, generator: torch.Generator) -> Tensor:
        """New counts in place of those that are not zero, shape ``(counts,)``."""

    @property
    def idle(self) -> bool:
        """Whether the view does nothing at this strength."""
        return False

    @property
    def share(self) -> float:
        """How many of the counts are there, in expectation, after the change."""
        return 1.0


def kept(counts: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """How many of each of the counts stay: Binomial(counts, share).

    Most counts are 1, for which a comparison does what takes torch's sampler long.
    """
    stays = (torch.rand(len(counts), generator=generator, device=counts.device) < share).to(counts.dtype)
    several = counts > 1
    more = counts[several]
    return stays.masked_scatter_(several, torch.binomial(more, torch.full_like(more, share), generator=generator))


def key_of(modality: str) -> str:
    """Where the factors of a modality are kept among what is known about all cells."""
    return f"counts/{modality}"

"""Barlow Twins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from scssl._registry import METHODS
from scssl.methods._base import SelfSupervised, TrainedConfig
from scssl.nn.heads import head
from scssl.nn.losses import barlow_twins

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.data.source import Batch


@METHODS.register(
    "barlow_twins",
    title="Barlow Twins",
    family="redundancy",
    reference="zbontar2021barlow",
    summary="no negatives: each dimension agrees with itself across views and with no other",
)
class BarlowTwins(SelfSupervised):
    r"""Each dimension agrees with itself across views and with no other dimension :cite:p:`zbontar2021barlow`.

    With :math:`C` the correlation of the dimensions of one view with those of the other, the loss is
    :math:`\sum_i (1 - C_{ii})^2 + \lambda \sum_{i \neq j} C_{ij}^2`.
    """

    @dataclass(frozen=True)
    class Config(TrainedConfig):
        """Configuration of Barlow Twins."""

        redundancy: float = field(default=5e-3, metadata={"at_least": 0})
        """Weight of the correlations between different dimensions."""
        projector: tuple[int, ...] = (256, 256, 256)
        """Widths of the projection head."""

    presets: ClassVar = {"paper": {"learning_rate": 1e-4, "max_epochs": 200}}

    def build_heads(self, width: int) -> None:
        """The projection head."""
        self.project = head((width, *self.config.projector))

    def loss(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """The two terms on the two projections."""
        a, b = (self.project(self.represent(view)).float() for view in views)
        return barlow_twins(a, b, redundancy_weight=self.config.redundancy)

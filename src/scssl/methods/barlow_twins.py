"""Barlow Twins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from scssl._registry import METHODS
from scssl.methods._trained import SelfSupervised, TrainedConfig
from scssl.nn.heads import head
from scssl.nn.losses import barlow_twins

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.train.batches import Batch


@METHODS.register(
    "barlow_twins",
    title="Barlow Twins",
    family="redundancy",
    reference="zbontar2021barlow",
    masks=True,
    gives=("history",),
    summary="no negatives: each dimension agrees with itself across views and with no other",
)
class BarlowTwins(SelfSupervised):
    r"""Each dimension agrees with itself across views and with no other dimension :cite:p:`zbontar2021barlow`.

    With :math:`C` the correlation of the dimensions of one view with those of the other, the loss is
    :math:`\sum_i (1 - C_{ii})^2 + \lambda \sum_{i \neq j} C_{ij}^2`. Each view is standardised by its own mean and
    deviation, as published; scSSL-Bench :cite:p:`ovcharenko2025scssl` ran a library that takes those of both views
    together, which are nearly the same numbers.

    With a batch key, :math:`C` is the correlation within one batch (``within_batch="sample"``), or that within the batches
    of a mixed mini-batch (``"mask"``): every projection minus the mean of its batch, pooled over all batches. Otherwise
    a shift between batches is agreement that costs nothing.

    Notes
    -----
    Tried for the default, one change at a time (``benchmarks/grid.py``, two real sets): redundancy 0.001, 0.005, 0.02 and 0.1,
    projection heads 64-256 and 256-64, mini-batches of 128, step size 3e-3. A weight of 0.1 mixes better and types worse
    (accuracy 0.90 against 0.92); the rest is within 0.02 and stays as published.
    """

    @dataclass(frozen=True)
    class Config(TrainedConfig):
        """Configuration of Barlow Twins."""

        redundancy: float = field(default=5e-3, metadata={"at_least": 0})
        """Weight of the correlations between different dimensions."""
        projector: tuple[int, ...] = (256, 256, 256)
        """Widths of the projection head."""

    presets: ClassVar = {
        "paper": {"learning_rate": 1e-4, "max_epochs": 200, "redundancy": 5e-3, "projector": (256, 256, 256)}
    }

    def build_heads(self, width: int) -> None:
        """The projection head."""
        self.project = head((width, *self.config.projector))

    def loss(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """The two terms on the two projections."""
        a, b = (self.project(self.represent(view)).float() for view in views)
        return barlow_twins(a, b, views[0].group, redundancy_weight=self.config.redundancy)

"""SimCLR."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from scssl._registry import METHODS
from scssl.methods._trained import SelfSupervised, TrainedConfig
from scssl.nn.heads import head
from scssl.nn.losses import nt_xent

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.train.batches import Batch


@METHODS.register(
    "simclr",
    title="SimCLR",
    family="contrastive",
    reference="chen2020simclr",
    masks=True,
    compares="mask",
    gives=("history",),
    summary="a strong first choice: two views of a cell attract, other cells of its batch repel",
)
class SimCLR(SelfSupervised):
    r"""Two views of a cell attract each other, all other cells of the mini-batch repel :cite:p:`chen2020simclr`.

    .. math::

        \ell_i = -\log \frac{\exp(\cos(z_i, z_i') / T)}{\sum_{j \in B(i)} \exp(\cos(z_i, z_j) / T)}

    :math:`z_i` and :math:`z_i'` are the projections of the two views of cell :math:`i`; :math:`B(i)` holds all other
    projections of the mini-batch. The loss is the mean over all projections.

    With a batch key, :math:`B(i)` holds those of the cell's own batch only (``within_batch="mask"``): otherwise the
    cheapest way to tell cells apart is to recognise their batch.

    Notes
    -----
    Tried for the default, one change at a time (``benchmarks/grid.py``, two real sets): temperature 0.1, 0.2, 0.3 and 0.5,
    a projection head of one layer, mini-batches of 128, step size 3e-3, a hidden layer of 256. From 0.2 to 0.5 the temperature
    trades mixing (low) against typing (high); at 0.1 typing falls (accuracy 0.90 against 0.92). The rest changed less than
    0.02. The published temperature is 0.5.
    """

    @dataclass(frozen=True)
    class Config(TrainedConfig):
        """Configuration of SimCLR."""

        temperature: float = field(default=0.3, metadata={"above": 0})
        """Divides the cosines; lower pushes near cells apart harder."""
        projector: tuple[int, ...] = (64, 64)
        """Widths of the projection head."""

    presets: ClassVar = {"paper": {"learning_rate": 1e-4, "max_epochs": 200, "temperature": 0.5, "projector": (64, 64)}}

    def build_heads(self, width: int) -> None:
        """The projection head."""
        self.project = head((width, *self.config.projector), last_norm=True)

    def loss(self, views: tuple[Batch, Batch]) -> dict[str, Tensor]:
        """NT-Xent of the two projections."""
        a, b = (self.project(self.represent(view)) for view in views)
        return {"loss": nt_xent(a, b, self.config.temperature, views[0].group)}

"""Dropout that does not wait for its random numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEPS = 1 << 16  # a draw has 16 bits


class Dropout(nn.Dropout):
    """:class:`torch.nn.Dropout`, on a processor with four values to each random number of torch's.

    Torch draws one for every value there, which takes a tenth of a step of a network whose products are fast; a share is
    rounded to 1 / 65,536. On a GPU it is torch's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Values of any shape, some of them zero and the others larger in training."""
        if not self.training or not 0 < self.p < 1 or x.device.type != "cpu":
            return super().forward(x)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= round(self.p * STEPS) - STEPS // 2
        return x * kept.to(x.dtype).mul_(1 / (1 - self.p))

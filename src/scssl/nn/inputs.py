"""What of the values of a cell a network sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ZERO, TOKEN, INDICATOR = HIDDEN_AS = ("zero", "token", "indicator")


class Input(nn.Module):
    """The values of one modality on their way into the network; those that are hidden are replaced, none is rescaled.

    Parameters
    ----------
    features
        Number of features.
    hidden_as
        What stands in the place of a hidden value: ``"zero"``; ``"token"``, a learned value of each feature; or
        ``"indicator"``, zero and beside all values one input for each feature that is 1 where it is hidden.
    total
        Take back the logarithm, scale each cell to this sum over all features, and take the logarithm again. ``None``: do
        not.
    """

    def __init__(self, features: int, *, hidden_as: str = ZERO, total: float | None = None) -> None:
        super().__init__()
        self.total = total
        self.token = nn.Parameter(torch.zeros(features)) if hidden_as == TOKEN else None
        self.indicates = hidden_as == INDICATOR

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Values of shape ``(cells, features)`` in; `visible` is boolean of that shape, ``None`` if nothing is hidden."""
        if self.total is not None:
            x = scaled(x, self.total)
        if visible is not None:
            x = x * visible if self.token is None else torch.where(visible, x, self.token)
        if not self.indicates:
            return x
        hidden = torch.zeros_like(x) if visible is None else (~visible).to(x.dtype)
        return torch.cat((x, hidden), dim=1)


def scaled(x: Tensor, total: float) -> Tensor:
    """Logarithms ``log(1 + n)`` of values whose sum is `total` in each cell; a cell of zeros stays one."""
    units = x.clamp(min=0).expm1()
    return (units * (total / units.sum(dim=1, keepdim=True).clamp(min=1e-12))).log1p()

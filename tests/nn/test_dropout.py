"""Dropout: the share, the scale, the gradient, and torch's own where it does not matter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scssl.nn.dropout import Dropout
from scssl.train.device import seeded


def drop(x: torch.Tensor, p: float, seed: int = 0) -> torch.Tensor:
    with seeded(seed, torch.device("cpu")):
        return Dropout(p).train()(x)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_share_and_scale(p: float) -> None:
    out = drop(torch.ones(999, 1001), p)
    dropped = (out == 0).double()
    spread = (p * (1 - p) / dropped.numel()) ** 0.5
    assert abs(dropped.mean() - p) < 5 * spread + 1 / 65536
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / (1 - p)))


def test_values_are_dropped_independently() -> None:
    """Of every pair of neighbours, in each direction, both are dropped as often as chance says."""
    dropped = (drop(torch.ones(1000, 1000), 0.3) == 0).double()
    for step in range(1, 9):
        assert abs((dropped[:, step:] * dropped[:, :-step]).mean() - 0.09) < 0.002
        assert abs((dropped[step:] * dropped[:-step]).mean() - 0.09) < 0.002


def test_gradient_goes_where_values_went() -> None:
    x = torch.randn(7, 13, requires_grad=True)
    out = drop(x, 0.4)
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), out.detach())


def test_seed_decides() -> None:
    x = torch.ones(50, 50)
    assert torch.equal(drop(x, 0.5), drop(x, 0.5))
    assert not torch.equal(drop(x, 0.5), drop(x, 0.5, seed=1))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_like_torch_where_nothing_is_drawn(p: float) -> None:
    x = torch.randn(5, 6)
    assert torch.equal(Dropout(p).eval()(x), x)
    if p in (0.0, 1.0):
        assert torch.equal(Dropout(p).train()(x), nn.Dropout(p).train()(x))


def test_keeps_the_type() -> None:
    assert drop(torch.ones(4, 5, dtype=torch.bfloat16), 0.2).dtype == torch.bfloat16

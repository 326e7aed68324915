"""Losses against naive double loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scssl.nn import losses

SHAPES = [(2, 3), (5, 8), (17, 4), (32, 64)]


def pair(n, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, width, generator=generator, dtype=torch.float32) for _ in range(2))


def naive_nt_xent(a, b, temperature, group=None):
    z = np.concatenate([a.numpy(), b.numpy()]).astype(np.float64)
    n = len(a)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    codes = np.zeros(2 * n) if group is None else np.tile(group.numpy(), 2)
    total = 0.0
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        allowed = [j for j in range(2 * n) if j != i and codes[j] == codes[i]]
        denominator = sum(math.exp(z[i] @ z[j] / temperature) for j in allowed)
        total -= math.log(math.exp(z[i] @ z[partner] / temperature) / denominator)
    return total / (2 * n)


@pytest.mark.parametrize(("n", "width"), SHAPES)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_equals_the_double_loop(n, width, temperature):
    a, b = pair(n, width)
    assert float(losses.nt_xent(a, b, temperature)) == pytest.approx(naive_nt_xent(a, b, temperature), rel=1e-5)


@pytest.mark.parametrize(("n", "width"), SHAPES)
def test_nt_xent_compares_within_groups_only(n, width):
    a, b = pair(n, width)
    group = torch.arange(n) % 2
    assert float(losses.nt_xent(a, b, 0.5, group)) == pytest.approx(naive_nt_xent(a, b, 0.5, group), rel=1e-5)


def test_groups_are_compared_as_if_they_were_alone():
    a, b = pair(10, 6)
    group = torch.tensor([0] * 4 + [1] * 6)
    parts = [losses.nt_xent(a[group == g], b[group == g], 0.5) * int((group == g).sum()) for g in (0, 1)]
    assert float(losses.nt_xent(a, b, 0.5, group)) == pytest.approx(float(sum(parts)) / 10, rel=1e-6)


def test_other_groups_get_no_gradient():
    a, b = pair(6, 4)
    a.requires_grad_()
    group = torch.tensor([0, 0, 0, 1, 1, 1])
    alone = losses.nt_xent(a[:3], b[:3], 0.5)
    (gradient,) = torch.autograd.grad(losses.nt_xent(a, b, 0.5, group) * 2, a)
    (expected,) = torch.autograd.grad(alone, a)
    torch.testing.assert_close(gradient[:3], expected[:3])


def test_one_cell_a_group_has_nothing_to_repel():
    a, b = pair(4, 3)
    assert float(losses.nt_xent(a, b, 0.5, torch.arange(4))) == pytest.approx(0.0, abs=1e-6)


def test_nt_xent_does_not_depend_on_order_or_length():
    a, b = pair(9, 5)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    value = losses.nt_xent(a, b, 0.5)
    torch.testing.assert_close(losses.nt_xent(a[order], b[order], 0.5), value)
    torch.testing.assert_close(losses.nt_xent(a * 3, b * 0.2, 0.5), value)
    torch.testing.assert_close(losses.nt_xent(b, a, 0.5), value)


@pytest.mark.parametrize(("n", "width"), SHAPES)
def test_vicreg_equals_the_double_loop(n, width):
    a, b = pair(n, width)
    x, y = a.double().numpy(), b.double().numpy()
    invariance = sum((x[i, j] - y[i, j]) ** 2 for i in range(n) for j in range(width)) / (n * width)
    spread, correlation = [], []
    for z in (x, y):
        deviations = [math.sqrt(np.var(z[:, j], ddof=1) + 1e-4) for j in range(width)]
        spread.append(sum(max(0.0, 1 - d) for d in deviations) / width)
        total = 0.0
        for i in range(width):
            for j in range(width):
                if i != j:
                    c = sum((z[k, i] - z[:, i].mean()) * (z[k, j] - z[:, j].mean()) for k in range(n)) / (n - 1)
                    total += c**2
        correlation.append(total / width)
    terms = losses.vicreg(a, b, invariance_weight=25.0, variance_weight=15.0, covariance_weight=2.0)
    assert float(terms["invariance"]) == pytest.approx(invariance, rel=1e-4)
    assert float(terms["variance"]) == pytest.approx(np.mean(spread), rel=1e-4, abs=1e-6)
    assert float(terms["covariance"]) == pytest.approx(sum(correlation), rel=1e-3)
    expected = 25 * invariance + 15 * np.mean(spread) + 2 * sum(correlation)
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("n", "width"), SHAPES)
def test_barlow_twins_equals_the_double_loop(n, width):
    a, b = pair(n, width)
    x, y = a.double().numpy(), b.double().numpy()
    x, y = ((z - z.mean(0)) / (z.std(0) + 1e-5) for z in (x, y))
    on = off = 0.0
    for i in range(width):
        for j in range(width):
            c = sum(x[k, i] * y[k, j] for k in range(n)) / n
            on, off = (on + (1 - c) ** 2, off) if i == j else (on, off + c**2)
    terms = losses.barlow_twins(a, b, redundancy_weight=0.3)
    assert float(terms["invariance"]) == pytest.approx(on, rel=1e-3, abs=1e-6)
    assert float(terms["redundancy"]) == pytest.approx(off, rel=1e-3)
    assert float(terms["loss"]) == pytest.approx(on + 0.3 * off, rel=1e-3)


def test_barlow_twins_is_zero_for_independent_dimensions_that_agree():
    z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(losses.barlow_twins(z, 3 * z, redundancy_weight=1.0)["loss"]) == pytest.approx(0.0, abs=1e-6)


def test_distance_to_target_is_minus_the_cosine_and_stops_the_gradient():
    a, b = (z.requires_grad_() for z in pair(7, 5))
    value = losses.distance_to_target(a, b)
    rows = zip(a.detach().numpy(), b.detach().numpy(), strict=True)
    expected = -np.mean([x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in rows])
    assert float(value.detach()) == pytest.approx(float(expected), rel=1e-5)
    value.backward()
    assert b.grad is None
    assert float(a.grad.abs().sum()) > 0


def test_vicreg_sees_a_collapse():
    constant = torch.ones(8, 4)
    terms = losses.vicreg(constant, constant, invariance_weight=1, variance_weight=1, covariance_weight=1)
    assert float(terms["variance"]) == pytest.approx(1 - math.sqrt(1e-4))
    assert float(terms["invariance"]) == 0.0

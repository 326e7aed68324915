"""Losses against naive double loops, and those of torch."""

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


def naive_info_nce(query, key, bank, allowed, temperature):
    q, k, bank = ((z / z.norm(dim=1, keepdim=True)).double().numpy() for z in (query, key, bank))
    total = 0.0
    for i in range(len(q)):
        own = math.exp(q[i] @ k[i] / temperature)
        others = [math.exp(q[i] @ bank[j] / temperature) for j in range(len(bank)) if allowed[i, j]]
        total += -math.log(own / (own + sum(others))) + math.log((1 + len(bank)) / (1 + len(others)))
    return total / len(q)


@pytest.mark.parametrize(("n", "width"), SHAPES)
@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_info_nce_equals_the_double_loop(n, width, size, share):
    (a, b), (bank, _) = pair(n, width), pair(size, width, seed=1)
    bank = torch.nn.functional.normalize(bank, dim=1)
    allowed = torch.rand(n, size, generator=torch.Generator().manual_seed(2)) < share
    for temperature in (0.1, 0.5):
        value = losses.info_nce(a, b, bank, allowed, temperature)
        assert float(value) == pytest.approx(naive_info_nce(a, b, bank, allowed, temperature), rel=1e-5)


def test_a_cell_without_negatives_costs_what_guessing_costs_and_has_no_gradient():
    (a, b), (bank, _) = pair(3, 4), pair(9, 4, seed=1)
    a.requires_grad_()
    allowed = torch.zeros(3, 9, dtype=torch.bool)
    allowed[1] = True
    value = losses.info_nce(a, b, bank, allowed, 0.5)
    value.backward()
    assert torch.isfinite(a.grad).all()
    assert float(a.grad[[0, 2]].abs().max()) == 0.0
    assert float(a.grad[1].abs().max()) > 0
    nothing = losses.info_nce(a, b, bank, torch.zeros_like(allowed), 0.5)
    assert float(nothing.detach()) == pytest.approx(math.log(10))


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


GROUPS = {"one": (7,), "two": (5, 9), "many": (4, 1, 6, 2, 1, 8), "alone": (1, 1, 1), "large": (40, 3, 50)}


def grouped(sizes, width=6):
    """Two views of cells in groups of these sizes, in a mixed order, with codes that leave gaps."""
    n = sum(sizes)
    group = torch.repeat_interleave(torch.arange(len(sizes)) * 3 + 2, torch.tensor(sizes))
    group = group[torch.randperm(n, generator=torch.Generator().manual_seed(3))]
    return (*pair(n, width), group)


def naive_scatter(x, y, group):
    """Sum over groups of the products of the deviations from the mean of the group."""
    total = np.zeros((x.shape[1], y.shape[1]))
    for code in group.unique():
        u, v = (z[group == code].double().numpy() for z in (x, y))
        total += (u - u.mean(0)).T @ (v - v.mean(0))
    return total


@pytest.mark.parametrize("sizes", GROUPS.values(), ids=GROUPS)
def test_statistics_within_groups_equal_a_loop_over_groups(sizes):
    a, b, group = grouped(sizes)
    freedom = max(len(a) - len(sizes), 1)
    terms = losses.vicreg(a, b, group, invariance_weight=5, variance_weight=5, covariance_weight=1)
    covariances = [naive_scatter(z, z, group) / freedom for z in (a, b)]
    short = [np.maximum(0, 1 - np.sqrt(np.diag(c) + 1e-4)).mean() for c in covariances]
    off = [(np.square(c).sum() - np.square(np.diag(c)).sum()) / a.shape[1] for c in covariances]
    assert float(terms["variance"]) == pytest.approx(np.mean(short), rel=1e-4, abs=1e-6)
    assert float(terms["covariance"]) == pytest.approx(sum(off), rel=1e-3, abs=1e-6)
    terms = losses.barlow_twins(a, b, group, redundancy_weight=0.3)
    scale = [np.sqrt(np.diag(naive_scatter(z, z, group)) / len(a)) + 1e-5 for z in (a, b)]
    c = naive_scatter(a, b, group) / len(a) / np.outer(*scale)
    assert float(terms["invariance"]) == pytest.approx(np.square(1 - np.diag(c)).sum(), rel=1e-3, abs=1e-5)
    off = np.square(c).sum() - np.square(np.diag(c)).sum()
    assert float(terms["redundancy"]) == pytest.approx(off, rel=1e-3, abs=1e-5)


def vicreg(a, b, group=None):
    return losses.vicreg(a, b, group, invariance_weight=0, variance_weight=1, covariance_weight=1)["loss"]


def barlow(a, b, group=None):
    return losses.barlow_twins(a, b, group, redundancy_weight=1)["loss"]


@pytest.mark.parametrize("loss", [vicreg, barlow])
def test_a_shift_of_a_group_changes_nothing(loss):
    a, b, group = grouped((5, 1, 9, 30))
    shift = 3 * torch.randn(20, 6, generator=torch.Generator().manual_seed(4))[group]
    torch.testing.assert_close(loss(a + shift, b + shift, group), loss(a, b, group), rtol=1e-4, atol=1e-4)
    assert abs(float(loss(a + shift, b + shift)) - float(loss(a, b))) > 0.1


@pytest.mark.parametrize("loss", [vicreg, barlow])
def test_one_group_is_no_group(loss):
    a, b, _ = grouped((20,))
    torch.testing.assert_close(loss(a, b, torch.full((20,), 7)), loss(a, b))


@pytest.mark.parametrize("loss", [vicreg, barlow])
def test_cells_alone_in_their_group_say_nothing_and_have_no_gradient(loss):
    a, b, group = grouped((1, 1, 12))
    a.requires_grad_()
    loss(a, b, group).backward()
    alone = group != 8
    assert torch.isfinite(a.grad).all()
    assert float(a.grad[alone].abs().max()) == 0.0
    assert float(a.grad[~alone].abs().max()) > 0
    everyone = torch.arange(len(a))
    (gradient,) = torch.autograd.grad(loss(a, b, everyone), a)
    assert float(gradient.abs().max()) == 0.0


@pytest.mark.parametrize("share", [None, 0.3, 0.0])
def test_mean_squared_is_that_of_torch(share: float | None) -> None:
    draw = torch.Generator().manual_seed(0)
    found = torch.randn(40, 30, generator=draw, requires_grad=True)
    wanted = torch.rand(40, 30, generator=draw)
    asked = None if share is None else torch.rand(40, 30, generator=draw) < share
    loss = losses.mean_squared(found, wanted, asked)
    (gradient,) = torch.autograd.grad(3 * loss, found)
    chosen = slice(None) if asked is None else asked
    if share == 0:
        assert loss == 0
        assert not gradient.any()
        return
    expected = torch.nn.functional.mse_loss(found[chosen], wanted[chosen])
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(3 * expected, found)[0])


def test_mean_squared_has_the_gradient_of_its_value() -> None:
    found, wanted = (torch.randn(4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    asked = torch.rand(4, 5) < 0.5
    assert torch.autograd.gradcheck(lambda x, y: losses.mean_squared(x, y, asked), (found, wanted))

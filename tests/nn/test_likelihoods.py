"""Likelihoods against distributions of torch, scipy and scvi-tools; extreme values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from scssl.nn.decoders import OUTPUTS
from scssl.nn.likelihoods import negative_binomial, zero_inflated


def draws(n=400, seed=0):
    draw = torch.Generator().manual_seed(seed)
    mean = torch.exp(2 * torch.randn(n, 1, generator=draw, dtype=torch.float64))
    dispersion = torch.exp(torch.randn(n, 1, generator=draw, dtype=torch.float64))
    counts = torch.poisson(mean.expand(n, 6).contiguous(), generator=draw)
    return counts, mean, dispersion, torch.randn(n, 1, generator=draw, dtype=torch.float64)


def test_negative_binomial_equals_torch_and_scipy():
    counts, mean, dispersion, _ = draws()
    ours = negative_binomial(counts, mean.log(), dispersion.log())
    torchs = torch.distributions.NegativeBinomial(dispersion, logits=mean.log() - dispersion.log()).log_prob(counts)
    torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-9)
    scipys = stats.nbinom.logpmf(counts.numpy(), dispersion.numpy(), (dispersion / (dispersion + mean)).numpy())
    np.testing.assert_allclose(ours.numpy(), scipys, rtol=1e-9, atol=1e-9)


def test_zero_inflated_is_the_mixture():
    counts, mean, dispersion, dropout = draws()
    ours = zero_inflated(counts, mean.log(), dispersion.log(), dropout)
    pi = torch.sigmoid(dropout)
    plain = negative_binomial(counts, mean.log(), dispersion.log()).exp()
    expected = (pi * (counts == 0) + (1 - pi) * plain).log()
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_equal_those_of_scvi():
    distributions = pytest.importorskip("scvi.distributions")
    counts, mean, dispersion, dropout = (value.float() for value in draws())
    theirs = distributions.NegativeBinomial(mu=mean, theta=dispersion).log_prob(counts)
    torch.testing.assert_close(negative_binomial(counts, mean.log(), dispersion.log()), theirs, rtol=1e-3, atol=1e-3)
    theirs = distributions.ZeroInflatedNegativeBinomial(mu=mean, theta=dispersion, zi_logits=dropout).log_prob(counts)
    torch.testing.assert_close(
        zero_inflated(counts, mean.log(), dispersion.log(), dropout), theirs, rtol=1e-3, atol=1e-3
    )


def test_probabilities_sum_to_one():
    counts = torch.arange(5000, dtype=torch.float64)
    for function, extra in ((negative_binomial, ()), (zero_inflated, (torch.tensor(0.3),))):
        total = function(counts, torch.tensor(2.0).log(), torch.tensor(0.7).log(), *extra).exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-6)


def test_nothing_overflows():
    counts = torch.tensor([0.0, 1.0, 1e5])
    for log_mean in (-30.0, 0.0, 30.0):
        for log_dispersion in (-10.0, 10.0):
            parameters = [torch.tensor(v, requires_grad=True) for v in (log_mean, log_dispersion, 20.0)]
            value = zero_inflated(counts, *parameters)
            assert torch.isfinite(value).all()
            for gradient in torch.autograd.grad(value.sum(), parameters):
                assert torch.isfinite(gradient)


def test_values_are_the_mean_on_the_scale_of_the_input():
    """The reconstruction is log(1 + mean counts in units of the cell), zeros on top included."""
    mean, dropout = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[0.3, -2.0, 1.0]])
    torch.testing.assert_close(OUTPUTS["nb"](3).values(mean), mean.exp().log1p())
    both = OUTPUTS["zinb"](3).values(torch.cat((mean, dropout), dim=1))
    torch.testing.assert_close(both, ((1 - dropout.sigmoid()) * mean.exp()).log1p())
    assert torch.equal(OUTPUTS["linear"](3).values(mean), mean)


def test_errors_are_those_of_the_counts():
    draw = torch.Generator().manual_seed(0)
    out, factor = torch.randn(20, 6, generator=draw), torch.rand(20, generator=draw) * 4 + 0.5
    counts = torch.poisson(factor[:, None] * out[:, :3].exp(), generator=draw)
    x, log_mean = (counts / factor[:, None]).log1p(), out[:, :3] + factor.log()[:, None]
    expected = -negative_binomial(counts, log_mean, torch.zeros(3))
    torch.testing.assert_close(OUTPUTS["nb"](3).errors(out[:, :3], x, factor), expected)
    expected = -zero_inflated(counts, log_mean, torch.zeros(3), out[:, 3:])
    torch.testing.assert_close(OUTPUTS["zinb"](3).errors(out, x, factor), expected)


def test_the_mean_minimises_the_error():
    """Gradient descent on the error of Poisson counts at different depths finds the rate behind them."""
    draw = torch.Generator().manual_seed(0)
    rate, factor = torch.tensor([0.3, 2.0, 9.0]), torch.rand(3000, generator=draw) * 4 + 0.5
    counts = torch.poisson(factor[:, None] * rate, generator=draw)
    x = (counts / factor[:, None]).log1p()
    end = OUTPUTS["nb"](3)
    out = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([out, *end.parameters()], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        end.errors(out.expand(3000, 3), x, factor).mean().backward()
        optimizer.step()
    torch.testing.assert_close(end.values(out.detach()), rate.log1p(), rtol=0.03, atol=0)
    assert (end.log_dispersion > 2).all()  # there is no more than Poisson noise

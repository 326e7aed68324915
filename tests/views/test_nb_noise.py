"""Negative binomial noise: its moments, its distribution, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import scssl as ssl
from scssl import views
from scssl._errors import InputError
from scssl.data.cells import Cells
from scssl.train.batches import Batches
from scssl.views.nb_noise import NbNoise, negative_binomial

DRAWS = 40_000


def seen_as(drawn, pmf):
    """p-value of the draws under a distribution, by chi-squared over the counts that are common."""
    drawn = drawn.numpy().astype(int)
    wanted = pmf(np.arange(drawn.max() + 1)) * len(drawn)
    common = wanted > 8
    chi2 = ((np.bincount(drawn) - wanted)[common] ** 2 / wanted[common]).sum()
    return stats.chi2.sf(chi2, common.sum())


@pytest.mark.parametrize("mean", [0.3, 1.0, 12.0])
@pytest.mark.parametrize("dispersion", [0.1, 1.0])
def test_draws_are_those_of_scipy(mean, dispersion, generator):
    drawn = negative_binomial(torch.full((DRAWS,), mean), dispersion, generator())
    n = 1 / dispersion
    assert seen_as(drawn, stats.nbinom(n, n / (n + mean)).pmf) > 1e-3
    assert seen_as(drawn, stats.poisson(mean * 1.1).pmf) < 1e-3  # the test can tell


def test_without_dispersion_it_is_poisson(generator):
    assert seen_as(negative_binomial(torch.full((DRAWS,), 3.0), 0.0, generator()), stats.poisson(3.0).pmf) > 1e-3


@pytest.mark.parametrize("fraction", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("dispersion", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("n", [1, 5, 40])
def test_moments_in_closed_form(n, dispersion, fraction, generator):
    drawn = NbNoise(fraction=fraction, dispersion=dispersion).redraw(torch.full((DRAWS,), float(n)), generator())
    variance = fraction * (2 - fraction) * n + dispersion * (fraction * n) ** 2
    assert float(drawn.mean()) == pytest.approx(n, abs=4 * (variance / DRAWS) ** 0.5)
    spread = 4 * float(((drawn - n) ** 2).std()) / DRAWS**0.5
    assert float(((drawn - n) ** 2).mean()) == pytest.approx(variance, abs=spread)


@pytest.fixture
def prepared(pbmc):
    """Values, their counts, and the context of some real cells."""
    adata = pbmc[:60].copy()
    cells = Cells.from_data(adata)
    NbNoise().prepare(cells)
    index = np.arange(cells.n_obs)
    values = Batches(cells).values("rna", index)
    counts = torch.from_numpy(adata[:, list(cells.genes["rna"])].layers["counts"].toarray().astype(np.float32))
    return values, counts, views.Context(index, lambda i: values[i], len(index), known=cells.known)


def test_views_stand_for_whole_counts_and_the_expectation_is_the_cell(prepared, generator):
    values, counts, context = prepared
    factor = torch.from_numpy(context.known["counts/rna"])[:, None].double()
    drawn = torch.stack([NbNoise(p=1.0)(values, context, generator(seed)) for seed in range(200)])
    again = torch.expm1(drawn.double()) * factor
    assert torch.allclose(again, again.round(), atol=1e-2)
    assert (again[:, counts == 0].abs() < 1e-6).all()  # zeros stay
    sigma = ((counts + 0.1 * counts**2) / 200).sqrt()
    z = ((again.mean(0) - counts) / sigma)[counts > 0]
    assert float(z.std()) == pytest.approx(1, abs=0.05)
    assert abs(float(z.mean())) < 4 / len(z) ** 0.5


def test_counts_that_are_drawn_again_can_be_thinned(prepared, generator):
    """In the pipeline, thinning finds whole counts again: what is left is whole, too."""
    values, _, context = prepared
    noisy, thin = views.resolve("counts")
    first = noisy(values, context, generator())
    factor = torch.from_numpy(context.known["counts/rna"])[:, None].double()
    drawn, left = (torch.expm1(x.double()) * factor for x in (first, thin(first, context, generator(1))))
    left = left * (1 - thin.fraction)
    assert torch.allclose(left, left.round(), atol=1e-2)
    assert (left.round() <= drawn.round()).all()


def test_both_views_of_counts_read_them_once(pbmc):
    cells = Cells.from_data(pbmc)
    views.Thin().prepare(cells)
    known = cells.known["counts/rna"]
    NbNoise().prepare(cells)
    assert cells.known["counts/rna"] is known


def test_values_without_counts_are_refused(pbmc, unchanged):
    del pbmc.layers["counts"]
    with unchanged(pbmc), pytest.raises(InputError, match="view 'nb_noise' needs counts"):
        ssl.tl.fit(pbmc, "simclr", views=["nb_noise"], max_epochs=1)


def test_training_with_views_of_counts(pbmc):
    model = ssl.tl.fit(pbmc, "byol", views="counts", max_epochs=2)
    assert np.isfinite(model.history["loss"]).all()

"""Thinning: counts are found again exactly, as many are lost as was asked for, and errors say what is missing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scssl as ssl
from scssl import views
from scssl._errors import InputError
from scssl.data.cells import Cells
from scssl.train.batches import Batches
from scssl.views._counts import kept


def prepared(data, modality="rna"):
    """Values, counts of the same genes, and what the view knows about all cells."""
    cells = Cells.from_data(data)
    views.Thin().prepare(cells)
    part = data.mod[modality] if hasattr(data, "mod") else data
    names = list(cells.genes[modality])
    counts = torch.from_numpy(part[:, names].layers["counts"].toarray().astype(np.float32))
    index = np.arange(cells.n_obs)
    values = Batches(cells).values(modality, index)
    known = cells.known
    return values, counts, views.Context(index, lambda i: values[i], len(index), modality=modality, known=known)


@pytest.mark.parametrize("target_sum", [1e4, None])
def test_counts_are_found_again_exactly(target_sum):
    adata = ssl.datasets.pbmc68k()
    ssl.pp.recipe(adata, target_sum=target_sum, n_top_genes=500)
    values, counts, context = prepared(adata)
    factor = torch.from_numpy(context.known["counts/rna"])[:, None]
    assert torch.equal((torch.expm1(values) * factor).round(), counts)
    totals = adata.layers["counts"].sum(1).A1
    target = 1e4 if target_sum else np.median(totals)
    has = counts.sum(1).numpy() > 0
    assert np.allclose(context.known["counts/rna"][has], totals[has] / target, rtol=1e-5)


def thinned(values, counts, context, fraction, seed=0):
    """The view, and the counts that it stands for."""
    view = views.Thin(fraction=fraction, p=1.0)(values, context, torch.Generator().manual_seed(seed))
    factor = torch.from_numpy(context.known[f"counts/{context.modality}"])[:, None]
    left = torch.expm1(view.double()) * factor * (1 - fraction)
    assert torch.allclose(left, left.round(), atol=1e-2)
    left = left.round()
    assert (left <= counts).all()
    assert (left >= 0).all()
    return view, left


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_as_many_counts_are_lost_as_was_asked_for(pbmc, fraction):
    values, counts, context = prepared(pbmc)
    _, left = thinned(values, counts, context, fraction)
    variance = fraction * (1 - fraction)
    total = float(counts.sum())
    assert abs(float((counts - left).sum()) / total - fraction) < 3 * (variance / total) ** 0.5
    per_cell = ((counts - left).sum(1) - fraction * counts.sum(1)) / (variance * counts.sum(1)).sqrt()
    assert float(per_cell.std()) == pytest.approx(1, abs=3 / (2 * len(per_cell)) ** 0.5)  # each count on its own


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_counts_that_stay_are_binomial(n, share, generator):
    from scipy import stats

    stay = kept(torch.full((20000,), float(n)), share, generator()).numpy()
    seen = np.bincount(stay.astype(int), minlength=n + 1)
    wanted = stats.binom.pmf(np.arange(n + 1), n, share) * len(stay)
    common = wanted > 5
    chi2 = ((seen - wanted)[common] ** 2 / wanted[common]).sum()
    assert stats.chi2.sf(chi2, common.sum()) > 1e-3
    assert seen[~common].sum() < 60


def test_the_expectation_is_the_cell(pbmc, generator):
    values, counts, context = prepared(pbmc[:40].copy())
    view = views.Thin(p=1.0)
    mean = torch.stack([torch.expm1(view(values, context, generator(seed)).double()) for seed in range(200)])
    truth = torch.expm1(values.double())
    factor = torch.from_numpy(context.known["counts/rna"])[:, None].double()
    sigma = (counts / 200).sqrt() / factor  # of the mean of n' / (s / 2)
    z = ((mean.mean(0) - truth) / sigma)[counts > 0]
    assert float(z.std()) == pytest.approx(1, abs=0.03)
    assert abs(float(z.mean())) < 4 / len(z) ** 0.5
    assert (mean[:, counts == 0] == 0).all()


def test_nothing_is_left_of_a_cell_that_loses_everything(pbmc, generator):
    values, _, context = prepared(pbmc[:20].copy())
    assert torch.equal(views.Thin(fraction=1.0, p=1.0)(values, context, generator()), torch.zeros_like(values))


def test_cells_without_counts_stay_zero(generator):
    adata = ssl.datasets.pbmc68k()
    ssl.pp.recipe(adata, n_top_genes=5)
    values, counts, context = prepared(adata)
    empty = counts.sum(1) == 0
    assert 0 < empty.sum() < len(empty)
    changed = views.Thin(p=1.0)(values, context, generator())
    assert torch.isfinite(changed).all()
    assert (changed[empty] == 0).all()


def test_protein_is_thinned_too_and_peaks_are_left(mudata, generator):
    ssl.pp.recipe(mudata)
    values, counts, context = prepared(mudata, "prot")
    thinned(values, counts, context, 0.5)
    import mudata as md

    peaks = ssl.datasets.synthetic(120, 80, n_types=3, n_batches=2)
    peaks.var_names = [f"peak{i}" for i in range(80)]
    both = md.MuData({"rna": mudata["rna"].copy(), "atac": peaks})
    both["rna"].X = both["rna"].layers.pop("counts")
    ssl.pp.recipe(both)
    cells = Cells.from_data(both)
    view = views.Thin(p=1.0)
    view.prepare(cells)
    x = Batches(cells).values("atac", np.arange(50))
    context = views.Context(np.arange(50), lambda i: x[i], 120, modality="atac", known=cells.known)
    assert torch.equal(view(x, context, generator()), x)
    assert not torch.equal(
        view(Batches(cells).values("rna", np.arange(50)), dataclasses.replace(context, modality="rna"), generator()),
        Batches(cells).values("rna", np.arange(50)),
    )
    with pytest.raises(InputError, match="TF-IDF"):
        view.prepare(Cells.from_data(both, modalities=["atac"]))


def _no_layer(adata):
    del adata.layers["counts"]


def _other_values(adata):
    adata.X = adata.X * 0.5


def _scaled_genes(adata):
    adata.X = sp.csr_matrix(adata.X @ sp.diags(np.linspace(0.5, 2, adata.n_vars))).astype(np.float32)


def _fractions(adata):
    adata.layers["counts"] = adata.layers["counts"] * 1.3


def _one_count(adata):
    adata.layers["counts"] = sp.csr_matrix(adata.layers["counts"])
    adata.layers["counts"].data[-1] += 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_no_layer, ["layers['counts'] does not exist", "ssl.pp.recipe"]),
        (_other_values, ["do not fit", "of 200 cells"]),
        (_scaled_genes, ["do not fit"]),
        (_fractions, ["do not fit", "whole counts"]),
        (_one_count, ["do not fit", "1 of 200 cells"]),
    ],
)
def test_cells_that_cannot_be_thinned_are_refused(change, words, synthetic, unchanged):
    ssl.pp.recipe(synthetic)
    change(synthetic)
    with unchanged(synthetic), pytest.raises(InputError) as caught:
        ssl.tl.fit(synthetic, views=["thin"], max_epochs=1, mask_by=None)
    assert all(word in str(caught.value) for word in words)
    assert caught.value.parameter == "views"


def test_training_with_thinned_cells(pbmc):
    before = pbmc.copy()
    model = ssl.tl.fit(pbmc, "simclr", views=["thin:0.3", "mask"], max_epochs=2)
    assert np.isfinite(model.history["loss"]).all()
    assert (pbmc.layers["counts"] != before.layers["counts"]).nnz == 0

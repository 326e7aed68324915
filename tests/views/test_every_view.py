"""What holds for every view that is registered: honest coins, no aliasing, one stream one result, cells on their own."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.decomposition  # its first import changes the environment, which is then not our doing
import sklearn.neighbors  # noqa: F401
import torch

from scssl import views
from scssl._registry import VIEWS
from scssl.data.cells import Cells
from scssl.models.fit import Request
from scssl.models.fit import fit as fit_model
from scssl.train.batches import Batches
from scssl.views.pipeline import augment

STRENGTHS = {"fraction": 0.0, "alpha": 1.0}  # of the main parameter, at which nothing happens


@pytest.mark.parametrize("name", VIEWS.names())
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_coins_fall_for_each_cell(name, p, values, context, generator):
    view, rates = VIEWS.get(name)(p=p), []
    for seed in range(20):
        changed = view(values, context, generator(seed)) != values
        rates.append(changed.any(1).float().mean().item())
    sigma = (p * (1 - p) / len(values)) ** 0.5
    assert abs(np.mean(rates) - p) < 3 * sigma / len(rates) ** 0.5 + 1 / len(values)  # one may be its own partner
    assert 0.5 * sigma < np.std(rates) < 1.6 * sigma  # not one coin for all of them, nor a fixed number of cells


@pytest.mark.parametrize("name", VIEWS.names())
def test_coins_of_two_views_are_independent(name, values, context, generator):
    view = VIEWS.get(name)(p=0.5)
    first, second = (
        torch.cat([(view(values, context, generator(seed)) != values).any(1) for seed in seeds]).double()
        for seeds in (range(20), range(20, 40))
    )
    correlation = np.corrcoef(first, second)[0, 1]
    assert abs(correlation) < 3 / len(first) ** 0.5


@pytest.mark.parametrize("name", VIEWS.names())
def test_views_do_not_write_into_their_input(name, values, context, generator):
    before = values.clone()
    changed = VIEWS.get(name)(p=1.0)(values, context, generator())
    assert torch.equal(values, before)
    assert not torch.equal(changed, before)


@pytest.mark.parametrize("name", VIEWS.names())
def test_same_stream_same_view(name, values, context, generator):
    view = VIEWS.get(name)(p=0.5)
    first, again, other = (view(values, context, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", VIEWS.names())
def test_never_and_nothing(name, values, context, generator):
    kind = VIEWS.get(name)
    assert torch.equal(kind(p=0.0)(values, context, generator()), values)
    weakest = kind(p=1.0, **{kind.main: STRENGTHS[kind.main]})
    assert torch.equal(weakest(values, context, generator()), values)


@pytest.mark.parametrize("name", VIEWS.names())
def test_what_is_drawn_does_not_depend_on_the_other_cells(name, values, context, generator):
    """The cells of a mini-batch are changed one by one: other values in one cell change that cell alone."""
    view = VIEWS.get(name)(p=0.5)
    other = values.clone()
    other[7] = 0.5 * other[7].flip(0)
    a, b = view(values, context, generator()), view(other, context, generator())
    rest = np.arange(len(values)) != 7
    assert torch.equal(a[rest], b[rest])


@pytest.mark.parametrize("name", VIEWS.names())
def test_views_are_described_and_made_again(name):
    view = VIEWS.get(name)(p=0.3)
    assert views.resolve(views.describe([view])) == (view,)
    described = VIEWS.describe(name)
    assert described.summary
    assert described.reference


@pytest.mark.parametrize("pipeline", [*views.PIPELINES, *([name] for name in VIEWS.names())], ids=str)
def test_two_views_of_a_batch_differ_and_leave_the_data(pipeline, adata, unchanged):
    chosen, cells = views.resolve(pipeline), Cells.from_data(adata, batch_key="batch")
    with unchanged(adata):
        for view in chosen:
            view.prepare(cells)
    before, index = cells.matrices["rna"].copy(), np.arange(50)
    batch = Batches(cells).take(index)
    held = batch.x["rna"].clone()
    a, b = (augment(batch, chosen, Batches(cells), index, seed=0, counters=(0, 0, which)) for which in (0, 1))
    assert torch.equal(a.x["rna"], b.x["rna"]) == (not chosen)
    b.x["rna"][:] = 0
    assert float(a.x["rna"].abs().sum()) > 0
    assert torch.equal(batch.x["rna"], held)
    assert (cells.matrices["rna"] != before).nnz == 0


def test_an_epoch_leaves_the_cells_as_they_were(adata, unchanged):
    some = sp.csr_matrix(np.arange(adata.n_vars)[None, :] >= np.arange(adata.n_obs)[:, None] % 200)
    adata.X = sp.csr_matrix(adata.X.multiply(some))  # cells of equal sums would look normalised and not logged
    adata.layers["counts"] = sp.csr_matrix(adata.layers["counts"].multiply(some))

    def fit(chosen):
        return fit_model(
            adata, Request("simclr", {"views": chosen, "max_epochs": 1}, batch_key="batch", accelerator="cpu")
        )

    fit("none")  # what torch imports at its first step changes the warning filters
    with unchanged(adata):
        model = fit(VIEWS.names())
    assert np.isfinite(model.history["loss"]).all()
    assert [view["view"] for view in model.module.plain_config()["views"]] == VIEWS.names()

"""Which views are the default: mixing across batches where there are several and they are told apart."""

from __future__ import annotations

import json

import pytest

import scssl as ssl
from scssl.views.pipeline import PIPELINES, describe, resolve

QUICK = {"max_epochs": 1, "batch_size": 40}


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=80, n_vars=40, n_batches=2, seed=0)
    ssl.pp.recipe(adata)
    return adata


def views_of(model):
    return json.loads(model.record["config"])["views"]


def pipeline(name):
    return json.loads(json.dumps(describe(resolve(name))))


@pytest.mark.parametrize("method", ["simclr", "vicreg"])
def test_several_batches_are_mixed(cells, method):
    model = ssl.tl.fit(cells.copy(), method, batch_key="batch", **QUICK)
    assert views_of(model) == pipeline("mixing")
    assert [view["view"] for view in views_of(model)][:2] == ["mnn", "knn"]


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_key": None},
        {"within_batch": "off"},
        {"preset": "paper"},
        {"views": "clear"},
    ],
)
def test_without_batches_or_on_request_nothing_is_mixed(cells, changes):
    model = ssl.tl.fit(cells.copy(), "simclr", **{"batch_key": "batch", **QUICK, **changes})
    assert views_of(model) == pipeline("clear")


def test_one_batch_is_a_warning(cells):
    adata = cells[cells.obs["batch"] == cells.obs["batch"].iloc[0]].copy()
    with pytest.warns(ssl.ScsslWarning, match="single value"):
        model = ssl.tl.fit(adata, "simclr", batch_key="batch", **QUICK)
    assert views_of(model) == pipeline("clear")


def test_all_pipelines_can_be_made():
    assert all(isinstance(describe(resolve(name)), list) for name in PIPELINES)

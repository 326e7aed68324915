"""Which stored scores describe an object as it is now."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scssl as ssl
from scssl import _results
from scssl.data import scored

COLUMNS = ("batch", None, "type")


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    adata = ad.AnnData(sp.random(800, 30, 0.3, format="csr", random_state=0, dtype=np.float32))
    adata.obs_names = [f"cell {i}" for i in range(800)]
    adata.obs["batch"] = pd.Categorical(rng.integers(0, 3, 800).astype(str))
    adata.obs["type"] = rng.integers(0, 4, 800)
    adata.layers["other"] = adata.X.toarray()
    return adata


def rows(data_id="one", n_obs=800, metrics=("ilisi", "kbet")):
    of = {"data_id": data_id, "n_obs": n_obs, "method": "pca", "task": "batch_correction", "value": 0.5}
    return _results.frame([{**of, "metric": metric} for metric in metrics])


def kept(adata, **fields):
    scored.keep(adata, rows(**fields), columns=COLUMNS)
    return adata


def same(adata):
    assert len(scored.read(adata)) == 2


def other(adata, says):
    with pytest.raises(ssl.InputError, match=f"None of the 2 stored scores .* now: 2 of other {says}") as caught:
        scored.read(adata)
    assert caught.value.code == "stale_scores"


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        lambda a: a.copy(),
        lambda a: a[np.random.default_rng(1).permutation(800)].copy(),
        lambda a: a[:, :],
        lambda a: ad.AnnData(a.X.toarray(), a.obs.astype(str).astype("category"), a.var, uns=a.uns),
        lambda a: ad.AnnData(sp.csc_matrix(a.X).astype(np.float64), a.obs, a.var, uns=a.uns),
        lambda a: ad.AnnData(
            a.X, a.obs.assign(more=1), a.var.assign(more=1), uns=a.uns, obsm={"X_a": a.layers["other"]}
        ),
    ],
    ids=["untouched", "copied", "shuffled", "a view", "dense", "columns first", "more slots"],
)
def test_the_same_content_however_it_is_stored(adata, change):
    same(change(kept(adata)))


def test_files_give_the_same_content(adata, tmp_path):
    kept(adata).write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    same(ad.read_h5ad(tmp_path / "a.h5ad"))
    same(ad.read_zarr(tmp_path / "a.zarr"))
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    same(backed)
    backed.file.close()


def label_changed(adata):
    adata.obs.loc["cell 799", "type"] = 9
    return adata


def labels_exchanged(adata):
    first, second = np.flatnonzero(adata.obs["type"] == 0)[0], np.flatnonzero(adata.obs["type"] == 1)[0]
    adata.obs.iloc[[first, second], adata.obs.columns.get_loc("type")] = [1, 0]
    return adata


def scaled(adata):
    adata.X.data *= 2
    return adata


def renamed(adata):
    adata.obs_names = [f"{name}-1" for name in adata.obs_names]
    return adata


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a[:500].copy(), r"cells \(800, not 500\)"),
        (lambda a: a[:500], r"cells \(800, not 500\)"),
        (renamed, "cells"),
        (label_changed, r"obs\['type'\]"),
        (labels_exchanged, r"obs\['type'\]"),
        (lambda a: ad.AnnData(a.X, a.obs.drop(columns="type"), a.var, uns=a.uns), r"obs\['type'\]"),
        (lambda a: a[:, :20].copy(), "genes"),
        (scaled, "X"),
        (lambda a: ad.AnnData(None, a.obs, a.var, uns=a.uns), "X"),
    ],
)
def test_what_differs_is_said(adata, change, says):
    other(change(kept(adata)), says)


def test_another_layer_is_its_own_content(adata):
    scored.keep(adata, rows(), columns=COLUMNS, layer="other")
    adata.X.data *= 2
    same(adata)
    adata.layers["other"] *= 2
    other(adata, "other")


def test_present_rows_are_given_and_the_others_counted(adata):
    kept(adata)
    some = adata[:500].copy()
    kept(some, data_id="two", n_obs=500, metrics=("ilisi", "kbet", "clisi"))
    fewer = some[:300].copy()
    kept(fewer, data_id="three", n_obs=300)
    with pytest.warns(
        ssl.ScsslWarning, match=r"5 of 7 stored scores .* left out: 2 of other cells \(800, not 300\); 3 of"
    ):
        found = scored.read(fewer)
    assert set(found["data_id"]) == {"three"}
    assert len(_results.stored(fewer)) == 7  # nothing is thrown away


def test_scores_by_two_columns_both_describe_the_object(adata):
    adata.obs["fine"] = adata.obs["type"].astype(str) + adata.obs["batch"].astype(str)
    scored.keep(adata, rows("coarse"), columns=["type"])
    scored.keep(adata, rows("fine"), columns=["fine"])
    assert len(scored.read(adata)) == 4
    adata.obs["type"] = 1
    with pytest.warns(ssl.ScsslWarning, match=r"2 of 4 .* 2 of other obs\['type'\]"):
        assert set(scored.read(adata)["data_id"]) == {"fine"}


def test_rows_of_which_nothing_is_known_are_taken_as_they_are(adata):
    _results.keep(adata, rows(n_obs=7))
    same(adata)
    same(rows())


def test_both_modalities_count(adata):
    from scssl.data.calm import calm

    with calm():
        mdata = md.MuData({"rna": adata.copy(), "prot": adata[:, :5].copy()})
        mdata.obs["type"] = adata.obs["type"]
    scored.keep(mdata, rows(), columns=["type"])
    same(mdata)
    mdata.mod["prot"].X.data *= 2
    other(mdata, "X")


def test_nothing_of_the_object_is_changed(adata, unchanged):
    kept(adata)
    with unchanged(adata):
        scored.read(adata)

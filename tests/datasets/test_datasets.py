from __future__ import annotations

import json
import random
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import scssl as ssl
from scssl._registry import DATASETS
from scssl.datasets._base import BatchEffect, thin


def test_restored_counts_are_close_to_whole_numbers(monkeypatch):
    import scanpy as sc

    stored = sc.datasets.pbmc68k_reduced()
    restored = np.expm1(stored.raw.X.toarray().astype(float)) * stored.obs["n_counts"].to_numpy()[:, None] / 1e4
    adata = ssl.datasets.pbmc68k()
    assert np.abs(restored - adata.X.toarray()).max() < 0.09
    assert adata.X.dtype == np.float32
    assert (adata.X.data % 1 == 0).all()
    assert adata.X.data.min() >= 1
    assert adata.shape == (700, 765)
    assert adata.obs["cell_type"].nunique() == 10
    assert adata.obs["cell_type"].tolist() == stored.obs["bulk_labels"].tolist()
    assert "simulation" not in adata.uns


def test_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert ssl.datasets.pbmc68k(batches=2).n_obs == 700


def test_batches_have_the_size_that_is_said():
    plain, adata = ssl.datasets.pbmc68k(), ssl.datasets.pbmc68k(batches=3)
    said = json.loads(adata.uns["simulation"])
    assert said["what"] == "simulated batches"
    assert said["n_batches"] == 3
    table = pd.crosstab(adata.obs["cell_type"], adata.obs["batch"])
    assert (table.max(axis=1) - table.min(axis=1)).max() <= 1  # every type is spread evenly
    first = (adata.obs["batch"] == "batch1").to_numpy()
    ratio = adata.X[first].sum() / plain.X[first].sum()
    assert 0.9 < ratio < 1.6  # depth 1, gene factors with a mean of exp(0.5**2 / 2) = 1.13
    third = (adata.obs["batch"] == "batch3").to_numpy()
    assert 0.4 < adata.X[third].sum() / plain.X[third].sum() / ratio < 0.75  # depth 0.5 and up to 10 % ambient RNA
    assert (adata.X.data % 1 == 0).all()
    assert adata.X.has_sorted_indices


def test_gene_factors_have_the_spread_that_is_said():
    counts = ssl.datasets.synthetic(3000, 200, n_types=1, n_batches=1).X
    effect = BatchEffect(shallowest=1.0, gene_sigma=0.5, ambient=0.0)
    changed = effect.apply(counts, np.zeros(3000, dtype=int), seed=3)
    factors = np.log(np.asarray(changed.sum(0) / counts.sum(0)).ravel())
    assert abs(factors.std() - 0.5) < 0.08


def test_thinning_keeps_means_and_whole_numbers():
    counts = ssl.datasets.synthetic(4000, 20, n_types=1, n_batches=1).X
    factors = np.linspace(0.1, 2.5, 20)
    thinned = thin(counts, factors, np.random.default_rng(0))
    np.testing.assert_allclose(np.asarray(thinned.sum(0) / counts.sum(0)).ravel(), factors, rtol=0.1)
    assert (thinned.data % 1 == 0).all()


@pytest.mark.parametrize(
    "make", [lambda seed: ssl.datasets.pbmc68k(2, seed=seed), lambda seed: ssl.datasets.synthetic(50, 20, seed=seed)]
)
def test_seed_decides(make):
    one, same, other = make(0), make(0), make(1)
    assert (one.X != same.X).nnz == 0
    assert one.obs.equals(same.obs)
    assert one.X.shape == other.X.shape
    assert (one.X != other.X).nnz > 0


def test_global_state_is_left_alone(unchanged, synthetic):
    with unchanged(synthetic):
        ssl.datasets.pbmc68k(batches=3)
        ssl.datasets.synthetic(50, 20, modalities=("rna", "prot", "atac"))


def test_synthetic_modalities():
    mdata = ssl.datasets.synthetic(300, 100, modalities=("rna", "prot", "atac"))
    assert {name: part.shape for name, part in mdata.mod.items()} == {
        "rna": (300, 100),
        "prot": (300, 10),
        "atac": (300, 100),
    }
    assert set(np.unique(mdata["atac"].X.data)) == {1.0}
    assert list(mdata.obs.columns) == ["cell_type", "batch"]
    for part in mdata.mod.values():
        assert part.obs["batch"].tolist() == mdata.obs["batch"].tolist()
    sized = ssl.datasets.synthetic(30, {"rna": 40, "prot": 7}, modalities=("rna", "prot"))
    assert [part.n_vars for part in sized.mod.values()] == [40, 7]


def test_synthetic_types_and_batches_can_be_found():
    from sklearn.neighbors import KNeighborsClassifier

    adata = ssl.datasets.synthetic(600, 200, n_types=4, n_batches=2, batch_effect=0.5)
    x = np.log1p(adata.X.toarray())
    for column in ("cell_type", "batch"):
        score = KNeighborsClassifier(5).fit(x[:300], adata.obs[column][:300]).score(x[300:], adata.obs[column][300:])
        assert score > 0.9, column
    level = ssl.datasets.synthetic(600, 200, n_types=1, n_batches=2, batch_effect=0.0)
    x = np.log1p(level.X.toarray())
    assert KNeighborsClassifier(5).fit(x[:300], level.obs["batch"][:300]).score(x[300:], level.obs["batch"][300:]) < 0.6


def test_blocks_do_not_show(monkeypatch):
    module = sys.modules["scssl.datasets.synthetic"]
    monkeypatch.setattr(module, "BLOCK_VALUES", 20 * 30)
    adata = ssl.datasets.synthetic(100, 20, n_types=2)
    assert adata.shape == (100, 20)
    totals = np.asarray(adata.X.sum(1)).ravel()
    assert len(np.unique(totals)) > 20
    assert (adata.X[:30] != adata.X[30:60]).nnz > 0


@pytest.mark.parametrize(
    ("call", "parameter", "says"),
    [
        (lambda: ssl.datasets.pbmc68k(batches=1), "batches", "from 2 to 20"),
        (lambda: ssl.datasets.pbmc68k(batches=2.0), "batches", "from 2 to 20"),
        (lambda: ssl.datasets.synthetic(0), "n_obs", "at least 1"),
        (lambda: ssl.datasets.synthetic(10, 3.5), "n_vars", "at least 1"),
        (lambda: ssl.datasets.synthetic(n_types=True), "n_types", "at least 1"),
        (lambda: ssl.datasets.synthetic(batch_effect=-1), "batch_effect", "at least 0"),
        (lambda: ssl.datasets.synthetic(modalities=()), "modalities", "one or more"),
        (lambda: ssl.datasets.synthetic(modalities=("rna", "port")), "modalities", "'port'"),
    ],
)
def test_bad_arguments(call, parameter, says):
    with pytest.raises(ssl.InputError, match=says) as caught:
        call()
    assert caught.value.parameter == parameter


def test_table_lists_without_loading():
    table = ssl.datasets.table()
    assert table.loc["pbmc68k", "source"] == "bundled"
    assert table.loc["synthetic", "source"] == "simulated"
    assert set(table.index) == set(DATASETS)
    assert ssl.datasets.table("pbmc*").index.tolist() == ["pbmc68k"]


def test_description_fits_the_data():
    for name in ("pbmc68k", "synthetic"):
        spec = DATASETS.describe(name)
        assert getattr(ssl.datasets, name)().shape == (spec.n_obs, spec.n_vars)


def test_functions_stay_functions_whatever_is_imported_first():
    code = (
        "import scssl.datasets.pbmc68k, scssl as ssl\n"
        "from scssl._registry import DATASETS\n"
        "assert callable(ssl.datasets.pbmc68k) and callable(DATASETS.get('synthetic'))\n"
        "assert callable(ssl.datasets.synthetic)\n"
        "import sys; assert not {'torch', 'scanpy', 'anndata'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_data_set_names_the_nearest():
    with pytest.raises(AttributeError, match="Did you mean 'pbmc68k'"):
        ssl.datasets.pbmc68  # noqa: B018 - the look-up is the test
    assert not hasattr(ssl.datasets, "_nothing")
    assert {"pbmc68k", "synthetic", "table"} <= set(dir(ssl.datasets))


def test_python_random_is_not_touched_by_mudata():
    state = random.getstate()
    ssl.datasets.synthetic(20, 10, modalities=("rna", "prot"))
    assert random.getstate() == state

"""Counts however they are stored: they keep their kind, and what float32 cannot hold is refused."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scssl as ssl

GENES = 30


@pytest.fixture
def counts():
    return ssl.datasets.synthetic(50, GENES, n_types=2).X.toarray()


def around(x):
    adata = ad.AnnData(x)
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(50)], [f"g{i}" for i in range(GENES)]
    return adata


def dask_of(block):
    def make(x):
        array = pytest.importorskip("dask.array").from_array(x, chunks=(20, GENES))
        return array.map_blocks(block) if block else array

    return make


@pytest.mark.parametrize("block", [sp.csr_matrix, sp.csr_array, None])
def test_chunks_never_become_dense_as_a_whole(counts, block):
    adata, plain = around(dask_of(block)(counts)), around(sp.csr_matrix(counts))
    for data in (adata, plain):
        ssl.pp.recipe(data, n_top_genes=10)
    assert sp.issparse(adata.X)
    assert (adata.X != plain.X).nnz == 0
    assert hasattr(adata.layers["counts"], "compute")
    assert adata.var["highly_variable"].equals(plain.var["highly_variable"])
    ssl.pp.recipe(adata, layer="counts", n_top_genes=10)  # again, from the chunks


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", ">u2"])
def test_another_byte_order_is_the_same_data(counts, dtype):
    adata, plain = around(counts.astype(dtype)), around(counts)
    for data in (adata, plain):
        ssl.pp.recipe(data, n_top_genes=10)
        ssl.tl.fit(data, "pca", width=3)
    np.testing.assert_array_equal(adata.obsm["X_pca"], plain.obsm["X_pca"])
    assert adata.uns["scssl"]["models"]["pca"]["data_id"] == plain.uns["scssl"]["models"]["pca"]["data_id"]
    swapped = around(plain.X.astype(">f4"))
    swapped.var = plain.var.copy()
    assert ssl.pp.check(swapped, method="pca")["severity"].eq("error").sum() == 0
    ssl.tl.fit(swapped, "pca", width=3)
    np.testing.assert_array_equal(swapped.obsm["X_pca"], plain.obsm["X_pca"])


@pytest.mark.parametrize("value", [1e39, 3.5e38, -1e39])
def test_what_float32_cannot_hold_is_refused(counts, unchanged, value):
    x = counts.astype(np.float64)
    x[3, 4] = value
    for store in (np.asarray, sp.csr_matrix, dask_of(sp.csr_matrix)):
        adata = around(store(x))
        with unchanged(adata), pytest.raises(ssl.InputError) as caught:
            ssl.pp.recipe(adata)
        assert caught.value.code == "beyond_float32"
    with pytest.raises(ssl.InputError, match="float32 ends at"):
        ssl.tl.fit(adata, "pca", width=2)

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from scssl.data import matrix
from scssl.data.identity import data_id
from scssl.data.matrix import csr, genes_of, rows, values

DENSE = np.random.default_rng(0).poisson(0.4, (50, 12)).astype(np.float32)

KINDS = {
    "csr": sp.csr_matrix(DENSE),
    "csc": sp.csc_matrix(DENSE),
    "csr_array": sp.csr_array(DENSE),
    "csc_array": sp.csc_array(DENSE),
    "dense": DENSE,
    "fortran": np.asfortranarray(DENSE),
    "float64": DENSE.astype(np.float64),
    "int": DENSE.astype(np.int64),
    "uint8 sparse": sp.csr_matrix(DENSE.astype(np.uint8)),
    "float16": DENSE.astype(np.float16),
}


def unsorted() -> sp.csr_matrix:
    """Every value in two halves, columns backwards."""
    base = sp.csr_matrix(DENSE)
    data, indices, indptr = [], [], [0]
    for i in range(base.shape[0]):
        row = slice(base.indptr[i], base.indptr[i + 1])
        data += [v / 2 for v in base.data[row][::-1]] * 2
        indices += list(base.indices[row][::-1]) * 2
        indptr.append(len(data))
    return sp.csr_matrix((np.array(data, dtype=np.float32), indices, indptr), shape=base.shape)


def check(found: sp.csr_array, expected: np.ndarray) -> None:
    assert isinstance(found, sp.csr_array)
    assert found.dtype == np.float32
    assert found.has_canonical_format
    assert (found.data != 0).all()
    np.testing.assert_array_equal(found.toarray(), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("genes", [None, [3, 0, 7]])
def test_any_matrix_becomes_the_same(kind, genes, monkeypatch):
    monkeypatch.setattr(matrix, "BLOCK", 7)
    chosen = None if genes is None else np.array(genes)
    check(csr(ad.AnnData(KINDS[kind]), genes=chosen), DENSE if genes is None else DENSE[:, genes])


def test_the_matrix_is_our_own(unchanged):
    adata = ad.AnnData(unsorted())
    with unchanged(adata):
        found = csr(adata)
        check(found, DENSE)
        found.data[:] = -1
    explicit = sp.csr_matrix(DENSE)
    explicit.data[:3] = 0
    found = csr(ad.AnnData(explicit))
    assert found.nnz == explicit.nnz - 3


def test_read_only_values_are_fine():
    frozen = DENSE.copy()
    frozen.flags.writeable = False
    check(csr(ad.AnnData(frozen)), DENSE)


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_backed(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "BLOCK", 7)
    ad.AnnData(KINDS[kind]).write_h5ad(tmp_path / "x.h5ad")
    adata = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    check(csr(adata), DENSE)
    check(csr(adata, genes=np.array([1, 5])), DENSE[:, [1, 5]])
    adata.file.close()


def test_layers_views_and_rows():
    adata = ad.AnnData(np.zeros_like(DENSE), layers={"counts": KINDS["csc"]})
    check(csr(adata, layer="counts"), DENSE)
    check(csr(adata[10:20, 2:5], layer="counts"), DENSE[10:20, 2:5])
    assert values(adata) is adata.X
    np.testing.assert_array_equal(rows(adata, 3, 5, "counts").toarray(), DENSE[3:5])


def test_genes():
    adata = ad.AnnData(DENSE)
    adata.var["some"] = np.arange(12) % 3 == 0
    np.testing.assert_array_equal(genes_of(adata, "some"), [0, 3, 6, 9])
    np.testing.assert_array_equal(genes_of(adata, None), np.arange(12))


def test_identity_is_of_the_content():
    adata = ad.AnnData(KINDS["csr"])
    adata.obs["batch"] = ["a", "b"] * 25
    same = [ad.AnnData(KINDS[kind], obs=adata.obs) for kind in ("csc", "dense", "int")]
    assert {data_id(other) for other in same} == {data_id(adata)}
    renamed = adata.copy()
    renamed.obs_names = [f"c{i}" for i in range(50)]
    column = adata.copy()
    column.obs["batch"] = ["a"] * 50
    value = adata.copy()
    value.X.data[0] += 1
    ids = {data_id(o, columns=("batch", None)) for o in (adata, renamed, column, value, adata[::-1].copy())}
    assert len(ids) == 5

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scssl._protocol import PAPER
from scssl.data.matrix import csr
from scssl.tasks import Cells
from scssl.tasks._cells import principal_components


def test_columns_of_an_object(pbmc):
    pbmc.obs["where"] = np.where(pbmc.obs["batch"] == pbmc.obs["batch"].iloc[0], "query", "reference")
    cells = Cells.of(pbmc, batch_key="batch", label_key="cell_type", split_key="where")
    assert list(cells.names) == list(pbmc.obs_names)
    assert list(cells.labels) == list(pbmc.obs["cell_type"].astype(str))
    assert cells.query.sum() == (pbmc.obs["where"] == "query").sum()
    assert cells.before.shape == (700, 50)
    assert "highly variable genes" in cells.before_note
    assert np.array_equal(cells.keys, pd.util.hash_array(pbmc.obs_names.to_numpy(dtype=object)))


def test_absent_columns_are_none(pbmc, unchanged):
    with unchanged(pbmc):
        cells = Cells.of(pbmc, label_key="cell_type")
    assert cells.batch is None
    assert cells.query is None
    assert cells.before is None


def test_before_is_the_pca_of_scikit_learn(pbmc):
    from sklearn.decomposition import PCA

    before = Cells.of(pbmc, batch_key="batch", protocol=PAPER).before
    expected = PCA(50, svd_solver="full").fit_transform(csr(pbmc).toarray().astype(float))
    np.testing.assert_allclose((before**2).sum(axis=0), (expected**2).sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.abs(before[:, 0]), np.abs(expected[:, 0]), rtol=1e-4, atol=1e-6)


def test_counts_are_normalised_first(pbmc):
    counts = pbmc.copy()
    counts.X = counts.layers["counts"].copy()
    del counts.var["highly_variable"]
    cells = Cells.of(counts, batch_key="batch")
    assert cells.before_note == "Before: PCA-50 of 765 genes, log-normalised here."
    logged = Cells.of(counts, batch_key="batch", layer="counts")
    np.testing.assert_allclose(np.abs(logged.before), np.abs(cells.before), atol=1e-6)


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_array, lambda x: x.toarray()])
def test_form_of_the_matrix_does_not_matter(pbmc, form):
    expected = Cells.of(pbmc, batch_key="batch").before
    pbmc.X = form(pbmc.X)
    np.testing.assert_allclose(Cells.of(pbmc, batch_key="batch").before, expected, atol=1e-4)


def test_few_cells_have_few_components():
    assert principal_components(sp.csr_matrix(np.random.default_rng(0).normal(size=(6, 20)))).shape == (6, 5)


def test_no_matrix_no_before(pbmc):
    bare = ad.AnnData(obs=pbmc.obs, obsm={"X_e": np.zeros((700, 2))})
    cells = Cells.of(bare, batch_key="batch")
    assert cells.before is None
    assert cells.before_note == ""


def test_cells_of_a_mudata_and_of_one_modality(mudata):
    whole = Cells.of(mudata, batch_key="batch", label_key="cell_type")
    assert len(whole) == mudata.n_obs
    assert whole.before.shape[0] == mudata.n_obs
    part = Cells.of(mudata, batch_key="batch", label_key="cell_type", modality="prot")
    assert list(part.names) == list(mudata.mod["prot"].obs_names)
    assert list(part.labels) == list(whole.labels)
    assert "genes" in part.before_note


def test_values_of_two_modalities(mudata):
    from scssl.data.recipe import clr, normalize

    cells = Cells.of(mudata, target="prot")
    assert (cells.source, cells.target, cells.measured) == ("rna", "prot", None)
    np.testing.assert_allclose(cells.source_values.toarray(), normalize(csr(mudata.mod["rna"])).toarray(), atol=1e-6)
    np.testing.assert_allclose(cells.target_values.toarray(), clr(csr(mudata.mod["prot"])).toarray(), atol=1e-6)
    assert cells.target_names == tuple(mudata.mod["prot"].var_names)
    back = Cells.of(mudata, modality="prot", target="rna")
    assert (back.source, back.target) == ("prot", "rna")
    few = cells.take(np.arange(10))
    assert few.target_values.shape == (10, cells.target_values.shape[1])
    assert few.target_names == cells.target_names


def test_cells_that_lack_the_target_are_marked(mudata):
    import mudata as md

    some = md.MuData({"rna": mudata.mod["rna"], "prot": mudata.mod["prot"][::-1][:50].copy()})
    cells, whole = Cells.of(some, target="prot"), Cells.of(mudata, target="prot")
    assert cells.measured.sum() == 50
    place = whole.names.tolist()
    for i in np.flatnonzero(cells.measured):
        expected = whole.target_values[place.index(cells.names[i])].toarray()
        np.testing.assert_allclose(cells.target_values[i].toarray(), expected)


def test_many_features_are_cut_to_the_most_common(monkeypatch, mudata):
    from scssl.tasks import _values

    monkeypatch.setattr(_values, "MAX_FEATURES", 5)
    cells, matrix = Cells.of(mudata, target="rna", modality="prot"), csr(mudata.mod["rna"])
    counted = np.bincount(matrix.indices, minlength=matrix.shape[1])
    assert len(cells.target_names) == 5
    names = list(mudata.mod["rna"].var_names)
    kept = counted[[names.index(name) for name in cells.target_names]]
    assert kept.min() >= np.sort(counted)[-5]

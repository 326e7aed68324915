from __future__ import annotations

import json
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import scssl as ssl
from scssl.data import recipe as recipes
from scssl.data.calm import calm
from scssl.data.kinds import kind_of


def by_scanpy(adata: ad.AnnData, **options) -> ad.AnnData:
    made = adata.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = made.X.copy()
        sc.pp.normalize_total(made, target_sum=1e4)
        sc.pp.log1p(made)
        if options.get("flavor") == "seurat_v3":
            made.X = counts
        sc.pp.highly_variable_genes(made, **options)
    return made


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return ssl.datasets.pbmc68k(batches=3)


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger", "seurat_v3"])
@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_equals_scanpy(cells, flavor, batch_key):
    if flavor == "seurat_v3":
        pytest.importorskip("skmisc")
    made = ssl.pp.recipe(cells, n_top_genes=200, flavor=flavor, batch_key=batch_key, copy=True)
    theirs = by_scanpy(cells, n_top_genes=200, flavor=flavor, batch_key=batch_key)
    np.testing.assert_array_equal(made.var["highly_variable"], theirs.var["highly_variable"])
    if flavor == "seurat":
        np.testing.assert_allclose(made.X.toarray(), theirs.X.toarray(), rtol=1e-5, atol=1e-6)


def test_writes_what_it_declares_and_nothing_else(cells, unchanged, tmp_path):
    adata = cells.copy()
    ssl.pp.recipe(adata, n_top_genes=100)
    assert (adata.layers["counts"] != cells.X).nnz == 0
    assert adata.X.dtype == np.float32
    assert adata.var["highly_variable"].dtype == bool
    record = json.loads(adata.uns["scssl"]["recipe"])
    assert record["kind"] == "rna"
    assert record["n_selected"] == int(adata.var["highly_variable"].sum())
    assert adata.uns["log1p"] == {"base": None}
    for path, read in (("x.h5ad", ad.read_h5ad), ("x.zarr", ad.read_zarr)):
        (adata.write_h5ad if path.endswith("h5ad") else adata.write_zarr)(tmp_path / path)
        assert json.loads(str(read(tmp_path / path).uns["scssl"]["recipe"])) == record
    rest = adata.copy()
    rest.X = rest.layers.pop("counts")
    del rest.var["highly_variable"], rest.uns["scssl"], rest.uns["log1p"]
    with unchanged(rest) as same:
        same.against(cells)


def test_copy_leaves_the_original(cells, mudata, unchanged):
    for data in (cells, mudata):
        with unchanged(data):
            made = ssl.pp.recipe(data, copy=True)
        assert made is not data
        assert "scssl" in made.uns


def test_copies_of_mudata_make_no_noise_and_no_columns(mudata):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # mudata's use of pandas: shown to nobody but its authors
        made = ssl.pp.recipe(mudata, copy=True)
    assert list(made.obs.columns) == ["cell_type", "batch"]


@pytest.mark.parametrize("kind", ["csr", "csc", "dense", "int", "csr_array"])
def test_kinds_of_matrix(cells, kind):
    convert = {
        "csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": lambda x: x.toarray(),
        "int": lambda x: x.astype(np.int32), "csr_array": sp.csr_array,
    }[kind]  # fmt: skip
    adata = cells.copy()
    adata.X = convert(adata.X)
    ssl.pp.recipe(adata, n_top_genes=100)
    expected = ssl.pp.recipe(cells, n_top_genes=100, copy=True)
    dense = adata.X.toarray() if sp.issparse(adata.X) else adata.X
    np.testing.assert_array_equal(dense, expected.X.toarray())
    assert sp.issparse(adata.X) == (kind != "dense")
    np.testing.assert_array_equal(adata.var["highly_variable"], expected.var["highly_variable"])


def test_counts_do_not_share_memory_with_other_layers(cells):
    adata = cells.copy()
    adata.layers["raw_counts"] = adata.X.copy()
    ssl.pp.recipe(adata, layer="raw_counts")
    adata.layers["counts"].data[0] = 77
    assert adata.layers["raw_counts"].data[0] != 77


def test_twice_from_the_counts_is_the_same(cells, unchanged):
    adata = cells.copy()
    ssl.pp.recipe(adata, n_top_genes=100)
    once = adata.copy()
    ssl.pp.recipe(adata, n_top_genes=100, layer="counts")
    for made in (once, adata):
        del made.uns["scssl"]
    with unchanged(adata) as same:
        same.against(once)


def test_a_view_becomes_an_object_and_its_parent_stays(cells, unchanged):
    parent = cells.copy()
    view = parent[:300]
    with unchanged(parent), pytest.warns(ssl.ScsslWarning, match="was a view"):
        ssl.pp.recipe(view, n_top_genes=100)
    assert not view.is_view
    assert (view.layers["counts"] != cells[:300].X).nnz == 0
    assert view.X.max() < 10


def test_reference_decides_alone(cells):
    mask = (cells.obs["batch"] != "batch3").to_numpy()
    made = ssl.pp.recipe(cells, n_top_genes=150, reference=mask, batch_key="batch", copy=True)
    alone = by_scanpy(cells[mask].copy(), n_top_genes=150, flavor="seurat", batch_key="batch")
    np.testing.assert_array_equal(made.var["highly_variable"], alone.var["highly_variable"])
    other = cells.copy()
    order = np.arange(cells.n_obs)
    order[~mask] = order[~mask][::-1]  # other query cells
    other.X = cells.X[order]
    again = ssl.pp.recipe(other, n_top_genes=150, reference=mask, batch_key="batch", copy=True)
    np.testing.assert_array_equal(made.var["highly_variable"], again.var["highly_variable"])
    assert json.loads(made.uns["scssl"]["recipe"])["n_reference"] == int(mask.sum())
    whole = ssl.pp.recipe(cells, n_top_genes=150, batch_key="batch", copy=True)
    assert (whole.var["highly_variable"] != made.var["highly_variable"]).any()


def test_reference_in_many_forms(cells):
    adata = cells.copy()
    ssl.pp.split(adata, by="batch", held_out="batch3")
    mask = adata.obs["batch"] != "batch3"
    adata.obs["known"] = mask
    made = [
        ssl.pp.recipe(adata, n_top_genes=150, reference=form, copy=True).var["highly_variable"]
        for form in ("split", "known", mask, mask.to_numpy(), mask.tolist(), mask[::-1])
    ]
    assert all(selected.equals(made[0]) for selected in made)


def test_fractions_are_accepted_with_a_warning(cells):
    adata = cells.copy()
    adata.X.data[::2] += 0.25
    with pytest.warns(ssl.ScsslWarning, match="taken for counts, but 50% of the values"):
        ssl.pp.recipe(adata)
    assert json.loads(adata.uns["scssl"]["recipe"])["warnings"]


def test_mudata(mudata, unchanged):
    counts = {name: part.X.copy() for name, part in mudata.mod.items()}
    ssl.pp.recipe(mudata, batch_key="batch", n_top_genes=20)
    rna, prot = mudata["rna"], mudata["prot"]
    assert rna.var["highly_variable"].sum() == 20
    assert prot.var["highly_variable"].all()
    np.testing.assert_allclose(rna.X.toarray(), recipes.normalize(counts["rna"]).toarray())
    np.testing.assert_allclose(prot.X.toarray(), recipes.clr(counts["prot"]).toarray())
    for name, part in mudata.mod.items():
        assert (part.layers["counts"] != counts[name]).nnz == 0
    assert set(json.loads(mudata.uns["scssl"]["recipe"])) == {"rna", "prot", "warnings"}


def test_mudata_is_all_or_nothing(mudata, unchanged):
    mudata["prot"].X.data[3] = np.nan
    with unchanged(mudata), pytest.raises(ssl.InputError, match="Modality 'prot': X holds 1 missing"):
        ssl.pp.recipe(mudata)


def test_modalities_of_other_names_are_left(mudata, unchanged):
    with calm():
        import mudata as md

        data = md.MuData({"rna": mudata["rna"].copy(), "hto": mudata["prot"].copy()})
    before = data["hto"].X.copy()
    with pytest.warns(ssl.ScsslWarning, match="'hto' are left as they are"):
        ssl.pp.recipe(data)
    assert (before != data["hto"].X).nnz == 0
    with calm():
        data = md.MuData({"hto": mudata["prot"].copy(), "x": mudata["rna"].copy()})
    with unchanged(data), pytest.raises(ssl.InputError, match="None of the modalities 'hto', 'x' is known"):
        ssl.pp.recipe(data)


def test_global_state_is_left_alone(cells, unchanged):
    adata = cells.copy()
    with unchanged(synthetic_other := ssl.datasets.synthetic(20, 10)):
        ssl.pp.recipe(adata, batch_key="batch", n_top_genes=100)
    assert synthetic_other.n_obs == 20


RNA = [
    "rna_cellbench_3lines_10x_celseq2_dropseq", "rna_cellbench_3lines_celseq2_dropseq", "rna_kang_2donors_ctrl_stim",
    "rna_kang_ctrl_8donors", "rna_mesc_2batches_readcounts", "rna_pancreas_5technologies", "rna_pbmc_3chemistries",
    "rna_simulated_tran2020_sim1",
]  # fmt: skip


@pytest.mark.parametrize("name", RNA)
def test_runs_on_every_file_as_it_is(name, shared_data):
    adata = ad.read_h5ad(shared_data / f"{name}.h5ad")
    counts = adata.X.copy()
    ssl.pp.recipe(adata, batch_key="batch")
    assert (adata.layers["counts"] != counts).nnz == 0
    assert min(2000, adata.n_vars) <= adata.var["highly_variable"].sum() <= 2010
    totals = np.expm1(adata.X.astype(np.float64).toarray()).sum(axis=1)
    np.testing.assert_allclose(totals, 1e4, rtol=1e-4)


def test_one_batch_is_told(shared_data):
    adata = ad.read_h5ad(shared_data / "rna_pbmc_facs_10types.h5ad")
    with pytest.warns(ssl.ScsslWarning, match="single value, 'zheng2017'"):
        ssl.pp.recipe(adata, batch_key="batch")


def test_a_file_without_counts_is_explained(shared_data, unchanged):
    adata = ad.read_h5ad(shared_data / "rna_villani_dc_2batches_lognorm.h5ad")
    with unchanged(adata), pytest.raises(ssl.InputError) as caught:
        ssl.pp.recipe(adata, batch_key="batch")
    error = caught.value
    assert error.code == "looks_log_normalised"
    for part in ("X looks log-normalised", "100%", "6.733", "starts from counts"):
        assert part in error.message
    for part in ("layer=", "skip the recipe", "ssl.tl.fit(adata"):
        assert part in error.fix


def test_what_the_message_promises_works(shared_data):
    adata = ad.read_h5ad(shared_data / "rna_villani_dc_2batches_lognorm.h5ad")
    ssl.tl.fit(adata, "simclr", batch_key="batch", max_epochs=1)
    assert np.isfinite(adata.obsm["X_simclr"]).all()


class TestFunctions:
    counts = ssl.datasets.synthetic(200, 60, n_types=3, n_batches=2).X

    def test_normalize(self):
        found = recipes.normalize(self.counts, 500.0).toarray()
        dense = self.counts.toarray().astype(np.float64)
        np.testing.assert_allclose(found, np.log1p(dense / dense.sum(1, keepdims=True) * 500), rtol=1e-5)
        median = np.median(dense.sum(1))
        np.testing.assert_allclose(recipes.normalize(self.counts, None).toarray(), np.log1p(dense / dense.sum(1, keepdims=True) * median), rtol=1e-5)  # fmt: skip
        empty = sp.csr_matrix((3, 4), dtype=np.float32)
        assert recipes.normalize(empty).nnz == recipes.normalize(empty, None).nnz == 0

    def test_clr(self):
        dense = self.counts.toarray().astype(np.float64)
        expected = np.log1p(dense / np.exp(np.log1p(dense).mean(axis=1, keepdims=True)))
        np.testing.assert_allclose(recipes.clr(self.counts).toarray(), expected, rtol=1e-5)

    def test_tf_idf(self):
        peaks = (self.counts > 0).astype(np.float32).tocsr()
        dense, known = peaks.toarray().astype(np.float64), np.arange(200) < 120
        idf = known.sum() / dense[known].sum(0)
        expected = np.log1p(dense / dense.sum(1, keepdims=True) * idf * 1e4)
        np.testing.assert_allclose(recipes.tf_idf(peaks, reference=known).toarray(), expected, rtol=1e-5)
        lonely = sp.csr_matrix(np.eye(3, dtype=np.float32))
        assert recipes.tf_idf(lonely, reference=np.array([True, True, False])).toarray()[2].sum() == 0

    @pytest.mark.filterwarnings("ignore")  # of muon, about cells and peaks without counts
    def test_muon_agrees_where_the_definition_is_the_same(self):
        muon = pytest.importorskip("muon")
        counts = self.counts.copy()
        counts[3], counts[:, 7] = 0, 0
        counts = sp.csr_matrix(counts, dtype=np.float32)
        counts.eliminate_zeros()
        theirs = muon.prot.pp.clr(ad.AnnData(counts.copy()), axis=1, inplace=False).X
        np.testing.assert_allclose(recipes.clr(counts).toarray(), theirs.toarray(), rtol=2e-6)

        def tfidf(matrix: sp.csr_matrix) -> np.ndarray:
            how = {"log_tf": False, "log_idf": False, "log_tfidf": True, "inplace": False}
            return sp.csr_matrix(muon.atac.pp.tfidf(ad.AnnData(matrix.copy()), **how)).toarray()

        open_peaks = (counts > 0).astype(np.float32)
        np.testing.assert_allclose(recipes.tf_idf(open_peaks).toarray(), tfidf(open_peaks), rtol=2e-6)
        assert np.abs(recipes.tf_idf(counts).toarray() - tfidf(counts)).max() > 0.1

    def test_most_frequent(self):
        mask = recipes.most_frequent(self.counts, 10)
        frequency = np.asarray((self.counts > 0).sum(0)).ravel()
        assert mask.sum() == 10
        assert frequency[mask].min() >= frequency[~mask].max()
        assert recipes.most_frequent(self.counts, 100).all()

    def test_nothing_is_changed(self):
        before = self.counts.copy()
        for function in (recipes.normalize, recipes.clr, recipes.tf_idf):
            function(self.counts)
        recipes.select_genes(recipes.normalize(self.counts), 10)
        np.testing.assert_array_equal(before.data, self.counts.data)

    def test_all_genes_if_there_are_no_more(self):
        logged = recipes.normalize(self.counts)
        for n_top in (60, 5000, None):
            assert recipes.select_genes(logged, n_top).all()

    def test_small_batches_and_empty_genes(self):
        logged = recipes.normalize(self.counts).tolil()
        logged[:, 7] = 0
        logged = logged.tocsr()
        batch = np.array(["a"] * 120 + ["b"] * 77 + ["c"] * 2 + ["d"])
        mask = recipes.select_genes(logged, 20, batch=batch)
        assert mask.sum() == 20
        assert not mask[7]
        np.testing.assert_array_equal(mask, recipes.select_genes(logged[:197], 20, batch=batch[:197]))
        lone = np.array(["a"] * 199 + ["b"])
        np.testing.assert_array_equal(recipes.select_genes(logged, 20, batch=lone), recipes.select_genes(logged, 20))

    def test_hardly_anything_expressed(self):
        matrix = sp.csr_matrix(([1.0, 2.0], ([0, 1], [3, 5])), shape=(10, 8), dtype=np.float32)
        np.testing.assert_array_equal(np.flatnonzero(recipes.select_genes(matrix, 4)), [3, 5])

    def test_kinds_of_modalities(self):
        assert [kind_of(n).name for n in ("rna", "prot", "Protein", "ADT", "atac", "hto")] == [
            "rna", "protein", "protein", "protein", "atac", "",
        ]  # fmt: skip


def bare_mask(n: int, k: int) -> np.ndarray:
    return np.arange(n) < k


@pytest.mark.parametrize(
    ("options", "code", "parameter", "says"),
    [
        ({"n_top_genes": 0}, "out_of_range", "n_top_genes", "n_top_genes=0"),
        ({"n_top_genes": 2.5}, "out_of_range", "n_top_genes", "whole number"),
        ({"target_sum": -1}, "out_of_range", "target_sum", "above 0"),
        ({"target_sum": "1e4"}, "out_of_range", "target_sum", "above 0"),
        ({"flavor": "seurrat"}, "unknown_flavor", "flavor", "'cell_ranger'"),
        ({"layer": "cuonts"}, "unknown_layer", "layer", "layers has"),
        ({"batch_key": "btach"}, "unknown_batch_key", "batch_key", "'batch'"),
        ({"reference": "nothing"}, "unknown_reference", "reference", "nothing"),
        ({"reference": "cell_type"}, "bad_reference", "reference", "expected True and False"),
        ({"reference": [True, False]}, "bad_reference", "reference", "shape (2,), expected bool and (200,)"),
        ({"reference": np.zeros(200, dtype=bool)}, "no_reference", "reference", "none of the 200 cells"),
        ({"reference": bare_mask(200, 1)}, "no_reference", "reference", "1 of the 200 cells"),
        ({"reference": pd.Series([True], index=["x"])}, "bad_reference", "reference", "lacks 200 of the 200"),
    ],
)
def test_bad_arguments(synthetic, unchanged, options, code, parameter, says):
    with unchanged(synthetic), pytest.raises(ssl.InputError) as caught:
        ssl.pp.recipe(synthetic, **options)
    assert caught.value.code == code
    assert caught.value.parameter == parameter
    assert says in caught.value.message
    assert "Nothing was changed." in str(caught.value)


def test_run_twice_is_recognised(pbmc, unchanged):
    with unchanged(pbmc), pytest.raises(ssl.InputError, match="was run on this object before") as caught:
        ssl.pp.recipe(pbmc)
    assert caught.value.code == "recipe_was_run"
    assert "layer='counts'" in caught.value.fix


def test_another_counts_layer_is_not_replaced(synthetic, unchanged):
    synthetic.layers["counts"] = synthetic.X * 2
    with unchanged(synthetic), pytest.raises(ssl.InputError, match="would be replaced") as caught:
        ssl.pp.recipe(synthetic)
    assert caught.value.code == "counts_layer_exists"
    synthetic.layers["counts"] = synthetic.X.copy()
    ssl.pp.recipe(synthetic)


def test_backed_objects_are_refused_in_words(synthetic, tmp_path, unchanged):
    synthetic.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with unchanged(backed), pytest.raises(ssl.InputError, match=r"backed by the file") as caught:
        ssl.pp.recipe(backed)
    assert "to_memory" in caught.value.fix
    backed.file.close()


def test_view_of_mudata_is_refused(mudata, unchanged):
    view = mudata[:50]
    with unchanged(mudata), pytest.raises(ssl.InputError, match="view of another one"):
        ssl.pp.recipe(view)

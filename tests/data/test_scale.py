"""The scale of values: measured against what was done to counts, compared with that of a model, and made again."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp

import scssl as ssl
from scssl._validate import beside, on_scale, scale
from scssl._validate.scale import COUNTS, LOG, NORMALISED, Scale, as_text, from_text, measured, united
from scssl.data.calm import calm

QUICK = {"max_epochs": 1, "batch_size": 64, "hidden": (8,), "width": 4}


def made(total: float | None = 1e4, base: float | None = None, times: int = 1, n_obs: int = 300) -> ad.AnnData:
    """Simulated cells after steps of scanpy."""
    adata = ssl.datasets.synthetic(n_obs, 100, n_types=4, n_batches=2)
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=total)
    for _ in range(times):
        adata.uns.pop("log1p", None)
        sc.pp.log1p(adata, base=base)
    return adata


def of(adata: ad.AnnData, genes: slice = slice(None)) -> Scale:
    rows = sp.csr_matrix(adata.X)[:, genes]
    return measured(rows, np.arange(rows.shape[1]))


@pytest.mark.parametrize("genes", [slice(None), slice(0, 40)], ids=["all genes", "some genes"])
@pytest.mark.parametrize(
    ("steps", "kind", "base"),
    [
        ({}, LOG, "e"),
        ({"total": None}, LOG, "e"),
        ({"total": 1.0}, LOG, "e"),
        ({"base": 2}, LOG, "2"),
        ({"base": 10}, LOG, "10"),
        ({"times": 2}, LOG, "twice"),
        ({"times": 0}, NORMALISED, ""),
        ({"total": 1.0, "times": 0}, NORMALISED, ""),
        ({"total": 1e6, "times": 0}, NORMALISED, ""),
    ],
    ids=str,
)
def test_steps_are_read_from_the_values(steps, kind, base, genes):
    adata = made(**steps)
    found = of(adata, genes)
    assert (found.kind, found.base) == (kind, base)
    total = steps.get("total", 1e4) or np.median(np.asarray(adata.layers["counts"].sum(axis=1)))
    if genes == slice(None):
        assert found.total == pytest.approx(total, rel=1e-4)
        assert found.sums == pytest.approx([total] * 3, rel=1e-4)
    else:
        assert found.totals == ()
    assert found.own_median == ("total" in steps and steps["total"] is None)


def test_sums_are_those_of_a_loop():
    adata = made()
    used = np.array([3, 50, 77])
    sums = [sum(np.expm1(float(adata.X[i, j])) for j in used) for i in range(adata.n_obs)]
    expected = np.quantile([s for s in sums if s], [0.05, 0.5, 0.95])
    assert measured(sp.csr_matrix(adata.X), used).sums == pytest.approx(expected, rel=1e-5)


def test_counts_and_values_of_no_scale():
    adata = ssl.datasets.synthetic(100, 50)
    assert of(adata).kind == COUNTS
    noise = sp.csr_matrix(np.random.default_rng(0).random((50, 30)) * 3)
    found = measured(noise, np.arange(30))
    assert (found.kind, found.base, found.totals) == (LOG, "", ())
    assert measured(noise, np.arange(30), recorded="2").base == "2"
    assert measured(sp.csr_matrix(noise.toarray() - 1.0), np.arange(30)).sums == ()
    assert measured(sp.csr_matrix((5, 30)), np.arange(30)) == Scale("other")


def test_text_and_union():
    scales = {"rna": of(made()), "prot": Scale("other")}
    assert from_text(as_text(scales)).keys() == scales.keys()
    assert from_text(as_text(scales))["rna"].totals == pytest.approx(scales["rna"].totals)
    assert from_text("") == {}
    both = united([of(made()), of(made(None))])
    assert both.totals[0] < both.totals[1] == pytest.approx(1e4, rel=1e-4)
    assert both.total is None


@pytest.fixture(scope="module")
def model() -> ssl.Model:
    reference = ssl.datasets.synthetic(200, 100, n_types=4, n_batches=2)
    ssl.pp.recipe(reference)
    return ssl.tl.fit(reference, "simclr", batch_key="batch", **QUICK)


def query(**steps) -> ad.AnnData:
    return made(**steps)[200:].copy()


CALLS = {
    "embed": lambda data, model: ssl.tl.embed(data, model),
    "Model.embed": lambda data, model: model.embed(data),
    "finetune": lambda data, model: ssl.tl.finetune(data, model, label_key="cell_type", max_epochs=1),
    "fit(init=)": lambda data, model: ssl.tl.fit(data, "simclr", batch_key="batch", init=model, **QUICK),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("steps", "says"),
    [({"total": None}, "10000"), ({"total": 1e6}, "10000"), ({"base": 2}, "base 2"), ({"base": 10}, "base 10")],
    ids=str,
)
def test_another_scale_is_refused_by_every_call(call, steps, says, model, unchanged):
    data = query(**steps)
    with unchanged(data), pytest.raises(ssl.InputError) as error:
        CALLS[call](data, model)
    assert error.value.code == "other_scale"
    assert says in str(error.value)
    assert "like=" in error.value.fix
    assert "layer='counts'" in error.value.fix


@pytest.mark.parametrize("steps", [{"total": None}, {"base": 2}, {"times": 0}], ids=str)
def test_the_fix_repairs(steps, model, tmp_path):
    good, bad = query(), query(**steps)
    model.save(tmp_path / "model")
    ssl.pp.recipe(bad, like=tmp_path / "model", layer="counts")
    np.testing.assert_allclose(model.embed(bad), model.embed(good), atol=1e-5)
    assert "highly_variable" not in bad.var


def test_a_model_of_another_total_base_and_layer_has_its_recipe():
    reference = made(total=500, base=2)
    reference.layers["lognorm"] = reference.X.copy()
    reference.X = reference.layers["counts"].copy()
    model = ssl.tl.fit(reference, "pca", layer="lognorm", width=4)
    fresh = ssl.datasets.synthetic(300, 100, n_types=4, n_batches=2)
    ssl.pp.recipe(fresh, like=model)
    np.testing.assert_allclose(fresh.layers["lognorm"].toarray(), reference.layers["lognorm"].toarray(), atol=1e-5)
    assert (fresh.X != reference.X).nnz == 0
    ssl.tl.embed(fresh, model)


def test_like_says_what_it_cannot_do(model):
    with pytest.raises(ssl.InputError, match="a model or the folder"):
        ssl.pp.recipe(query(), like=3)
    values = made()
    values.X = sp.csr_matrix(np.random.default_rng(0).random(values.shape) * 3)
    of_no_scale = ssl.tl.fit(values, "pca", width=4)
    with pytest.raises(ssl.InputError) as error:
        ssl.pp.recipe(query(), like=of_no_scale, layer="counts")
    assert error.value.code == "scale_not_known"


def test_model_genes_of_a_query_are_comparable(model):
    genes = model.features["rna"][:90]
    with pytest.warns(ssl.ScsslWarning, match="90 of 100"):
        model.embed(query()[:, genes].copy())
    with pytest.raises(ssl.InputError, match="scaled to another total"):
        model.embed(query(total=None)[:, genes].copy())


def test_cells_scaled_to_the_median_of_their_totals_are_known_by_it():
    known = Scale(LOG, "e", (), (800.0, 1000.0, 1200.0), 5.0)
    found = Scale(LOG, "e", (), (600.0, 700.0, 750.0), 5.0, own_median=True)
    (problem,) = beside.against(known, found, on_scale.Place("X", "data"))
    assert "median of their own totals" in problem.message


def test_scaled_after_the_choice_of_genes(model):
    wide = made()
    wide.var["highly_variable"] = np.arange(100) < 40
    small = ssl.tl.fit(wide[:200].copy(), "pca", width=4)
    late = ssl.datasets.synthetic(300, 100, n_types=4, n_batches=2)[200:, :40].copy()
    sc.pp.normalize_total(late, target_sum=1e4)
    sc.pp.log1p(late)
    with pytest.raises(ssl.InputError, match="genes of the model alone"):
        small.embed(late)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_cells_raise_no_alarm(n, model):
    model.embed(query()[:n].copy())


def test_a_batch_of_counts_among_logarithms(unchanged):
    adata = made()
    first = (adata.obs["batch"] == adata.obs["batch"].iloc[0]).to_numpy()
    adata.X = sp.csr_matrix(
        np.where(first[:, None], adata.X.toarray(), np.minimum(adata.layers["counts"].toarray(), 30))
    )
    for key in ("batch", None):
        with unchanged(adata), pytest.raises(ssl.InputError) as error:
            ssl.tl.fit(adata, "simclr", batch_key=key, **QUICK)
        assert error.value.code == "scales_mixed"
        assert "scales_mixed" in set(ssl.pp.check(adata, method="simclr", batch_key=key).code)


def test_batches_scaled_to_totals_of_their_own():
    parts = [made(total=total)[rows].copy() for total, rows in ((1e4, slice(0, 150)), (1e3, slice(150, 300)))]
    for part, name in zip(parts, "ab", strict=True):
        part.obs["study"] = name
    adata = ad.concat(parts)
    with pytest.warns(ssl.ScsslWarning, match="'b' sum to 1000, cells of 'a' to 10000"):
        ssl.tl.fit(adata, "pca", batch_key="study", width=4)


@pytest.mark.parametrize(("steps", "code"), [({"times": 0}, "looks_not_logged"), ({"times": 2}, "looks_logged_twice")])
def test_log_forgotten_or_taken_twice(steps, code):
    for total in (1.0, 100.0, 1e4):
        with pytest.raises(ssl.InputError) as error:
            ssl.tl.fit(made(total=total, **steps), "pca", width=4)
        assert error.value.code == code


def test_batches_whose_counts_are_none_are_named():
    adata = ssl.datasets.synthetic(200, 50, n_batches=2)
    second = (adata.obs["batch"] == adata.obs["batch"].iloc[-1]).to_numpy()
    x = adata.X.toarray()
    tpm = np.where(second[:, None], x / x.sum(axis=1, keepdims=True) * 1e6, x)
    logged = np.where(second[:, None], np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4), x)
    name = adata.obs["batch"].iloc[-1]
    adata.X = sp.csr_matrix(tpm)
    row = ssl.pp.check(adata, method="scvi", batch_key="batch").set_index("code").loc["fractional_counts"]
    assert row.severity == "warning"
    assert f"{name!r} (all cells sum to 1e+06)" in row.message
    adata.X = sp.csr_matrix(logged)
    row = ssl.pp.check(adata, method="scvi", batch_key="batch").set_index("code").loc["looks_log_normalised"]
    assert row.severity == "error"
    assert str(name) in row.message
    with pytest.raises(ssl.InputError):
        ssl.pp.recipe(adata, batch_key="batch")


def test_counts_in_other_modalities(mudata):
    rna = mudata.mod["rna"]
    ssl.pp.recipe(rna)
    found = ssl.pp.check(mudata, method="simclr").set_index("code")
    assert found.loc["looks_like_counts"].severity == "error"
    assert "ssl.pp.recipe(mdata)" in found.loc["looks_like_counts"].fix
    with calm():
        import mudata as md

        strange = md.MuData({"rna": rna.copy(), "things": mudata.mod["prot"].copy()})
    assert ssl.pp.check(strange, method="simclr").set_index("code").loc["looks_like_counts"].severity == "warning"


def test_stored_by_columns_dense_and_on_disk(tmp_path, model):
    for store in (sp.csc_matrix, lambda x: x.toarray()):
        data = query(total=None)
        data.X = store(data.X)
        with pytest.raises(ssl.InputError, match="sum to"):
            model.embed(data)
    path = tmp_path / "query.h5ad"
    query(total=None).write_h5ad(path)
    with ssl.settings.override(in_memory_mb=1e-6), pytest.raises(ssl.InputError, match="sum to"):
        model.embed(path)


def test_a_total_that_was_recorded_before_genes_were_left_out():
    adata = ssl.datasets.synthetic(300, 100, n_types=4)
    ssl.pp.recipe(adata, target_sum=2000)
    model = ssl.tl.fit(adata[:, :60].copy(), "pca", width=4)
    known = from_text(model.record["scale"])["rna"]
    assert (known.total, known.source) == (2000, "recorded")


def test_models_without_a_record_of_the_scale_embed_all(model):
    before = dict(model.record)
    try:
        del model.record["scale"], model.record["detected"]
        model.embed(query(total=None))
    finally:
        model.record = before


def test_far_sums_are_told_and_very_far_ones_refused():
    known = Scale(LOG, "", (), (800.0, 1000.0, 1200.0), 5.0)
    place = on_scale.Place("X", "data")

    def codes(middle: float) -> list[str]:
        found = Scale(LOG, "", (), (middle, middle, middle), 5.0)
        return [problem.severity for problem in beside.against(known, found, place)]

    assert [codes(x) for x in (1000, 600, 500, 150, 5000)] == [[], [], ["warning"], ["error"], ["error"]]
    assert scale.same(1e4, 1.04e4)
    assert not scale.same(1e4, 1.06e4)


@pytest.mark.parametrize(
    "name",
    [
        "rna_pbmc_3chemistries",
        "rna_pancreas_5technologies",
        "rna_mesc_2batches_readcounts",
        "rna_kang_2donors_ctrl_stim",
    ],
)
def test_real_batches(name, shared_data):
    """A held-out batch is embedded without a word about its scale; by scanpy's default, another base or no log it is refused."""
    cells = ad.read_h5ad(shared_data / f"{name}.h5ad")
    held = (cells.obs["batch"] == cells.obs["batch"].iloc[0]).to_numpy()
    reference, new = cells[~held].copy(), cells[held].copy()
    with calm():
        ssl.pp.recipe(reference, n_top_genes=500)
    model = ssl.tl.fit(reference, "pca", width=4)

    def after(total: float | None, base: float | None = None) -> ad.AnnData:
        made = new.copy()
        sc.pp.normalize_total(made, target_sum=total)
        sc.pp.log1p(made, base=base)
        return made

    genes = model.features["rna"]
    model.embed(after(1e4))
    model.embed(after(1e4)[:, genes].copy())
    for bad in (after(None), after(1e4, 2), after(1e4, 10)):
        for data in (bad, bad[:, genes].copy()):
            with pytest.raises(ssl.InputError) as error:
                model.embed(data)
            assert error.value.code == "other_scale"

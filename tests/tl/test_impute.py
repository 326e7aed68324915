from __future__ import annotations

import subprocess
import sys

import anndata as ad
import mudata as md
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsRegressor

import scssl as ssl
from scssl.data.hide import hidden, keys
from scssl.data.matrix import csr
from scssl.models.answers import answers, decoded


@pytest.fixture(scope="module")
def made():
    mdata = ssl.datasets.synthetic(240, {"rna": 60, "prot": 12}, n_types=4, n_batches=2, modalities=("rna", "prot"))
    ssl.pp.recipe(mdata, n_top_genes=None)
    return mdata


@pytest.fixture
def reference(made):
    return made[:160].copy()


@pytest.fixture
def query(made):
    return made[160:].copy()


@pytest.fixture(scope="module")
def trained(made):
    return ssl.tl.fit(made.mod["rna"][:160].copy(), method="pca", width=8)


def embedded(query, reference, trained):
    for data in (query, reference):
        data.obsm["X_mine"] = trained.embed(data.mod["rna"])
        data.uns["scssl"] = {**data.uns["scssl"], "embeddings": {"mine": {"model_id": trained.identity}}}


def test_a_model_and_a_reference(query, reference, trained, unchanged):
    with unchanged(reference):
        ssl.tl.impute(query, trained, modality="prot", reference=reference)
    known, x = trained.embed(reference.mod["rna"]), trained.embed(query.mod["rna"])
    truth = reference.mod["prot"].X.toarray()
    expected = KNeighborsRegressor(5).fit(known, truth).predict(x)
    np.testing.assert_allclose(query.obsm["pca_prot"], expected, atol=1e-5)
    record = query.uns["scssl"]["imputed"]["pca_prot"]
    assert list(record["features"]) == list(reference.mod["prot"].var_names)
    assert record["how"] == "mean of 5 neighbours"
    found = np.corrcoef(query.obsm["pca_prot"].to_numpy().ravel(), query.mod["prot"].X.toarray().ravel())[0, 1]
    assert found > 0.6


def test_what_the_query_measured_is_not_looked_at(query, reference, trained):
    ssl.tl.impute(query, trained, modality="prot", reference=reference)
    expected = query.obsm["pca_prot"].copy()
    query.mod["prot"].X = query.mod["prot"].X * 0
    ssl.tl.impute(query, trained, modality="prot", reference=reference)
    assert np.array_equal(query.obsm["pca_prot"], expected)
    rna = query.mod["rna"].copy()
    ssl.tl.impute(rna, trained, modality="prot", reference=reference)
    assert np.array_equal(rna.obsm["pca_prot"], expected)


def test_a_reference_alone(query, reference, trained):
    embedded(query, reference, trained)
    ssl.tl.impute(query, reference, modality="prot", use_rep="mine", k=3)
    truth = reference.mod["prot"].X.toarray()
    expected = KNeighborsRegressor(3).fit(reference.obsm["X_mine"], truth).predict(query.obsm["X_mine"])
    np.testing.assert_allclose(query.obsm["mine_prot"], expected, atol=1e-5)
    # the back way: from proteins to genes
    ssl.tl.impute(query, reference, modality="rna", use_rep="X_mine", key_added="back")
    assert query.obsm["back_rna"].shape == query.mod["rna"].shape


def test_reference_cells_without_the_modality_do_not_teach(query, reference, trained):
    half = md.MuData({"rna": reference.mod["rna"], "prot": reference.mod["prot"][:80].copy()})
    ssl.tl.impute(query, trained, modality="prot", reference=half)
    expected = query.obsm["pca_prot"].copy()
    ssl.tl.impute(query, trained, modality="prot", reference=reference[:80].copy())
    np.testing.assert_allclose(query.obsm["pca_prot"], expected, atol=1e-6)


def test_survives_a_file(query, reference, trained, tmp_path):
    rna = query.mod["rna"].copy()
    ssl.tl.impute(rna, trained, modality="prot", reference=reference)
    rna.write_h5ad(tmp_path / "q.h5ad")
    read = ad.read_h5ad(tmp_path / "q.h5ad")
    assert read.obsm["pca_prot"].equals(rna.obsm["pca_prot"])
    assert list(read.uns["scssl"]["imputed"]["pca_prot"]["features"]) == list(reference.mod["prot"].var_names)


def test_values_that_are_there_need_no_torch(query, reference, trained, tmp_path):
    for name, data in (("query", query), ("reference", reference)):
        data.obsm["X_mine"] = trained.embed(data.mod["rna"])
        data.write_h5mu(tmp_path / f"{name}.h5mu")
    code = (
        "import sys, mudata, scssl as ssl; q, r = (mudata.read_h5mu(p) for p in sys.argv[1:]);"
        "ssl.tl.impute(q, r, modality='prot', use_rep='mine'); print('torch' in sys.modules, q.obsm['mine_prot'].shape)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, tmp_path / "query.h5mu", tmp_path / "reference.h5mu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False (80, 12)"


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"reference": None}, ssl.InputError, "needs_reference"),
        ({"modality": "protein"}, ssl.KeyNotFoundError, "unknown_modality"),
        ({"k": 0}, ssl.InputError, "bad_k"),
        ({"modality": "rna"}, ssl.InputError, "no_source"),
        ({"key_added": "a/b"}, ssl.InputError, "key_with_slash"),
        ({"model": 3}, ssl.InputError, "bad_type"),
    ],
)
def test_bad_calls_are_refused_and_change_nothing(query, reference, trained, unchanged, change, kind, code):
    options = {"model": trained, "modality": "prot", "reference": reference, **change}
    with unchanged(query), pytest.raises(kind) as caught:
        ssl.tl.impute(query, options.pop("model"), **options)
    assert caught.value.code == code


def test_a_reference_alone_needs_the_name_of_an_embedding(query, reference):
    with pytest.raises(ssl.InputError, match="use_rep= is needed") as caught:
        ssl.tl.impute(query, reference, modality="prot")
    assert caught.value.code == "needs_use_rep"


def test_what_is_no_model_is_refused(query):
    with pytest.raises(ssl.InputError, match="MuData; a model or the folder of one") as caught:
        ssl.tl.embed(query, query)
    assert caught.value.code == "bad_type"
    with pytest.raises(ssl.CheckpointError, match="there is no such folder"):
        ssl.tl.embed(query, "vicreg")


def test_holes_in_the_reference_are_said(query, reference, trained):
    reference.mod["prot"].X = reference.mod["prot"].X.toarray()
    reference.mod["prot"].X[2, 3] = np.nan
    with pytest.raises(ssl.InputError, match="1 of .* values of 'prot' in the reference") as caught:  # noqa: RUF043
        ssl.tl.impute(query, trained, modality="prot", reference=reference)
    assert caught.value.code == "values_not_finite"


def test_pca_decodes_as_scikit_learn_does(made, trained):
    rna = made.mod["rna"]
    ssl.tl.reconstruct(rna, trained)
    values = rna.X.toarray()
    model = PCA(8, svd_solver="full").fit(values[:160])
    np.testing.assert_allclose(
        rna.layers["pca_reconstructed"], model.inverse_transform(model.transform(values)), atol=1e-4
    )
    del rna.layers["pca_reconstructed"]


def test_modalities_get_their_scale_back(made, reference):
    joint = ssl.tl.fit(reference, method="pca", width=70)  # nearly all there is
    ssl.tl.reconstruct(reference, joint, key_added="back")
    for name in ("rna", "prot"):
        part = reference.mod[name]
        left = ((part.layers["back_reconstructed"] - part.X.toarray()) ** 2).sum()
        assert left < 0.02 * ((part.X.toarray() - part.X.toarray().mean(axis=0)) ** 2).sum()
    few = ssl.tl.fit(reference, method="pca", width=6, key_added="few")
    values = decoded(few, reference)
    again = sum(((values[n] - reference.mod[n].X.toarray()) ** 2).sum() for n in values)
    assert again < sum(((m - m.mean(axis=0)) ** 2).sum() for m in (reference.mod[n].X.toarray() for n in values))


def test_genes_that_the_model_does_not_use_are_nan(made, trained):
    rna = made.mod["rna"][:, ::-1].copy()
    extra = ad.AnnData(np.ones((240, 1), dtype=np.float32), obs=rna.obs[[]])
    extra.var_names = ["new gene"]
    wide = ad.concat([rna, extra], axis=1)
    ssl.tl.reconstruct(wide, trained)
    layer = wide.layers["pca_reconstructed"]
    assert np.isnan(layer[:, -1]).all()
    assert np.isfinite(layer[:, :-1]).all()


def test_methods_that_do_not_decode_say_so(made, unchanged):
    rna = made.mod["rna"].copy()
    model = ssl.tl.fit(rna, method="untrained")
    with unchanged(rna), pytest.raises(ssl.InputError, match="'untrained' does not reconstruct") as caught:
        ssl.tl.reconstruct(rna, model)
    assert caught.value.code == "cannot_decode"
    assert answers(model, rna, "values", source="rna", source_names=rna.var_names) == {}
    assert answers(model, rna, "labels") == answers(model, rna, "") == {}


def test_answers_are_what_the_task_scores(made, trained):
    from scssl.tasks import Cells, score_rows

    rna = made.mod["rna"]
    cells = Cells.of(rna, batch_key="batch", values=True)
    own = answers(trained, rna, "values", source=cells.source, source_names=cells.source_names, seed=3)
    rows = score_rows(trained.embed(rna), cells, ["reconstruction"], seed=3, own=own)
    mean = {m: np.mean([r["value"] for r in rows if r["metric"] == m]) for m in {r["metric"] for r in rows}}
    assert mean["weighted_ev_own"] == pytest.approx(mean["weighted_ev"], abs=0.1)
    assert 0.3 < mean["masked_error"] < 1.0
    # the hidden values did not reach the model
    mask = hidden(cells.keys[:, None], keys(cells.source_names)[None], seed=3)
    blind = rna.copy()
    blind.X = np.where(mask, 0, csr(rna).toarray()).astype(np.float32)
    np.testing.assert_allclose(own["unhidden"], decoded(trained, blind)["rna"], atol=1e-5)


# from files


def written(data, folder, kind):
    getattr(data, f"write_{kind}")(folder / f"cells.{kind}")
    return folder / f"cells.{kind}"


def as_it_was(path):
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return [(str(f), f.read_bytes()) for f in files]


@pytest.mark.parametrize("in_memory_mb", [1000, 0])
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_a_file_is_reconstructed_as_the_cells_in_memory(made, trained, tmp_path, kind, in_memory_mb):
    rna = made.mod["rna"].copy()
    path = written(rna, tmp_path, kind)
    before = as_it_was(path)
    with ssl.settings.override(in_memory_mb=in_memory_mb):
        found = ssl.tl.reconstruct(path, trained, batch_size=50)
    assert ssl.tl.reconstruct(rna, trained) is None
    assert list(found.index) == list(rna.obs_names)
    np.testing.assert_allclose(found[rna.var_names], rna.layers["pca_reconstructed"], atol=1e-6)
    assert as_it_was(path) == before


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_a_file_is_imputed_as_the_cells_in_memory(query, reference, trained, tmp_path, kind):
    rna = query.mod["rna"].copy()
    path = written(rna, tmp_path, kind)
    reference.write_h5mu(tmp_path / "reference.h5mu")
    before = as_it_was(path)
    for known in (reference, tmp_path / "reference.h5mu", str(tmp_path / "reference.h5mu")):
        found = ssl.tl.impute(path, trained, modality="prot", reference=known)
        assert ssl.tl.impute(rna, trained, modality="prot", reference=reference) is None
        np.testing.assert_array_equal(found, rna.obsm["pca_prot"])
        assert list(found.columns) == list(reference.mod["prot"].var_names)
        assert list(found.index) == list(rna.obs_names)
    assert as_it_was(path) == before


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_an_embedding_in_a_file_finds_neighbours(query, reference, trained, tmp_path, kind):
    embedded(query, reference, trained)
    ssl.tl.impute(query, reference, modality="prot", use_rep="mine")
    rna = query.mod["rna"].copy()
    rna.obsm["X_mine"] = query.obsm["X_mine"]
    rna.uns["scssl"] = {**rna.uns["scssl"], "embeddings": query.uns["scssl"]["embeddings"]}
    reference.write_h5mu(tmp_path / "reference.h5mu")
    found = ssl.tl.impute(written(rna, tmp_path, kind), tmp_path / "reference.h5mu", modality="prot", use_rep="mine")
    np.testing.assert_array_equal(found, query.obsm["mine_prot"])


def test_a_decoder_answers_from_a_file(made, reference, query, tmp_path):
    joint = ssl.tl.fit(reference, "mae", max_epochs=2, hidden=(16,), width=8, batch_size=64)
    rna = query.mod["rna"].copy()
    found = ssl.tl.impute(written(rna, tmp_path, "h5ad"), joint, modality="prot")
    ssl.tl.impute(rna, joint, modality="prot")
    np.testing.assert_array_equal(found, rna.obsm["mae_prot"])
    assert rna.uns["scssl"]["imputed"]["mae_prot"]["how"] == "decoder"
    whole = written(query, tmp_path, "h5mu")
    with pytest.raises(ssl.InputError, match=r"reconstructs 'rna', 'prot'; of a file one of them") as caught:
        ssl.tl.reconstruct(whole, joint)
    assert caught.value.code == "needs_modality"
    both = ssl.tl.reconstruct(whole, joint, modality="prot")
    ssl.tl.reconstruct(query, joint)
    np.testing.assert_allclose(both, query.mod["prot"].layers["mae_reconstructed"], atol=1e-6)
    # one modality of a joint model, of an AnnData that holds it
    ssl.tl.reconstruct(rna, joint, modality="rna")
    assert np.isfinite(rna.layers["mae_reconstructed"]).all()


def test_files_that_cannot_be_read_are_refused(trained, tmp_path):
    (tmp_path / "text.h5ad").write_text("not HDF5")
    for path, code in ((tmp_path / "absent.h5ad", "no_file"), (tmp_path / "text.h5ad", "damaged_file")):
        for call in (
            lambda path=path: ssl.tl.reconstruct(path, trained),
            lambda path=path: ssl.tl.impute(path, trained, modality="prot"),
        ):
            with pytest.raises(ssl.InputError) as caught:
                call()
            assert caught.value.code == code

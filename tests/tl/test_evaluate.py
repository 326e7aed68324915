from __future__ import annotations

import re
import subprocess
import sys
import warnings
from importlib.metadata import version

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.decomposition  # noqa: F401 - its first import sets variables and filters, which is not ours to undo

import scssl as ssl
from scssl import _results
from scssl.data.calm import calm

KEYS = {"batch_key": "batch", "label_key": "cell_type"}


@pytest.fixture(scope="module")
def made():
    """150 cells with a good, a shifted and a noisy embedding, and values to compute the state before from."""
    random = np.random.default_rng(0)
    types, batches = np.arange(150) % 3, np.arange(150) // 3 % 3
    values = np.log1p(random.poisson(2.0 + 3 * np.eye(3, 20)[types] + np.eye(3, 20)[2 - batches])).astype(np.float32)
    adata = ad.AnnData(sp.csr_matrix(values))
    adata.obs["cell_type"] = pd.Categorical([f"t{t}" for t in types])
    adata.obs["batch"] = pd.Categorical([f"b{b}" for b in batches])
    adata.obs["split"] = np.where(batches == 2, "query", "reference")
    good = 4 * np.eye(3, 6)[types] + random.normal(size=(150, 6))
    adata.obsm["X_good"] = good.astype(np.float32)
    adata.obsm["X_pca"] = (good + 5 * np.eye(3, 6)[batches]).astype(np.float32)
    return adata


@pytest.fixture
def adata(made):
    return made.copy()


def core(table):
    """What must be the same in two calls."""
    return table.drop(columns=["score_s", "peak_mb", "created"]).reset_index(drop=True)


def test_writes_scores_and_nothing_else(adata, unchanged):
    copy = adata.copy()
    table = ssl.tl.evaluate(adata, use_rep=["X_good", "X_pca"], **KEYS)
    stored = adata.uns.pop("scssl")
    assert list(stored) == ["schema", "scores", "scored"]
    pd.testing.assert_frame_equal(_results.conform(stored["scores"]), table)
    with unchanged(copy) as before:
        before.against(adata)


def test_rows_are_complete(adata):
    table = ssl.tl.evaluate(adata, use_rep=["X_good", "pca"], **KEYS)
    assert tuple(table.columns) == _results.COLUMNS
    assert set(table["method"]) == {"good", "pca", "random", "oracle"}
    assert (table["key"] == table["method"]).all()
    assert len(table) == 4 * (13 + 3 * 8)
    assert set(table["status"]) == {"ok"}
    assert (table["n_obs"] == 150).all()
    assert len(set(table["data_id"])) == 1
    assert (table["score_s"] >= 0).all()
    assert (table["peak_mb"] > 0).all()
    assert (table["version"] == ssl.__version__).all()
    assert set(table.loc[table["main"], "metric"]) == {"macro_f1"}
    scores = table[table["split"] == ""].set_index(["metric", "method"])["value"]
    for metric in ("ilisi", "kbet", "bras", "pcr_comparison"):
        assert scores[metric, "good"] > scores[metric, "pca"]
    scaled = table.query("metric == 'accuracy'").groupby("method")["scaled"].mean()
    assert scaled["random"] == 0
    assert scaled["oracle"] == 1
    assert 0.5 < scaled["good"] <= 1


def test_known_embeddings_carry_their_record(adata):
    adata.uns["scssl"] = {
        "schema": 1,
        "models": {"good": {"method": "simclr", "config_id": "c0ffee", "seed": 3, "seconds": 1.5}},
        "embeddings": {},
    }
    table = ssl.tl.evaluate(adata, use_rep="good", tasks="batch_correction", **KEYS)
    row = table[table["key"] == "good"].iloc[0]
    assert (row["method"], row["config_id"], row["seed"], row["fit_s"]) == ("simclr", "c0ffee", 3, 1.5)
    assert list(adata.uns["scssl"]["models"]) == ["good"]


def test_a_second_call_adds_and_replaces(adata):
    first = ssl.tl.evaluate(adata, use_rep="good", **KEYS)
    second = ssl.tl.evaluate(adata, use_rep="pca", **KEYS)
    assert set(second["method"]) == {"pca", "random", "oracle"}
    stored = ssl.get.scores(adata)
    assert set(stored["method"]) == {"good", "pca", "random", "oracle"}
    assert len(stored) == len(first) + 37
    again = ssl.tl.evaluate(adata, use_rep="pca", **KEYS)
    pd.testing.assert_frame_equal(core(again), core(second))
    assert len(ssl.get.scores(adata)) == len(stored)


def test_order_and_company_of_embeddings_do_not_matter(adata):
    both = ssl.tl.evaluate(adata, use_rep=["good", "pca"], **KEYS)
    alone = ssl.tl.evaluate(adata, use_rep="pca", **KEYS)
    kept = both[both["method"] != "good"]
    pd.testing.assert_frame_equal(core(kept), core(alone))


@pytest.mark.parametrize("form", ["frame", "sparse", "fortran", "read-only", "float64"])
def test_form_of_the_embedding_does_not_matter(adata, form):
    expected = ssl.tl.evaluate(adata, use_rep="good", **KEYS)
    x = adata.obsm["X_good"]
    forms = {
        "frame": lambda: pd.DataFrame(x, index=adata.obs_names),
        "sparse": lambda: sp.csr_matrix(x),
        "fortran": lambda: np.asfortranarray(x),
        "read-only": lambda: np.frombuffer(x.tobytes(), dtype=x.dtype).reshape(x.shape),
        "float64": lambda: x.astype(np.float64),
    }
    adata.obsm["X_good"] = forms[form]()
    found = ssl.tl.evaluate(adata, use_rep="good", **KEYS)
    np.testing.assert_allclose(found["value"], expected["value"], atol=1e-6)


def test_one_bad_embedding_does_not_touch_the_others(adata):
    alone = ssl.tl.evaluate(adata, use_rep="good", **KEYS)
    bad = adata.obsm["X_good"].copy()
    bad[7, 2] = np.nan
    adata.obsm["X_bad"], adata.obsm["X_flat"] = bad, np.ones((150, 4))
    table = ssl.tl.evaluate(adata, use_rep=["bad", "good", "flat"], **KEYS)
    broken = table[table["method"] == "bad"]
    assert len(broken) == 13 + 8
    assert set(broken["status"]) == {"failed"}
    assert (
        broken["message"]
        .str.contains("1 of 150 cells have NaN or inf in the embedding (first: '7')", regex=False)
        .all()
    )
    flat = table[table["method"] == "flat"]
    assert set(flat["status"]) == {"collapsed", "not_applicable"}
    pd.testing.assert_frame_equal(core(table[table["method"].isin(["good", "random", "oracle"])]), core(alone))


def test_split_column(adata):
    table = ssl.tl.evaluate(adata, use_rep="good", tasks="cell_typing", label_key="cell_type", split_key="split")
    assert set(table["split"]) == {"held-out split=query"}
    assert set(table["task"]) == {"cell_typing"}


def test_tasks_follow_from_the_columns(adata):
    assert set(ssl.tl.evaluate(adata, use_rep="good", **KEYS)["task"]) == {"batch_correction", "cell_typing"}
    only = ssl.tl.evaluate(adata, use_rep="good", batch_key="batch")
    assert set(only["task"]) == {"batch_correction"}
    assert set(only[only["status"] == "ok"]["metric"]) == {"ilisi", "pcr_comparison"}
    assert set(only["method"]) == {"good", "random"}


def test_without_a_matrix(adata):
    bare = ad.AnnData(obs=adata.obs.copy(), obsm={"X_good": adata.obsm["X_good"]})
    table = ssl.tl.evaluate(bare, use_rep="good", **KEYS)
    before = table["metric"] == "pcr_comparison"
    assert set(table[before]["status"]) == {"not_applicable"}
    assert set(table[~before]["status"]) == {"ok"}
    assert table["data_id"].str.len().min() > 8


def test_scores_survive_files(adata, tmp_path):
    table = ssl.tl.evaluate(adata, use_rep="good", **KEYS)
    adata.write_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(ssl.get.scores(ad.read_h5ad(tmp_path / "a.h5ad")), table)


def test_mudata_and_a_modality(adata):
    parts = {"rna": adata.copy(), "prot": adata[:, :5].copy()}
    parts["prot"].var_names = [f"p{i}" for i in range(5)]
    mdata = md.MuData(parts)
    mdata.obs["batch"], mdata.obs["cell_type"] = adata.obs["batch"], adata.obs["cell_type"]
    mdata.obsm["X_joint"] = adata.obsm["X_good"]
    joint = ssl.tl.evaluate(mdata, use_rep="joint", **KEYS)
    part = ssl.tl.evaluate(mdata, use_rep="good", modality="rna", **KEYS)
    alone = ssl.tl.evaluate(adata, use_rep="good", **KEYS)
    for table in (joint, part):
        np.testing.assert_allclose(table["value"], alone["value"], atol=1e-6)
    assert "scores" in mdata.uns["scssl"]
    assert "scssl" not in mdata.mod["rna"].uns


@pytest.mark.parametrize(
    ("change", "kind", "code", "says"),
    [
        ({"use_rep": "X_goof"}, ssl.KeyNotFoundError, "unknown_use_rep", "Did you mean 'X_good'?"),
        ({"use_rep": []}, ssl.InputError, "no_use_rep", "obsm has 'X_good', 'X_pca'"),
        ({"use_rep": [3]}, ssl.KeyNotFoundError, "unknown_use_rep", "use_rep=3"),
        ({"use_rep": ["good", "X_good"]}, ssl.InputError, "duplicated_use_rep", "'X_good' more than once"),
        ({"batch_key": "bach"}, ssl.KeyNotFoundError, "unknown_batch_key", "Did you mean 'batch'?"),
        ({"label_key": "celltype"}, ssl.KeyNotFoundError, "unknown_label_key", "Did you mean 'cell_type'?"),
        ({"label_key": "batch"}, ssl.InputError, "label_is_batch", "the same column"),
        ({"split_key": "splt"}, ssl.KeyNotFoundError, "unknown_split_key", "split_key='splt'"),
        ({"split_key": "batch"}, ssl.InputError, "split_one_sided", "calls 0 of 150 cells 'query'"),
        ({"tasks": "cell_type"}, ssl.KeyNotFoundError, "unknown_task", "Did you mean 'cell_typing'?"),
        ({"tasks": "cell_typing", "label_key": None}, ssl.InputError, "task_needs_column", "needs label_key"),
        ({"batch_key": None, "label_key": None}, ssl.InputError, "task_needs_column", "needs batch_key"),
        ({"seed": -1}, ssl.InputError, "bad_seed", "seed=-1"),
        ({"seed": "0"}, ssl.InputError, "bad_seed", "seed='0'"),
        ({"profile": "papper"}, ssl.KeyNotFoundError, "unknown_profile", "Did you mean 'paper'?"),
        ({"modality": "rna"}, ssl.KeyNotFoundError, "unknown_modality", "modality='rna'"),
        ({"batch_key": "holes"}, ssl.InputError, "batch_missing_values", "4 of 150 cells have no value"),
        ({"label_key": "holes"}, ssl.InputError, "label_missing_values", "4 of 150 cells have no value"),
        ({"split_key": "holes"}, ssl.InputError, "split_missing_values", "4 of 150 cells have no value"),
    ],
)
def test_bad_calls_are_refused_and_change_nothing(adata, unchanged, change, kind, code, says):
    adata.obs["holes"] = pd.Categorical(np.where(np.arange(150) < 4, None, adata.obs["batch"].astype(str)))
    with unchanged(adata), pytest.raises(kind) as caught:
        ssl.tl.evaluate(adata, **{"use_rep": "good", **KEYS, **change})
    assert caught.value.code == code
    assert says in str(caught.value)
    assert caught.value.parameter
    assert str(caught.value).endswith("Nothing was changed.")


def test_not_an_object():
    with pytest.raises(ssl.InputError, match="of type ndarray") as caught:
        ssl.tl.evaluate(np.zeros((3, 2)), use_rep="X_a", **KEYS)
    assert caught.value.code == "bad_type"


def test_a_single_batch_is_said_and_scored(adata):
    adata.obs["batch"] = "B"
    with pytest.warns(ssl.ScsslWarning, match="single value"):
        table = ssl.tl.evaluate(adata, use_rep="good", tasks="batch_correction", **KEYS)
    status = table[table["method"] == "good"].set_index("metric")["status"]
    assert status["bras"] == "not_applicable"
    assert status["silhouette_label"] == "ok"


def test_torch_is_not_imported(adata, tmp_path):
    adata.write_h5ad(tmp_path / "a.h5ad")
    code = (
        "import sys, anndata, scssl as ssl; adata = anndata.read_h5ad(sys.argv[1]);"
        "adata.obsm['X_scgpt'], adata.obsm['X_harmony'] = adata.obsm['X_good'], adata.obsm['X_pca'];"
        "ssl.tl.evaluate(adata, use_rep=['X_scgpt', 'X_harmony'], batch_key='batch', label_key='cell_type');"
        "ssl.tl.evaluate(adata, use_rep='X_scgpt', batch_key='batch', tasks='reconstruction');"
        "print([m for m in ('torch', 'jax', 'scanpy', 'umap', 'pynndescent') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.h5ad"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rows_of_the_paper_profile_do_not_replace_others(adata):
    clean = ssl.tl.evaluate(adata, use_rep="good", tasks="cell_typing", **KEYS)
    paper = ssl.tl.evaluate(adata, use_rep="good", tasks="cell_typing", profile="paper", **KEYS)
    assert set(paper["config_id"]) == {"paper"}
    assert len(ssl.get.scores(adata)) == len(clean) + len(paper)


def test_cells_without_a_label_are_left_out_of_label_scores(adata):
    unknown = np.arange(150) % 10 == 0
    adata.obs["named"] = pd.Categorical(np.where(unknown, "undefined", adata.obs["cell_type"].astype(str)))
    adata.obs["holes"] = pd.Categorical(np.where(unknown, None, adata.obs["cell_type"].astype(str)))
    keys = {"use_rep": "good", "batch_key": "batch"}
    left_out = ssl.tl.evaluate(adata, label_key="named", unlabelled="Undefined", **keys)
    holes = ssl.tl.evaluate(adata, label_key="holes", unlabelled=[], **keys)
    dropped = ssl.tl.evaluate(adata[~unknown].copy(), label_key="cell_type", **keys)
    everyone = ssl.tl.evaluate(adata, label_key="cell_type", **keys)
    place = ["method", "task", "split", "metric"]
    for table in (left_out, holes):
        label_free = table["metric"].isin(["ilisi", "pcr_comparison"])
        for part, reference in ((table[~label_free], dropped), (table[label_free], everyone)):
            both = part.merge(reference, on=place, suffixes=("", "_expected"))
            both = both[(both["method"] == "good") & (both["status"] == "ok")]
            assert len(both)
            np.testing.assert_allclose(both["value"], both["value_expected"], atol=1e-6)
        scored = table[(table["status"] == "ok") & table["metric"].isin(["clisi", "knn_purity", "macro_f1"])]
        assert scored["message"].str.contains("without a label are left out").all()
    assert left_out["data_id"].iloc[0] != everyone["data_id"].iloc[0]


def test_unlabelled_cells_are_a_type_unless_said_otherwise(adata):
    named = np.where(np.arange(150) < 30, "nan", adata.obs["cell_type"].astype(str))
    adata.obs["named"] = pd.Categorical(named)
    keys = {"use_rep": "good", "batch_key": "batch", "label_key": "named", "metrics": "knn_purity"}
    with pytest.warns(ssl.ScsslWarning, match="taken for a type like any other"):
        ssl.tl.evaluate(adata, **keys)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ssl.tl.evaluate(adata, unlabelled="nan", **keys)


def test_metrics_by_name(adata):
    table = ssl.tl.evaluate(adata, use_rep="good", metrics=["accuracy", "silhouette_batch"], **KEYS)
    assert set(table["metric"]) == {"accuracy", "silhouette_batch"}
    assert set(table["task"]) == {"cell_typing", "batch_correction"}
    with pytest.raises(ssl.KeyNotFoundError, match="Did you mean 'silhouette_batch'"):
        ssl.tl.evaluate(adata, use_rep="good", metrics="silhouete_batch", **KEYS)
    with pytest.raises(ssl.InputError, match="belongs to the task 'cell_typing'"):
        ssl.tl.evaluate(adata, use_rep="good", tasks="batch_correction", metrics="accuracy", **KEYS)


def test_holes_in_x_are_said_in_our_words(adata):
    adata.X = adata.X.toarray()
    adata.X[3, 4] = np.nan
    table = ssl.tl.evaluate(adata, use_rep="good", tasks="batch_correction", **KEYS)
    pcr = table.query("metric == 'pcr_comparison' and method == 'good'").iloc[0]
    assert pcr["status"] == "not_applicable"
    assert "1 values of X are NaN or inf" in pcr["message"]
    assert set(table.query("metric == 'bras'")["status"]) == {"ok"}


def test_groups_are_held_out_in_turn(adata):
    adata.obs["donor"] = pd.Categorical([f"d{i % 4}" for i in range(150)])
    keys = {"use_rep": "good", "label_key": "cell_type", "tasks": "cell_typing"}
    each = ssl.tl.evaluate(adata, split_key="donor", held_out="each", **keys)
    assert sorted(each["split"].unique()) == [f"held-out donor=d{i}, transductive" for i in range(4)]
    some = ssl.tl.evaluate(adata, split_key="donor", held_out=["d1"], **keys)
    assert set(some["split"]) == {"held-out donor=d1, transductive"}
    batch = ssl.tl.evaluate(adata, batch_key="batch", held_out="b2", **keys)
    assert set(batch["split"]) == {"held-out batch=b2, transductive"}
    with pytest.raises(ssl.KeyNotFoundError, match="Did you mean 'd1'"):
        ssl.tl.evaluate(adata, split_key="donor", held_out=["d11"], **keys)
    with pytest.raises(ssl.InputError, match="neither split_key nor batch_key"):
        ssl.tl.evaluate(adata, held_out="each", **keys)


@pytest.fixture
def mdata():
    mdata = ssl.datasets.synthetic(240, {"rna": 60, "prot": 12}, n_types=4, n_batches=2, modalities=("rna", "prot"))
    ssl.pp.recipe(mdata, n_top_genes=None)
    random = np.random.default_rng(0)
    types = pd.factorize(mdata.obs["cell_type"])[0]
    for holder in (mdata, mdata.mod["rna"]):
        holder.obsm["X_a"] = (3 * np.eye(4, 6)[types] + random.normal(size=(240, 6))).astype(np.float32)
    return mdata


def test_a_modality_is_predicted(mdata):
    asked = {"target": "prot", "tasks": "modality_prediction"}
    table = ssl.tl.evaluate(mdata, use_rep="a", modality="rna", batch_key="batch", **asked)
    assert set(table["status"]) == {"ok"}
    assert sorted(table["split"].unique()) == [f"rna to prot, held-out batch=batch{i}, transductive" for i in (1, 2)]
    mean = table[table["metric"] == "pearson_feature"].groupby("method")["value"].mean()
    assert mean["random"] < 0.1 < mean["a"] < mean["oracle"] == 1.0
    assert not table["message"].str.contains("Nothing is known").any()
    joint = ssl.tl.evaluate(mdata, use_rep="a", **asked)
    told = joint[joint["method"] == "a"]["message"]
    assert told.str.startswith("Nothing is known of how the embedding was made; it must not have seen 'prot'.").all()
    back = ssl.tl.evaluate(mdata, use_rep="a", target="rna", tasks="modality_prediction")
    assert set(back["split"]) == {"prot to rna, held-out random fifth, transductive"}


def test_a_gene_and_its_protein_may_share_a_name(mdata):
    mdata.mod["prot"].var_names = mdata.mod["rna"].var_names[:12]
    with calm():
        mdata = md.MuData(dict(mdata.mod), obs=mdata.obs)
    asked = {"use_rep": "a", "modality": "rna", "target": "prot", "tasks": "modality_prediction"}
    assert set(ssl.tl.evaluate(mdata, **asked)["status"]) == {"ok"}


def test_an_embedding_that_saw_the_target_is_not_scored(mdata):
    mdata.uns["scssl"] = {"schema": 1, "models": {"a": {"method": "pca", "modalities": ["rna", "prot"]}}}
    table = ssl.tl.evaluate(mdata, use_rep="a", target="prot", tasks="modality_prediction")
    refused = table[table["key"] == "a"]
    assert set(refused["status"]) == {"failed"}
    assert refused["message"].str.contains("made from 'rna', 'prot'; 'prot' has to be predicted from 'rna'").all()
    mdata.uns["scssl"] = {"schema": 1, "embeddings": {"a": {"method": "simclr", "coverage": '{"rna": {"found": 1}}'}}}
    table = ssl.tl.evaluate(mdata, use_rep="a", target="prot", tasks="modality_prediction")
    assert set(table["status"]) == {"ok"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": "protein"}, "Did you mean 'prot'?"),
        ({"target": "rna", "modality": "rna"}, "the other modalities of the object are 'prot'"),
        ({"target": None}, "needs target"),
    ],
)
def test_bad_targets_are_refused(mdata, change, says):
    with pytest.raises(ssl.InputError, match=re.escape(says)):
        ssl.tl.evaluate(mdata, use_rep="a", **{"target": "prot", "tasks": "modality_prediction", **change})


def test_values_are_reconstructed(adata):
    table = ssl.tl.evaluate(adata, use_rep="good", batch_key="batch", tasks="reconstruction")
    mean = table[table["metric"] == "weighted_ev"].groupby("method")["value"].mean()
    assert mean["random"] < mean["good"] < mean["oracle"]
    assert set(table["method"]) == {"good", "random", "oracle", "mean_profile", "pca_64"}
    adata.X = adata.X.toarray()
    adata.X[0, 0] = np.nan
    with pytest.raises(ssl.InputError, match=r"1 of .* values of 'rna' that are not zero are NaN or inf") as caught:
        ssl.tl.evaluate(adata, use_rep="good", tasks="reconstruction")
    assert caught.value.code == "values_not_finite"


@pytest.fixture
def reference(monkeypatch):
    """scib-metrics by another name: every number is 0.25, nothing is compiled."""
    from scssl.metrics import _reference

    def quarter(function, inputs):
        return {"nmi": 0.25, "ari": 0.25} if "leiden" in function else 0.25

    monkeypatch.setattr(_reference, "_call", quarter)


def test_the_engine_computes_what_it_has_and_says_what_it_has_not(adata, reference):
    table = ssl.tl.evaluate(adata, use_rep="good", **KEYS, engine="scib-metrics")
    theirs = table[table["status"] == "ok"]
    assert len(theirs) == 3 * 10
    assert set(theirs["value"]) == {0.25}
    assert set(theirs["task"]) == {"batch_correction"}
    assert table["engine"].unique() == [f"scib-metrics {version('scib-metrics')}"]
    rest = table[table["status"] != "ok"]
    assert set(rest["status"]) == {"not_applicable"}
    assert set(rest["message"]) == {"scib-metrics does not have this metric; engine='scssl' computes it"}
    own = ssl.tl.evaluate(adata, use_rep="good", **KEYS)
    assert set(own["engine"]) == {"scssl"}
    assert set(own["metric"]) == set(table["metric"])


def test_scores_of_both_engines_stand_beside_each_other(adata, reference, tmp_path):
    asked = {"use_rep": "good", **KEYS, "tasks": "batch_correction"}
    own = ssl.tl.evaluate(adata, **asked)
    alone = ssl.get.summary(adata)
    ssl.tl.evaluate(adata, **asked, engine="scib-metrics")
    stored = ssl.get.scores(adata)
    assert len(stored) == 2 * len(own)
    pd.testing.assert_frame_equal(stored[stored["engine"] == "scssl"].reset_index(drop=True), own)
    name = f" (scib-metrics {version('scib-metrics')})"
    both = ssl.get.summary(adata)
    assert set(both.index) == {line + end for line in ("good", "random", "oracle") for end in ("", name)}
    assert both.loc["good" + name, "total"] == 0.25
    numbers = ["total", "bio", "batch", "cilisi"]
    pd.testing.assert_frame_equal(both.loc[alone.index, numbers], alone[numbers])
    ssl.tl.evaluate(adata, **asked, engine="scib-metrics")
    assert len(ssl.get.scores(adata)) == 2 * len(own)


def test_rows_without_an_engine_are_ours(adata):
    table = ssl.tl.evaluate(adata, use_rep="good", **KEYS, tasks="batch_correction")
    old = _results.conform(table.drop(columns="engine"))
    pd.testing.assert_frame_equal(old, table)


def test_an_engine_that_does_not_exist(adata):
    with pytest.raises(ssl.KeyNotFoundError, match=r"engine='scib' does not exist; .* Did you mean 'scib-metrics'"):
        ssl.tl.evaluate(adata, use_rep="good", **KEYS, engine="scib")


def test_controls_of_values_are_not_asked_of_another_engine(adata, reference):
    table = ssl.tl.evaluate(adata, use_rep="good", batch_key="batch", tasks="reconstruction", engine="scib-metrics")
    assert set(table["status"]) == {"not_applicable"}


def test_corrected_labels_take_the_place_of_the_old_ones(adata):
    asked = {"use_rep": "good", **KEYS, "tasks": "batch_correction"}
    ssl.tl.evaluate(adata, **asked)
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str).replace({"t1": "t2"})
    with pytest.raises(ssl.InputError, match=r"now: 39 of other obs\['cell_type'\]"):
        ssl.get.summary(adata)
    new = ssl.tl.evaluate(adata, **asked)
    alone = ssl.get.summary(new)
    for reader in (ssl.get.summary, ssl.get.scores, ssl.get.ranks):
        with pytest.warns(
            ssl.ScsslWarning, match=r"39 of 78 stored scores .* left out: 39 of other obs\['cell_type'\]"
        ):
            reader(adata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pd.testing.assert_frame_equal(ssl.get.summary(adata), alone)


def test_an_object_filtered_twice_is_drawn_as_it_is(adata):
    import matplotlib as mpl

    mpl.use("Agg")
    asked = {"use_rep": "good", **KEYS, "tasks": "batch_correction"}
    for n in (150, 120, 90):
        adata = adata[:n].copy()
        ssl.tl.evaluate(adata, **asked)
    with pytest.warns(ssl.ScsslWarning, match=r"39 of other cells \(150, not 90\); 39 of other cells \(120, not 90\)"):
        axes = ssl.pl.benchmark(adata, show=False)
    texts = [text.get_text() for text in axes.texts]
    assert any(text.startswith("90 cells") for text in texts)
    assert not any("data sets" in text for text in texts)


@pytest.fixture
def fitted(adata):
    ssl.tl.fit(adata, "pca", width=5, key_added="own")
    return adata


def of_own(data, **options):
    table = ssl.tl.evaluate(data, use_rep="own", **KEYS, tasks="batch_correction", **options)
    return table[table["key"] == "own"]


def test_an_embedding_of_ours_is_known_also_in_a_part_of_the_object(fitted, tmp_path):
    config = fitted.uns["scssl"]["models"]["own"]["config_id"]
    fitted.write_h5ad(tmp_path / "a.h5ad")
    for data in (fitted, fitted[::-2].copy(), ad.read_h5ad(tmp_path / "a.h5ad")):
        found = of_own(data)
        assert set(found["method"]) == {"pca"}
        assert set(found["config_id"]) == {config}


@pytest.mark.parametrize("width", [5, 7])
def test_an_embedding_that_was_replaced_is_of_unknown_origin(fitted, width):
    fitted.obsm["X_own"] = np.random.default_rng(0).normal(size=(150, width))
    with pytest.warns(ssl.ScsslWarning, match=r"obsm\['X_own'\] holds other values than scssl wrote there"):
        found = of_own(fitted)
    assert set(found["method"]) == {"own"}
    assert set(found["config_id"]) == {""}
    assert found["fit_s"].isna().all()
    assert found["message"].str.startswith("obsm['X_own'] holds other values").all()


def test_an_embedding_made_again_is_known_again(fitted):
    model = ssl.tl.fit(fitted, "pca", width=4, key_added="own", seed=3)
    assert set(of_own(fitted)["config_id"]) == {fitted.uns["scssl"]["models"]["own"]["config_id"]}
    ssl.tl.embed(fitted, model, key_added="own")
    assert set(of_own(fitted)["config_id"]) == {fitted.uns["scssl"]["embeddings"]["own"]["config_id"]}

"""Plans and their runs: listed before, failures as rows, labels and held-out cells never seen in training."""

from __future__ import annotations

import numpy as np
import pytest

import scssl as ssl
from scssl._errors import InputError, KeyNotFoundError, ScsslWarning
from scssl.bench import lines, training
from scssl.bench import plan as plans
from scssl.bench.question import Question
from scssl.bench.split import Split
from scssl.methods.simclr import SimCLR
from scssl.models import finetune as finetuning
from scssl.models.fit import Request

QUICK = {"method": "simclr", "max_epochs": 1, "batch_size": 64}


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=150, n_vars=80, n_types=3, n_batches=3, seed=0)
    ssl.pp.recipe(adata, batch_key="batch", n_top_genes=60)
    return adata


def compare(adata, methods, **options):
    options = {"batch_key": "batch", "label_key": "cell_type"} | options
    return ssl.tl.benchmark(adata, methods=methods, **options)


def test_the_plan_lists_every_cell(cells):
    plan = plans.plan(cells, methods=["pca", "simclr"], tasks=None, seeds=2, batch_key="batch", label_key="cell_type")
    table = plan.table()
    assert len(plan.jobs) == (1 + 2 * 2) * (1 + 3)
    assert len(table) == len(set(table["cell_id"])) == 20
    assert table.groupby("task").size().to_dict() == {"batch_correction": 5, "cell_typing": 15}
    assert table["key"].value_counts().to_dict() == {"controls": 4, "pca": 8, "simclr": 8}
    again = plans.plan(cells, methods=["pca", "simclr"], tasks=None, seeds=2, batch_key="batch", label_key="cell_type")
    assert again.table().equals(table)


def test_rows_of_a_benchmark(cells, unchanged):
    adata = cells.copy()
    table = compare(adata, {"pca": {}, "quick": QUICK}, seeds=2, name="cells")
    assert set(table["key"]) == {"pca", "quick", "random", "oracle"}
    assert set(table["method"]) == {"pca", "simclr", "random", "oracle"}
    assert (table["status"] == "ok").all()
    trained = table[table["key"] == "quick"]
    assert set(trained["seed"]) == {0, 1}
    assert trained["fit_s"].notna().all()
    assert set(table["data"]) == {"cells"}
    typing = table.query("task == 'cell_typing' and metric == 'accuracy' and key == 'pca' and seed == 0")
    assert set(typing["split"]) == {f"held-out batch={b}" for b in cells.obs["batch"].unique()}
    oracle = table.query("key == 'oracle' and metric == 'accuracy'")
    np.testing.assert_allclose(oracle["scaled"], 1.0)
    stored = ssl.get.scores(adata)
    assert len(stored) == len(table)
    reference = cells.copy()
    for slot in ("scores", "scored"):
        del adata.uns["scssl"][slot]
    with unchanged(adata) as check:
        check.against(reference)


def test_a_failing_method_is_rows_with_the_reason(cells, monkeypatch):
    def broken(self, views):
        msg = "the loss of this method is out to lunch"
        raise RuntimeError(msg)

    monkeypatch.setattr(SimCLR, "loss", broken)
    with pytest.warns(ScsslWarning, match="'quick' failed, at least in part: RuntimeError: .*lunch"):
        table = compare(cells.copy(), {"pca": {}, "quick": QUICK})
    failed = table[table["key"] == "quick"]
    assert (failed["status"] == "failed").all()
    assert failed["message"].str.contains("out to lunch").all()
    assert failed["value"].isna().all()
    whole = table[table["key"] == "pca"]
    assert set(zip(failed["metric"], failed["split"], strict=True)) == set(
        zip(whole["metric"], whole["split"], strict=True)
    )
    assert (whole["status"] == "ok").all()


def test_models_for_held_out_cells_never_see_them(cells):
    """Held-out cells replaced by noise: same genes, same weights, same embedding of the reference."""
    query = (cells.obs["batch"] == "batch1").to_numpy()
    spoiled = cells.copy()
    values = spoiled.X.toarray()
    values[query] = np.random.default_rng(0).random(values[query].shape)
    spoiled.X = values
    spoiled.obs["cell_type"] = np.where(query, "spoiled", spoiled.obs["cell_type"].astype(str))
    entry, split = lines.Entry("quick", "simclr", {"max_epochs": 1}), Split("x", "batch", "batch1")
    one = plans.Job("", entry, 0, split, {"cell_typing": ""})
    setting = plans.Setting(question=Question(batch_key="batch"))
    clean, dirty = (training.trained(one, entry, data, setting)[0] for data in (cells, spoiled))
    assert clean.features["rna"].tolist() == dirty.features["rna"].tolist()
    np.testing.assert_array_equal(clean.embed(cells[~query].copy()), dirty.embed(cells[~query].copy()))


def test_labels_are_never_seen(cells):
    shuffled = cells.copy()
    shuffled.obs["cell_type"] = np.random.default_rng(0).permutation(shuffled.obs["cell_type"].astype(str))
    table, other = (compare(a.copy(), {"quick": QUICK}, tasks=["batch_correction"]) for a in (cells, shuffled))
    free = ["ilisi", "pcr_comparison"]
    pick = lambda t: t[(t["key"] == "quick") & t["metric"].isin(free)]["value"].to_numpy()  # noqa: E731
    np.testing.assert_array_equal(pick(table), pick(other))


def test_a_split_made_by_the_user(cells):
    adata = cells.copy()
    ssl.pp.split(adata, by="batch", held_out="batch2")
    table = compare(adata, ["pca"], split_key="split", tasks=["cell_typing"])
    assert set(table["split"]) == {"split=query"}


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"methods": []}, InputError, ["methods is empty"]),
        ({"methods": ["pca", "pca"]}, InputError, ["'pca'", "more than once"]),
        ({"methods": ["pac"]}, KeyNotFoundError, ["'pac'", "Did you mean 'pca'"]),
        ({"seeds": 0}, InputError, ["seeds=0"]),
        ({"seeds": [1, 1]}, InputError, ["seeds=[1, 1]"]),
        ({"batch_key": "bach"}, KeyNotFoundError, ["'bach'", "'batch'"]),
        ({"label_key": "batch"}, InputError, ["same column"]),
        ({"held_out": ["nowhere"]}, InputError, ["'nowhere'", "'batch1'"]),
        ({"tasks": ["cell_typin"]}, KeyNotFoundError, ["Did you mean 'cell_typing'"]),
        ({"tasks": ["cell_typing"], "label_key": None}, InputError, ["cell_typing needs label_key"]),
        ({"split_key": "batch"}, InputError, ["0 of 150 cells"]),
    ],
)
def test_wrong_arguments_are_told_before_anything_runs(cells, options, kind, words, unchanged):
    adata = cells.copy()
    options = {"methods": ["pca"], "batch_key": "batch", "label_key": "cell_type"} | options
    with unchanged(adata), pytest.raises(kind) as caught:
        ssl.tl.benchmark(adata, **options)
    assert all(word in str(caught.value) for word in words)


def test_a_wrong_configuration_is_told_before_anything_is_trained(cells, unchanged):
    adata = cells.copy()
    with unchanged(adata), pytest.raises(KeyNotFoundError, match="Did you mean 'temperature'"):
        compare(adata, {"pca": {}, "typo": {"method": "simclr", "temprature": 1}})
    with unchanged(adata), pytest.raises(InputError, match="expected a dictionary of options"):
        compare(adata, {"cold": "simclr"})


def test_a_line_that_failed_and_was_mended_is_mended(cells, monkeypatch):
    adata = cells.copy()
    with monkeypatch.context() as patch:
        patch.setattr(SimCLR, "loss", lambda self, views: 1 / 0)
        with pytest.warns(ScsslWarning, match="'quick' failed"):
            compare(adata, {"quick": QUICK}, tasks=["batch_correction"])
    compare(adata, {"quick": QUICK}, tasks=["batch_correction"])
    scores = ssl.get.scores(adata, method="simclr")
    assert (scores["status"] == "ok").all()
    assert ssl.get.summary(adata).loc["quick", "total"] > 0


def test_genes_are_chosen_without_the_held_out_cells(cells, monkeypatch):
    from scssl.models import fit as fitting

    seen = []
    original = fitting.fit

    def spying(data, request):
        seen.append((data.n_obs, data.var["highly_variable"].to_numpy().copy()))
        return original(data, request)

    monkeypatch.setattr(fitting, "fit", spying)
    compare(cells.copy(), ["pca"])
    whole = next(mask for n, mask in seen if n == cells.n_obs)
    parts = [mask for n, mask in seen if n < cells.n_obs]
    assert len(parts) == 3
    assert np.array_equal(whole, cells.var["highly_variable"])
    assert all(not np.array_equal(mask, whole) for mask in parts)


def test_nothing_to_hold_out_is_told(cells, unchanged):
    adata = cells.copy()
    with unchanged(adata), pytest.raises(InputError, match="nothing to hold out"):
        ssl.tl.benchmark(adata, methods=["pca"], label_key="cell_type")


def test_columns_of_a_modality(mudata):
    ssl.pp.recipe(mudata)
    for name in ("batch", "cell_type"):
        mudata.mod["rna"].obs[f"own_{name}"] = mudata.obs[name]
    table = ssl.tl.benchmark(mudata, methods=["pca"], batch_key="own_batch", label_key="own_cell_type")
    assert (table["status"] == "ok").all()
    ssl.tl.fit(mudata, "pca", batch_key="rna:own_batch")


def test_what_models_answer_themselves_is_scored(mudata, tmp_path, monkeypatch):
    """A missing modality from one alone, values by a decoder; the second time from the cached model."""
    ssl.pp.recipe(mudata)
    options = {"batch_key": "batch", "target": "prot", "tasks": ["modality_prediction", "reconstruction"]}
    methods = {"pca": {"width": 8}, "quick": QUICK | {"max_epochs": 1}}
    table = ssl.tl.benchmark(mudata, methods=methods, cache_dir=tmp_path, **options)
    assert set(table["task"]) == set(options["tasks"])
    assert set(table["status"]) <= {"ok", "not_applicable"}, table["message"].unique()
    assert {"mean_profile", "ridge_pca", "knn_pca", "oracle", "random"} <= set(table["key"])
    own = table[table["group"] == "own"]
    assert "pca" in set(own["key"])
    assert "quick" not in set(own["key"])
    for file in (tmp_path / "cells").iterdir():
        file.unlink()
    monkeypatch.setattr("scssl.models.fit.fit", None)
    again = ssl.tl.benchmark(mudata, methods=methods, cache_dir=tmp_path, **options)
    times = ["fit_s", "embed_s", "score_s", "peak_mb", "created"]
    assert again.drop(columns=times).equals(table.drop(columns=times))
    with pytest.raises(KeyNotFoundError, match="'prot'"):
        ssl.tl.benchmark(mudata, methods=["pca"], batch_key="batch", target="protein", tasks=["modality_prediction"])


def test_a_view_does_not_write_into_its_parent(cells):
    adata = cells.copy()
    compare(adata, ["pca"], tasks=["batch_correction"])
    before = len(ssl.get.scores(adata))
    part = adata[:120]
    with pytest.warns(Warning, match="view"):
        compare(part, ["untrained"], tasks=["batch_correction"])
    assert len(ssl.get.scores(adata)) == before
    with pytest.warns(ScsslWarning, match="stored scores do not describe the object"):  # those of all cells
        assert set(ssl.get.scores(part)["n_obs"]) == {120}


def test_chosen_scores_and_cells_without_a_label(cells):
    """The same rows as ``tl.evaluate`` gives for the same embedding; what is left out is counted."""
    adata = cells.copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str).replace(adata.obs["cell_type"].iloc[9], "undefined")
    adata.obs.iloc[:3, adata.obs.columns.get_loc("cell_type")] = np.nan
    adata.obsm["X_mine"] = np.random.default_rng(0).normal(size=(adata.n_obs, 5))
    keys = {"batch_key": "batch", "label_key": "cell_type"}
    asked = {"metrics": ["ilisi", "clisi", "accuracy"], "unlabelled": "undefined"}
    table = ssl.tl.benchmark(adata, embeddings=["mine"], methods=["pca"], **keys, **asked)
    assert set(table["metric"]) == set(asked["metrics"])
    assert set(table["key"]) == {"mine", "pca", "random", "oracle"}
    assert set(table["label_key"]) == {"cell_type"}
    assert set(table["batch_key"]) == {"batch"}
    n = int((adata.obs["cell_type"].isna() | (adata.obs["cell_type"] == "undefined")).sum())
    assert n > 20
    assert table.query("metric == 'clisi'")["message"].str.contains(f"{n} of 150 cells without a label").all()
    alone = ssl.tl.evaluate(adata, use_rep="mine", **keys, **asked)
    assert set(alone["data_id"]) == set(table["data_id"])
    values, others = (
        t[(t["key"] == "mine") & (t["task"] == "batch_correction")].set_index("metric")["value"] for t in (alone, table)
    )
    assert values.to_dict() == others.to_dict()


def test_what_fails_owes_the_chosen_scores_only(cells, monkeypatch):
    monkeypatch.setattr("scssl.bench.job.trained", lambda *_: 1 / 0)
    with pytest.warns(ScsslWarning, match="ZeroDivisionError"):
        table = compare(cells.copy(), ["pca"], metrics=["ilisi", "accuracy"])
    assert set(table.loc[table["key"] == "pca", "metric"]) == {"ilisi", "accuracy"}


# models that learn labels


def test_the_own_labels_of_a_finetuned_model_are_scored(cells, tmp_path, monkeypatch):
    """Trained without the held-out cells, on their labels neither; the second time from the cached model."""
    seen = []
    tune = finetuning.finetune
    monkeypatch.setattr(finetuning, "finetune", lambda data, *a: seen.append(set(data.obs_names)) or tune(data, *a))
    adata = cells.copy()
    methods = {
        "frozen": QUICK,
        "head": QUICK | {"finetune": {"train": "head", "max_epochs": 2}},
        "scratch": {"method": "untrained", "finetune": {"train": "all", "max_epochs": 20, "batch_size": 32}},
    }
    options = {"tasks": ["cell_typing"], "held_out": "batch1", "cache_dir": tmp_path, "batch_key": "batch"}
    table = compare(adata, methods, **options)
    assert set(table["status"]) == {"ok"}, table["message"].unique()
    own = table[table["group"] == "head"]
    assert set(own["key"]) == {"head", "scratch"}
    held_out = set(cells.obs_names[cells.obs["batch"] == "batch1"])
    assert len(seen) == 2
    assert all(names.isdisjoint(held_out) for names in seen)
    right = own.query("metric == 'macro_f1_head'").set_index("key")["value"]
    assert right["scratch"] > 0.8
    # what the table says is what the model gives
    model = finetuning.finetune(
        (known := cells[cells.obs["batch"] != "batch1"].copy()),
        ssl.tl.fit(job_genes(known), "untrained", batch_key="batch"),
        finetuning.Tuning("cell_type", train="all", max_epochs=20, batch_size=32, progress=False),
    )
    query = cells[cells.obs["batch"] == "batch1"]
    accuracy = (model.classify(query.copy())[0] == query.obs["cell_type"].astype(str)).mean()
    stored = own.query("key == 'scratch' and metric == 'accuracy_head'")["value"]
    assert stored.item() == pytest.approx(accuracy)
    for file in (tmp_path / "cells").iterdir():
        file.unlink()
    monkeypatch.setattr("scssl.models.fit.fit", None)
    again = compare(adata, methods, **options)
    np.testing.assert_array_equal(again["value"], table["value"])


def job_genes(cells):
    """The genes are chosen again, without the cells that are held out."""
    training._choose_genes_again(cells, lines.Entry("x", "untrained").request(Request(method=""), seed=0))
    return cells


def test_labels_that_were_learned_are_not_scored(cells, unchanged):
    taught = {"taught": QUICK | {"finetune": "all"}}
    adata = cells.copy()
    cases = [
        ({"tasks": None}, taught, "labels_seen", "batch_correction scores the cells that it learns them from"),
        ({"label_key": None, "tasks": ["batch_correction"]}, taught, "needs_label_key", "there are no labels"),
        ({"tasks": ["cell_typing"]}, {"x": QUICK | {"finetune": "everything"}}, "unknown_choice", "'everything'"),
        (
            {"tasks": ["cell_typing"]},
            {"x": QUICK | {"finetune": {"epochs": 3}}},
            "unknown_option_of_finetune",
            "'epochs'",
        ),
        ({"tasks": ["cell_typing"]}, {"x": QUICK | {"finetune": {"max_epochs": 0}}}, "out_of_range", "max_epochs=0"),
        ({"tasks": ["cell_typing"]}, {"x": QUICK | {"finetune": True}}, "unknown_option_of_finetune", "True"),
    ]
    for options, methods, code, words in cases:
        with unchanged(adata), pytest.raises(InputError, match=words) as caught:
            compare(adata, methods, **options)
        assert caught.value.code == code


def test_cells_without_a_label_teach_nothing(cells):
    adata = cells.copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str)
    adata.obs.iloc[::5, adata.obs.columns.get_loc("cell_type")] = "doublet"
    line = lines.Entry("x", "simclr", {"finetune": {"max_epochs": 1}})
    model = ssl.tl.fit(adata.copy(), "simclr", max_epochs=1)
    setting = plans.Setting(question=Question(label_key="cell_type", unlabelled=["doublet", "nan"]))
    with pytest.warns(ScsslWarning, match="30 of 150 cells have no label"):
        assert "doublet" not in training._taught(model, adata.copy(), line, setting, seed=0).classes


def test_other_gene_sets_are_other_jobs_of_a_method_that_reads_them(cells):
    masked = {"masked": {"method": "mae", "mask": "gene_programme", "rate": 0.05}}

    def ids(adata, methods=masked):
        made = plans.plan(
            adata, methods=methods, tasks=["batch_correction"], seeds=1, batch_key="batch", label_key="cell_type"
        )
        table = made.table()
        return set(table.loc[table["key"] != "controls", "cell_id"])

    plain, one, same, other = (cells.copy() for _ in range(4))
    for adata, last in ((one, 9), (same, 9), (other, 10)):
        ssl.pp.gene_sets(adata, {"a": list(adata.var_names[:8]), "b": list(adata.var_names[3:last])})
    assert ids(one) == ids(same)
    assert ids(one).isdisjoint(ids(other))
    assert ids(plain).isdisjoint(ids(one))
    assert ids(plain, ["pca"]) == ids(one, ["pca"]) == ids(other, ["pca"])


def test_every_model_has_a_line_in_the_log_where_there_is_no_terminal(small, bad_methods, capsys):
    options = {"batch_key": "batch", "label_key": "cell_type", "tasks": ["batch_correction"]}
    with ssl.settings.override(verbosity="info"), pytest.warns(ScsslWarning, match="failed"):
        ssl.tl.benchmark(small.copy(), methods=["works", "raises"], seeds=2, **options)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("benchmark ")]
    assert [line.split(":")[0] for line in lines] == [f"benchmark {i}/5" for i in range(1, 6)]
    assert "works, seed 1, " in lines[2]
    assert "raises, seed 0, failed, " in lines[3]
    assert "about" in lines[2]
    with ssl.settings.override(verbosity="warning"):
        ssl.tl.benchmark(small.copy(), methods=["works"], **options)
    assert "benchmark" not in capsys.readouterr().err

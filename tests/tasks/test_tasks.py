from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from scssl import _results
from scssl._protocol import PAPER
from scssl._registry import METRICS, TASKS
from scssl.metrics import NotApplicable
from scssl.tasks import CONTROL_WIDTH, Cells, applicable, control_rows, score_rows
from scssl.tasks import _base as base
from scssl.tasks.batch_correction import BatchCorrection
from scssl.tasks.cell_typing import CellTyping

BEYOND = ("cilisi", "isolated_labels_f1", "knn_purity")
BOTH = ["batch_correction", "cell_typing"]


def table(embedding, cells, tasks=BOTH, **options):
    return _results.frame({**row, "method": "m"} for row in score_rows(embedding, cells, tasks, **options))


def test_every_task_has_a_file_of_its_name_and_a_main_metric_or_a_total():
    assert TASKS.names() == [*BOTH, "modality_prediction", "reconstruction"]
    for name in TASKS:
        assert TASKS.get(name).__module__ == f"scssl.tasks.{name}"
        assert {METRICS.describe(m).task for m in TASKS.get(name)().metrics()} == {name}


def test_metrics_of_the_two_profiles():
    clean, paper = BatchCorrection().metrics(), BatchCorrection().metrics(PAPER)
    assert len(paper) == 10
    assert set(paper) - set(clean) == {"silhouette_batch", "kbet_scib"}
    assert set(clean) - set(paper) == {"bras", "kbet", *BEYOND}
    assert {METRICS.describe(name).group for name in paper} == {"bio", "batch"}
    assert {METRICS.describe(name).group for name in BEYOND} == {"beyond"}
    assert CellTyping().metrics()[0] == "macro_f1"


def test_applicable_tasks_have_what_they_need(embedding, cells):
    from dataclasses import replace

    assert applicable(cells) == BOTH
    assert applicable(replace(cells, labels=None)) == ["batch_correction"]
    assert applicable(replace(cells, batch=None)) == []
    assert applicable(replace(cells, batch=None, query=np.arange(len(cells)) < 50)) == ["cell_typing"]
    assert CellTyping().lacks(replace(cells, batch=None, labels=None)) == "label_key and split_key or batch_key"


@pytest.mark.parametrize("task", BOTH)
def test_controls_belong_to_names_and_seed(cells, task):
    from dataclasses import replace

    made = TASKS.get(task)().controls(cells, seed=1)
    assert set(made) == {"random", "oracle"}
    assert made["random"].shape == (len(cells), CONTROL_WIDTH)
    order = np.random.default_rng(0).permutation(len(cells))
    moved = replace(cells, names=cells.names[order], labels=cells.labels[order], batch=cells.batch[order])
    for name, control in TASKS.get(task)().controls(moved, seed=1).items():
        assert np.array_equal(control, made[name][order])
    assert not np.array_equal(TASKS.get(task)().controls(cells, seed=2)["random"], made["random"])
    unlabelled = TASKS.get(task)().controls(replace(cells, labels=None))
    assert set(unlabelled) == {"random"}


def test_oracle_does_not_know_batches_and_is_not_collapsed(cells):
    from dataclasses import replace

    swapped = replace(cells, batch=np.roll(cells.batch, 7))
    task = BatchCorrection()
    assert np.array_equal(task.controls(cells)["oracle"], task.controls(swapped)["oracle"])
    two = replace(cells, labels=np.where(cells.labels == "t0", "t0", "rest").astype(object))
    for control in task.controls(two).values():
        assert {s.status for s in task.score(control, two)} == {_results.OK}


def test_oracle_is_at_least_as_good_as_noise_and_real_cells_lie_between(embedding, cells):
    rows = [{**row, "method": "real"} for row in score_rows(embedding, cells, BOTH)]
    scores = _results.scale(_results.frame([*control_rows(cells, BOTH), *rows]))
    wide = scores.pivot_table(index=["task", "metric"], columns="method", values="value")
    unbracketed = {"bras", "ilisi", "cilisi", "kbet", "pcr_comparison"}  # noise mixes batches perfectly
    bracketed = wide[~wide.index.get_level_values("metric").isin(unbracketed)]
    assert (bracketed["oracle"] > bracketed["random"] + 0.1).all()
    assert (bracketed["oracle"] >= bracketed["real"] - 0.02).all()
    assert (bracketed["real"] > bracketed["random"]).all()
    scaled = scores[scores["method"] == "real"].set_index("metric")["scaled"]
    assert scaled.drop(unbracketed).between(0, 1.1).all()
    assert scaled[["ilisi", "pcr_comparison"]].isna().all()


def test_a_broken_metric_costs_one_row(embedding, cells, monkeypatch):
    before = table(embedding, cells).set_index(["metric", "split"])

    def broken(**_):
        raise ZeroDivisionError("by nought")

    monkeypatch.setitem(METRICS._objects, "kbet", broken)
    after = table(embedding, cells).set_index(["metric", "split"])
    row = after.loc[("kbet", "")]
    assert (row["status"], row["message"]) == ("failed", "ZeroDivisionError: by nought")
    assert np.isnan(row["value"])
    others = [place for place in before.index if place[0] != "kbet"]
    assert after.loc[others, "value"].equals(before.loc[others, "value"])
    assert (after.loc[others, "status"] == "ok").all()


def test_a_metric_that_has_no_meaning_says_so(embedding, cells, monkeypatch):
    def meaningless(**_):
        raise NotApplicable("not today")

    monkeypatch.setitem(METRICS._objects, "accuracy", meaningless)
    rows = table(embedding, cells).query("metric == 'accuracy'")
    assert set(rows["status"]) == {"not_applicable"}
    assert set(rows["message"]) == {"not today"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, x), "1 of 150 cells have NaN or inf"),
        (lambda x: np.where(np.arange(len(x))[:, None] < 2, np.inf, x), "2 of 150 cells have NaN or inf"),
        (lambda x: x[:-1], "shape (149, 5), there are 150 cells"),
        (lambda x: x[:, 0], "shape (150,)"),
        (lambda x: x[:, :0], "shape (150, 0)"),
        (lambda x: x.astype(str), "values of type <U"),
        (lambda x: x.astype(complex), "values of type complex128"),
    ],
)
def test_an_embedding_that_cannot_be_scored_fails_alone(embedding, cells, spoil, message):
    scores = table(spoil(embedding), cells)
    assert set(scores["status"]) == {"failed"}
    assert scores["message"].str.contains(message, regex=False).all()
    assert scores["value"].isna().all()
    assert set(scores["metric"]) == set(table(embedding, cells)["metric"])
    assert set(table(embedding, cells)["status"]) == {"ok"}


def test_a_collapsed_embedding_keeps_its_values_and_is_marked(cells):
    scores = table(np.ones((len(cells), 5)), cells).set_index("metric")
    assert scores.loc["pcr_comparison", "status"] == "not_applicable"
    rest = scores.drop("pcr_comparison")
    assert set(rest["status"]) == {"collapsed"}
    assert rest["value"].notna().all()
    assert rest["message"].str.startswith("collapsed: cells differ by 0.0e+00").all()
    assert rest.loc["bras", "value"] == 1.0  # the reason for the mark


def test_one_batch_and_one_label_are_not_applicable(embedding, cells):
    from dataclasses import replace

    one_batch = table(embedding, replace(cells, batch=np.repeat("B", len(cells)).astype(object)))
    status = one_batch.groupby("metric")["status"].first()
    assert (status[["bras", "ilisi", "kbet", "pcr_comparison", "accuracy"]] == "not_applicable").all()
    assert (status[["silhouette_label", "clisi", "leiden_nmi", "graph_connectivity"]] == "ok").all()
    one_label = table(embedding, replace(cells, labels=np.repeat("T", len(cells)).astype(object)))
    status = one_label.groupby("metric")["status"].first()
    assert (status[["ilisi", "pcr_comparison"]] == "ok").all()
    assert (status.drop(["ilisi", "pcr_comparison"]) == "not_applicable").all()
    assert one_label.query("metric == 'accuracy'")["message"].str.contains("same label 'T'").all()


def test_same_seed_same_rows(embedding, cells):
    first, second = (table(embedding, cells, seed=3).drop(columns="score_s") for _ in range(2))
    assert first.equals(second)


def test_chosen_metrics_only(embedding, cells):
    found = BatchCorrection().score(embedding, cells, metrics=["ilisi", "silhouette_batch"], split="mine")
    assert [(s.metric, s.split, s.status) for s in found] == [
        ("ilisi", "mine", "ok"),
        ("silhouette_batch", "mine", "ok"),
    ]


def test_what_a_model_answers_itself_has_no_value_for_an_embedding(embedding, cells):
    """Named beside others: the numbers of the neighbours must not stand under its name."""
    names = ["macro_f1", "macro_f1_head"]
    found = table(embedding, cells, tasks=["cell_typing"], metrics=names).groupby("metric")["status"].unique()
    assert list(found["macro_f1"]) == ["ok"]
    assert list(found["macro_f1_head"]) == ["not_applicable"]
    answers = {"labels": np.asarray(cells.labels)}
    told = table(embedding, cells, tasks=["cell_typing"], metrics=names, own=answers).query("metric == 'macro_f1_head'")
    assert set(told["value"]) == {1.0}
    controls = [row for row in control_rows(cells, ["cell_typing"], metrics=names) if row["metric"] == "macro_f1_head"]
    assert {row["status"] for row in controls} == {"not_applicable"}


def test_two_cells_are_too_few():
    cells = Cells(names=np.array(["a", "b"]), labels=np.array(["x", "y"]), batch=np.array(["1", "2"]))
    assert base.unusable(np.eye(2), cells) == "2 cells are too few to be scored"


def test_scoring_needs_neither_torch_nor_anndata():
    code = (
        "import sys, numpy as np; from scssl.tasks import Cells, applicable, control_rows;"
        "cells = Cells(names=np.arange(60).astype(str), labels=np.arange(60) % 3, batch=np.arange(60) % 2);"
        "rows = list(control_rows(cells, applicable(cells)));"
        "print(len(rows), [m for m in ('torch', 'anndata', 'jax', 'umap', 'scanpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "58 []"

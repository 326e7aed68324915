from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scssl as ssl
from scssl import InputError, KeyNotFoundError, _keys, _results

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "table" / "rows.py")))


def holder(table: pd.DataFrame) -> ad.AnnData:
    adata = ad.AnnData(np.zeros((2, 1), dtype=np.float32))
    _results.keep(adata, table)
    return adata


def test_scores_from_an_object_a_frame_and_a_file_are_the_same(tmp_path):
    table = made.scores()
    table.to_csv(tmp_path / "scores.csv", index=False)
    for source in (holder(table), table, tmp_path / "scores.csv", str(tmp_path / "scores.csv")):
        pd.testing.assert_frame_equal(ssl.get.scores(source), table)


def test_scores_of_one_method_and_task():
    part = ssl.get.scores(made.scores(), method="pca", task="cell_typing")
    assert set(part["method"]) == {"pca"}
    assert set(part["task"]) == {"cell_typing"}
    with pytest.raises(KeyNotFoundError, match=r"There is no method 'pcb'.*Did you mean 'pca'"):
        ssl.get.scores(made.scores(), method="pcb")
    with pytest.raises(InputError, match=r"no profile 'papre'.*Did you mean 'paper'"):
        ssl.get.scores(made.scores(), profile="papre")


def test_the_paper_profile_is_min_max_inside_each_seed():
    table = made.scores({"pca": 0.3, "simclr": 0.6, "vicreg": 0.7}, seeds=2)
    paper = ssl.get.scores(table, profile="paper")
    raw = table[(table["task"] == "batch_correction")]
    for (seed, metric), part in raw.groupby(["seed", "metric"]):
        got = paper[(paper["seed"] == seed) & (paper["metric"] == metric)].set_index("method")["value"]
        values = part.set_index("method")["value"]
        expected = (values - values.min()) / (values.max() - values.min())
        np.testing.assert_allclose(got[expected.index], expected)
    totals = paper[paper["group"] == "totals"].pivot_table(index=["seed", "method"], columns="metric", values="value")
    np.testing.assert_allclose(totals["total"], 0.6 * totals["bio"] + 0.4 * totals["batch"])
    assert tuple(paper.columns) == _results.COLUMNS
    assert set(paper["n_obs"]) == {700}


def test_views_are_not_stored():
    adata = holder(made.scores())
    before = adata.uns["scssl"]["scores"].copy()
    ssl.get.scores(adata, profile="paper")
    ssl.get.summary(adata)
    pd.testing.assert_frame_equal(adata.uns["scssl"]["scores"], before)


def test_summary_is_sorted_and_reads_well():
    summary = ssl.get.summary(made.scores())
    assert summary.index.tolist() == ["simclr", "vicreg", "untrained", "pca", "random", "oracle"]
    assert summary.columns[:3].tolist() == ["total", "bio", "batch"]
    assert summary["n_seeds"].eq(2).all()
    mean, sd, high = (
        ssl.get.summary(made.scores(), statistic=s).loc["simclr", "total"] for s in ("mean", "sd", "high")
    )
    assert high - mean == pytest.approx(12.7062 * sd / np.sqrt(2), rel=1e-4)  # Student's t with one degree of freedom
    text = ssl.get.summary(made.scores(), statistic="text")
    assert text.loc["simclr", "total"] == f"{mean:.2f} ± {high - mean:.2f}"
    with pytest.raises(KeyNotFoundError, match="no statistic 'median'"):
        ssl.get.summary(made.scores(), statistic="median")


def test_a_failed_metric_shows_in_the_note_and_takes_the_total_away():
    table = made.with_status(made.scores(), "pca", "failed", "ValueError: boom", metrics=["kbet"])
    summary = ssl.get.summary(table)
    assert np.isnan(summary.loc["pca", "total"])
    assert np.isnan(summary.loc["pca", "batch"])
    assert summary.loc["pca", "bio"] > 0
    assert summary.loc["pca", "note"].startswith("kbet failed: ValueError: boom; Total 0.")
    assert ssl.get.summary(table, statistic="text").loc["pca", "total"] == "–"
    assert (
        ssl.get.summary(table, missing="drop").loc["pca", "total"]
        > ssl.get.summary(table, missing="floor").loc["pca", "total"]
    )


def test_history_and_models():
    history = pd.DataFrame({"epoch": [1, 2], "loss": [3.0, 2.0]}, index=["0", "1"])
    adata = ad.AnnData(np.zeros((2, 1), dtype=np.float32))
    assert ssl.get.models(adata).empty
    _keys.shelf(adata, _keys.MODELS)["simclr"] = {"method": "simclr", "seed": 1, "history": history}
    _keys.shelf(adata, _keys.MODELS)["pca"] = {"method": "pca", "seed": 0, "history": pd.DataFrame()}
    assert ssl.get.history(adata, "simclr")["loss"].tolist() == [3.0, 2.0]
    assert ssl.get.history(adata, "X_simclr").equals(ssl.get.history(adata, "simclr"))
    assert ssl.get.history(adata, "pca").empty
    models = ssl.get.models(adata)
    assert models.loc["simclr", ["method", "seed", "loss"]].tolist() == ["simclr", 1, 2.0]
    assert np.isnan(models.loc["pca", "loss"])
    with pytest.raises(
        KeyNotFoundError, match=r"There is no model 'simclx'. Known: 'pca', 'simclr'. Did you mean 'simclr'"
    ):
        ssl.get.history(adata, "simclx")

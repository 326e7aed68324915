from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scssl as ssl
from scssl import KeyNotFoundError, _results
from scssl._results import Row
from scssl.table.advice import advise
from scssl.table.board import board

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "rows.py")))


def flat(values, **about):
    """Rows of one metric: ``{method: [value of seed 0, 1, ...]}``."""
    about = {"task": "t", "metric": "f1", "group": "typing", "main": True, "data_id": "d"} | about
    rows = [Row(method=m, key=m, seed=s, value=v, **about) for m, seeds in values.items() for s, v in enumerate(seeds)]
    return _results.frame(rows)


CLEAR = {
    "top": [0.80, 0.81, 0.79, 0.80], "near": [0.79, 0.80, 0.81, 0.79], "mid": [0.60, 0.61, 0.60, 0.59],
    "low": [0.30, 0.31, 0.30, 0.29], "random": [0.1],
}  # fmt: skip


def test_ties_and_ranks():
    found = ssl.get.ranks(flat(CLEAR)).set_index("method")
    assert found[["rank_low", "rank_high"]].to_numpy().tolist() == [[1, 2], [1, 2], [3, 3], [4, 4]]
    assert found["rank"].tolist() == [1, 2, 3, 4]
    assert found.index[found["tied"]].tolist() == ["top", "near"]


def test_lower_is_better_turns_the_ranks():
    found = ssl.get.ranks(flat(CLEAR, better="lower")).set_index("method")
    assert found.loc["low", ["rank_low", "rank_high"]].tolist() == [1, 1]
    assert found.index[0] == "low"
    gain = ssl.get.differences(flat(CLEAR, better="lower"), baseline="mid").set_index("method")
    assert gain.loc["low", "wins"] == 4
    assert gain.loc["top", "wins"] == 0


def test_one_seed_ranks_nobody():
    found = ssl.get.ranks(flat({m: v[:1] for m, v in CLEAR.items()}))
    assert found["tied"].all()
    assert set(found["rank_high"]) == {4}


def test_collapsed_and_failed_methods_have_no_rank():
    table = made.with_status(made.scores(seeds=3), "simclr", "collapsed", "effective rank 1.02")
    table = made.with_status(table, "vicreg", "failed", "boom")
    found = ssl.get.ranks(table, task="batch_correction").set_index("method")
    assert found.loc[["simclr", "vicreg"], ["rank", "rank_low", "rank_high"]].to_numpy().tolist() == [[0, 0, 0]] * 2
    assert not found.loc[["simclr", "vicreg"], "tied"].any()
    assert found.loc[["simclr", "vicreg"], "status"].tolist() == ["collapsed", "failed"]
    assert set(found["rank_high"]) <= {0, 1, 2}
    assert not set(found.index) & {"random", "oracle"}


def test_data_sets_are_compared_in_pairs():
    """What makes a data set hard hides a difference from everything but a paired comparison."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0.5, 0.2, 6)
    gap = 0.05 + rng.normal(0, 0.01, 6)
    rows = [
        flat({"a": [h + g] * 2, "b": [h] * 2}, data_id=f"d{i}") for i, (h, g) in enumerate(zip(hard, gap, strict=True))
    ]
    table = pd.concat(rows)
    found = ssl.get.differences(table, baseline="b").iloc[0]
    theirs = stats.ttest_rel(hard + gap, hard)
    bounds = theirs.confidence_interval(0.95)
    assert found[["difference", "low", "high", "p"]].tolist() == pytest.approx(
        [gap.mean(), bounds.low, bounds.high, theirs.pvalue]
    )
    assert found[["wins", "runs"]].tolist() == [12, 12]
    assert ssl.get.ranks(table)["tied"].tolist() == [True, False]
    assert ssl.get.ranks(table, over="seeds")["tied"].tolist() == [True, False]


def test_differences_over_seeds_are_those_of_welch():
    table = made.scores(seeds=4)
    found = ssl.get.differences(table, baseline="pca").set_index(["task", "method"])
    totals = ssl.get.scores(table, profile="clean")
    typing = totals[totals["metric"] == "macro_f1"].groupby(["method", "seed"])["value"].mean()
    theirs = stats.ttest_ind(typing["simclr"], typing["pca"], equal_var=False)
    row = found.loc[("cell_typing", "simclr")]
    assert row["difference"] == pytest.approx(typing["simclr"].mean() - typing["pca"].mean())
    assert row["low"] == pytest.approx(theirs.confidence_interval(0.95).low)
    assert row["wins"] == 4
    assert len(found) == 2 * 3  # controls are no methods, the baseline is not compared with itself
    with pytest.raises(KeyNotFoundError, match=r"There is no method 'pcaa'.*Did you mean 'pca'"):
        ssl.get.differences(table, baseline="pcaa")


def test_a_control_can_be_the_baseline():
    found = ssl.get.differences(made.scores(), baseline="random")
    assert (found["difference"] > 0).all()
    assert (found["wins"] == found["runs"]).all()


def test_ranks_do_not_depend_on_the_order_of_rows():
    table = made.scores(seeds=3)
    mixed = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(ssl.get.ranks(table), ssl.get.ranks(mixed))


def squeezed():
    """Min-max over the table: `far` stretches the range of one metric, and with it the weight of that metric."""
    values = {"a": (0.60, 0.50), "b": (0.50, 0.58), "far": (0.55, 0.00), "end": (0.40, 0.55)}
    groups = (("clisi", "bio"), ("ilisi", "batch"))
    rows = [
        Row(method=m, key=m, task="batch_correction", metric=name, group=group, value=v, data_id="d")
        for m, pair in values.items()
        for (name, group), v in zip(groups, pair, strict=True)
    ]
    return _results.frame(rows)


def test_min_max_totals_flip_when_a_method_leaves_and_raw_ones_never_do():
    table = squeezed()
    found = ssl.get.flips(table)
    assert ("a", "b", "far") in set(found.itertuples(index=False, name=None))
    for better, worse, without in found.itertuples(index=False, name=None):
        full, less = (ssl.get.summary(t, profile="paper")["total"] for t in (table, table[table["method"] != without]))
        assert full[better] > full[worse]
        assert less[better] < less[worse]
    assert ssl.get.flips(table, profile="clean").empty
    for left in ("a", "b", "far", "end"):
        order = ssl.get.summary(table).index.drop(left)
        assert ssl.get.summary(table[table["method"] != left]).index.tolist() == order.tolist()


def test_advice_names_the_best_and_the_cheapest():
    table = flat(CLEAR)
    table["fit_s"] = table["method"].map({"top": 90.0, "near": 3.0, "mid": 1.0, "low": 1.0})
    table["peak_mb"] = 512.0
    advice = ssl.tl.recommend(table)
    assert advice["best"].tolist() == [["top", "near"]]
    assert advice.loc[0, ["cheapest", "seconds", "peak_mb"]].tolist() == ["near", 3.0, 512.0]
    sentence = advice.loc[0, "sentence"]
    assert "top leads (0.800, 95 % interval 0.787 to 0.813); near (0.798) cannot be told from the best." in sentence
    assert "Cost of a run: near 3.0 s and 512 MB, top 1.5 min and 512 MB." in sentence
    assert "not for other data" in sentence


def test_advice_is_said_at_the_verbosity_of_information(capsys):
    with ssl.settings.override(verbosity="info"):
        ssl.tl.recommend(flat(CLEAR))
    assert "top leads" in capsys.readouterr().err
    with ssl.settings.override(verbosity="error"):
        ssl.tl.recommend(flat(CLEAR))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ({"simclr": [0.8, 0.81, 0.8], "pca": [0.8, 0.8, 0.8]}, "Among them: pca, which trains no network."),
        ({"simclr": [0.5, 0.51, 0.5], "pca": [0.8, 0.8, 0.8]}, "No trained network does better."),
        ({"simclr": [0.8, 0.81, 0.8], "pca": [0.5, 0.5, 0.5]}, "simclr is best (0.803"),
        ({"simclr": [0.8], "pca": [0.5]}, "One repeat says nothing about chance"),
        ({"simclr": [0.8, 0.7]}, "was compared with nobody"),
    ],
)
def test_advice_is_honest(levels, words):
    assert words in advise(board(flat(levels))).loc[0, "sentence"]


def test_controls_are_never_recommended():
    """The cheapest of the best is a method, also where an untrained encoder or noise of its own line is as good."""
    table = flat({"untrained": [0.81, 0.8, 0.8], "simclr": [0.8, 0.81, 0.8], "pca": [0.8, 0.8, 0.81]})
    table["fit_s"] = table["method"].map({"untrained": 0.1, "simclr": 9.0, "pca": 1.0})
    advice = ssl.tl.recommend(table)
    assert set(advice.loc[0, "best"]) == {"simclr", "pca"}
    assert advice.loc[0, "cheapest"] == "pca"
    assert "untrained leads (a control, 0.80" in advice.loc[0, "sentence"]
    assert "Whoever cannot be told from a control has shown nothing" in advice.loc[0, "sentence"]
    assert "untrained 0.1 s" not in advice.loc[0, "sentence"]
    alone = ssl.tl.recommend(flat({"untrained": [0.81, 0.8, 0.8], "simclr": [0.3, 0.31, 0.3]}))
    assert alone.loc[0, "best"] == []
    assert pd.isna(alone.loc[0, "cheapest"])
    assert "untrained is best (a control, 0.80" in alone.loc[0, "sentence"]
    assert "No trained network does better." in alone.loc[0, "sentence"]


def test_advice_when_nothing_can_be_said():
    failed = flat({"x": [np.nan, np.nan]}).assign(status="failed", message="boom")
    advice = ssl.tl.recommend(failed)
    assert advice.loc[0, "best"] == []
    assert "No method has a number that can be trusted" in advice.loc[0, "sentence"]
    assert ssl.tl.recommend(_results.frame([])).empty
    dead = pd.concat([flat(CLEAR), flat({"dead": [0.9] * 4}).assign(status="collapsed", message="rank 1")])
    assert "Not ranked: dead (collapsed)." in ssl.tl.recommend(dead).loc[0, "sentence"]

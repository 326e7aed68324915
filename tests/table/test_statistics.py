from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scssl import InputError, _results
from scssl._protocol import PAPER
from scssl._results import Row
from scssl.table import statistics
from scssl.table.board import board, simulation

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "rows.py")))


def value(summary: pd.DataFrame, method: str, metric: str, column: str = "mean"):
    row = summary[(summary["method"] == method) & (summary["metric"] == metric)]
    assert len(row) == 1
    return row[column].item()


def test_summary_equals_a_plain_loop():
    table = made.scores(seeds=3)
    summary = statistics.summarise(table)
    for method in made.LEVELS:
        totals = []
        for seed in range(3):
            rows = table[(table["method"] == method) & (table["seed"] == seed)]
            means = {
                g: np.mean([v for v, h in zip(rows["value"], rows["group"], strict=True) if h == g])
                for g in made.GROUPS
            }
            totals.append(0.6 * means["bio"] + 0.4 * means["batch"])
        assert value(summary, method, "total") == pytest.approx(np.mean(totals))
        assert value(summary, method, "total", "sd") == pytest.approx(np.std(totals, ddof=1))


def test_splits_are_averaged_before_seeds():
    rows = [Row(method="m", key="m", task="t", metric="f1", group="typing", seed=s, split=str(k), value=v)
            for s, k, v in [(0, 1, 0.1), (0, 2, 0.3), (1, 1, 0.6)]]  # fmt: skip
    summary = statistics.summarise(_results.frame(rows))
    assert value(summary, "m", "f1") == pytest.approx((0.2 + 0.6) / 2)
    assert value(summary, "m", "f1", "n_seeds") == 2


def test_a_split_to_which_a_metric_does_not_apply_is_left_out_but_a_failed_one_is_not():
    rows = [Row(method=m, key=m, task="t", metric="f1", group="typing", split=k, value=v, status=s)
            for m, k, v, s in [("a", "1", 0.4, "ok"), ("a", "2", np.nan, "not_applicable"),
                               ("b", "1", 0.4, "ok"), ("b", "2", np.nan, "failed")]]  # fmt: skip
    summary = statistics.summarise(_results.frame(rows))
    assert value(summary, "a", "f1") == pytest.approx(0.4)
    assert np.isnan(value(summary, "b", "f1"))
    assert value(summary, "b", "f1", "status") == "failed"


def test_a_failed_seed_is_counted_not_hidden():
    table = made.with_status(made.scores(seeds=3), "simclr", "failed", "boom", seed=2)
    summary = statistics.summarise(table)
    assert value(summary, "simclr", "total", "n_seeds") == 2
    assert value(summary, "simclr", "total", "n_runs") == 3
    assert "failed in 1 of 3 seeds: boom" in board(table).lines.loc["simclr", "note"]


def test_a_run_that_left_no_metric_rows_is_in_the_table_with_its_reason():
    broken = _results.frame([Row(method="byol", key="byol", status="timeout", message="after 60 s")])
    table = board(pd.concat([made.scores(), broken]))
    assert table.mean.loc["byol"].isna().all()
    assert table.lines.loc["byol", "status"] == "timeout"
    (note,) = table.notes
    assert note.startswith("byol: ran out of time: after 60 s; Total 0.")
    assert table.methods.index[-1] == "byol"


def test_a_seed_that_failed_before_the_model_was_built_belongs_to_its_method():
    table = made.with_status(made.scores(seeds=3), "simclr", "failed", "boom", seed=1)
    table.loc[(table["method"] == "simclr") & (table["seed"] == 1), "config_id"] = ""
    result = board(table)
    assert len(result.lines) == len(made.LEVELS)
    assert result.lines.loc["simclr", ["n_seeds", "n_runs"]].tolist() == [2, 3]
    assert result.lines.loc["simclr", "seconds"] > 0


def test_a_metric_that_applies_to_nobody_does_not_take_the_totals_away():
    table = made.scores()
    everyone = table.copy()
    hit = everyone["metric"] == "kbet"
    everyone.loc[hit, ["value", "scaled"]] = np.nan
    everyone.loc[hit, "status"] = "not_applicable"
    total = value(statistics.summarise(everyone), "pca", "total")
    assert total == pytest.approx(value(statistics.summarise(table[table["metric"] != "kbet"]), "pca", "total"))
    one = made.with_status(table, "pca", "not_applicable", "counts only", metrics=["kbet"])
    assert np.isnan(value(statistics.summarise(one), "pca", "total"))


def test_no_total_without_both_groups():
    table = made.scores()
    summary = statistics.summarise(table[table["group"] != "batch"])
    assert "total" not in set(summary["metric"])
    assert "total" in set(statistics.summarise(table)["metric"])


def test_removing_a_method_changes_no_raw_number_of_the_others():
    table = made.scores()
    full = statistics.summarise(table)
    less = statistics.summarise(table[table["method"] != "vicreg"])
    pd.testing.assert_frame_equal(full[full["method"] != "vicreg"].reset_index(drop=True), less)


def test_the_order_of_rows_does_not_matter():
    table = made.scores(seeds=3)
    mixed = table.sample(frac=1, random_state=1).reset_index(drop=True)
    keys = ["method", "metric"]
    one, two = (statistics.summarise(t).set_index(keys)["mean"].sort_index() for t in (table, mixed))
    np.testing.assert_allclose(one, two)


def test_paper_pool_ignores_controls_and_keeps_single_seed_methods_in_every_seed():
    table = made.scores({"random": 0.0, "oracle": 1.0, "a": 0.3, "b": 0.6}, seeds=2)
    table = table[~((table["method"] == "a") & (table["seed"] == 1))]
    runs = statistics.per_run(table, protocol=PAPER)
    bounded = runs[~runs["method"].isin(statistics.CONTROLS) & runs["group"].isin(statistics.WEIGHTS)]
    # in seed 1 only b was run; measured against a's single run it is the best of two, not the only one
    assert (bounded[(bounded["method"] == "b")]["value"] == 1).all()
    assert (bounded[(bounded["method"] == "a")]["value"] == 0).all()


def test_ties_become_zero_in_the_paper_profile():
    runs = statistics.per_run(made.scores({"a": 0.3}, seeds=1), protocol=PAPER)
    assert (runs[runs["group"].isin(statistics.WEIGHTS)]["value"] == 0).all()


def test_collapsed_methods_stand_below_sound_ones_whatever_their_total():
    table = made.with_status(made.scores(), "simclr", "collapsed", "effective rank 1.02")
    result = board(table)
    assert result.mean.loc["simclr", "total"] == result.methods.join(result.mean)["total"].max()
    assert result.methods.index.tolist() == ["vicreg", "untrained", "pca", "simclr"]
    assert "effective rank 1.02" in result.notes[0]


def test_every_method_that_goes_in_comes_out():
    levels = {f"m{i}": 0.5 for i in range(25)}
    assert len(board(made.scores(levels)).lines) == 25


def test_lines_with_the_same_key_are_told_apart():
    two = pd.concat([made.scores({"simclr": 0.5}), made.scores({"simclr": 0.6}).assign(config_id="other-config")])
    assert sorted(board(two).lines.index) == ["simclr (cfg-si)", "simclr (other-)"]
    named = made.scores({"simclr": 0.5}).assign(key="X_mine")
    assert board(named).lines.index.tolist() == ["mine"]


def test_two_data_sets_are_averaged_and_a_missing_one_is_missing():
    one, two = made.scores({"pca": 0.4, "simclr": 0.7}), made.scores({"pca": 0.6, "simclr": 0.7}, data="other")
    table = board(pd.concat([one, two]))
    assert table.facts["data"] == ["pbmc68k", "other"]
    expected = np.mean([board(t).mean.loc["pca", "total"] for t in (one, two)])
    assert table.mean.loc["pca", "total"] == pytest.approx(expected)
    partly = board(pd.concat([one, two[two["method"] == "simclr"]]))
    assert np.isnan(partly.mean.loc["pca", "total"])
    assert partly.lines.loc["pca", "note"].startswith("was not scored; Total 0.40 if that is left out")


def test_seconds_are_those_of_a_run_not_of_a_row():
    table = made.scores({"simclr": 0.5}, seeds=1)
    assert board(table).lines.loc["simclr", "seconds"] == pytest.approx(20.1)


def test_an_empty_table_has_no_lines():
    result = board(_results.frame([]))
    assert len(result.lines) == len(result.columns) == 0
    assert result.small_print() == "no runs"


def test_small_print_says_what_the_numbers_are():
    text = board(made.scores()).small_print(simulated="simulated batches")
    assert text == (
        "pbmc68k · 700 cells · simulated batches · mean and 95 % interval over 2 seeds · total = 0.6 bio + 0.4 batch of raw values"
    )
    assert "of min-max scaled values" in board(made.scores(), protocol=PAPER).small_print()


def test_simulation_is_read_from_the_record():
    assert (
        simulation(SimpleNamespace(uns={"simulation": '{"what": "simulated batches", "n": 3}'})) == "simulated batches"
    )
    assert simulation(SimpleNamespace(uns={"simulation": "by hand"})) == "by hand"
    assert simulation(SimpleNamespace(uns={})) == simulation(made.scores()) == ""


def flat(seed_values, **about):
    """Rows of one metric: ``{method: [value of seed 0, 1, ...]}``."""
    about = {"task": "t", "metric": "f1", "group": "typing", "main": True, "data_id": "d"} | about
    rows = [
        Row(method=m, key=m, seed=s, value=v, status="failed" if np.isnan(v) else "ok", **about)
        for m, values in seed_values.items()
        for s, v in enumerate(values)
    ]
    return _results.frame(rows)


def test_intervals_are_over_seeds_of_means_over_data_sets():
    a, b = {"x": [0.1, 0.3, 0.4]}, {"x": [0.5, 0.9, 0.6]}
    summary = statistics.summarise(pd.concat([flat(a, data_id="a"), flat(b, data_id="b")]))
    seeds = np.array([0.3, 0.6, 0.5])
    low, high = stats.t.interval(0.95, 2, seeds.mean(), stats.sem(seeds))
    assert value(summary, "x", "f1") == pytest.approx(seeds.mean())
    assert value(summary, "x", "f1", "low") == pytest.approx(low)
    assert value(summary, "x", "f1", "high") == pytest.approx(high)


def test_three_data_sets_are_repeats_and_two_are_not_unless_asked_for():
    means = {"a": 0.2, "b": 0.6, "c": 0.7}
    rows = pd.concat([flat({"x": [m - 0.1, m + 0.1]}, data_id=d) for d, m in means.items()])
    table = board(rows)
    low, high = stats.t.interval(0.95, 2, 0.5, stats.sem(list(means.values())))
    assert [table.low.loc["x", "f1"], table.high.loc["x", "f1"]] == pytest.approx([low, high])
    assert "mean and 95 % interval over 3 data sets" in table.small_print()
    two = rows[rows["data_id"] != "c"]
    assert "over 2 seeds" in board(two).small_print()
    assert value(statistics.summarise(two, over="data"), "x", "f1", "n") == 2
    assert value(statistics.summarise(rows, over="seeds"), "x", "f1", "sd") == pytest.approx(np.sqrt(0.02))
    with pytest.raises(InputError, match=r"no over 'seed'.*Did you mean 'seeds'"):
        statistics.summarise(rows, over="seed")


def test_one_repeat_has_no_interval():
    summary = statistics.summarise(flat({"x": [0.4]}))
    assert np.isnan(value(summary, "x", "f1", "low"))
    assert "one seed" in board(flat({"x": [0.4]})).small_print()


def test_a_metric_that_does_not_apply_to_one_data_set_is_averaged_over_the_others():
    idle = flat({"x": [np.nan], "y": [np.nan]}, data_id="b").assign(status="not_applicable")
    summary = statistics.summarise(pd.concat([flat({"x": [0.4], "y": [0.5]}, data_id="a"), idle]))
    assert value(summary, "x", "f1") == pytest.approx(0.4)


def test_what_failed_is_left_out_or_counts_as_random():
    rows = flat({"random": [0.1], "x": [0.6, np.nan, 0.8], "y": [0.5, 0.5, 0.5]})
    keep, drop, floor = (statistics.summarise(rows, missing=m) for m in ("keep", "drop", "floor"))
    assert value(keep, "x", "f1") == value(drop, "x", "f1") == pytest.approx(0.7)  # seeds that are left are counted
    assert value(floor, "x", "f1") == pytest.approx((0.6 + 0.1 + 0.8) / 3)
    assert value(floor, "x", "f1", "status") == "failed"
    for table in (drop, floor):
        assert value(table, "y", "f1") == value(keep, "y", "f1")


def test_totals_under_both_policies_by_hand():
    table = made.with_status(made.scores(seeds=1), "pca", "failed", "boom", metrics=["kbet"])
    rows = table[(table["method"] == "pca") & (table["task"] == "batch_correction")].set_index("metric")["value"]
    floor = table[(table["method"] == "random") & (table["metric"] == "kbet")]["value"].item()
    bio, batch = (rows.reindex(list(made.GROUPS[g])) for g in ("bio", "batch"))
    assert np.isnan(value(statistics.summarise(table), "pca", "total"))
    dropped = 0.6 * bio.mean() + 0.4 * batch.mean()  # without kbet
    floored = 0.6 * bio.mean() + 0.4 * batch.fillna(floor).mean()
    assert value(statistics.summarise(table, missing="drop"), "pca", "total") == pytest.approx(dropped)
    assert value(statistics.summarise(table, missing="floor"), "pca", "total") == pytest.approx(floored)
    result = board(table)
    assert result.policies["drop"].loc["pca", "total"] == pytest.approx(dropped)
    assert result.policies["floor"].loc["pca", "total"] == pytest.approx(floored)
    assert result.policies["drop"].index.tolist() == ["pca"]
    assert f"Total {dropped:.2f} if that is left out, {floored:.2f} if that is counted as random" in result.notes[0]
    with pytest.raises(InputError, match="no missing 'worst'"):
        statistics.summarise(table, missing="worst")


def test_a_run_that_failed_as_a_whole_counts_as_random_or_not_at_all():
    table = made.scores(seeds=2)
    gone = (table["method"] == "simclr") & (table["seed"] == 1)
    failed = _results.frame(
        [Row(**{**table[gone].iloc[0].to_dict(), "metric": "", "task": "", "value": np.nan, "status": "failed"})]
    )
    table = pd.concat([table[~gone], failed])
    random, first = (
        value(statistics.summarise(table[(table["method"] == m) & (table["metric"] != "")]), m, "total")
        for m in ("random", "simclr")
    )
    assert value(statistics.summarise(table, missing="floor"), "simclr", "total") == pytest.approx(
        (first + random) / 2, abs=0.02
    )
    assert value(statistics.summarise(table, missing="drop"), "simclr", "total") == pytest.approx(first)


@pytest.mark.parametrize("left", ["simclr", "pca"])
@pytest.mark.parametrize("missing", ["keep", "drop", "floor"])
def test_removing_a_method_changes_no_number_of_the_others(left, missing):
    table = made.with_status(made.scores(seeds=3), "vicreg", "failed", "boom", metrics=["kbet"])
    columns = ["mean", "sd", "low", "high"]
    full = statistics.summarise(table, missing=missing).set_index(["method", "metric"])[columns]
    less = statistics.summarise(table[table["method"] != left], missing=missing).set_index(["method", "metric"])[
        columns
    ]
    pd.testing.assert_frame_equal(full.loc[less.index], less)


def test_the_paper_profile_knows_ten_metrics_and_says_who_stands_in():
    table = made.scores({"random": 0.1, "a": 0.3, "b": 0.6})
    extra = table[table["metric"] == "ilisi"].assign(metric="cilisi", value=0.9)
    both = pd.concat([table, extra])
    view = statistics.per_run(both, protocol=PAPER)
    assert "cilisi" not in set(view["metric"])
    pd.testing.assert_frame_equal(view, statistics.per_run(table, protocol=PAPER))
    assert "cilisi" in set(statistics.per_run(both)["metric"])
    assert "bras in place of silhouette_batch" in board(both, protocol=PAPER).small_print()
    published = pd.concat([both, table[table["metric"] == "bras"].assign(metric="silhouette_batch", value=0.5)])
    assert "bras" not in set(statistics.per_run(published, protocol=PAPER)["metric"])
    assert "bras in" not in board(published, protocol=PAPER).small_print()


def test_trivial_predictors_are_controls_of_their_task():
    rows = [
        Row(method=m, key=m, seed=s, task="reconstruction", metric="weighted_ev", group="reconstruction", value=v, main=True)
        for m, v, seeds in [("random", -0.5, 1), ("mean_profile", 0.0, 1), ("oracle", 1.0, 1), ("vae", 0.4, 2), ("ae", -2.0, 2)]
        for s in range(seeds)
    ]  # fmt: skip
    table = board(pd.concat([made.scores({"random": 0.1, "oracle": 0.9, "vae": 0.5}), _results.frame(rows)]))
    assert table.lines.index[table.lines["control"]].tolist() == ["random", "mean_profile", "oracle"]
    assert table.methods.index.tolist() == ["vae", "ae"]
    assert not [note for note in table.notes if "mean_profile" in note]
    blocks = table.columns["block"]
    assert len(dict.fromkeys(blocks)) == (blocks != blocks.shift()).sum()  # each stands together
    assert table.share("weighted_ev", -2.0) == 0  # the axis reaches as far as methods do
    assert table.share("weighted_ev", 1.0) == 1
    assert table.share("weighted_ev", 0.4) == pytest.approx(2.4 / 3)
    assert table.share("total", 0.5) == 0.5

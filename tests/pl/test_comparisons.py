"""Figures of ranks, cost and confusion: what they show is read back from the drawing."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import scssl as ssl
from scssl import InputError, KeyNotFoundError, _results
from scssl.pl._tradeoff import _ticks

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "table" / "rows.py")))
METHODS = ["simclr", "vicreg", "untrained", "pca"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def texts(ax) -> list[str]:
    return [t.get_text() for t in ax.texts if t.get_text()]


def boxes(ax, wanted) -> dict:
    ax.figure.canvas.draw()
    return {t.get_text(): t.get_window_extent() for t in ax.texts if t.get_text() in wanted}


def area(one, two) -> float:
    """Pixels that two boxes share."""
    return max(min(one.x1, two.x1) - max(one.x0, two.x0), 0) * max(min(one.y1, two.y1) - max(one.y0, two.y0), 0)


def segments(ax) -> dict[float, tuple[float, float]]:
    """Ends of the horizontal lines, by their height."""
    lines = [line.get_xydata() for line in ax.lines if len(line.get_xydata()) == 2]
    return {y0: (x0, x1) for (x0, y0), (x1, y1) in lines if y0 == y1 and y0 == int(y0)}


def test_ranks_draws_the_intervals_and_shades_the_tie_group():
    table = made.scores(seeds=3)
    ax = ssl.pl.ranks(table, task="cell_typing", show=False)
    found = ssl.get.ranks(table, task="cell_typing")
    assert [t.get_text() for t in ax.get_yticklabels()] == found["method"].tolist()
    drawn = segments(ax)
    assert [drawn[y] for y in range(4)] == list(zip(found["rank_low"], found["rank_high"], strict=True))
    (shade,) = ax.patches
    assert shade.get_height() == found["tied"].sum()
    bold = [t.get_text() for t in ax.texts if t.get_weight() == "bold"]
    assert bold == [f"{v:.3f}" for v in found.loc[found["tied"], "mean"]]
    assert "cannot be told from the best" in texts(ax)[-1]


def test_ranks_has_a_panel_for_each_task_and_words_for_who_has_no_rank():
    table = made.with_status(made.scores(seeds=3), "simclr", "collapsed", "rank 1")
    table = made.with_status(table, "pca", "timeout", "after 60 s")
    axes = ssl.pl.ranks(table, show=False).figure.axes
    assert [a.get_title(loc="left") for a in axes] == ["Batch correction", "Cell typing"]
    for ax in axes:
        assert {"collapsed", "ran out of time"} <= set(texts(ax))
        assert len(segments(ax)) == 2


def test_one_seed_shades_nobody():
    ax = ssl.pl.ranks(made.scores(seeds=1), task="cell_typing", show=False)
    assert not ax.patches
    assert not [t for t in ax.texts if t.get_weight() == "bold"]
    assert "One repeat says nothing about chance" in texts(ax)[-1]


@pytest.mark.parametrize("draw", ["ranks", "tradeoff"])
def test_axes_sizes_and_refusals(draw):
    plot = getattr(ssl.pl, draw)
    _, ax = plt.subplots()
    assert plot(made.scores(), task="cell_typing", ax=ax, show=False) is ax
    with pytest.raises(InputError, match="ax was given for 2 tasks"):
        plot(made.scores(), ax=ax, show=False)
    with pytest.raises(KeyNotFoundError, match=r"There is no task 'cell_typin'.*Did you mean 'cell_typing'"):
        plot(made.scores(), task="cell_typin", show=False)
    sized = plot(made.scores(), figsize=(9, 2.5), show=False)
    assert tuple(sized.figure.get_size_inches()) == (9, 2.5)
    assert "Nothing was scored: the table has no rows." in texts(plot(_results.frame([]), show=False))


@pytest.mark.parametrize("draw", ["ranks", "tradeoff"])
def test_saving_and_the_users_style(draw, tmp_path):
    before = dict(plt.rcParams)
    getattr(ssl.pl, draw)(made.scores(), show=False, save=tmp_path / "figure.svg")
    assert ">simclr<" in (tmp_path / "figure.svg").read_text()
    assert dict(plt.rcParams) == before


def test_tradeoff_draws_scores_against_seconds_on_a_logarithmic_axis():
    table = made.scores(seeds=3)
    ax = ssl.pl.tradeoff(table, task="batch_correction", show=False)
    assert ax.get_xscale() == "log"
    summary = ssl.get.summary(table).loc[METHODS]
    points = {tuple(np.round(line.get_xydata()[0], 6)) for line in ax.lines if len(line.get_xydata()) == 1}
    assert points == {tuple(np.round(p, 6)) for p in summary[["seconds", "total"]].to_numpy()}
    assert set(METHODS) <= set(texts(ax))


def test_tradeoff_joins_those_that_nobody_beats():
    table = made.scores({"cheap": 0.4, "wasteful": 0.41, "good": 0.7, "worse": 0.6}, seeds=2)
    table["fit_s"] = table["method"].map({"cheap": 1.0, "wasteful": 50.0, "good": 10.0, "worse": 20.0})
    ax = ssl.pl.tradeoff(table, task="batch_correction", show=False)
    (front,) = [line.get_xydata() for line in ax.lines if len(line.get_xydata()) > 2]
    assert set(np.round(front[:-1, 0], 3)) == {1.1, 10.1}


def test_tradeoff_by_memory_names_who_is_not_drawn():
    table = made.with_status(made.scores(seeds=2), "pca", "failed", "boom")
    table["peak_mb"] = table["method"].map({"simclr": 2048.0, "vicreg": 512.0})
    ax = ssl.pl.tradeoff(table, task="cell_typing", cost="peak_mb", show=False)
    assert "Not drawn, without a number or a cost: pca, untrained." in texts(ax)[-1]
    assert ax.get_xlabel() == "peak memory of a run"
    with pytest.raises(KeyNotFoundError, match=r"There is no cost 'second'.*Did you mean 'seconds'"):
        ssl.pl.tradeoff(table, cost="second", show=False)
    nothing = ssl.pl.tradeoff(made.scores(), cost="peak_mb", show=False)
    assert "no method has both a number and a cost" in texts(nothing)


@pytest.mark.parametrize("crowd", [4, 9, 16])
def test_names_do_not_cover_each_other_or_points(crowd):
    """Sixteen methods within a factor of two of the time and a tenth of the score."""
    names = [f"method_{i}" for i in range(crowd)]
    table = made.scores({n: 0.5 + 0.1 * i / crowd for i, n in enumerate(names)}, seeds=2)
    seconds = np.random.default_rng(0).uniform(10, 20, crowd)
    table["fit_s"] = table["method"].map(dict(zip(names, seconds, strict=True)))
    ax = ssl.pl.tradeoff(table, task="batch_correction", show=False)
    at = boxes(ax, names)
    assert len(at) == crowd
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if area(at[a], at[b]) > 4]
    assert pairs == []
    room = ax.get_window_extent()
    assert all(room.x0 <= box.x0 and box.x1 <= room.x1 for box in at.values())


@pytest.mark.parametrize(
    ("low", "high", "cost"), [(0.01, 2, "seconds"), (18, 33, "seconds"), (40, 9000, "seconds"), (480, 700, "peak_mb")]
)
def test_ticks_are_few_and_inside(low, high, cost):
    ticks = _ticks(low, high, cost)
    assert 2 <= len(ticks) <= 6
    assert all(low <= tick <= high for tick in ticks)


@pytest.fixture
def labelled() -> pd.DataFrame:
    """Two groups of types; within a group one is taken for the other, never across."""
    truth = ["B"] * 10 + ["NK"] * 10 + ["plasma"] * 10 + ["T"] * 20
    said = (
        ["B"] * 6
        + ["plasma"] * 4
        + ["NK"] * 7
        + ["T"] * 3
        + ["plasma"] * 8
        + ["B"] * 2
        + ["T"] * 15
        + ["NK"] * 4
        + ["new"]
    )
    return pd.DataFrame({"truth": truth, "said": said})


def test_confusion_shows_shares_of_rows_in_blocks(labelled):
    ax = ssl.pl.confusion(labelled, "said", label_key="truth", show=False)
    rows = [t.get_text().split(" (")[0] for t in ax.get_yticklabels()]
    columns = [t.get_text() for t in ax.get_xticklabels()]
    assert columns == [*rows, "new"]
    assert {frozenset(rows[:2]), frozenset(rows[2:])} == {frozenset({"B", "plasma"}), frozenset({"NK", "T"})}
    shown = pd.DataFrame(ax.images[0].get_array(), rows, columns)
    expected = pd.crosstab(labelled["truth"], labelled["said"], normalize="index").reindex(index=rows, columns=columns)
    pd.testing.assert_frame_equal(shown, expected, check_names=False)
    assert [t.get_text() for t in ax.get_yticklabels()][rows.index("T")] == "T (20)"
    assert "50 cells, 72.0% on the diagonal." in texts(ax)[-1]


def test_confusion_of_an_object_leaves_out_and_counts_what_is_missing(labelled):
    labelled.loc[:4, "said"] = None
    data = ad.AnnData(
        np.zeros((50, 1), dtype=np.float32), obs=labelled.astype("category").set_axis([f"c{i}" for i in range(50)])
    )
    ax = ssl.pl.confusion(data, "said", label_key="truth", show=False)
    assert "45 cells" in texts(ax)[-1]
    assert "5 cells without one of the labels are left out." in texts(ax)[-1]


def test_confusion_with_one_label_many_labels_and_none(labelled):
    one = ssl.pl.confusion(pd.DataFrame({"a": ["x"] * 3, "b": ["x"] * 3}), "b", label_key="a", show=False)
    assert np.asarray(one.images[0].get_array()).tolist() == [[1.0]]
    rng = np.random.default_rng(0)
    many = pd.DataFrame({"a": rng.integers(0, 40, 4000).astype(str), "b": rng.integers(0, 40, 4000).astype(str)})
    ax = ssl.pl.confusion(many, "b", label_key="a", figsize=(6, 6), show=False)
    assert len(texts(ax)) == 1  # too many to write numbers
    with pytest.raises(KeyNotFoundError, match=r"There is no column 'sai'.*Did you mean 'said'"):
        ssl.pl.confusion(labelled, "sai", label_key="truth", show=False)
    with pytest.raises(InputError, match="No cell has both a label in 'truth' and one in 'said'"):
        ssl.pl.confusion(labelled.assign(said=None), "said", label_key="truth", show=False)

"""Grids as lines of a benchmark: named, read back, drawn."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import scssl as ssl
from scssl import _results
from scssl._errors import InputError, KeyNotFoundError
from scssl.bench import ablation
from scssl.table.ablation import columns

KEYS = {"batch_key": "batch", "label_key": "cell_type"}
QUICK = {"max_epochs": 1, "batch_size": 32, "tasks": ["batch_correction"], **KEYS}


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=90, n_vars=60, n_types=3, n_batches=2, seed=0)
    ssl.pp.recipe(adata, batch_key="batch", n_top_genes=40)
    return adata


@pytest.fixture(scope="module")
def scored(cells):
    adata = cells.copy()
    grid = {"width": [8, 16], "temperature": [0.1, 0.5], "within_batch": ["mask", "off"]}
    return adata, ssl.tl.ablate(adata, grid=grid, seeds=2, **QUICK)


def test_every_combination_is_a_line(scored):
    adata, table = scored
    lines = table.dropna(subset=["width"])
    assert len(lines.groupby(["width", "temperature", "within_batch"])["key"].unique()) == 8
    assert lines["key"].nunique() == lines["config_id"].nunique() == 8
    assert set(lines["temperature"]) == {0.1, 0.5}
    assert set(lines["within_batch"]) == {"mask", "off"}
    assert "simclr: temperature=0.1, width=8, within_batch=mask" in set(lines["key"])
    assert set(table.loc[table["width"].isna(), "key"]) == {"random", "oracle"}
    stored = ssl.get.scores(adata)
    assert not {"width", "temperature"} & set(stored.columns)
    pd.testing.assert_frame_equal(stored.join(columns(stored)), table, check_like=True)


def test_a_line_is_what_a_benchmark_of_it_gives(cells, scored):
    _, table = scored
    line = {"x": {"method": "simclr", "width": 8, "temperature": 0.5, "within_batch": "off"}}
    line["x"] |= {"max_epochs": 1, "batch_size": 32}
    alone = ssl.tl.benchmark(cells.copy(), methods=line, tasks=["batch_correction"], seeds=2, **KEYS)
    there = table[table["key"] == "simclr: temperature=0.5, width=8, within_batch=off"]
    assert set(alone.loc[alone["key"] == "x", "cell_id"]) == set(there["cell_id"])
    np.testing.assert_array_equal(alone.loc[alone["key"] == "x", "value"], there["value"])


def test_names_of_lines_are_read_back():
    for axes in ({"a": "1"}, {"b": "x:0.2+y(p:0.1,q:2)", "a": "none"}, {"hidden": "32x16"}):
        assert _results.axes_of(_results.line_key("m", axes)) == axes
    for key in ("simclr", "X_pca", "my: line", "a: b=", "simclr cold: =1", "x: 1a=2", ""):
        assert _results.axes_of(key) == {}


def test_values_have_short_names():
    made = ablation.lines("simclr", {"hidden": [(32, 16), ()], "patience": [None, 3], "width": [np.int64(8)]}, {})
    assert list(made) == [
        "simclr: hidden=32x16, patience=none, width=8",
        "simclr: hidden=32x16, patience=3, width=8",
        "simclr: hidden=none, patience=none, width=8",
        "simclr: hidden=none, patience=3, width=8",
    ]
    views = ["clear", "mask:0.3", ["mask:0.2", "gaussian"], [ssl.views.Mask(fraction=0.5, p=0.25)], []]
    made = ablation.lines("simclr", {"views": views}, {"width": 8})
    names = [_results.axes_of(key)["views"] for key in made]
    assert names == ["clear", "mask:0.3", "mask+gaussian", "mask:0.5(p:0.25)", "none"]
    assert all(options["width"] == 8 for options in made.values())
    made = ablation.lines("simclr", {"method": ["simclr", "vicreg"], "width": [8]}, {})
    assert {options["method"] for options in made.values()} == {"simclr", "vicreg"}


def test_pairs_are_each_view_alone_and_each_two():
    assert len(ssl.tl.pairs("a", "b", "c", "d")) == 10
    with pytest.raises(InputError, match="make no pair"):
        ssl.tl.pairs("mask")


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({}, "names no axis"),
        (["width"], "names no axis"),
        ({"width": 8}, "not a list"),
        ({"views": "mask"}, "not a list"),
        ({"width": []}, "not a list"),
        ({"width": [8, 8]}, "8 more than once"),
        ({"views": ["mask:0.2", ["mask"]]}, "mask more than once"),
        ({"max_epochs": [1, 2]}, "a value of its own"),
    ],
)
def test_a_bad_grid_is_told_first(cells, grid, words, unchanged):
    adata = cells.copy()
    with unchanged(adata), pytest.raises(InputError, match=words):
        ssl.tl.ablate(adata, grid=grid, **QUICK)


def test_a_field_that_does_not_exist_is_told_first(cells, unchanged):
    adata = cells.copy()
    with unchanged(adata), pytest.raises(KeyNotFoundError, match="Did you mean 'temperature'"):
        ssl.tl.ablate(adata, grid={"temprature": [1]}, **QUICK)


def numbers(ax):
    return [t.get_text() for t in ax.texts if t.get_text().replace(".", "").isdecimal()]


def test_two_axes_are_a_heat_map_and_further_ones_panels(scored):
    adata, table = scored
    ax = ssl.pl.ablation(table, metrics=["total", "bio"], show=False)
    panels = ax.figure.axes
    assert len(panels) == 4
    assert all(len(numbers(panel)) == 4 for panel in panels)
    totals = ssl.get.summary(table)["total"]
    value = totals["simclr: temperature=0.1, width=8, within_batch=mask"]
    assert f"{value:.3f}" in [text for panel in panels[:2] for text in numbers(panel)]
    again = ssl.pl.ablation(adata, metrics=["total", "bio"], show=False)
    assert [numbers(p) for p in again.figure.axes] == [numbers(p) for p in panels]
    one = ssl.pl.ablation(table, x="within_batch", y="width", metrics="total", show=False)
    assert [t.get_text() for t in one.get_xticklabels()] == ["mask", "off"]
    assert one.get_ylabel() == "width"
    plt.close("all")


def test_one_axis_is_points_and_means(cells, tmp_path):
    table = ssl.tl.ablate(cells.copy(), grid={"temperature": [0.1, 0.5]}, seeds=2, **QUICK)
    table.to_csv(tmp_path / "scores.csv", index=False)
    for data in (table, tmp_path / "scores.csv"):
        ax = ssl.pl.ablation(data, show=False)
        points, means = ax.lines[0], ax.lines[1]
        assert len(points.get_xdata()) == 4
        np.testing.assert_allclose(sorted(means.get_xdata()), [0, 1])
        drawn = pd.Series(points.get_ydata()).groupby(np.asarray(points.get_xdata())).mean()
        np.testing.assert_allclose(means.get_ydata(), drawn)
    ssl.pl.benchmark(table, show=False)
    plt.close("all")


def test_pairs_of_views_are_a_square(cells):
    table = ssl.tl.ablate(cells.copy(), grid={"views": ssl.tl.pairs("mask", "gaussian", "inner_swap")}, **QUICK)
    ax = ssl.pl.ablation(table, metrics="total", show=False)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["mask", "gaussian", "inner_swap"]
    assert len(numbers(ax)) == 6
    plt.close("all")


def test_what_cannot_be_drawn_is_told(scored, cells):
    _, table = scored
    with pytest.raises(InputError, match="No line of this table belongs to an ablation"):
        ssl.pl.ablation(table.loc[table["key"] == "random", list(_results.COLUMNS)], show=False)
    with pytest.raises(KeyNotFoundError, match="Did you mean 'width'"):
        ssl.pl.ablation(table, x="widht", show=False)
    with pytest.raises(KeyNotFoundError, match="total"):
        ssl.pl.ablation(table, metrics="totl", show=False)
    with pytest.raises(InputError, match="2 panels"):
        ssl.pl.ablation(table, metrics="total", ax=plt.figure().add_subplot(), show=False)
    plt.close("all")

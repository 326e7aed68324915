"""Figures of names, colours and values as users have them."""

from __future__ import annotations

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib import pyplot as plt
from matplotlib.image import imread
from matplotlib.text import Text

import scssl as ssl

NAMES = ["$\\frac$", "CD4$^+$ T", "_hidden", "a_b & <c>", "$x^{$"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"t$_{": pd.Categorical(rng.choice(NAMES, 40)), "batch": rng.choice(["$a$", "$_{"], 40)})
    obs.index = [f"$x^{{${i}" for i in range(40)]
    made = ad.AnnData(rng.random((40, 6)).astype(np.float32), obs=obs)
    made.obsm["X_$\\e"] = rng.normal(size=(40, 2))
    return made


def formulas(figure):
    return [text.get_text() for text in figure.findobj(Text) if "$" in text.get_text() and text.get_parse_math()]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_dollar_starts_no_formula(adata, tmp_path, own, kind):
    calls = [
        lambda **how: ssl.pl.embedding(adata, "X_$\\e", color="t$_{", **how),
        lambda **how: ssl.pl.confusion(adata, "t$_{", label_key="batch", **how),
        lambda **how: ssl.pl.views(adata, "mask", cells=1, **how),
    ]
    for call in calls:
        ax = plt.subplots()[1] if own else None
        made = call(ax=ax, show=False, save=tmp_path / f"x.{kind}")
        assert formulas(made.figure) == []
        made.figure.canvas.draw()


def test_tables_of_any_name_are_drawn(tmp_path):
    rows = pd.DataFrame(
        {
            "data": "$\\d$",
            "method": NAMES,
            "key": NAMES,
            "task": "cell_typing",
            "metric": "accuracy",
            "value": np.linspace(0, 1, 5),
        }
    ).assign(status="ok", main=True, group="bio", better="higher", fit_s=[1.0, 2, 3, 4, 5])
    for draw in (ssl.pl.benchmark, ssl.pl.ranks, ssl.pl.tradeoff):
        for ax in (None, plt.subplots()[1]):
            made = draw(rows, ax=ax, show=False, save=tmp_path / "x.png")
            assert formulas(made.figure) == []


def test_settings_of_matplotlib_stay_the_users(adata):
    with mpl.rc_context({"text.usetex": True, "text.parse_math": True}):
        ssl.pl.embedding(adata, "X_$\\e", color="batch", show=False)
        assert mpl.rcParams["text.usetex"]


def test_the_legend_is_whole(adata, tmp_path):
    names = [f"type {i} of a long list of types that begin alike and differ at the end {i}" for i in range(40)]
    adata.obs["t"] = pd.Categorical(names)
    ax = ssl.pl.embedding(adata, "X_$\\e", color="t", show=False, save=tmp_path / "x.png")
    legend = next(found for panel in ax.figure.axes if (found := panel.get_legend()))
    assert sorted(text.get_text() for text in legend.get_texts()) == sorted(names)
    height, width = imread(tmp_path / "x.png").shape[:2]
    box = legend.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    assert width / 200 > box.width
    assert height / 200 > box.height


def test_hidden_names_are_in_the_legend(adata):
    ax = ssl.pl.embedding(adata, "X_$\\e", color="t$_{", show=False)
    legend = next(found for panel in ax.figure.axes if (found := panel.get_legend()))
    assert {text.get_text() for text in legend.get_texts()} == set(NAMES)


@pytest.mark.parametrize(
    "store", [sp.csr_matrix, sp.csc_matrix, sp.csr_array, lambda x: x.astype(">f8"), "frame", "dask"]
)
def test_embeddings_however_they_are_stored(adata, store):
    plain = adata.obsm["X_$\\e"]
    expected = ssl.pl.embedding(adata, "X_$\\e", show=False).collections[0].get_offsets()
    if store == "frame":
        adata.obsm["X_s"] = pd.DataFrame(plain, index=adata.obs_names, columns=["a", "b"])
    elif store == "dask":
        adata.obsm["X_s"] = pytest.importorskip("dask.array").from_array(plain, chunks=(10, 2))
    else:
        adata.obsm["X_s"] = store(plain)
    found = ssl.pl.embedding(adata, "X_s", show=False).collections[0].get_offsets()
    np.testing.assert_array_equal(found, expected)
    scores = [ssl.tl.evaluate(adata, use_rep=r, batch_key="batch", tasks="batch_correction") for r in ("X_s", "X_$\\e")]
    np.testing.assert_array_equal(*(s[s["method"].isin(["s", "$\\e"])]["value"] for s in scores))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda a: a.obsm.update(X_s=np.full((40, 2), 1e300)), "embedding_not_finite"),
        (lambda a: a.obsm.update(X_s=pd.DataFrame({"a": ["x"] * 40}, index=a.obs_names)), "unsuitable_dtype"),
        (lambda a: a.obs.update(pd.DataFrame({"n": [-1.7e308, 1.7e308] * 20}, index=a.obs_names)), "values_too_large"),
        (lambda a: a.uns.update({"t$_{_colors": ["red", "blue", "nocolor", "red", "red"]}), "unknown_color"),
    ],
)
def test_what_cannot_be_drawn_is_refused(adata, change, code):
    adata.obs["n"] = 0.0
    adata.obsm["X_s"] = adata.obsm["X_$\\e"]
    change(adata)
    with pytest.raises(ssl.InputError) as caught:
        ssl.pl.embedding(adata, "X_s", color="n" if code == "values_too_large" else "t$_{", show=False)
    assert caught.value.code == code


def test_values_that_are_no_numbers_are_grey(adata):
    for values in (
        [np.inf, np.nan, 1, 2] * 10,
        [np.nan] * 40,
        [1e200, -1e200] * 20,
        pd.array([1, None] * 20, dtype="Int64"),
    ):
        adata.obs["n"] = pd.Series(values, index=adata.obs_names)
        ssl.pl.embedding(adata, "X_$\\e", color="n", show=False).figure.canvas.draw()


def test_colours_by_name(adata):
    adata.uns["t$_{_colors"] = {"_hidden": "red", "$x^{$": (0, 0, 1)}
    ax = ssl.pl.embedding(adata, "X_$\\e", color="t$_{", show=False)
    legend = next(found for panel in ax.figure.axes if (found := panel.get_legend()))
    colors = {t.get_text(): h.get_color() for t, h in zip(legend.get_texts(), legend.legend_handles, strict=True)}
    assert (colors["_hidden"], colors["$x^{$"]) == ("#ff0000", "#0000ff")
    assert len(set(colors.values())) == 5

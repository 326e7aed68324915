from __future__ import annotations

import runpy
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.image import imread
from scipy.sparse import csr_matrix

import scssl as ssl
from scssl import InputError, KeyNotFoundError, _keys, _results
from scssl._results import Row
from scssl.table.units import duration, memory, number

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "table" / "rows.py")))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def adata() -> ad.AnnData:
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(rng.choice(["a", "b"], 60)),
            "cell_type": pd.Categorical(rng.choice([f"type {i}" for i in range(12)], 60)),
            "depth": rng.random(60),
        },
        index=[f"cell{i}" for i in range(60)],
    )
    data = ad.AnnData(rng.random((60, 5)).astype(np.float32), obs=obs)
    data.obsm["X_two"] = rng.normal(size=(60, 2))
    data.obsm["X_ten"] = rng.normal(size=(60, 10)) + 4 * (obs["batch"] == "a").to_numpy()[:, None]
    history = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.0], "variance": [1.0, 1.0, 0.5],
                            "effective_rank": [3.0, 4.0, 5.0], "spread": [1.0, 1.0, 1.0],
                            "positive_similarity": [0.5, 0.6, 0.9], "negative_similarity": [0.2, 0.1, 0.0], "seconds": [1.0] * 3})  # fmt: skip
    models = _keys.shelf(data, _keys.MODELS)
    models["two"] = {"method": "simclr", "history": history}
    models["ten"] = {"method": "vicreg", "history": history.drop(columns="spread")}
    models["pca"] = {"method": "pca", "history": pd.DataFrame()}
    return data


def texts(ax) -> list[str]:
    return [t.get_text() for t in ax.texts if t.get_text()]


def overlaps(ax) -> list[tuple[str, str]]:
    """Pairs of texts of an axes whose boxes share an area, rotated ones left out."""
    ax.figure.canvas.draw()
    boxes = [(t.get_text(), t.get_window_extent()) for t in ax.texts if t.get_text() and not t.get_rotation()]
    return [
        (a, b)
        for i, (a, one) in enumerate(boxes)
        for b, two in boxes[i + 1 :]
        if min(one.x1, two.x1) - max(one.x0, two.x0) > 1 and min(one.y1, two.y1) - max(one.y0, two.y0) > 1
    ]


def outside(ax) -> list[str]:
    ax.figure.canvas.draw()
    wide, high = ax.figure.bbox.width, ax.figure.bbox.height
    boxes = [(t.get_text(), t.get_window_extent()) for t in ax.texts if t.get_text()]
    return [text for text, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > wide or box.y1 > high]


@pytest.mark.parametrize("n_methods", [2, 6, 25])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_table_has_no_text_that_overlaps_or_is_cut(n_methods, seeds):
    names = ["simclr", "a_rather_long_name_of_a_method", *(f"m{i}" for i in range(23))][:n_methods]
    levels = {"random": 0.1, "oracle": 0.97, **{n: 0.3 + 0.02 * i for i, n in enumerate(names)}}
    table = made.with_status(
        made.scores(levels, seeds=seeds), "simclr", "failed", "a long message " * 20, metrics=["kbet"]
    )
    ax = ssl.pl.benchmark(table, show=False)
    assert overlaps(ax) == []
    assert outside(ax) == []
    assert set(names) <= set(texts(ax))


def test_long_names_are_whole_so_that_lines_can_be_told_apart():
    """Lines of a grid differ at the end of their names."""
    names = [f"simclr: learning_rate=0.001, temperature=0.5, views=mask:0.5+gaussian, width={w}" for w in (32, 64)]
    names += ["x" * 50 + "y", "x" * 50 + "z"]
    table = made.scores({"random": 0.1, "oracle": 0.97, **{n: 0.3 + 0.02 * i for i, n in enumerate(names)}})
    ax = ssl.pl.benchmark(table, show=False)
    shown = {"".join(text.split()) for text in texts(ax)}
    assert {"".join(name.split()) for name in names} <= shown
    assert overlaps(ax) == []
    assert outside(ax) == []


def test_the_table_says_what_it_shows():
    table = made.with_status(made.scores(), "untrained", "collapsed", "effective rank 1.01")
    data = ad.AnnData(np.zeros((2, 1), dtype=np.float32))
    _results.keep(data, table)
    data.uns["simulation"] = '{"what": "simulated batches"}'
    shown = texts(ssl.pl.benchmark(data, show=False))
    small = " ".join(shown)
    for expected in (
        "700 cells", "simulated batches", "over 2 seeds", "0.6 bio + 0.4 batch of raw values", "Total ↑",
        "untrained: collapsed", "effective rank 1.01", "random to the oracle control",
    ):  # fmt: skip
        assert expected in small, expected
    order = [t for t in shown if t in made.LEVELS]
    assert order == ["simclr", "vicreg", "pca", "untrained", "random", "oracle"]


def test_lower_is_better_is_drawn_with_another_arrow():
    rows = _results.frame(
        [Row(method="a", key="a", task="t", metric="an_error", group="prediction", value=0.2, better="lower")]
    )
    assert "an error ↓" in texts(ssl.pl.benchmark(rows, show=False))


def test_nothing_scored_and_all_failed_are_figures_with_words():
    assert "Nothing was scored: the table has no rows." in texts(ssl.pl.benchmark(_results.frame([]), show=False))
    failed = _results.frame([Row(method="byol", key="byol", status="failed", message="$x_ is not finite")])
    ax = ssl.pl.benchmark(failed, show=False)
    assert "1  byol: failed: $x_ is not finite" in texts(ax)
    assert overlaps(ax) == []


def test_a_table_fits_the_axes_and_size_it_is_given():
    _, given = plt.subplots(figsize=(5, 3))
    assert ssl.pl.benchmark(made.scores(), ax=given, show=False) is given
    assert overlaps(given) == []
    assert outside(given) == []
    ax = ssl.pl.benchmark(made.scores(), figsize=(6, 2), show=False)
    assert tuple(ax.figure.get_size_inches()) == (6, 2)
    assert outside(ax) == []


def test_plots_work_without_torch_on_a_file(tmp_path):
    made.scores().to_csv(tmp_path / "scores.csv", index=False)
    script = """
        import sys
        import matplotlib
        matplotlib.use("agg")
        import scssl
        import pandas as pd
        for scores in ("scores.csv", pd.read_csv("scores.csv")):
            scssl.pl.benchmark(scores, show=False, save="./table.png")
            scssl.pl.ranks(scores, show=False)
            scssl.pl.tradeoff(scores, show=False)
        assert not {"torch", "scanpy", "anndata", "jax"} & set(sys.modules), "heavy"
    """
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(script)], check=True, cwd=tmp_path)
    assert imread(tmp_path / "table.png").std() > 0.01


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_saving(tmp_path, ending):
    path = tmp_path / f"table.{ending}"
    ssl.pl.benchmark(made.scores(), show=False, save=path)
    assert path.stat().st_size > 5_000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if ending == "svg":
        assert ">simclr<" in path.read_text()  # text is text


def test_a_bare_name_goes_to_figdir_and_gets_an_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ssl.settings.override(figdir=tmp_path / "figures"):
        ssl.pl.benchmark(made.scores(), show=False, save="table")
        ssl.pl.benchmark(made.scores(), show=False, save="./here.png")
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")) == [
        "figures/table.png",
        "here.png",
    ]


def test_an_unknown_file_type_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ends in '\.docx'; figures can be written as .*'png'"):
        ssl.pl.benchmark(made.scores(), show=False, save=tmp_path / "table.docx")
    assert list(tmp_path.iterdir()) == []


def test_show_follows_scanpy_and_returns_nothing(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    assert ssl.pl.benchmark(made.scores(), show=True) is None
    monkeypatch.setitem(sys.modules, "scanpy", SimpleNamespace(settings=SimpleNamespace(autoshow=False)))
    assert ssl.pl.benchmark(made.scores()) is not None
    monkeypatch.setitem(sys.modules, "scanpy", SimpleNamespace(settings=SimpleNamespace(autoshow=True)))
    assert ssl.pl.benchmark(made.scores()) is None
    assert len(shown) == 2


def test_the_users_style_is_left_alone(adata):
    before = dict(mpl.rcParams)
    ssl.pl.benchmark(made.scores(), show=False)
    ssl.pl.history(adata, show=False)
    ssl.pl.embedding(adata, "two", color="batch", show=False)
    assert dict(mpl.rcParams) == before


def test_history_draws_loss_terms_rank_and_spread(adata):
    ax = ssl.pl.history(adata, "two", show=False)
    assert {line.get_label() for line in ax.lines} == {"loss", "variance"}
    loss = next(line for line in ax.lines if line.get_label() == "loss")
    np.testing.assert_array_equal(loss.get_xydata(), [[1, 3], [2, 2], [3, 1]])
    assert [a.get_title(loc="left") for a in ax.figure.axes] == ["two", "Similarity", "Effective rank", "Spread"]
    similarity = ax.figure.axes[1]
    drawn = [line.get_ydata().tolist() for line in similarity.lines[1:]]
    assert drawn == [[0.5, 0.6, 0.9], [0.2, 0.1, 0.0]]
    assert texts(similarity) == ["same cell", "other cells"]
    assert overlaps(similarity) == []


def test_history_of_several_models(adata):
    everything = ssl.pl.history(adata, show=False)
    assert len(everything.figure.axes) == 2 * 4  # pca has no history
    assert texts(everything.figure.axes[7]) == ["not recorded"]
    named = ssl.pl.history(adata, ["X_two", "pca"], show=False)
    assert texts(named.figure.axes[4]) == ["is not trained"]
    _, ax = plt.subplots()
    assert ssl.pl.history(adata, "two", ax=ax, show=False) is ax
    with pytest.raises(InputError, match=r"ax was given for 2 models"):
        ssl.pl.history(adata, ax=ax, show=False)
    with pytest.raises(KeyNotFoundError, match=r"There is no model 'too'.*Did you mean 'two'"):
        ssl.pl.history(adata, "too", show=False)


def test_history_of_nothing_says_so():
    ax = ssl.pl.history(ad.AnnData(np.zeros((2, 1), dtype=np.float32)), show=False)
    assert texts(ax) == ["No model with a training history is stored in this object."]


def test_embedding_draws_panels_and_each_legend_once(adata):
    ax = ssl.pl.embedding(adata, ["two", "X_ten"], color=["batch", "cell_type", "depth"], show=False)
    axes = ax.figure.axes
    assert [a.get_title(loc="left") for a in axes[:2]] == ["two", "ten"]
    legends = [a.get_legend() for a in axes if a.get_legend()]
    assert [legend.get_title().get_text() for legend in legends] == ["batch", "cell_type"]
    assert [len(legend.get_texts()) for legend in legends] == [2, 12]
    points = [a.collections[0] for a in axes if a.collections]
    assert {len(p.get_offsets()) for p in points[:6]} == {60}


def test_two_dimensions_are_drawn_as_they_are_in_random_order(adata):
    ax = ssl.pl.embedding(adata, "two", color="batch", show=False)
    drawn = np.asarray(ax.collections[0].get_offsets())
    assert not np.array_equal(drawn, adata.obsm["X_two"])
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(adata.obsm["X_two"], axis=0))
    again = ssl.pl.embedding(adata, "two", color="batch", show=False)
    np.testing.assert_array_equal(drawn, again.collections[0].get_offsets())
    other = ssl.pl.embedding(adata, "two", color="batch", seed=1, show=False)
    assert not np.array_equal(drawn, other.collections[0].get_offsets())


def test_points_keep_their_colours_when_the_order_changes(adata):
    adata.uns["batch_colors"] = ["#ff0000", "#0000ff"]
    ax = ssl.pl.embedding(adata, "two", color="batch", show=False)
    drawn, colors = np.asarray(ax.collections[0].get_offsets()), ax.collections[0].get_facecolors()
    where = {tuple(point): i for i, point in enumerate(adata.obsm["X_two"].astype(np.float32))}
    batch = [adata.obs["batch"].iloc[where[tuple(np.float32(point))]] for point in drawn]
    expected = {"a": (1, 0, 0, 1), "b": (0, 0, 1, 1)}
    np.testing.assert_array_equal(colors, [expected[b] for b in batch])


def test_embedding_writes_nothing_into_the_object(adata):
    before = (set(adata.obsm), set(adata.uns), set(adata.obsp), set(adata.obs))
    ssl.pl.embedding(adata, color="cell_type", show=False)  # all that scssl made
    assert (set(adata.obsm), set(adata.uns), set(adata.obsp), set(adata.obs)) == before


def test_missing_values_are_grey_and_named(adata):
    adata.obs["label"] = adata.obs["batch"].where(np.arange(60) > 5)
    legend = next(
        a.get_legend() for a in ssl.pl.embedding(adata, "two", color="label", show=False).figure.axes if a.get_legend()
    )
    assert [t.get_text() for t in legend.get_texts()] == ["a", "b", "missing"]


def test_a_constant_embedding_is_drawn_as_a_point(adata):
    adata.obsm["X_dead"] = np.ones((60, 8))
    ax = ssl.pl.embedding(adata, "dead", show=False)
    assert len(np.unique(ax.collections[0].get_offsets(), axis=0)) == 1


def test_embedding_refuses_what_it_cannot_draw(adata):
    with pytest.raises(KeyNotFoundError, match=r"There is no embedding 'twoo'"):
        ssl.pl.embedding(adata, "twoo", show=False)
    with pytest.raises(KeyNotFoundError, match=r"neither a column nor a gene 'cell_typ'.*Did you mean 'cell_type'"):
        ssl.pl.embedding(adata, "two", color="cell_typ", show=False)
    adata.obsm["X_nan"] = np.full((60, 3), np.nan)
    with pytest.raises(InputError, match="NaN or infinite values in 60 of 60 cells"):
        ssl.pl.embedding(adata, "nan", show=False)
    _, ax = plt.subplots()
    with pytest.raises(InputError, match="ax was given for 2 embeddings"):
        ssl.pl.embedding(adata, ["two", "ten"], ax=ax, show=False)
    with pytest.raises(InputError, match="no embedding made by scssl"):
        ssl.pl.embedding(ad.AnnData(np.zeros((2, 1), dtype=np.float32)), show=False)
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(np.nan, "–"), (0.04, "< 0.1 s"), (9.96, "10.0 s"), (59.4, "59 s"), (90, "1.5 min"), (7200, "2.0 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_embedding_is_coloured_by_a_gene(adata):
    adata.layers["counts"] = np.arange(60)[:, None] * np.ones((60, 5))
    ax = ssl.pl.embedding(adata, "two", color="3", layer="counts", show=False)
    drawn = np.asarray(ax.collections[0].get_offsets())
    where = {tuple(point): i for i, point in enumerate(adata.obsm["X_two"].astype(np.float32))}
    order = [where[tuple(np.float32(point))] for point in drawn]
    expected = mpl.colormaps["viridis"](np.asarray(order) / 59)
    np.testing.assert_allclose(ax.collections[0].get_facecolors(), expected, atol=0.01)
    sparse = ad.AnnData(csr_matrix(adata.X), obs=adata.obs, obsm=dict(adata.obsm))
    dense, thin = (ssl.pl.embedding(a, "two", color="3", show=False).collections[0] for a in (adata, sparse))
    np.testing.assert_array_equal(dense.get_facecolors(), thin.get_facecolors())
    with pytest.raises(KeyNotFoundError, match="There is no layer 'raw'"):
        ssl.pl.embedding(adata, "two", color="3", layer="raw", show=False)


def test_embedding_of_mudata_finds_genes_and_columns_of_modalities():
    mdata = ssl.datasets.synthetic(n_obs=60, n_vars=30, modalities=("rna", "prot"))
    mdata.obsm["X_two"] = np.random.default_rng(0).normal(size=(60, 2))
    gene = mdata.mod["prot"].var_names[1]
    ax = ssl.pl.embedding(mdata, "two", color=[gene, "cell_type"], show=False)
    assert len({tuple(c) for c in ax.collections[0].get_facecolors()}) > 3


def test_numbers_and_memory():
    assert [number(v) for v in (-0.001, 0.0, 0.005001, -0.02, 1.0)] == ["0.00", "0.00", "0.01", "-0.02", "1.00"]
    assert [memory(v) for v in (np.nan, 517.3, 2048.0)] == ["–", "517 MB", "2.0 GB"]

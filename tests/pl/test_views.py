"""The figure of views: panels, what they show, and the contract of all plots."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import sklearn.decomposition  # noqa: F401 - its first import draws from the global generator, which is not our doing
from matplotlib import pyplot as plt
from matplotlib.image import imread

import scssl as ssl
from scssl import InputError, KeyNotFoundError
from scssl.views.preview import preview


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def texts(figure):
    return [
        t.get_text() for panel in figure.axes for t in (*panel.texts, panel.title, *[panel.title, panel._left_title])
    ]


def test_one_row_a_view_and_one_column_a_cell(pbmc, unchanged, tmp_path):
    settings = dict(mpl.rcParams)
    with unchanged(pbmc):
        ax = ssl.pl.views(pbmc, "tuned", cells=3, batch_key="batch", show=False, save=tmp_path / "views.png")
    assert dict(mpl.rcParams) == settings
    assert len(ax.figure.axes) == 5 * 3
    shown = texts(ax.figure)
    assert all(title in shown for title in ("mnn:0.5", "gaussian:0.3", "inner_swap:0.3", "mask:0.5", "together"))
    assert imread(tmp_path / "views.png").std() > 0.05


def test_by_default_what_is_trained_with(pbmc):
    """Views of a model trained with and without batches."""
    for batch_key in (None, "batch"):
        model = ssl.tl.fit(pbmc.copy(), "simclr", batch_key=batch_key, max_epochs=1)
        shown = [title for title, _, _ in preview(pbmc, None, batch_key=batch_key).after]
        assert [title.split(":")[0] for title in shown[:-1]] == [view.spec.name for view in model.module.config.views]


def test_the_dots_are_the_changed_genes(pbmc):
    made = preview(pbmc, ["mask:0.5"], cells=2, seed=3)
    assert [title for title, _, _ in made.after] == ["mask:0.5"]  # one view is not shown together with itself
    axes = ssl.pl.views(pbmc, ["mask:0.5"], cells=2, seed=3, show=False).figure.axes
    for panel, before, after in zip(axes, made.before, made.after[0][2], strict=True):
        gone = (before > 0) & (after == 0)
        dots = panel.collections[-1].get_offsets()
        assert len(dots) == gone.sum()
        assert (np.asarray(dots)[:, 1] == 0).all()
        assert f"{gone.mean():.0%} changed" in [t.get_text() for t in panel.texts]


def test_previews_are_the_views_themselves(pbmc):
    made = preview(pbmc, "clear", cells=5)
    genes = pbmc.var_names[pbmc.var["highly_variable"]]
    assert np.array_equal(made.before, pbmc[made.cells, genes].X.toarray())
    mask = {title: after for title, _, after in made.after}["mask:0.2"]
    k = int(0.2 * len(genes))
    assert ((mask == 0) >= (made.before == 0)).all()
    assert ((mask == 0).sum(1) >= k).all()
    again = preview(pbmc, "clear", cells=made.cells)
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(made.after, again.after, strict=True))


def test_an_axes_of_the_user_holds_one_panel(pbmc):
    _, ax = plt.subplots()
    assert ssl.pl.views(pbmc, "mask", cells=1, ax=ax, show=False) is ax
    assert "mask:0.5" in ax.get_title(loc="left")
    with pytest.raises(InputError, match="5 views and 4 cells"):
        ssl.pl.views(pbmc, "clear", ax=ax, show=False)


def test_a_modality_is_drawn(mudata):
    ssl.pp.recipe(mudata)
    ax = ssl.pl.views(mudata, ["thin", "knn"], modality="prot", cells=2, show=False)
    assert len(ax.figure.axes) == 3 * 2


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"views": "none"}, InputError, ["holds no view"]),
        ({"views": "maks"}, KeyNotFoundError, ["'maks'"]),
        ({"views": "mnn"}, InputError, ["no batch_key"]),
        ({"cells": 0}, InputError, ["cells=0", "700"]),
        ({"cells": 701}, InputError, ["cells=701"]),
        ({"cells": []}, InputError, ["names no cells"]),
        ({"cells": True}, InputError, ["cells=True"]),
        ({"cells": ["nobody"]}, KeyNotFoundError, ["'nobody'"]),
        ({"data": np.zeros((3, 3))}, InputError, ["expected AnnData"]),
    ],
)
def test_wrong_arguments_are_explained(arguments, kind, words, pbmc):
    data = arguments.pop("data", pbmc)
    with pytest.raises(kind) as caught:
        ssl.pl.views(data, **arguments, show=False)
    assert all(word in str(caught.value) for word in words)
    assert plt.get_fignums() == []

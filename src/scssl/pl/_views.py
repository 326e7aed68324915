from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

from scssl import _keys
from scssl._errors import InputError
from scssl._validate import enforce
from scssl._validate.objects import container
from scssl.pl._style import CATEGORIES, INK, MUTED, PLAIN, RULE, check_figure, finish, style

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from scssl.views.preview import Preview

_PANEL = (2.5, 1.15)
_LABEL, _TOP, _BOTTOM = 1.75, 0.42, 0.5
_BEFORE = "#D4D4D4"
_TAIL = 0.35  # of the expressed genes: how many of the others are shown


def views(
    data: AnnData | MuData,
    views: object = None,
    *,
    cells: int | Sequence[str] = 4,
    batch_key: str | None = None,
    layer: str | None = None,
    modality: str | None = None,
    mask_by: str | None = _keys.HIGHLY_VARIABLE,
    seed: int = 0,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Axes | None:
    """What views do to cells: one column per cell, one row per view, the genes of a cell in order of their expression.

    The grey area is the cell, the dots are the genes that the view changed. Each view is shown alone, on every cell; the last
    row is the whole pipeline as it trains, where a coin decides for each view and cell.

    Parameters
    ----------
    data
        AnnData or MuData with the values that are trained on.
    views
        Pipeline of views, as in :func:`scssl.tl.fit`; by default what is trained with: ``"mixing"`` where there are several
        batches, else ``"clear"``.
    cells
        How many random cells, or the names of some.
    batch_key
        Column of ``obs`` with the batch of each cell, for views that mix cells of different batches.
    layer
        Layer to read; ``X`` by default.
    modality
        Modality of a MuData to draw; the first by default.
    mask_by
        Boolean column of ``var`` that marks the genes to use.
    seed
        Of the cells and of the views.
    ax
        Axes to draw in, for one view and one cell.
    figsize
        Width and height of a new figure in inches.
    show
        Whether to show the figure; by default as scanpy was told.
    save
        Path, or a bare name below ``settings.figdir``.

    Returns
    -------
    The axes of the first panel if ``show=False``, else ``None``; the other panels are in ``.figure.axes``.

    Raises
    ------
    InputError
        If a view cannot work on these cells, `cells` is not a number of them, or `ax` is given for several panels.
    KeyNotFoundError
        If a view, a cell, a column or a modality does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> axes = ssl.pl.views(adata, "tuned", batch_key="batch", cells=3, show=False)
    """
    check_figure(ax=ax, figsize=figsize, save=save)
    from scssl.views.preview import preview

    enforce(container(data))
    what: dict[str, Any] = {"batch_key": batch_key, "layer": layer, "mask_by": mask_by}
    made = preview(data, views, cells=cells, modality=modality, seed=seed, **what)
    if ax is not None and len(made.after) * len(made.cells) != 1:
        msg = f"ax was given for {len(made.after)} views and {len(made.cells)} cells; one axes holds one panel."
        raise InputError(msg, code="one_axes", parameter="ax", fix="Pass one view and cells=1, or leave ax out.")
    with style():
        grid = np.array([[ax]]) if ax is not None else _grid(made, figsize)
        for row, (title, _, after) in enumerate(made.after):
            color = INK if title == "together" else CATEGORIES[row % len(CATEGORIES)]
            for column, panel in enumerate(grid[row]):
                _panel(panel, made.before[column], after[column], color)
        if ax is not None:
            ax.set_title(f"{made.after[0][0]}  ·  {made.cells[0]}", loc="left", **PLAIN)
            ax.set_xlabel("genes, by expression in the cell; height: value")
    return finish(grid[0, 0], show=show, save=save)


def _grid(made: Preview, figsize: tuple[float, float] | None) -> np.ndarray:
    """Panels with the names of the cells above, those of the views to the left."""
    rows, columns = len(made.after), len(made.cells)
    width, height = figsize or (_LABEL + columns * _PANEL[0], _TOP + rows * _PANEL[1] + _BOTTOM)
    figure, grid = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, sharex="col", sharey="col")
    figure.subplots_adjust(
        left=_LABEL / width,
        right=1 - 0.12 / width,
        top=1 - _TOP / height,
        bottom=_BOTTOM / height,
        wspace=0.14,
        hspace=0.22,
    )
    for panel, name in zip(grid[0], made.cells, strict=True):
        panel.set_title(_short(name, 26), loc="left", fontsize=9, pad=9)
    for (title, text, _), panel in zip(made.after, grid[:, 0], strict=True):
        x = -(_LABEL - 0.12) / _PANEL[0]
        panel.text(x, 0.98, title, transform=panel.transAxes, weight="bold", fontsize=10, va="top")
        panel.text(
            x, 0.74, _wrapped(text), transform=panel.transAxes, color=MUTED, fontsize=7.5, va="top", linespacing=1.3
        )
    grid[-1, 0].set_xlabel("genes, by expression in the cell; height: value", loc="left", color=MUTED, fontsize=8)
    return grid


def _panel(panel: Axes, before: np.ndarray, after: np.ndarray, color: str) -> None:
    order = np.lexsort((np.arange(len(before)), -before))
    expressed = int((before > 0).sum())
    order = order[: min(len(order), max(20, int(expressed * (1 + _TAIL))))]
    place = np.arange(len(order))
    panel.fill_between(place, before[order], step="mid", color=_BEFORE, linewidth=0, zorder=1)
    moved = ~np.isclose(before, after, atol=1e-6)
    shown = moved[order]
    panel.vlines(
        place[shown], before[order][shown], after[order][shown], color=color, alpha=0.22, linewidth=0.7, zorder=2
    )
    panel.scatter(
        place[shown], after[order][shown], s=3.2, color=color, alpha=0.75, linewidth=0, zorder=3, clip_on=False
    )
    panel.text(
        0.99, 0.99, f"{moved.mean():.0%} changed" if moved.any() else "unchanged", transform=panel.transAxes,
        ha="right", va="top", fontsize=7, color=MUTED,
    )  # fmt: skip
    panel.axhline(0, color=RULE, linewidth=0.6, zorder=0)
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.tick_params(length=0, labelsize=7)
    panel.locator_params(axis="y", nbins=3, integer=True)
    panel.locator_params(axis="x", nbins=4, integer=True)
    panel.margins(x=0.01)


def _short(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _wrapped(text: str, width: int = 22) -> str:
    return "\n".join(textwrap.wrap(text, width))

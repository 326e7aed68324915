from __future__ import annotations

import warnings
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from scssl import _keys, _random
from scssl._errors import InputError, KeyNotFoundError, told
from scssl._parts import parts
from scssl._validate import enforce
from scssl._validate.arguments import named as are_names
from scssl._validate.config import seed as check_seed
from scssl._validate.objects import container
from scssl._validate.places import disagreement, found
from scssl._words import listed, nearest, unknown
from scssl.data.slots import dense, slot
from scssl.pl._paint import Paint
from scssl.pl._style import INK, MUTED, PLAIN, RULE, SAVED_DPI, check_figure, finish, style
from scssl.table.board import simulation

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from scssl._types import Data

_PANEL, _LEGEND, _TOP, _BOTTOM = 2.35, 2.1, 0.34, 0.26
_NEIGHBORS = 15


def embedding(
    data: AnnData | MuData,
    use_rep: str | Sequence[str] | None = None,
    *,
    color: str | Sequence[str] | None = None,
    layer: str | None = None,
    cmap: str = "viridis",
    seed: int = 0,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Axes | None:
    """Embeddings side by side as UMAPs: one column per embedding, one row per colour, each legend once.

    The UMAPs :cite:p:`mcinnes2018umap` are computed for the figure with scanpy and are not stored. An embedding with two
    dimensions is drawn as it is. Cells are drawn in random order, so that none of the batches hides the others.

    Parameters
    ----------
    data
        Object with embeddings in ``obsm``.
    use_rep
        Key or keys of ``obsm``, with or without ``X_``; by default all embeddings that scssl made.
    color
        Column or columns of ``obs``, or names of genes (of any modality), drawn with the values of `layer`. Colours of
        categories are those in ``uns["<column>_colors"]`` if there are any.
    layer
        Layer that genes are read from; ``X`` by default.
    cmap
        Colour map of numeric columns.
    seed
        Seed of the UMAPs and of the drawing order.
    ax
        Axes to draw in, for one embedding and one colour.
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
    KeyNotFoundError
        If an embedding or a column does not exist.
    InputError
        If there is nothing to draw, an embedding holds NaN, or `ax` is given for several panels.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> ssl.pp.recipe(adata)
    >>> model = ssl.tl.fit(adata, method="pca", width=2)
    >>> axes = ssl.pl.embedding(adata, "X_pca", color="cell_type", show=False)
    """
    check_figure(ax=ax, figsize=figsize, save=save, cmap=cmap)
    enforce(chain(container(data), are_names(use_rep, "use_rep"), are_names(color, "color"), check_seed(seed)))
    slots = [_slot(data, name) for name in _names(data, use_rep)]
    columns = [color] if isinstance(color, str) else list(color or [])
    values: dict[str, pd.Series | None] = {column: _column(data, column, layer) for column in columns}
    values = values or {"": None}
    if ax is not None and len(slots) * len(values) != 1:
        msg = f"ax was given for {len(slots)} embeddings and {len(values)} colours; one axes holds one panel."
        raise InputError(msg, code="one_axes", parameter="ax", fix="Choose one of each, or leave ax out.")
    points = {place: _flat(data.obsm[place], place, seed) for place in slots}
    order = _random.generator(seed, "pl.embedding").permutation(data.n_obs)
    with style():
        grid, legends = ([[ax]], [None]) if ax is not None else _panels(len(values), slots, figsize)
        for row, legend, (column, value) in zip(grid, legends, values.items(), strict=True):
            paint = Paint.of(value, data.uns.get(f"{column}_colors"), cmap)
            for panel, place in zip(row, slots, strict=True):
                _scatter(panel, points[place], paint.colors, order)
            paint.explain(legend if legend is not None else row[-1], column, beside=legend is None)
        for panel, place in zip(grid[0], slots, strict=True):
            panel.set_title(_keys.bare(place), loc="left", weight="bold", fontsize=10, **PLAIN)
        _small_print(grid, data, slots)
    return finish(grid[0][0], show=show, save=save)


def _names(data: Data, use_rep: str | Sequence[str] | None) -> list[str]:
    if use_rep is not None:
        return [use_rep] if isinstance(use_rep, str) else list(use_rep)
    records = _keys.peek(data)
    ours = [*records.get(_keys.MODELS, {}), *records.get(_keys.EMBEDDINGS, {})]
    names = [key for key in dict.fromkeys(ours) if _keys.embedding(key) in data.obsm]
    if not names:
        held = ", ".join(map(repr, data.obsm)) or "nothing"
        msg = f"There is no embedding made by scssl in this object; obsm holds {held}."
        raise InputError(msg, code="no_embedding", parameter="use_rep", fix="Pass use_rep=, or call ssl.tl.fit first.")
    return names


def _slot(data: Data, name: str) -> str:
    if isinstance(name, str) and slot(data, name) in data.obsm:
        return slot(data, name)
    raise unknown(kind="embedding", name=name, known=sorted(data.obsm), parameter="use_rep")


def _column(data: Data, name: str, layer: str | None) -> pd.Series:
    """A column of ``obs`` or a gene, of MuData also those of a modality."""
    values = found(data, name)
    if values is not None:
        told(*(f"{problem.message} {problem.fix}" for problem in disagreement(data, name, "color")))
        return values
    tables = list(parts(data).values())
    for part in tables:
        if name in part.var_names:
            return _gene(part, name, layer).reindex(data.obs_names)
    columns = sorted({str(column) for part in (data, *tables) for column in part.obs})
    genes = [gene for part in tables for gene in part.var_names]
    msg = f"There is neither a column nor a gene {name!r}. Columns: {listed(columns)}; {len(genes):,} genes."
    raise KeyNotFoundError(msg, code="unknown_column", parameter="color", fix=nearest(name, [*columns, *genes]))


def _gene(data: Data, name: str, layer: str | None) -> pd.Series:
    if layer is not None and layer not in data.layers:
        raise unknown(kind="layer", name=layer, known=sorted(_keys.layers(data)), parameter="layer")
    values = (data.X if layer is None else data.layers[layer])[:, data.var_names.get_loc(name)]
    dense = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    return pd.Series(np.ravel(dense).astype(float), index=data.obs_names)


def _flat(values: object, name: str, seed: int) -> np.ndarray:
    """Two dimensions: those that are there, or a UMAP."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is told
        x = dense(values).astype(np.float32)
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x).all(axis=1)).sum())
        what = "values beyond float32" if np.isfinite(dense(values)).all() else "NaN or infinite values"
        msg = f"obsm[{name!r}] holds {what} in {bad:,} of {len(x):,} cells; it cannot be drawn."
        raise InputError(msg, code="embedding_not_finite", parameter="use_rep", fix="Look at how it was made.")
    if x.shape[1] == 2:
        return x
    if len(x) <= 3 or x.shape[1] < 2 or np.ptp(x, axis=0).max() == 0:
        return np.pad(x, ((0, 0), (0, 2)))[:, :2]  # too little for a UMAP: a line or a point is the truth
    return _umap(x, seed)


def _umap(x: np.ndarray, seed: int) -> np.ndarray:
    import anndata
    import scanpy as sc

    work = anndata.AnnData(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of umap and numba about themselves: nothing a user can act on
        sc.pp.neighbors(work, use_rep="X", n_neighbors=min(_NEIGHBORS, len(x) - 1), random_state=seed)
        sc.tl.umap(work, random_state=seed)
    return work.obsm["X_umap"]


def _panels(
    rows: int, slots: list[str], figsize: tuple[float, float] | None
) -> tuple[list[list[Axes]], list[Axes | None]]:
    """Square panels on a grid and one axes for a legend at the end of each row."""
    columns = len(slots)
    width, height = columns * _PANEL + _LEGEND, rows * _PANEL + _TOP + _BOTTOM
    figure = plt.figure(figsize=figsize or (width, height))
    grid = figure.add_gridspec(
        rows, columns + 1, width_ratios=[*[_PANEL] * columns, _LEGEND], wspace=0.06, hspace=0.06,
        left=0.06 / width, right=1, top=1 - _TOP / height, bottom=_BOTTOM / height,
    )  # fmt: skip
    panels = [[figure.add_subplot(grid[r, c]) for c in range(columns)] for r in range(rows)]
    legends = [figure.add_subplot(grid[r, columns]) for r in range(rows)]
    for legend in legends:
        legend.set_axis_off()
    return panels, [*legends]


def _scatter(ax: Axes, points: np.ndarray, colors: np.ndarray, order: np.ndarray) -> None:
    box = ax.get_window_extent()
    inches = min(box.width, box.height) / ax.figure.dpi
    size = np.clip(inches**2 * 2400 / max(len(points), 1), 0.3, 30)
    drawn = colors[order] if len(colors) == len(points) else colors
    # a raster keeps the file small and quick; text and axes stay vectors
    x, y = points[order].T
    ax.scatter(x, y, s=size, c=drawn, linewidths=0, rasterized=len(points) > SAVED_DPI)
    ax.margins(0.04)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color=RULE, linewidth=0.6)


def _small_print(grid: list[list[Axes]], data: Data, slots: list[str]) -> None:
    computed = "UMAP of each embedding" if any(data.obsm[s].shape[1] != 2 for s in slots) else ""
    parts = (computed, f"{data.n_obs:,} cells", simulation(data))
    grid[-1][0].annotate(
        " · ".join(part for part in parts if part), (0, 0), (0, -5), xycoords="axes fraction",
        textcoords="offset points", va="top", fontsize=7, color=MUTED if len(grid) else INK, annotation_clip=False,
    )  # fmt: skip

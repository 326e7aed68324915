from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from scssl._errors import InputError
from scssl._validate import enforce
from scssl._validate.objects import in_memory
from scssl._validate.places import disagreement
from scssl._words import unknown
from scssl.data.columns import column
from scssl.pl._panels import foot
from scssl.pl._style import INK, MUTED, PLAIN, check_figure, finish, style

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

_CELL, _MOST_WRITTEN = 0.32, 30


def confusion(
    data: AnnData | MuData | pd.DataFrame,
    predicted: str,
    *,
    label_key: str,
    cmap: str = "Blues",
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Axes | None:
    """Which labels are taken for which: true labels in rows, predicted ones in columns.

    Each row sums to 1: a share of the cells with that true label. Labels that are taken for each other stand side by
    side, so that groups of similar types show as blocks. Labels that are predicted only stand at the end.

    Parameters
    ----------
    data
        AnnData or MuData, or the frame with both columns.
    predicted
        Column with the predicted labels, such as ``"<key>_label"`` of :func:`scssl.tl.annotate`.
    label_key
        Column with the true ones.
    cmap
        Sequential colour map of the shares.
    ax
        Axes to draw in.
    figsize
        Width and height of a new figure in inches; by default as large as it needs.
    show
        Whether to show the figure; by default as scanpy was told.
    save
        Path, or a bare name below ``settings.figdir``; ``.png``, ``.svg``, ``.pdf``.

    Returns
    -------
    The axes if ``show=False``, else ``None``.

    Raises
    ------
    KeyNotFoundError
        If a column does not exist.
    InputError
        If no cell has both labels.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> query, reference = adata[adata.obs["batch"] == "batch1"].copy(), adata[adata.obs["batch"] != "batch1"].copy()
    >>> ssl.tl.annotate(query, reference=reference, use_rep="X_pca", label_key="cell_type")
    >>> axes = ssl.pl.confusion(query, "pca_label", label_key="cell_type", show=False)
    """
    check_figure(ax=ax, figsize=figsize, save=save, cmap=cmap)
    asked = {"predicted": predicted, "label_key": label_key}
    values = {parameter: _column(data, name, parameter) for parameter, name in asked.items()}
    counts = _counts(values["label_key"], values["predicted"])
    share = counts.div(counts.sum(axis=1), axis=0)
    correct = sum(counts.loc[name, name] for name in counts.index if name in counts.columns)
    with style():
        if ax is None:
            ax = _figure(counts, figsize)
        _draw(ax, share, counts, cmap)
        ax.set_xlabel(f"predicted ({predicted})", **PLAIN)
        ax.set_ylabel(f"true ({label_key})", **PLAIN)
        ax.xaxis.set_label_position("top")
        lost = len(values["label_key"]) - int(counts.to_numpy().sum())
        said = [f"{counts.to_numpy().sum():,} cells, {correct / counts.to_numpy().sum():.1%} on the diagonal."]
        said += [f"{lost:,} cells without one of the labels are left out."] if lost else []
        foot(ax, [" ".join(said), "Shares of each row; a blank cell is below half a per cent."], below=6)
    return finish(ax, show=show, save=save)


def _column(data: object, name: str, parameter: str) -> pd.Series:
    """A column of the frame, or of ``obs``."""
    if not isinstance(data, pd.DataFrame):
        enforce(in_memory(data))
        values = column(data, name, parameter=parameter)
        enforce(disagreement(data, name, parameter))
        return values
    if name not in data:
        raise unknown(kind="column", name=name, known=sorted(map(str, data.columns)), parameter=parameter)
    return data[name]


def _counts(truth: pd.Series, predicted: pd.Series) -> pd.DataFrame:
    """Cells by true and predicted label, in an order that keeps what is confused together."""
    known = (truth.notna() & predicted.notna()).to_numpy()
    if not known.any():
        msg = f"No cell has both a label in {truth.name!r} and one in {predicted.name!r}."
        raise InputError(msg, code="no_labels", parameter="predicted", fix="Pass columns that are filled.")
    pairs = truth[known].astype(str), predicted[known].astype(str)
    counts = pd.crosstab(*pairs)
    rows = counts.index[_blocks(counts.reindex(columns=counts.index, fill_value=0).to_numpy(float))]
    new = sorted(set(counts.columns) - set(rows))
    return counts.reindex(index=rows, columns=[*rows, *new], fill_value=0)


def _blocks(counts: np.ndarray) -> np.ndarray:
    """Order of the leaves of a tree of labels, neighbours being those that are confused most."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(counts) < 3:
        return np.arange(len(counts))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    apart = 1 - np.minimum((share + share.T) / 2, 1)
    np.fill_diagonal(apart, 0)
    return leaves_list(linkage(squareform(apart, checks=False), "average", optimal_ordering=True))


def _figure(counts: pd.DataFrame, figsize: tuple[float, float] | None) -> Axes:
    left = 0.5 + 0.075 * max(len(str(x)) + 7 for x in counts.index)
    top = 0.45 + 0.055 * max(len(str(x)) for x in counts.columns)
    wide, high = _CELL * counts.shape[1], _CELL * counts.shape[0]
    width, height = left + wide + 0.7, top + high + 0.55
    figure = plt.figure(figsize=figsize or (width, height))
    return figure.add_axes((left / width, 0.55 / height, wide / width, high / height))


def _draw(ax: Axes, share: pd.DataFrame, counts: pd.DataFrame, cmap: str) -> None:
    whole = mpl.colormaps[cmap]
    colors = mpl.colors.LinearSegmentedColormap.from_list(
        "part", [(1, 1, 1), *(whole(0.15 + 0.8 * i / 31) for i in range(32))]
    )
    values = share.to_numpy()
    ax.imshow(values, cmap=colors, vmin=0, vmax=1, aspect="auto")
    box = ax.get_window_extent()
    room = 72 * min(box.width / ax.figure.dpi / values.shape[1], box.height / ax.figure.dpi / values.shape[0])  # points
    if values.shape[1] <= _MOST_WRITTEN and room > 12:
        for (row, column), value in np.ndenumerate(values):
            if value >= 0.005:
                text = "1" if value > 0.995 else f"{value:.2f}".removeprefix("0")
                tone: Any = "white" if value > 0.55 else INK
                ax.text(column, row, text, ha="center", va="center", fontsize=min(7.0, 0.3 * room), color=tone)
    for i in range(len(values)):  # the diagonal can be found where it is empty
        ax.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=MUTED, linewidth=0.8, zorder=3))
    sizes = counts.sum(axis=1)
    names = [f"{name} ({size:,})" for name, size in sizes.items()]
    ax.set_yticks(range(len(names)), names, fontsize=8, **PLAIN)
    ax.set_xticks(
        range(values.shape[1]),
        counts.columns,
        fontsize=8,
        rotation=45,
        ha="left",
        rotation_mode="anchor",
        **PLAIN,
    )
    ax.tick_params(length=0, labelcolor=INK, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#EDEDED", linewidth=0.7)
    ax.tick_params(which="minor", length=0, top=False, bottom=False)
    for spine in ax.spines.values():
        spine.set(visible=True, color=MUTED, linewidth=0.6)

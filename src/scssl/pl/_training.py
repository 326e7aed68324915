from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from scssl import _keys
from scssl._errors import InputError
from scssl._registry import unknown
from scssl.pl._style import CATEGORIES, INK, MUTED, finish, style

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

_NO_LOSS = ("epoch", "effective_rank", "spread", "seconds")
_PANEL = (2.9, 2.3)


def history(
    data: AnnData | MuData,
    key: str | Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Axes | None:
    """The training of models: loss and its terms, effective rank and spread of the embedding, per epoch.

    An effective rank near 1 or a spread near 0 means that the embedding collapsed: all cells are at (nearly) one point,
    although the loss may look fine :cite:p:`roy2007effective`.

    Parameters
    ----------
    data
        Object with which the models were trained.
    key
        One model or several, one row of panels each; by default all that have a history.
    ax
        Axes to draw the loss of one model in; rank and spread are then left out.
    figsize
        Width and height of a new figure in inches.
    show
        Whether to show the figure; by default as scanpy was told.
    save
        Path, or a bare name below ``settings.figdir``.

    Returns
    -------
    The axes of the (first) loss if ``show=False``, else ``None``; the other panels are in ``.figure.axes``.

    Raises
    ------
    KeyNotFoundError
        If there is no such model.
    InputError
        If `ax` is given for more than one model.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="vicreg", batch_key="batch", max_epochs=3)
    >>> axes = ssl.pl.history(adata, "vicreg", show=False)
    """
    tables = _histories(data, key)
    if ax is not None and len(tables) != 1:
        msg = f"ax was given for {len(tables)} models ({', '.join(tables)}); one axes can hold the loss of one."
        raise InputError(msg, code="one_axes", parameter="ax", fix="Name one model with key, or leave ax out.")
    with style():
        if ax is not None:
            name, table = next(iter(tables.items()))
            _loss(ax, name, table)
        elif not tables:
            ax = _nothing(figsize)
        else:
            ax = _grid(tables, figsize)
    return finish(ax, show=show, save=save)


def _histories(data: AnnData | MuData, key: str | Sequence[str] | None) -> dict[str, pd.DataFrame]:
    records = _keys.peek(data).get(_keys.MODELS, {})
    wanted = [key] if isinstance(key, str) else list(records) if key is None else list(key)
    found = {}
    for name in wanted:
        bare = name if name in records else _keys.bare(name)
        if bare not in records:
            raise unknown(kind="model", name=name, known=sorted(records), parameter="key")
        found[bare] = pd.DataFrame(records[bare].get("history", {}))
    return {name: table for name, table in found.items() if key is not None or len(table)}


def _nothing(figsize: tuple[float, float] | None) -> Axes:
    ax = plt.figure(figsize=figsize or (4.5, 1.2)).add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    ax.text(0.5, 0.5, "No model with a training history is stored in this object.", ha="center", color=MUTED)
    return ax


def _grid(tables: dict[str, pd.DataFrame], figsize: tuple[float, float] | None) -> Axes:
    size = figsize or (3 * _PANEL[0], len(tables) * _PANEL[1] + 0.2)
    spacing = ConstrainedLayoutEngine(wspace=0.06, hspace=0.06, w_pad=0.08, h_pad=0.08)
    _, axes = plt.subplots(len(tables), 3, figsize=size, squeeze=False, layout=spacing)
    for row, (name, table) in zip(axes, tables.items(), strict=True):
        _loss(row[0], name, table)
        for ax, column, title in zip(row[1:], ("effective_rank", "spread"), ("Effective rank", "Spread"), strict=True):
            _curve(ax, table, column)
            ax.set_title(title, loc="left")
            ax.set_ylim(bottom=0)
    return axes[0][0]


def _loss(ax: Axes, name: str, table: pd.DataFrame) -> None:
    """The loss as a thick line, its terms as thin ones."""
    ax.set_title(name, loc="left", weight="bold")
    if table.empty:
        ax.set_axis_off()
        ax.text(0, 0.5, "is not trained", transform=ax.transAxes, color=MUTED)
        return
    terms = [c for c in table if c not in (*_NO_LOSS, "loss") and pd.api.types.is_numeric_dtype(table[c])]
    for term, color in zip(terms, CATEGORIES * (len(terms) // len(CATEGORIES) + 1), strict=False):
        _curve(ax, table, term, color=color, linewidth=1.1, label=term.replace("_", " "))
    _curve(ax, table, "loss", linewidth=2.0, label="loss")
    if terms:
        ax.legend(frameon=False, fontsize=7, handlelength=1.4)
    ax.set_ylabel("loss")


def _curve(
    ax: Axes, table: pd.DataFrame, column: str, *, color: str = INK, linewidth: float = 1.6, label: str = ""
) -> None:
    if column not in table or table[column].isna().all():
        ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center", color=MUTED)
    else:
        epoch = table["epoch"] if "epoch" in table else pd.RangeIndex(len(table))
        marker = "o" if len(table) == 1 else ""
        ax.plot(epoch, table[column], color=color, linewidth=linewidth, label=label, marker=marker, markersize=4)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from scssl import _keys
from scssl._errors import InputError
from scssl._validate import enforce
from scssl._validate.arguments import named as are_names
from scssl._words import unknown
from scssl.pl._style import CATEGORIES, FAINT, INK, MUTED, PLAIN, RULE, check_figure, finish, style

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

_SAME, _OTHERS = "positive_similarity", "negative_similarity"
_NO_LOSS = ("epoch", "effective_rank", "spread", "seconds", _SAME, _OTHERS)
_PANEL = (2.6, 2.2)


def history(
    data: AnnData | MuData,
    key: str | Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Axes | None:
    """The training of models, per epoch: loss and its terms, and what became of the embedding.

    *Similarity* is the mean cosine of two views of the same cell, and of views of different cells: a method that works
    holds the two apart. An effective rank near 1, a spread near 0, or both similarities near 1 mean that the embedding
    collapsed: all cells are at (nearly) one point, although the loss may look fine :cite:p:`roy2007effective`.

    Parameters
    ----------
    data
        Object with which the models were trained.
    key
        One model or several, one row of panels each; by default all that have a history.
    ax
        Axes to draw the loss of one model in; the other panels are then left out.
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
    check_figure(ax=ax, figsize=figsize, save=save)
    enforce(are_names(key, "key"))
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
    """One row of panels for each model."""
    size = figsize or (4 * _PANEL[0], len(tables) * _PANEL[1] + 0.2)
    spacing = ConstrainedLayoutEngine(wspace=0.05, hspace=0.05, w_pad=0.06, h_pad=0.06)
    _, axes = plt.subplots(len(tables), 4, figsize=size, squeeze=False, layout=spacing)
    for row, (name, table) in zip(axes, tables.items(), strict=True):
        _loss(row[0], name, table)
        _similarity(row[1], table)
        _from_zero(row[2], table, "effective_rank", "Effective rank")
        _from_zero(row[3], table, "spread", "Spread")
        for ax in row[1:]:
            ax.set_xlabel("epoch")
    return axes[0][0]


def _loss(ax: Axes, name: str, table: pd.DataFrame) -> None:
    """The loss as a thick line, its terms as thin ones."""
    ax.set_title(name, loc="left", weight="bold", **PLAIN)
    if table.empty:
        ax.set_axis_off()
        ax.text(0, 0.5, "is not trained", transform=ax.transAxes, color=MUTED)
        return
    terms = [str(c) for c in table if c not in (*_NO_LOSS, "loss") and pd.api.types.is_numeric_dtype(table[c])]
    for term, color in zip(terms, CATEGORIES * (len(terms) // len(CATEGORIES) + 1), strict=False):
        _curve(ax, table, term, color=color, linewidth=1.1, label=term.replace("_", " "))
    _curve(ax, table, "loss", linewidth=2.0, label="loss")
    if terms:
        ax.legend(frameon=False, fontsize=7, handlelength=1.4)
    ax.set_ylabel("loss")
    ax.set_xlabel("epoch")


def _similarity(ax: Axes, table: pd.DataFrame) -> None:
    """Cosine of views of the same cell and of different cells; the gap between them is what was learned."""
    ax.set_title("Similarity", loc="left")
    if not (_recorded(table, _SAME) and _recorded(table, _OTHERS)):
        _not_recorded(ax)
        return
    same, others = table[_SAME], table[_OTHERS]
    ax.fill_between(_epochs(table), others, same, color=FAINT, linewidth=0)
    ax.axhline(0, color=RULE, linewidth=0.6, zorder=0)
    _curve(ax, table, _SAME, color=CATEGORIES[0])
    _curve(ax, table, _OTHERS, color=CATEGORIES[1])
    for values, words, place in ((same, "same cell", "bottom"), (others, "other cells", "top")):
        lift = (0, 3 if place == "bottom" else -3)
        at = (_epochs(table).iloc[-1], values.iloc[-1])
        ax.annotate(words, at, lift, textcoords="offset points", ha="right", va=place, fontsize=8)
    ax.set_ylim(min(-0.2, float(others.min()) - 0.2), 1.2)
    ax.set_yticks((0, 0.5, 1))


def _from_zero(ax: Axes, table: pd.DataFrame, column: str, title: str) -> None:
    ax.set_title(title, loc="left")
    _curve(ax, table, column)
    ax.set_ylim(0, 1.05 * ax.get_ylim()[1])


def _curve(
    ax: Axes, table: pd.DataFrame, column: str, *, color: str = INK, linewidth: float = 1.6, label: str = ""
) -> None:
    if not _recorded(table, column):
        _not_recorded(ax)
        return
    marker = "o" if len(table) == 1 else ""
    ax.plot(_epochs(table), table[column], color=color, linewidth=linewidth, label=label, marker=marker, markersize=4)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))


def _recorded(table: pd.DataFrame, column: str) -> bool:
    return column in table and not table[column].isna().all()


def _not_recorded(ax: Axes) -> None:
    ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center", color=MUTED)


def _epochs(table: pd.DataFrame) -> pd.Series:
    return table["epoch"] if "epoch" in table else pd.Series(range(len(table)), index=table.index)

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib import pyplot as plt

from scssl._protocol import of_profile
from scssl.data import scored
from scssl.pl._style import check_figure, finish, style
from scssl.pl._table import Table
from scssl.table.board import board, simulation

if TYPE_CHECKING:
    import os

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from scssl.table.board import Board


def benchmark(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    *,
    profile: str = "clean",
    title: str | None = None,
    cmap: str = "YlGnBu",
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Axes | None:
    """The table of a benchmark: methods by metrics, best total first.

    Totals and the main number of each task are bars with the 95 % interval of the mean; the grey band behind them
    reaches from the random to the oracle control. All other metrics are cells whose colour is the raw value between 0
    and 1; where methods leave that range, bars and colours cover what they reach. Bold numbers cannot be told from the
    best, see :func:`scssl.get.ranks`. Methods whose embedding collapsed are drawn hollow and stand below the others; what
    is missing is a cross with a numbered reason. The small print says which data, how many cells and seeds, and how the
    total is made.

    Parameters
    ----------
    data
        Scored object, result rows, or their path as CSV, as for :func:`scssl.get.scores`.
    profile
        ``"clean"``: raw values. ``"paper"``: batch-correction metrics min-max scaled over the methods in the table.
    title
        Head line; by default the names of the data sets.
    cmap
        Sequential colour map of the cells.
    ax
        Axes to draw in; the table is scaled to fit.
    figsize
        Width and height of a new figure in inches; the table is scaled to fit. By default as large as it needs.
    show
        Whether to show the figure; by default as scanpy was told.
    save
        Path, or a bare name below ``settings.figdir``; ``.png``, ``.svg``, ``.pdf``.

    Returns
    -------
    The axes if ``show=False``, else ``None``.

    Raises
    ------
    InputError
        If `data` holds no scores, or `profile` does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> scores = ssl.tl.evaluate(adata, use_rep="X_pca", batch_key="batch", label_key="cell_type")
    >>> axes = ssl.pl.benchmark(scores, show=False)
    """
    check_figure(ax=ax, figsize=figsize, save=save, cmap=cmap)
    table = board(scored.read(data), protocol=of_profile(profile))
    names = ", ".join(table.facts["data"]) or "Benchmark"
    drawing = Table(table, names if title is None else title, _small_print(table, simulation(data)), cmap)
    with style():
        if ax is None:
            ax = plt.figure(figsize=figsize or (drawing.width, drawing.height)).add_axes((0.0, 0.0, 1.0, 1.0))
        drawing.draw(ax)
    return finish(ax, show=show, save=save)


def _small_print(table: Board, simulated: str) -> list[str]:
    """What the numbers are; how to read the drawing."""
    how = []
    if len(table.columns):
        how.append("Arrow: direction of better.")
    if table.lines["control"].any():
        how.append("Grey band: from the random to the oracle control.")
    if table.low.notna().any(axis=None):
        how.append("Black line and ±: 95 % interval of the mean. Bold: cannot be told from the best.")
    return [line for line in (table.small_print(simulated=simulated), " ".join(how)) if line]

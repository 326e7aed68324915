from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _results
from scssl._protocol import of_profile
from scssl._words import unknown
from scssl.data import scored
from scssl.pl._labels import place_labels
from scssl.pl._panels import PERCENT, foot, ranked_tasks, repeated, row_of_axes, say_nothing_scored, task_title
from scssl.pl._style import FAINT, INK, MUTED, RULE, check_figure, finish, style
from scssl.table.board import board, simulation
from scssl.table.statistics import controls
from scssl.table.units import duration, memory

if TYPE_CHECKING:
    import os

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from scssl.table.board import Board

_STRONG = "#1F3B73"
_COSTS = {"seconds": ("time to train and embed, per run", duration), "peak_mb": ("peak memory of a run", memory)}


def tradeoff(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    *,
    task: str | None = None,
    cost: str = "seconds",
    profile: str = "clean",
    missing: str = "keep",
    over: str = "auto",
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Axes | None:
    """Score against cost on a logarithmic axis, one panel per task.

    Filled points cannot be told from the best; vertical lines are 95 % intervals. The step line joins the methods that no
    other one beats in both. Collapsed methods are crosses. Dashed lines are the random and the oracle control, where
    they lie in reach of the methods.

    Parameters
    ----------
    data
        Scored object, result rows, or their path as CSV, as for :func:`scssl.get.scores`.
    task
        Draw one task; by default all.
    cost
        ``"seconds"`` (to train and embed, mean over runs) or ``"peak_mb"`` (largest memory of a run).
    profile, missing, over
        As for :func:`scssl.get.ranks`.
    ax
        Axes to draw in, for one task.
    figsize
        Width and height of a new figure in inches.
    show
        Whether to show the figure; by default as scanpy was told.
    save
        Path, or a bare name below ``settings.figdir``; ``.png``, ``.svg``, ``.pdf``.

    Returns
    -------
    The axes of the first panel if ``show=False``, else ``None``; the other panels are in ``.figure.axes``.

    Raises
    ------
    InputError
        If `data` holds no scores, a choice does not exist, or `ax` is given for several tasks.
    KeyNotFoundError
        If `task` is not in the table, or `cost` does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch", n_top_genes=500)
    >>> scores = ssl.tl.benchmark(
    ...     adata,
    ...     methods=["pca", "untrained"],
    ...     batch_key="batch",
    ...     label_key="cell_type",
    ...     tasks=["cell_typing"],
    ...     seeds=2,
    ... )
    >>> axes = ssl.pl.tradeoff(scores, show=False)
    """
    check_figure(ax=ax, figsize=figsize, save=save)
    if cost not in _COSTS:
        raise unknown(kind="cost", name=cost, known=list(_COSTS), parameter="cost")
    table = board(scored.read(data), protocol=of_profile(profile), missing=missing, over=over)
    parts = ranked_tasks(table, task, ax)
    with style():
        margins = (0.65, 0.25, 0.5, 0.95)
        axes = [ax] if ax is not None else row_of_axes(len(parts), figsize, panel=(3.9, 2.9), margins=margins)
        for panel, part in zip(axes, parts.values(), strict=False):
            _panel(panel, table, part, cost)
        if not parts:
            say_nothing_scored(axes[0])
        foot(axes[0], _small_print(table, parts, cost, simulation(data)), below=38)
    return finish(axes[0], show=show, save=save)


def _panel(ax: Axes, table: Board, part: pd.DataFrame, cost: str) -> None:
    found = table.columns[(table.columns["task"] == part["task"][0]) & (table.columns["metric"] == part["metric"][0])]
    about, column = found.iloc[0], str(found.index[0])
    ax.set_title(task_title(part["task"][0]), loc="left", weight="bold", pad=8)
    ax.set(xscale="log", xlabel=_COSTS[cost][0], ylabel=f"{about['title']} ({about['better']} is better)")
    shown = part[part["mean"].notna() & (part[cost] > 0)]
    if shown.empty:
        ax.set_xticks([])
        ax.set_xticks([], minor=True)
        ax.text(0.5, 0.5, "no method has both a number and a cost", transform=ax.transAxes, ha="center", fontsize=8)
        return
    told = repeated(part)
    for _, line in shown.iterrows():
        _point(ax, line, cost, told=told)
    _limits(ax, shown, cost)
    lines = [_front(ax, shown, cost, lower=about["better"] == "lower")]
    lines += [np.array([[x, low], [x, high]]) for x, low, high in shown[[cost, "low", "high"]].dropna().to_numpy(float)]
    for name in controls():
        level = table.control(column, name)
        if ax.get_ylim()[0] < level < ax.get_ylim()[1]:
            ax.axhline(level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
            ax.annotate(name, (1, level), (-2, 2), xycoords=ax.get_yaxis_transform(), textcoords="offset points",
                        ha="right", va="bottom", fontsize=7, color=MUTED)  # fmt: skip
    strong = (shown["tied"] & told).tolist()
    place_labels(ax, shown[[cost, "mean"]].to_numpy(float), shown["method"].tolist(), strong=strong, lines=lines)


def _point(ax: Axes, line: pd.Series, cost: str, *, told: bool) -> None:
    strong = bool(line["tied"]) and told
    tone = _STRONG if strong else "#5B6B85"
    if line["status"] == _results.COLLAPSED:
        ax.plot(line[cost], line["mean"], "x", markersize=6, color=MUTED, zorder=4)
        return
    ax.plot([line[cost]] * 2, [line["low"], line["high"]], color=tone, linewidth=1.1, alpha=0.6, zorder=2)
    ax.plot(
        line[cost], line["mean"], "o", markersize=6.5, color=tone, markerfacecolor=tone if strong else "white", zorder=4
    )


def _limits(ax: Axes, shown: pd.DataFrame, cost: str) -> None:
    """Room for names on both sides; an interval that is wider than the scores does not squeeze them."""
    low, high = np.log10(shown[cost].min()), np.log10(shown[cost].max())
    pad = max(0.2 * (high - low), 0.06)
    ax.set_xlim(10 ** (low - pad), 10 ** (high + 1.3 * pad))
    bottom, top = shown["mean"].min(), shown["mean"].max()
    reach = max(top - bottom, 0.05)
    ends = np.nanmin([shown["low"].min(), bottom]), np.nanmax([shown["high"].max(), top])
    ax.set_ylim(max(ends[0], bottom - reach) - 0.08 * reach, min(ends[1], top + reach) + 0.1 * reach)
    ticks = _ticks(*ax.get_xlim(), cost)
    ax.set_xticks(
        ticks, [f"{tick:g} s" if cost == "seconds" and tick < 60 else _COSTS[cost][1](tick) for tick in ticks]
    )
    ax.set_xticks([], minor=True)
    ax.grid(axis="y", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(length=2.5, labelcolor=INK)


def _ticks(low: float, high: float, cost: str) -> list[float]:
    """Round seconds, minutes and hours, or megabytes and gigabytes: about five."""
    small = [r * 10.0**k for k in range(-3, 4) for r in (1, 3)]
    if cost == "seconds":
        known = [*(x for x in small if x < 60), 60, 180, 600, 1800, *(3600 * x for x in small if x >= 1)]
    else:
        known = [*(x for x in small if x < 1000), *(1024 * x for x in small if x >= 1)]
    found = [float(tick) for tick in known if low <= tick <= high]
    digit = float(10.0 ** np.floor(np.log10(low)))
    for step in (digit, digit / 2, digit / 5, digit / 10):  # a narrow range: finer steps
        if len(found) < 2:
            found = [round(step * k, 9) for k in range(1, 200) if low <= step * k <= high]
    return found[:: max(-(-len(found) // 5), 1)]


def _front(ax: Axes, shown: pd.DataFrame, cost: str, *, lower: bool) -> np.ndarray:
    """Draw a step line along the methods that are best for what they cost; its corners."""
    sound = shown[shown["rank"] > 0].sort_values([cost, "mean"], ascending=[True, lower])
    values = -sound["mean"] if lower else sound["mean"]
    front = sound[values > values.cummax().shift(fill_value=-np.inf)]
    if len(front) < 2:
        return np.empty((0, 2))
    x = np.repeat([*front[cost], ax.get_xlim()[1]], 2)[1:-1]
    corners = np.column_stack([x, np.repeat(front["mean"].to_numpy(), 2)])
    ax.plot(*corners.T, color=RULE, linewidth=1.0, zorder=1)
    return corners


def _small_print(table: Board, parts: dict[str, pd.DataFrame], cost: str, simulated: str) -> list[str]:
    if not parts:
        return []
    how = (
        f"Vertical lines: {PERCENT} interval of the mean. Filled: cannot be told from the best."
        if any(map(repeated, parts.values()))
        else ""
    )
    absent = sorted({m for part in parts.values() for m in part.loc[part["mean"].isna() | ~(part[cost] > 0), "method"]})
    missing = f"Not drawn, without a number or a cost: {', '.join(absent)}." if absent else ""
    step = "Step line: nobody is better and cheaper."
    return [table.small_print(simulated=simulated), " ".join(x for x in (how, step, missing) if x)]

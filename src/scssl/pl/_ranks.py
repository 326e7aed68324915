from __future__ import annotations

from typing import TYPE_CHECKING

from scssl._protocol import of_profile
from scssl.data import scored
from scssl.pl._panels import PERCENT, foot, ranked_tasks, repeated, row_of_axes, say_nothing_scored, task_title
from scssl.pl._style import FAINT, INK, MUTED, PLAIN, check_figure, finish, style
from scssl.table.board import board, simulation
from scssl.table.lines import REASONS

if TYPE_CHECKING:
    import os

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from scssl.table.board import Board

_ROW, _WIDTH, _STRONG, _WASH = 0.27, 2.6, "#1F3B73", "#E9EDF5"


def ranks(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    *,
    task: str | None = None,
    profile: str = "clean",
    missing: str = "keep",
    over: str = "auto",
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Axes | None:
    """Between which ranks each method lies, one panel per task.

    A dot is the rank of the mean, a line reaches over all ranks that the method may have. Methods on the shaded ground
    cannot be told from the best. Where a line is long, more seeds or data sets are needed, not a closer look. Methods
    that collapsed or have no number stand below, without a rank. Controls are not ranked.

    Parameters
    ----------
    data
        Scored object, result rows, or their path as CSV, as for :func:`scssl.get.scores`.
    task
        Draw one task; by default all.
    profile, missing, over
        As for :func:`scssl.get.ranks`.
    ax
        Axes to draw in, for one task.
    figsize
        Width and height of a new figure in inches; by default as large as it needs.
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
        If `task` is not in the table.

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
    >>> axes = ssl.pl.ranks(scores, show=False)
    """
    check_figure(ax=ax, figsize=figsize, save=save)
    table = board(scored.read(data), protocol=of_profile(profile), missing=missing, over=over)
    parts = ranked_tasks(table, task, ax)
    longest = max((len(str(m)) for m in table.methods.index), default=8)
    rows = max((len(part) for part in parts.values()), default=2)
    with style():
        panel = (_WIDTH, rows * _ROW)
        margins = (min(0.35 + 0.075 * longest, 2.6), 0.7, 0.5, 0.85)
        axes = [ax] if ax is not None else row_of_axes(len(parts), figsize, panel=panel, margins=margins)
        for place, part in zip(axes, parts.values(), strict=False):
            _panel(place, table, part)
        if not parts:
            say_nothing_scored(axes[0])
        foot(axes[0], _small_print(table, parts, simulation(data)), below=34)
    return finish(axes[0], show=show, save=save)


def _panel(ax: Axes, table: Board, part: pd.DataFrame) -> None:
    column = table.columns[(table.columns["task"] == part["task"][0]) & (table.columns["metric"] == part["metric"][0])]
    ax.set_title(task_title(part["task"][0]), loc="left", weight="bold", pad=16)
    ax.annotate(column["title"].iloc[0], (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points",
                fontsize=8, color=MUTED, va="bottom")  # fmt: skip
    n_ranked, told = int((part["rank"] > 0).sum()), repeated(part)
    if told and part["tied"].any():
        ax.axhspan(-0.5, int(part["tied"].sum()) - 0.5, color=_WASH, linewidth=0, zorder=0)
    for y, (_, line) in enumerate(part.iterrows()):
        if y:
            ax.axhline(y - 0.5, color=FAINT, linewidth=0.6, zorder=0)
        if line["rank"] == 0:
            why = REASONS[line["status"]].split(":")[0]
            ax.text(0.02, y, why, transform=ax.get_yaxis_transform(), va="center", fontsize=8, color=MUTED)
            continue
        tone = _STRONG if line["tied"] or not told else MUTED
        ax.plot(
            [line["rank_low"], line["rank_high"]], [y, y], color=tone, linewidth=2.2, solid_capstyle="round", zorder=2
        )
        ax.plot(
            line["rank"],
            y,
            "o",
            markersize=5.5,
            color=tone,
            markerfacecolor=tone if line["tied"] else "white",
            zorder=3,
        )
        ax.text(
            1.04, y, f"{line['mean']:.3f}", transform=ax.get_yaxis_transform(), va="center", fontsize=8,
            color=INK if line["tied"] else MUTED, weight="bold" if line["tied"] and told else "normal",
        )  # fmt: skip
    ax.set(xlim=(0.5, max(n_ranked, 1) + 0.5), ylim=(len(part) - 0.5, -0.5), xlabel="rank")
    ax.set_yticks(range(len(part)), part["method"], fontsize=9, **PLAIN)
    ax.set_xticks(range(1, n_ranked + 1) if n_ranked <= 10 else [1, *range(5, n_ranked + 1, 5)])
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.tick_params(axis="x", length=2.5)
    ax.spines["left"].set_visible(False)


def _small_print(table: Board, parts: dict[str, pd.DataFrame], simulated: str) -> list[str]:
    if not parts:
        return []
    told = any(repeated(part) for part in parts.values())
    how = (
        f"Line: ranks that are possible, all at once at {PERCENT}. Shaded, filled, bold: cannot be told from the best."
        if told
        else "One repeat says nothing about chance: every rank is possible."
    )
    return [table.small_print(simulated=simulated), how]

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from scssl import _results
from scssl._errors import InputError
from scssl._registry import METRICS
from scssl._words import unknown
from scssl.data import scored
from scssl.pl._panels import foot
from scssl.pl._style import FAINT, INK, MUTED, PLAIN, RULE, check_figure, finish, style
from scssl.table import ablation as grids
from scssl.table import statistics
from scssl.table.board import board, simulation

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

_TONE = "#1F3B73"
_CELL = (0.66, 0.42)  # inches of a cell of the heat map
_LINE = (3.2, 2.3)
_TITLES = {statistics.TOTAL: "Total", statistics.BIO: "Biology kept", statistics.BATCH: "Batches mixed"}
_BEST = "#D55E00"
_LEAST = 1.9  # inches: a heat map of two columns still has room for its title


def ablation(
    data: AnnData | MuData | pd.DataFrame | str | os.PathLike[str],
    *,
    x: str | None = None,
    y: str | None = None,
    metrics: str | Sequence[str] | None = None,
    cmap: str = "YlGnBu",
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Axes | None:
    """What each choice of a grid is worth: a heat map for two axes, points and their mean for one.

    One panel for each metric, and for each combination of further axes. A single axis ``views`` of single views and pairs
    (:func:`scssl.tl.pairs`) is drawn as a square: view with view, each alone on the diagonal. In a heat map numbers are
    means over seeds, colours reach from the worst to the best value of the metric, and the best of a panel is framed. With one axis,
    points are seeds and the line is their mean; dashed is the random control, where it is in reach. Hatched or hollow:
    the embedding collapsed in some seed. A cross: no value.

    Parameters
    ----------
    data
        What :func:`scssl.tl.ablate` returned, the object it scored, or rows as CSV.
    x, y
        Axes of the grid; by default those with most values.
    metrics
        Names of metrics, or ``"total"``, ``"bio"``, ``"batch"``; by default the total of batch correction and the main
        metric of every other task.
    cmap
        Sequential colour map.
    ax
        Axes to draw in, for one panel.
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
        If no line of the table belongs to an ablation, or `ax` is given for several panels.
    KeyNotFoundError
        If an axis or a metric is not in the table.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch", n_top_genes=300)
    >>> scores = ssl.tl.ablate(
    ...     adata,
    ...     grid={"temperature": [0.1, 0.5], "width": [16, 32]},
    ...     batch_key="batch",
    ...     label_key="cell_type",
    ...     tasks=["batch_correction"],
    ...     max_epochs=1,
    ... )
    >>> axes = ssl.pl.ablation(scores, show=False)
    """
    check_figure(ax=ax, figsize=figsize, save=save, cmap=cmap)
    rows = scored.read(data)
    runs = statistics.per_run(rows)
    lines, axes = _axes_of(runs)
    across, down = _chosen(lines, axes, x, y)
    wanted = _metrics(rows, runs, metrics)
    facets = [axis for axis in axes if axis not in (across, down)]
    panels = [
        _Panel(lines, runs, metric, dict(zip(facets, values, strict=True)), across, down)
        for metric in wanted
        for values in itertools.product(*(_values(lines[axis]) for axis in facets))
    ]
    panels = [panel for panel in panels if len(panel.lines)]
    if ax is not None and len(panels) > 1:
        msg = f"ax was given for {len(panels)} panels; one axes holds one panel."
        raise InputError(msg, code="one_axes", parameter="ax", fix="Choose with metrics=, or leave ax out.")
    with style():
        n_columns = len(panels) // len(wanted) if len(panels) > len(wanted) else len(panels)
        places = [ax] if ax is not None else _places(panels, n_columns, figsize)
        for place, panel in zip(places, panels, strict=True):
            panel.draw(place, cmap)
        small = _small_print(rows, simulation(data), heat=panels[0].heat)
        foot(places[len(places) - n_columns], small, below=panels[0].below)
    return finish(places[0], show=show, save=save)


def _axes_of(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Runs of the ablation with a column for each axis, and the axes that vary (all, if none does)."""
    columns = grids.columns(runs)
    if columns.empty or not len(columns.columns):
        msg = "No line of this table belongs to an ablation: their names say no axis=value."
        raise InputError(msg, code="no_ablation", parameter="data", fix="Make one with ssl.tl.ablate.")
    lines = runs.join(columns)[columns.notna().any(axis=1).to_numpy()]
    axes = [str(axis) for axis in columns]
    varying = [axis for axis in axes if len(_values(lines[axis])) > 1] or axes
    return lines, sorted(varying, key=lambda axis: -len(_values(lines[axis])))


def _values(column: pd.Series) -> list[object]:
    """The values on an axis: numbers in their order, words as they first occur."""
    found = list(dict.fromkeys(column.dropna()))
    return sorted(found) if pd.api.types.is_numeric_dtype(column) else found


def _chosen(lines: pd.DataFrame, axes: list[str], x: str | None, y: str | None) -> tuple[str, str | None]:
    for parameter, axis in (("x", x), ("y", y)):
        if axis is not None and axis not in axes:
            raise unknown(kind="axis", name=axis, known=axes, parameter=parameter)
    rest = [axis for axis in axes if axis not in (x, y)]
    across = x or rest.pop(0)
    square = _as_pairs(_values(lines[across])) is not None
    return across, y if y is not None or square or not rest else rest[0]


def _as_pairs(values: Sequence[object]) -> list[str] | None:
    """Names of views, if the values are single views and pairs of them."""
    parts = [str(value).split("+") for value in values]
    names = list(dict.fromkeys(name for part in parts for name in part))
    return names if max(map(len, parts)) == 2 and len(parts) > 2 else None


def _metrics(rows: pd.DataFrame, runs: pd.DataFrame, asked: str | Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(runs["metric"]))
    if asked is None:
        main = list(dict.fromkeys(rows.loc[rows["main"] & (rows["task"] != "batch_correction"), "metric"]))
        usual = [statistics.TOTAL, *main] if statistics.TOTAL in known else main
        return usual or list(dict.fromkeys(rows.loc[rows["main"], "metric"])) or known[:1]
    wanted = [asked] if isinstance(asked, str) else list(asked)
    for name in wanted:
        if name not in known:
            raise unknown(kind="metric", name=name, known=known, parameter="metrics")
    return wanted


@dataclass(frozen=True)
class _Panel:
    """One metric at one place of the further axes."""

    every: pd.DataFrame
    runs: pd.DataFrame
    metric: str
    facet: dict[str, Any]
    across: str
    down: str | None

    @property
    def lines(self) -> pd.DataFrame:
        """The runs that are drawn here."""
        here = self.every["metric"] == self.metric
        for axis, value in self.facet.items():
            here &= self.every[axis] == value
        return self.every[here]

    @property
    def square(self) -> list[str] | None:
        """The views, if they are drawn against each other."""
        return _as_pairs(_values(self.every[self.across])) if self.down is None else None

    @property
    def heat(self) -> bool:
        """Whether this is a heat map."""
        return self.down is not None or self.square is not None

    @property
    def marks(self) -> tuple[Sequence[object], Sequence[object]]:
        """What stands along both sides."""
        if self.square is not None:
            return self.square, self.square
        return _values(self.every[self.across]), _values(self.every[self.down]) if self.down else []

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        if not self.heat:
            return _LINE
        columns, rows = self.marks
        return max(len(columns) * _CELL[0], _LEAST), len(rows) * _CELL[1]

    @property
    def below(self) -> float:
        """Room for what stands below the panel, in points."""
        longest = max(len(_text(mark)) for mark in self.marks[0])
        return 24 + 3 * longest if self.tilted else 38

    @property
    def tilted(self) -> bool:
        """Whether words below the panel would run into each other."""
        columns = self.marks[0]
        room = self.size[0] / len(columns)
        return max(len(_text(mark)) for mark in columns) * 0.075 > room

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest mean of the metric, in all panels."""
        here = self.every[self.every["metric"] == self.metric]
        means = here.groupby("key")["value"].mean()
        return (float(means.min()), float(means.max())) if means.notna().any() else (0.0, 1.0)

    @property
    def lower_is_better(self) -> bool:
        """Whether small values are good."""
        return self.metric in METRICS and METRICS.describe(self.metric).better == "lower"

    def draw(self, ax: Axes, cmap: str) -> None:
        """Draw into axes of any size."""
        name = METRICS.describe(self.metric).title if self.metric in METRICS else _TITLES.get(self.metric, self.metric)
        where = ", ".join(f"{axis} {_text(value)}" for axis, value in self.facet.items())
        ax.set_title(name, loc="left", weight="bold", pad=19 if where else 7, **PLAIN)
        ax.annotate(
            where, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", fontsize=8, color=MUTED
        )
        self._heat(ax, cmap) if self.heat else self._points(ax)
        if self.tilted:
            ax.tick_params(axis="x", rotation=40)
            for label in ax.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")

    def _place(self, run: pd.Series) -> tuple[object, object]:
        if self.square is None:
            return run[self.across], run[str(self.down)]
        parts = str(run[self.across]).split("+")
        first, second = sorted((parts[0], parts[-1]), key=self.square.index)
        return first, second

    def _heat(self, ax: Axes, cmap: str) -> None:
        columns, rows = self.marks
        means, hatched = np.full((len(rows), len(columns)), np.nan), np.zeros((len(rows), len(columns)), dtype=bool)
        places = [self._place(run) for _, run in self.lines.iterrows()]
        for (at_x, at_y), part in self.lines.groupby(pd.MultiIndex.from_tuples(places), sort=False):
            spot = rows.index(at_y), columns.index(at_x)
            means[spot] = part["value"].mean()
            hatched[spot] = part["status"].eq(_results.COLLAPSED).any()
        shown = np.isfinite(means)
        low, high = self.limits
        ax.imshow(np.where(shown, means, np.nan), cmap=cmap, aspect="auto", vmin=low, vmax=high)
        colour = plt.get_cmap(cmap)
        for (i, j), value in np.ndenumerate(means):
            if np.isfinite(value):
                red, green, blue, _ = colour((value - low) / (high - low) if high > low else 0.5)
                dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.55
                ax.text(j, i, f"{value:.3f}", ha="center", va="center", fontsize=7.5, color="white" if dark else INK)
            elif self.square is None or i >= j:
                ax.text(j, i, "×", ha="center", va="center", color=MUTED)
            if hatched[i, j]:
                ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="////", edgecolor=RULE, linewidth=0))
        if shown.any():
            best = np.nanargmin(means) if self.lower_is_better else np.nanargmax(means)
            i, j = np.unravel_index(best, means.shape)
            ax.add_patch(Rectangle((j - 0.46, i - 0.45), 0.92, 0.9, fill=False, edgecolor=_BEST, linewidth=1.6))
        ax.set_xticks(range(len(columns)), [_text(mark) for mark in columns], fontsize=8, **PLAIN)
        ax.set_yticks(range(len(rows)), [_text(mark) for mark in rows], fontsize=8, **PLAIN)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        if self.square is None:
            ax.set_xlabel(self.across, **PLAIN)
            ax.set_ylabel(str(self.down), **PLAIN)

    def _points(self, ax: Axes) -> None:
        columns = self.marks[0]
        lines = self.lines.assign(at=[columns.index(value) for value in self.lines[self.across]])
        for status, part in lines.groupby("status"):
            hollow = status == _results.COLLAPSED
            ax.plot(part["at"], part["value"], "o", color=_TONE, alpha=0.45, markersize=4,
                    markerfacecolor="none" if hollow else _TONE, markeredgewidth=1 if hollow else 0)  # fmt: skip
        means = lines.groupby("at")["value"].mean().reindex(range(len(columns)))
        joined = pd.api.types.is_numeric_dtype(self.every[self.across])
        ax.plot(
            means.index,
            means,
            linestyle="-" if joined else "none",
            marker="_",
            markersize=16,
            color=_TONE,
            linewidth=1.4,
        )
        low, high = float(lines["value"].min()), float(lines["value"].max())
        room = 0.12 * (high - low) or 0.05
        if np.isfinite(low):
            ax.set_ylim(low - room, high + room)
            self._floor(ax)
        for at in means.index[means.isna()]:
            ax.annotate("×", (at, 0), (0, 4), xycoords=("data", "axes fraction"), textcoords="offset points",
                        ha="center", color=MUTED)  # fmt: skip
        ax.set_xlim(-0.5, len(columns) - 0.5)
        ax.set_xticks(range(len(columns)), [_text(mark) for mark in columns], fontsize=8, **PLAIN)
        ax.set_xlabel(self.across, **PLAIN)
        ax.grid(visible=True, axis="y", color=FAINT)
        ax.set_axisbelow(True)

    def _floor(self, ax: Axes) -> None:
        random = self.runs[(self.runs["method"] == _results.RANDOM) & (self.runs["metric"] == self.metric)]["value"]
        low, high = ax.get_ylim()
        if len(random) and low < random.mean() < high:
            ax.axhline(random.mean(), color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))


def _text(mark: object) -> str:
    return f"{mark:g}" if isinstance(mark, int | float | np.number) else str(mark)


def _places(panels: list[_Panel], n_columns: int, figsize: tuple[float, float] | None) -> list[Axes]:
    """Axes for all panels: side by side, or a row for each metric if there are further axes."""
    n_rows = len(panels) // n_columns
    width, height = panels[0].size
    left = 0.6 if not panels[0].heat else 0.5 + 0.075 * max(len(_text(mark)) for mark in panels[0].marks[1])
    right, top, bottom, last = 0.25, 0.55, panels[0].below / 72, 0.35
    whole = n_columns * (left + width + right), n_rows * (top + height + bottom) + last
    figure = plt.figure(figsize=figsize or whole)
    made = []
    for k in range(len(panels)):
        row, column = divmod(k, n_columns)
        x = column * (left + width + right) + left
        y = whole[1] - (row + 1) * (top + height + bottom) + bottom
        made.append(figure.add_axes((x / whole[0], y / whole[1], width / whole[0], height / whole[1])))
    return made


def _small_print(rows: pd.DataFrame, simulated: str, *, heat: bool) -> list[str]:
    facts = board(rows).facts
    names = ", ".join(facts["data"])
    seeds = f"{facts['n_seeds']} seeds" if facts["n_seeds"] > 1 else "one seed"
    about = (names, f"{facts['n_obs']:,} cells", "" if simulated in names else simulated, seeds)
    how = "Colours: worst to best of the metric; framed: the best." if heat else "Points: seeds; bars: their mean."
    return [" · ".join(part for part in about if part), how]

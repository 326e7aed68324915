"""The drawings of the report: positions and texts, in the units of a view box; the template makes SVG of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scssl import _results
from scssl.table.lines import REASONS
from scssl.table.statistics import controls
from scssl.table.units import duration, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from scssl._types import Json
    from scssl.table.board import Board

WIDTH, LEFT, RIGHT, TOP, STEP = 420, 124, 318, 8, 26
"""Of a dot plot: names left of `LEFT`, numbers and ranks right of `RIGHT`."""
PLOT = (420, 270)
_INNER = (46, 406, 12, 226)  # left, right, top, bottom of the scatter
SPARK = (150, 44)
_LETTER, _LINE = 6.3, 14.0  # an average letter and a line of text
_ROUND = [
    *(r * 10.0**k for k in range(-3, 2) for r in (1, 3)),
    60,
    180,
    600,
    1800,
    *(3600.0 * r for r in (1, 3, 10, 30, 100)),
]


def dots(table: Board, column: str, ranked: pd.DataFrame | None) -> Json:
    """One line per method: a dot per repeat, a bar over the interval, a mark at the mean, the rank where there is one."""
    about = table.columns.loc[column]
    low, high = _range(table, column)
    lines = [
        _line(table, column, str(label), ranked, bounds=(low, high), y=TOP + STEP * (position + 0.5))
        for position, label in enumerate(table.methods.index if ranked is None else ranked["method"])
    ]
    bottom = TOP + STEP * len(lines)
    values = ((table.control(column, name), name) for name in controls())
    shown = [(_x(value, low, high), name) for value, name in values if low <= value <= high]
    return {
        "title": about["title"],
        "arrow": "higher is better" if about["better"] == "higher" else "lower is better",
        "lines": lines,
        "controls": shown,
        "named": _named(shown),
        "ticks": [(_x(v, low, high), f"{v:g}") for v in _ticks(low, high)],
        "top": TOP,
        "bottom": bottom,
        "height": bottom + 34,
        "width": WIDTH,
        "ranked": any(line["rank"] for line in lines),
    }


def _line(
    table: Board, column: str, label: str, ranked: pd.DataFrame | None, *, bounds: tuple[float, float], y: float
) -> Json:
    mean, wide = float(table.mean[column][label]), table.half_width(label, column)
    status = str(table.status[column][label])
    about = table.columns.loc[column]
    runs = table.runs
    own = runs[(runs["line"] == label) & (runs["task"] == about["task"]) & (runs["metric"] == about["metric"])]
    unit = "data_id" if table.facts["over"] == "data" else "seed"
    place: Any = None if ranked is None or math.isnan(mean) else ranked.set_index("method").loc[label]
    return {
        "label": shorten(label, 18),
        "y": y,
        "dots": [_x(v, *bounds) for v in own.groupby(unit)["value"].mean().dropna()],
        "bar": None if math.isnan(wide) else (_x(mean - wide, *bounds), _x(mean + wide, *bounds)),
        "mean": None if math.isnan(mean) else _x(mean, *bounds),
        "text": number(mean, 3) if not math.isnan(mean) else REASONS.get(status, status).split(":")[0],
        "rank": ""
        if place is None or not place["rank"] or place["n"] < 2
        else _between(int(place["rank_low"]), int(place["rank_high"])),
        "tied": bool(place is not None and place["tied"] and place["n"] > 1),
        "sound": status != _results.COLLAPSED,
    }


def _named(at: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Names below their lines; those that would cover each other share one place, in the order of their lines."""
    named: list[tuple[float, float, str]] = []
    for x, name in sorted(at):
        if named and x - named[-1][1] < _LETTER * (len(named[-1][2]) + len(name)) / 2:
            first, _, names = named.pop()
            named.append((first, x, f"{names}, {name}"))
        else:
            named.append((x, x, name))
    return [((first + last) / 2, name) for first, last, name in named]


def _between(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low}–{high}"


def _range(table: Board, column: str) -> tuple[float, float]:
    """Tenths around the methods and their intervals, but not wider than the interval of a mean would stretch them."""
    lines = table.methods.index
    mean = table.mean.loc[lines, column].dropna()
    if mean.empty:
        return 0.0, 1.0
    reach = max(float(mean.max() - mean.min()), 0.1)
    low = max(float(np.nanmin([table.low.loc[lines, column].min(), mean.min()])), float(mean.min()) - reach)
    high = min(float(np.nanmax([table.high.loc[lines, column].max(), mean.max()])), float(mean.max()) + reach)
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-9)))
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers."""
    step = 10.0 ** math.floor(math.log10(high - low))
    step = next(s for s in (step / 5, step / 2, step, 2 * step, 5 * step) if (high - low) / s <= 5.01)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _x(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low)
    return round(LEFT + (RIGHT - LEFT) * min(max(share, 0.0), 1.0), 1)


def scatter(table: Board, part: pd.DataFrame) -> Json | None:
    """Score against seconds of one task; ``None`` if fewer than two methods have both."""
    shown = part[part["mean"].notna() & (part["seconds"] > 0)]
    if len(shown) < 2:
        return None
    about = table.columns[
        (table.columns["task"] == part["task"].iloc[0]) & (table.columns["metric"] == part["metric"].iloc[0])
    ]
    log, mean = np.log10(shown["seconds"].to_numpy(float)), shown["mean"].to_numpy(float)
    left, right, top, bottom = _INNER
    pad = max(0.12 * float(np.ptp(log)), 0.1)
    span = (float(log.min()) - pad, float(log.max()) + pad)
    reach = max(float(np.ptp(mean)), 0.02)
    rise = (float(mean.min()) - 0.12 * reach, float(mean.max()) + 0.12 * reach)
    x = left + (right - left) * (log - span[0]) / (span[1] - span[0])
    y = bottom - (bottom - top) * (mean - rise[0]) / (rise[1] - rise[0])
    names = [shorten(str(m), 18) for m in shown["method"]]
    told = bool((part["n"] > 1).any())
    return {
        "title": f"{about['title'].iloc[0]} against time",
        "points": [
            {"x": round(float(a), 1), "y": round(float(b), 1), "name": name, "at": at, "tied": bool(t) and told, "sound": s != _results.COLLAPSED}
            for a, b, name, at, t, s in zip(x, y, names, _beside(x, y, names), shown["tied"], shown["status"], strict=True)
        ],
        "xticks": [
            (round(left + (right - left) * (math.log10(s) - span[0]) / (span[1] - span[0]), 1), _seconds(s))
            for s in _round_seconds(*span)
        ],
        "yticks": [(round(bottom - (bottom - top) * (v - rise[0]) / (rise[1] - rise[0]), 1), f"{v:g}") for v in _ticks(*rise)],
        "inner": _INNER,
        "size": PLOT,
    }  # fmt: skip


def _seconds(value: float) -> str:
    return f"{value:g} s" if value < 60 else duration(value).replace(".0 ", " ")


def _round_seconds(low: float, high: float) -> list[float]:
    found = [s for s in _ROUND if low <= math.log10(s) <= high]
    digit = 10.0 ** math.floor(low)
    for step in (digit, digit / 2, digit / 5, digit / 10):
        if len(found) < 2:
            found = [round(step * k, 9) for k in range(1, 200) if low <= math.log10(step * k) <= high]
    return found[:: max(-(-len(found) // 5), 1)]


def _beside(x: np.ndarray, y: np.ndarray, names: Sequence[str]) -> list[tuple[float, float]]:
    """Where each name begins (its base line), so that it covers as little as can be of names and points."""
    taken = [(a - 6, b - 6, a + 6, b + 6) for a, b in zip(x, y, strict=True)]
    placed = []
    for a, b, name in zip(x, y, names, strict=True):
        box = min(_boxes(float(a), float(b), _LETTER * len(name)), key=lambda box: _covered(box, taken))
        taken.append(box)
        placed.append((round(box[0], 1), round(box[3] - 3.5, 1)))
    return placed


_Box = tuple[float, float, float, float]


def _boxes(x: float, y: float, wide: float) -> Iterator[_Box]:
    for gap in (9, 16, 26, 38):
        for right, down in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
            left = x + right * gap - (0.5 - 0.5 * right) * wide
            top = y + down * gap - 0.5 * _LINE
            yield left, top, left + wide, top + _LINE


def _covered(box: _Box, taken: list[_Box]) -> float:
    """Area shared with what is there, and twice what is outside of the plot."""
    left, right, top, bottom = _INNER
    inside = _shared(box, (left, top - 6, right + 8, bottom))
    return sum(_shared(box, other) for other in taken) + 2 * ((box[2] - box[0]) * (box[3] - box[1]) - inside)


def _shared(a: _Box, b: _Box) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


def curve(history: pd.DataFrame, name: str) -> Json:
    """A small line: its points in the view box, first and last value in words."""
    values = history[name].astype(float).dropna().tolist()
    low, high = min(values, default=0.0), max(values, default=1.0)
    wide, tall = SPARK[0] - 8, SPARK[1] - 8
    steps, span = max(len(values) - 1, 1), (high - low) or 1.0
    points = [f"{4 + wide * i / steps:.1f},{4 + tall * (1 - (v - low) / span):.1f}" for i, v in enumerate(values)]
    text = f"{values[0]:.3g} → {values[-1]:.3g}" if values else "not recorded"
    return {"name": name.replace("_", " "), "points": " ".join(points), "text": text}


def shorten(text: str, most: int) -> str:
    """At most so many letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"

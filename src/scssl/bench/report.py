"""The report: one HTML page that opens from disk, without scripts and without requests to anywhere.

Everything that comes from the data passes the template's escaping; the figures are SVG that the template draws from
the numbers prepared here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd

from scssl import _results
from scssl._registry import TASKS
from scssl.bench import statistics
from scssl.bench.board import GROUP_TITLES, Board, board
from scssl.bench.statistics import CONTROLS, TOTALS

if TYPE_CHECKING:
    from collections.abc import Sequence

# a figure of the report, in the units of its view box
_LEFT, _TRACK, _WIDTH, _TOP, _STEP = 120, 240, 400, 26, 24
_SPARK = (150, 44)


@dataclass(frozen=True)
class Background:
    """What a report says beside the scores.

    Parameters
    ----------
    simulated
        What of the data was simulated, in words.
    models
        Records of trained models, indexed by key.
    histories
        Training of each model, by key.
    commands
        Lines of Python that repeat the work.
    session
        Versions of the software, ``(name, version)``.
    citations
        BibTeX.
    """

    simulated: str = ""
    models: pd.DataFrame = field(default_factory=pd.DataFrame)
    histories: dict[str, pd.DataFrame] = field(default_factory=dict)
    commands: Sequence[str] = ()
    session: Sequence[tuple[str, str]] = ()
    citations: str = ""


def render(
    scores: pd.DataFrame,
    *,
    title: str = "",
    profile: str = statistics.CLEAN,
    background: Background | None = None,
) -> str:
    """The page as text.

    Parameters
    ----------
    scores
        Result rows.
    title
        Head line; by default the names of the data sets.
    profile
        ``"clean"`` or ``"paper"``, see :func:`scssl.get.scores`.
    background
        What else is known about the work.
    """
    rows = _results.conform(scores)
    table = board(rows, profile=profile)
    about = background or Background()
    template = _template()
    return template.render(
        title=title or ", ".join(table.facts["data"]) or "Benchmark",
        small_print=table.small_print(simulated=about.simulated),
        simulated=about.simulated,
        facts=table.facts,
        groups=_groups(table),
        columns=_heads(table),
        methods=[_line(table, label) for label in table.methods.index],
        controls=[_line(table, label) for label in table.lines.index.difference(table.methods.index, sort=False)],
        notes=table.notes,
        tasks=_figures(rows, table, profile),
        models=[_model(about, str(key)) for key in about.models.index],
        commands="\n".join(about.commands),
        session=about.session,
        citations=about.citations,
    )


def _template() -> jinja2.Template:
    source = files("scssl.bench").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)


def _groups(table: Board) -> list[dict[str, Any]]:
    groups = table.columns["group"]
    return [
        {"title": GROUP_TITLES.get(g, g.replace("_", " ").capitalize()), "span": int((groups == g).sum())}
        for g in dict.fromkeys(groups)
    ]


def _heads(table: Board) -> list[dict[str, Any]]:
    first = ~table.columns["group"].duplicated()
    return [
        {
            "title": c["title"],
            "arrow": "↑" if c["better"] == "higher" else "↓",
            "first": bool(first[name]),
            "name": name,
        }
        for name, c in table.columns.iterrows()
    ]


def _line(table: Board, label: str) -> dict[str, Any]:
    line = table.lines.loc[label]
    return {
        "label": label,
        "caption": "control" if line["control"] else line["family"],
        "mark": int(line["mark"]),
        "collapsed": line["status"] == _results.COLLAPSED,
        "cells": [_cell(table, label, str(name)) for name in table.columns.index],
        "seconds": "–" if pd.isna(line["seconds"]) else f"{line['seconds']:,.1f}",
        "seeds": f"{line['n_seeds']}/{line['n_runs']}",
    }


def _cell(table: Board, label: str, column: str) -> dict[str, Any]:
    value, wide = float(table.mean.loc[label, column]), table.half_width(label, column)
    about = table.columns.loc[column]
    return {
        "value": "" if math.isnan(value) else f"{value:.3f}",
        "wide": "" if math.isnan(wide) else f"{wide:.3f}",
        "share": 0.0 if math.isnan(value) else round(100 * min(max(value, 0.0), 1.0), 1),
        "status": table.status.loc[label, column].replace("_", " "),
        "strong": about["group"] == TOTALS or bool(about["main"]),
    }


def _figures(rows: pd.DataFrame, table: Board, profile: str) -> list[dict[str, Any]]:
    """One figure per task and leading number: a dot per seed, a bar at the mean, the controls as a band."""
    runs = statistics.per_run(rows, profile=profile)
    leading = table.columns[table.columns["main"] | (table.columns["group"] == TOTALS)]
    figures = []
    for task, columns in leading.groupby("task", sort=False):
        title = TASKS.describe(task).title if task in TASKS else str(task).replace("_", " ").capitalize()
        panels = [_panel(runs, table, str(name)) for name in columns.index]
        figures.append({"title": title, "panels": panels})
    return figures


def _panel(runs: pd.DataFrame, table: Board, column: str) -> dict[str, Any]:
    about = table.columns.loc[column]
    part = runs[(runs["task"] == about["task"]) & (runs["metric"] == about["metric"]) & runs["value"].notna()]
    lines = []
    for position, label in enumerate(table.methods.index):
        method = table.lines.loc[label, ["method", "key", "config_id"]]
        own = part[(part[list(method.index)] == method).all(axis=1)]
        mean = float(table.mean.loc[label, column])
        lines.append(
            {
                "label": label if len(label) <= 17 else f"{label[:16]}…",
                "y": _TOP + _STEP * position + _STEP / 2,
                "dots": [_x(v) for v in own.groupby("seed")["value"].mean()],
                "mean": None if math.isnan(mean) else _x(mean),
                "text": table.status.loc[label, column].replace("_", " ") if math.isnan(mean) else f"{mean:.3f}",
            }
        )
    bounds = [table.control(column, name) for name in CONTROLS]
    known = not any(math.isnan(b) for b in bounds)
    return {
        "title": about["title"],
        "arrow": "higher is better" if about["better"] == "higher" else "lower is better",
        "lines": lines,
        "band": sorted(map(_x, bounds)) if known else None,
        "height": _TOP + _STEP * len(lines) + 26,
        "bottom": _TOP + _STEP * len(lines),
        "width": _WIDTH,
        "top": _TOP,
        "ticks": [(_x(v), f"{v:g}") for v in (0, 0.25, 0.5, 0.75, 1)],
    }


def _x(value: float) -> float:
    return round(_LEFT + _TRACK * min(max(value, 0.0), 1.0), 1)


def _model(about: Background, key: str) -> dict[str, Any]:
    record = about.models.loc[key]
    history = about.histories.get(key, pd.DataFrame())
    seconds = record.get("seconds", math.nan)
    return {
        "key": key,
        "record": {
            name: _plain(value) for name, value in record.items() if name not in ("config", "key") and _plain(value)
        },
        "config": str(record.get("config", "")),
        "seconds": "" if pd.isna(seconds) else f"{seconds:,.1f} s",
        "curves": [_curve(history, name) for name in ("loss", "effective_rank", "spread") if name in history],
        "size": _SPARK,
    }


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:,.4g}"
    return str(value)


def _curve(history: pd.DataFrame, name: str) -> dict[str, Any]:
    """A small line: its points in the view box, first and last value in words."""
    values = history[name].astype(float).dropna().tolist()
    low, high = min(values, default=0.0), max(values, default=1.0)
    wide, tall = _SPARK[0] - 8, _SPARK[1] - 8
    steps, span = max(len(values) - 1, 1), (high - low) or 1.0
    points = [f"{4 + wide * i / steps:.1f},{4 + tall * (1 - (v - low) / span):.1f}" for i, v in enumerate(values)]
    text = f"{values[0]:.3g} → {values[-1]:.3g}" if values else "not recorded"
    return {"name": name.replace("_", " "), "points": " ".join(points), "text": text}

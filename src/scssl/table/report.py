"""The report: one HTML page that opens from disk, without scripts and without requests to anywhere.

Everything that comes from the data passes the template's escaping; the figures are SVG that the template draws from
the numbers of :mod:`scssl.table.figures`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd

from scssl import _results
from scssl._protocol import CLEAN
from scssl._registry import METRICS, TASKS
from scssl.table import statistics
from scssl.table.advice import SENTENCE, advise
from scssl.table.board import Board, board
from scssl.table.figures import SPARK, curve, dots, scatter
from scssl.table.lines import GROUP_TITLES
from scssl.table.ranks import flips, ranks, tied
from scssl.table.statistics import DROP, FLOOR, TOTALS, controls
from scssl.table.units import duration, memory, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scssl._protocol import Protocol
    from scssl._types import Json


_WHY_NOT = {_results.NOT_APPLICABLE: "–"}


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
    protocol: Protocol = CLEAN,
    background: Background | None = None,
) -> str:
    """The page as text.

    Parameters
    ----------
    scores
        Result rows.
    title
        Head line; by default the name of the data set, or how many methods and data sets there are.
    protocol
        How scores are shown.
    background
        What else is known about the work.
    """
    rows = _results.conform(scores)
    table = board(rows, protocol=protocol)
    about = background or Background()
    bold = tied(table)
    return _template().render(
        title=title or _head_line(table),
        small_print=table.small_print(simulated=about.simulated),
        simulated=about.simulated,
        facts=table.facts,
        data=_data(rows),
        n_methods=len(table.methods),
        told=bool(bold),
        notes=[note.partition(": ") for note in table.notes],
        policies=_policies(table),
        flips=flips(rows, protocol=protocol).to_dict("records") if protocol.min_max else [],
        min_max=protocol.min_max,
        tasks=_tasks(table, bold),
        noise_mixes=_without_floor(table),
        models=[_model(about, str(key)) for key in about.models.index],
        commands="\n".join(about.commands),
        session=about.session,
        citations=about.citations,
    )


def _head_line(table: Board) -> str:
    """The name of the data set, or how many there are: a head line of several names cannot be read."""
    names = table.facts["data"]
    return f"{len(table.methods)} methods on {len(names)} data sets" if len(names) > 1 else (*names, "Benchmark")[0]


def _template() -> jinja2.Template:
    source = files("scssl.table").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)


def _scores(table: Board, task: str, order: Sequence[str], bold: set[tuple[str, str]]) -> Json:
    """The table of a task: methods in the order of their ranks, then the controls that have a number in it."""
    own = table.columns[table.columns["task"] == task]
    others = table.lines.index.difference(table.methods.index, sort=False)
    return {
        "groups": _groups(own),
        "columns": _heads(own),
        "methods": [_line(table, own, label, bold) for label in order],
        "controls": [_line(table, own, str(c), bold) for c in others if table.mean.loc[c, own.index].notna().any()],
    }


def _groups(columns: pd.DataFrame) -> list[Json]:
    return [
        {
            "title": GROUP_TITLES.get(part["group"].iloc[0], part["group"].iloc[0].replace("_", " ").capitalize()),
            "span": len(part),
        }
        for _, part in columns.groupby("block", sort=False)
    ]


def _heads(columns: pd.DataFrame) -> list[Json]:
    first = ~columns["block"].duplicated()
    return [
        {
            "title": c["title"],
            "arrow": "↑" if c["better"] == "higher" else "↓",
            "first": bool(first[str(name)]),
            "name": name,
        }
        for name, c in columns.iterrows()
    ]


def _line(table: Board, columns: pd.DataFrame, label: str, bold: set[tuple[str, str]]) -> Json:
    line: Any = table.lines.loc[label]
    control = bool(line["control"])
    return {
        "label": label,
        "caption": "control" if control else line["family"],
        "mark": int(line["mark"]),
        "collapsed": line["status"] == _results.COLLAPSED,
        "cells": [_cell(table, label, str(name), bold=(str(name), label) in bold) for name in columns.index],
        "seconds": "" if control else duration(line["seconds"]),
        "memory": "" if control else memory(line["peak_mb"]),
        "seeds": "" if control else f"{line['n_seeds']}/{line['n_runs']}",
    }


def _cell(table: Board, label: str, column: str, *, bold: bool) -> Json:
    value, wide = float(table.mean[column][label]), table.half_width(label, column)
    about, status = table.columns.loc[column], str(table.status[column][label])
    return {
        "value": "" if math.isnan(value) else number(value, 3),
        "wide": "" if math.isnan(wide) else f"{wide:.3f}",
        "share": 0.0 if math.isnan(value) else round(100 * table.share(column, value), 1),
        "status": "" if table.lines["control"][label] else _WHY_NOT.get(status, status),
        "broken": status in statistics.FAILURES,
        "strong": about["group"] == TOTALS or bool(about["main"]),
        "bold": bold,
    }


def _data(rows: pd.DataFrame) -> list[Json]:
    """What was run on: name, identifier of the content, cells, and by how many lines and seeds."""
    rows = rows[~rows["method"].isin(statistics.controls())]
    found = rows.groupby(["data", "data_id"], sort=False).agg(
        n_obs=("n_obs", "max"), methods=("key", "nunique"), seeds=("seed", "nunique"), tasks=("task", "unique")
    )
    return [
        {
            "name": name,
            "id": data_id,
            **{str(k): v for k, v in part.items()},
            "tasks": ", ".join(_title(t) for t in part["tasks"] if t),
        }
        for (name, data_id), part in zip(found.index, found.to_dict("records"), strict=True)
    ]


def _title(task: str) -> str:
    return TASKS.describe(task).title if task in TASKS else task.replace("_", " ").capitalize()


def _policies(table: Board) -> list[Json]:
    """Numbers that lack something, under both ways of counting what failed."""
    drop, floor = table.policies[DROP], table.policies[FLOOR]
    return [
        {
            "method": label,
            "column": f"{_title(about['task'])}: {about['title']}",
            "keep": _number(table.mean[name][label]),
            "drop": _number(drop[name][label]),
            "floor": _number(floor[name][label]),
        }
        for label in drop.index
        for name, about in table.leading.iterrows()
        if table.status[name][label] in statistics.FAILURES
    ]


def _without_floor(table: Board) -> list[str]:
    """Titles of the columns in which noise is not the worst that there is."""
    known = table.columns[table.columns["metric"].isin(list(METRICS))]
    return [c["title"] for _, c in known.iterrows() if METRICS.describe(c["metric"]).floor != _results.RANDOM]


def _number(value: float) -> str:
    return "–" if math.isnan(value) else number(value, 3)


def _tasks(table: Board, bold: set[tuple[str, str]]) -> list[Json]:
    """For each task what it says in words, its table and its figures."""
    placed, words = ranks(table), advise(table).set_index("task")[SENTENCE]
    found = []
    for leading, about in table.leading.iterrows():
        task = about["task"]
        own = table.columns[table.columns["task"] == task]
        others = own[(own["main"] | (own["group"] == TOTALS)) & (own.index != leading)]
        part = placed[placed["task"] == task]
        panels = [dots(table, str(leading), part), *(dots(table, str(name), None) for name in others.index)]
        said = str(words[task]).partition(": ")[2] or str(words[task])
        found.append(
            {
                "title": _title(task),
                "words": said,
                "scores": _scores(table, task, [str(m) for m in part["method"]], bold),
                "panels": panels,
                "scatter": scatter(table, part),
                "each": _on_each(table, str(leading), [str(m) for m in part["method"]]),
            }
        )
    return found


def _on_each(table: Board, column: str, order: Sequence[str]) -> Json | None:
    """The leading number of a task on each data set, mean over seeds; ``None`` if there is one data set."""
    about, runs = table.columns.loc[column], table.runs
    runs = runs[(runs["task"] == about["task"]) & (runs["metric"] == about["metric"])]
    numbers = runs.pivot_table(index="line", columns="data_id", values="value", aggfunc="mean", sort=False)
    if numbers.shape[1] < 2:
        return None
    names = table.facts["name_of"]
    present = [label for label in [*order, *controls()] if label in numbers.index]
    return {
        "title": about["title"],
        "data": [names.get(data_id) or data_id for data_id in numbers.columns],
        "lines": [(label, [_number(float(value)) for value in numbers.loc[label].to_numpy()]) for label in present],
    }


def _model(about: Background, key: str) -> Json:
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
        "curves": [curve(history, name) for name in ("loss", "effective_rank", "spread") if name in history],
        "size": SPARK,
    }


def _plain(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:,.4g}"
    return str(value)

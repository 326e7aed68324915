"""The table of a benchmark, ready to be drawn or printed: lines, columns, numbers, notes, facts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from scssl import _results
from scssl._registry import METHODS, METRICS
from scssl.bench import statistics
from scssl.bench.statistics import BATCH, BIO, CONTROLS, TOTAL, TOTALS

GROUP_TITLES = {TOTALS: "Totals", BIO: "Biology kept", BATCH: "Batches mixed", "typing": "Cell typing"}
_AGGREGATES = {TOTAL: "Total", BIO: "Biology", BATCH: "Mixing"}
REASONS = {
    _results.FAILED: "failed",
    _results.TIMEOUT: "ran out of time",
    _results.COLLAPSED: "collapsed: all cells are (nearly) the same point",
    _results.NOT_APPLICABLE: "does not apply",
    statistics.MISSING: "was not scored",
}


@dataclass(frozen=True)
class Board:
    """The table of a benchmark.

    Parameters
    ----------
    lines
        Index: label of the method; columns ``method, key, config_id, n_seeds, n_runs, control, family, status, note,
        seconds, mark`` (number of its note).
        Best first, controls last.
    columns
        Index: name of the column; columns ``task, group, metric, title, better, main``. The first one decides the order.
    mean, sd
        Numbers over seeds, lines by columns.
    status
        Status of each number.
    notes
        Numbered reasons for what is missing or cannot be trusted.
    facts
        ``data`` (names), ``data_ids``, ``n_obs``, ``n_seeds``, ``versions``, ``created``.
    profile
        ``"clean"`` or ``"paper"``.
    """

    lines: pd.DataFrame
    columns: pd.DataFrame
    mean: pd.DataFrame
    sd: pd.DataFrame
    status: pd.DataFrame
    notes: tuple[str, ...]
    facts: dict[str, Any]
    profile: str

    @property
    def methods(self) -> pd.DataFrame:
        """Lines that are not controls."""
        return self.lines[~self.lines["control"]]

    def control(self, column: str, name: str) -> float:
        """Value of a control in a column, NaN if there is none."""
        return float(self.mean[column].get(name, math.nan))

    def small_print(self, *, simulated: str = "") -> str:
        """One line that says what the numbers are and where they come from."""
        facts = self.facts
        seeds = f"mean ± s.d. over {facts['n_seeds']} seeds"
        seeds = seeds if facts["n_seeds"] > 1 else "one seed" if facts["n_seeds"] else "no runs"
        cells = f"{facts['n_obs']:,} cells" if facts["n_obs"] else ""
        formula = " + ".join(f"{weight:g} {group}" for group, weight in statistics.WEIGHTS.items())
        total = f"total = {formula} of {'min-max scaled' if self.profile == statistics.PAPER else 'raw'} values"
        names = ", ".join(facts["data"])
        simulated = "" if simulated in names else simulated  # rows read back from a file can say so by name only
        parts = (names, cells, simulated, seeds, total if TOTAL in self.columns.index else "")
        return " · ".join(part for part in parts if part)


def board(scores: pd.DataFrame, *, profile: str = statistics.CLEAN) -> Board:
    """Build the table from result rows."""
    rows = _results.conform(scores)
    cells = statistics.summarise(rows, profile=profile)
    cells = cells.assign(line=_labels(cells), column=_column_names(cells))
    columns = _columns(rows, cells)
    scored = cells[cells["metric"] != ""]
    order = list(dict.fromkeys(cells["line"]))

    def grid(values: str) -> pd.DataFrame:
        return scored.pivot_table(index="line", columns="column", values=values, aggfunc="first", dropna=False).reindex(
            index=order, columns=columns.index
        )

    mean, sd, status = grid("mean").astype(float), grid("sd").astype(float), grid("status").fillna(statistics.MISSING)
    lines = _lines(rows, cells, order)
    place = statistics.ranking(mean, lines["status"])
    ranked = [order[i] for i in place]
    ranked = [x for x in ranked if not lines["control"][x]] + [x for x in CONTROLS if x in lines.index]
    lines, notes = _notes(lines.loc[ranked])
    return Board(lines, columns, mean.loc[ranked], sd.loc[ranked], status.loc[ranked], notes, _facts(rows), profile)


def _labels(cells: pd.DataFrame) -> pd.Series:
    """The shortest name that tells the lines apart: key, with the method, with the configuration."""
    lines = cells[["method", "key", "config_id"]].drop_duplicates()
    key = lines["key"].where(lines["key"] != "", lines["method"]).str.removeprefix("X_")
    for extra in (lines["method"], lines["config_id"].str[:6]):
        twice = key.duplicated(keep=False) & (extra != key)
        key = key.mask(twice, key + " (" + extra + ")")
    names = dict(zip(lines.itertuples(index=False, name=None), key, strict=True))
    triples = zip(cells["method"], cells["key"], cells["config_id"], strict=True)
    return pd.Series([names[t] for t in triples], index=cells.index, dtype=object)


def _column_names(cells: pd.DataFrame) -> pd.Series:
    """Name of the metric, with its task where two tasks share it."""
    if cells.empty:
        return cells["metric"]
    tasks = cells.groupby("metric")["task"].transform("nunique")
    return cells["metric"].where(tasks == 1, cells["task"] + "." + cells["metric"])


def _columns(rows: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Columns in reading order: totals, then the groups, in each the main metric first."""
    table = cells.loc[cells["metric"] != "", ["column", "task", "group", "metric"]].drop_duplicates("column")
    about = rows.drop_duplicates(["task", "metric"]).set_index(["task", "metric"])[["better", "main"]]
    table = table.join(about, on=["task", "metric"]).fillna({"better": "higher"})
    table["main"] = table["main"].eq(other=True) | table["metric"].eq(TOTAL)
    table["title"] = [_title(metric, group) for metric, group in zip(table["metric"], table["group"], strict=True)]
    groups = [*dict.fromkeys([*GROUP_TITLES, *table["group"]])]
    table["place"] = table["group"].map(groups.index).astype(int)
    order = {name: i for i, name in enumerate(_AGGREGATES)}
    table["within"] = table["metric"].map(order).where(table["group"] == TOTALS, 0)
    table = table.sort_values(["place", "main", "within"], ascending=[True, False, True], kind="stable")
    return table.drop(columns=["place", "within"]).set_index("column")


def _title(metric: str, group: str) -> str:
    if group == TOTALS:
        return _AGGREGATES[metric]
    return METRICS.describe(metric).title if metric in METRICS else metric.replace("_", " ")


def _lines(rows: pd.DataFrame, cells: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    by_line = cells.groupby("line", sort=False)
    lines = by_line[["method", "key", "config_id"]].first().reindex(order)
    lines = lines.join(by_line[["n_seeds", "n_runs"]].max())
    lines["control"] = lines["method"].isin(CONTROLS)
    lines["family"] = [METHODS.describe(m).family if m in METHODS else "" for m in lines["method"]]
    lines["status"] = [_line_status(by_line.get_group(line)) for line in order]
    lines["note"] = [_line_note(by_line.get_group(line)) for line in order]
    lines["seconds"] = _seconds(rows, cells).reindex(order)
    return lines


def _line_status(cells: pd.DataFrame) -> str:
    """`failed` (or what it was) if no number is left, `collapsed` if any run did, else `ok`."""
    status = set(cells["status"])
    if cells["mean"].notna().any():
        return _results.COLLAPSED if _results.COLLAPSED in status else _results.OK
    return next((s for s in REASONS if s in status), statistics.MISSING)


def _line_note(cells: pd.DataFrame) -> str:
    """Why numbers of a method are missing, or cannot be trusted; empty if all is well."""
    cells = cells[cells["group"] != TOTALS]
    notes = []
    collapsed = cells[cells["status"] == _results.COLLAPSED]
    if len(collapsed):  # is true of the embedding, not of single metrics: said once
        notes.append(f"{REASONS[_results.COLLAPSED]} ({collapsed['message'].iloc[0]})")
        cells = cells[cells["status"] != _results.COLLAPSED]
    for (status, message), part in cells[cells["status"] != _results.OK].groupby(["status", "message"], sort=False):
        everything = len(part) == len(cells) and not len(collapsed)
        what = "" if everything else ", ".join(part["metric"]) + " "
        few = part["n_seeds"].max()
        seeds = f" in {part['n_runs'].max() - few} of {part['n_runs'].max()} seeds" if few else ""
        notes.append(
            f"{what}{REASONS[status]}{seeds}" + (f": {message}" if message and message not in REASONS[status] else "")
        )
    return "; ".join(notes)


def _seconds(rows: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """Seconds to train and embed, mean over data sets and seeds; rows of one run repeat them."""
    runs = rows.groupby(["method", "key", "config_id", "data_id", "seed"])[["fit_s", "embed_s"]].max()
    seconds = runs.sum(axis=1, min_count=1).groupby(["method", "key", "config_id"]).mean()
    names = cells.drop_duplicates("line").set_index("line")[["method", "key", "config_id"]]
    found = [seconds.get(tuple(name), math.nan) for name in names.itertuples(index=False)]
    return pd.Series(found, index=names.index, dtype=float)


def _notes(lines: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Number the notes; `mark` of a line points to its note."""
    notes, marks = [], []
    for label, note in lines["note"].items():
        if note:
            notes.append(f"{label}: {note}")
        marks.append(len(notes) if note else 0)
    return lines.assign(mark=marks), tuple(notes)


def _facts(rows: pd.DataFrame) -> dict[str, Any]:
    data = rows.drop_duplicates("data_id")
    methods = rows[~rows["method"].isin(CONTROLS)]
    return {
        "data": [name for name in dict.fromkeys(rows["data"]) if name],
        "data_ids": [i for i in data["data_id"] if i],
        "n_obs": int(data["n_obs"].sum()),
        "n_seeds": int(methods["seed"].nunique()),
        "versions": sorted(set(rows["version"]) - {""}),
        "devices": sorted(set(rows["device"]) - {""}),
        "created": rows["created"].max() if len(rows) else "",
    }


def simulation(data: Any) -> str:
    """What an object says about simulated values or batches, for the small print; empty if it says nothing."""
    text = getattr(data, "uns", {}).get("simulation", "")
    if not text:
        return ""
    try:
        return str(json.loads(text)["what"])
    except (ValueError, TypeError, KeyError):
        return str(text)  # written by somebody else: shown as it is

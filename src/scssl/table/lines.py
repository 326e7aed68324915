"""Lines and columns of the table of a benchmark: their names, what they cost, and what has to be said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _results
from scssl._registry import METHODS, METRICS
from scssl._results import ANSWERS
from scssl.table import statistics
from scssl.table.statistics import BATCH, BIO, TOTAL, TOTALS, controls

if TYPE_CHECKING:
    from scssl._types import Json


GROUP_TITLES = {
    TOTALS: "Totals",
    BIO: "Biology kept",
    BATCH: "Batches mixed",
    "beyond": "Beyond scIB",
    "typing": "Cell typing",
    "typing_k5": "Cell typing, k = 5",
    "linear": "Linear probe",
    "head": "Own head",
    "prediction": "Modality prediction",
    "reconstruction": "Reconstruction",
    "own": "Own decoder",
}
_AGGREGATES = {TOTAL: "Total", BIO: "Biology", BATCH: "Mixing"}
SEES_LABELS = "learned from labels: shown and not ranked"
REASONS = {
    _results.FAILED: "failed",
    _results.TIMEOUT: "ran out of time",
    _results.COLLAPSED: "collapsed: all cells are (nearly) the same point",
    _results.NOT_APPLICABLE: "does not apply",
    statistics.MISSING: "was not scored",
}


def labels_of(cells: pd.DataFrame) -> pd.Series:
    """The shortest name that tells the lines apart: key, with the method, with the configuration."""
    lines = cells[statistics.LINE].drop_duplicates()
    key = lines["key"].where(lines["key"] != "", lines["method"]).str.removeprefix("X_")
    for extra in (lines["method"], lines["config_id"].str[:6]):
        twice = key.duplicated(keep=False) & (extra != key)
        key = key.mask(twice, key + " (" + extra + ")")
    names = dict(zip(lines.itertuples(index=False, name=None), key, strict=True))
    triples = zip(cells["method"], cells["key"], cells["config_id"], strict=True)
    return pd.Series([names[t] for t in triples], index=cells.index, dtype=object)


def column_names_of(cells: pd.DataFrame) -> pd.Series:
    """Name of the metric, with its task where two tasks share it."""
    if cells.empty:
        return cells["metric"]
    tasks = cells.groupby("metric")["task"].transform("nunique")
    return cells["metric"].where(tasks == 1, cells["task"] + "." + cells["metric"])


def columns_of(rows: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Columns in reading order: totals, then the groups, in each the main metric first."""
    table = cells.loc[cells["metric"] != "", ["column", "task", "group", "metric"]].drop_duplicates("column")
    about = rows.drop_duplicates(["task", "metric"]).set_index(["task", "metric"])[["better", "main"]]
    table = table.join(about, on=["task", "metric"]).fillna({"better": "higher"})
    table["main"] = table["main"].eq(other=True) | table["metric"].eq(TOTAL)
    table["title"] = [_title(metric, group) for metric, group in zip(table["metric"], table["group"], strict=True)]
    groups, tasks = [*dict.fromkeys([*GROUP_TITLES, *table["group"]])], [*dict.fromkeys(table["task"])]
    table["block"] = np.where(table["group"] == TOTALS, TOTALS, table["task"] + "/" + table["group"])
    table["place"] = [
        (g != TOTALS, tasks.index(t), groups.index(g)) for g, t in zip(table["group"], table["task"], strict=True)
    ]
    order = {name: i for i, name in enumerate(_AGGREGATES)}
    table["within"] = table["metric"].map(order).where(table["group"] == TOTALS, 0)
    table = table.sort_values(["place", "main", "within"], ascending=[True, False, True], kind="stable")
    return table.drop(columns=["place", "within"]).set_index("column")


def _title(metric: str, group: str) -> str:
    if group == TOTALS:
        return _AGGREGATES[metric]
    return METRICS.describe(metric).title if metric in METRICS else metric.replace("_", " ")


def lines_of(rows: pd.DataFrame, cells: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """Each line with its family, its status and cost, and notes on what is missing."""
    by_line = cells.groupby("line", sort=False)
    lines = by_line[statistics.LINE].first().reindex(order)
    lines = lines.join(by_line[["n_seeds", "n_runs"]].max())
    lines["control"] = lines["method"].isin(controls())
    lines["family"] = [METHODS.describe(m).family if m in METHODS else "" for m in lines["method"]]
    lines["status"] = [_line_status(by_line.get_group(line)) for line in order]
    lines["sees_labels"] = [m in METHODS and METHODS.describe(m).sees_labels for m in lines["method"]]
    notes = (_line_note(by_line.get_group(line)) for line in order)
    lines["note"] = [
        "; ".join(filter(None, (SEES_LABELS if seen else "", note)))
        for seen, note in zip(lines["sees_labels"], notes, strict=True)
    ]
    lines[["seconds", "peak_mb"]] = _cost(rows, cells).reindex(order)
    return lines


def _line_status(cells: pd.DataFrame) -> str:
    """`failed` (or what it was) if no number is left, `collapsed` if any run did, else `ok`."""
    status = set(cells["status"])
    if cells["mean"].notna().any():
        return _results.COLLAPSED if _results.COLLAPSED in status else _results.OK
    return next((s for s in REASONS if s in status), statistics.MISSING)


def _line_note(cells: pd.DataFrame) -> str:
    """Why numbers of a method are missing, or cannot be trusted; empty if all is well."""
    unasked = cells["group"].isin(ANSWERS) & (cells["status"] == _results.NOT_APPLICABLE)
    cells = cells[(cells["group"] != TOTALS) & ~unasked]
    notes = []
    collapsed = cells[cells["status"] == _results.COLLAPSED]
    if len(collapsed):  # is true of the embedding, not of single metrics: said once
        notes.append(f"{REASONS[_results.COLLAPSED]} ({collapsed['message'].iloc[0]})")
        cells = cells[cells["status"] != _results.COLLAPSED]
    for place, part in cells[cells["status"] != _results.OK].groupby(["status", "message"], sort=False):
        status, message = map(str, place)
        everything = len(part) == len(cells) and not len(collapsed)
        what = "" if everything else ", ".join(part["metric"]) + " "
        few = part["n_seeds"].max()
        seeds = f" in {part['n_runs'].max() - few} of {part['n_runs'].max()} seeds" if few else ""
        notes.append(
            f"{what}{REASONS[status]}{seeds}"
            + (f": {message.rstrip('.')}" if message and message not in REASONS[status] else "")
        )
    return "; ".join(notes)


def _cost(rows: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Seconds to train and embed, mean over runs, and the largest memory of any; rows of one run repeat them."""
    rows = statistics.identified(rows)
    runs = rows.groupby([*statistics.LINE, "data_id", "seed"])[["fit_s", "embed_s", "peak_mb"]].max()
    runs["seconds"] = runs[["fit_s", "embed_s"]].sum(axis=1, min_count=1)
    cost = runs.groupby(statistics.LINE).agg(seconds=("seconds", "mean"), peak_mb=("peak_mb", "max"))
    names = cells.drop_duplicates("line").set_index("line")[statistics.LINE]
    found = cost.reindex(pd.MultiIndex.from_frame(names))
    return found.set_axis(names.index)


def notes_of(lines: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Number the notes; `mark` of a line points to its note."""
    notes, marks = [], []
    for label, note in lines["note"].items():
        if note:
            notes.append(f"{label}: {note}")
        marks.append(len(notes) if note else 0)
    return lines.assign(mark=marks), tuple(notes)


def facts_of(rows: pd.DataFrame) -> Json:
    """Data sets, cells, seeds and versions behind the table."""
    data = rows.drop_duplicates("data_id")
    methods = rows[~rows["method"].isin(controls())]
    return {
        "data": [name for name in dict.fromkeys(rows["data"]) if name],
        "data_ids": [i for i in data["data_id"] if i],
        "name_of": dict(zip(data["data_id"], data["data"], strict=True)),
        "n_obs": int(data["n_obs"].sum()),
        "n_seeds": int(methods["seed"].nunique()),
        "versions": sorted(set(rows["version"]) - {""}),
        "devices": sorted(set(rows["device"]) - {""}),
        "created": rows["created"].max() if len(rows) else "",
    }

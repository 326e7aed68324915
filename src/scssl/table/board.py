"""The table of a benchmark, ready to be drawn or printed: lines, columns, numbers, notes, facts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _results
from scssl._protocol import CLEAN
from scssl._registry import METHODS, METRICS
from scssl._results import ANSWERS
from scssl.table import statistics
from scssl.table.statistics import BATCH, BIO, TOTAL, TOTALS, controls

if TYPE_CHECKING:
    from scssl._protocol import Protocol
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


@dataclass(frozen=True)
class Board:
    """The table of a benchmark.

    Parameters
    ----------
    lines
        Index: label of the method; columns ``method, key, config_id, n_seeds, n_runs, control, family, status, note,
        seconds, peak_mb, mark`` (number of its note). Best first, controls last.
    columns
        Index: name of the column; columns ``task, group, block`` (task and group, the totals on their own)``, metric, title,
        better, main``. The first one decides the order.
    mean, sd, low, high
        Numbers over seeds or data sets, lines by columns; `low` and `high` bound the 95 % interval of the mean.
    status
        Status of each number.
    policies
        For the lines that lack a leading number: what it is if failures are left out (``"drop"``), and if they count as
        the random control (``"floor"``); lines by leading columns.
    runs
        What the numbers are made of, as :func:`scssl.table.statistics.per_run` returns it, with the label of its `line`.
    notes
        Numbered reasons for what is missing or cannot be trusted.
    facts
        ``data`` (names), ``data_ids``, ``name_of`` (of each id), ``n_obs``, ``n_seeds``, ``over``, ``stand_ins``, ``versions``,
        ``created``.
    protocol, missing
        The view, see :func:`scssl.table.statistics.per_run`.
    """

    lines: pd.DataFrame
    columns: pd.DataFrame
    mean: pd.DataFrame
    sd: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    status: pd.DataFrame
    policies: dict[str, pd.DataFrame]
    runs: pd.DataFrame
    notes: tuple[str, ...]
    facts: dict[str, Any]
    protocol: Protocol
    missing: str

    @property
    def methods(self) -> pd.DataFrame:
        """Lines that are not controls."""
        return self.lines[~self.lines["control"]]

    def control(self, column: str, name: str) -> float:
        """Value of a control in a column, NaN if there is none."""
        return float(self.mean[column].get(name, math.nan))

    def share(self, column: str, value: float) -> float:
        """Where a number lies on the axis of its column: from 0 to 1, or as far beyond as methods and the oracle go."""
        drawn = self.mean[column][~self.lines["control"] | (self.lines.index == _results.ORACLE)]
        low, high = min(0.0, float(drawn.min())), max(1.0, float(drawn.max()))
        return min(max((value - low) / (high - low), 0.0), 1.0)

    @property
    def leading(self) -> pd.DataFrame:
        """One column for each task: the total, else its main number, else its first."""
        return _leading(self.columns)

    def half_width(self, label: str, column: str) -> float:
        """Half of the 95 % interval of a number, NaN if it was measured once."""
        return float(self.high[column][label]) - float(self.mean[column][label])

    def small_print(self, *, simulated: str = "") -> str:
        """One line that says what the numbers are and where they come from."""
        facts = self.facts
        cells = f"{facts['n_obs']:,} cells" if facts["n_obs"] else ""
        formula = " + ".join(f"{weight:g} {group}" for group, weight in statistics.WEIGHTS.items())
        total = f"total = {formula} of {self.protocol.scale} values"
        names = ", ".join(facts["data"])
        simulated = "" if simulated in names else simulated  # rows read back from a file can say so by name only
        policy = _POLICY.get(self.missing, "")
        stand_ins = ", ".join(f"{second} in place of {first}" for first, second in facts["stand_ins"])
        parts = (names, cells, simulated, self.repeats, total if TOTAL in self.columns.index else "", stand_ins, policy)
        return " · ".join(part for part in parts if part)

    @property
    def repeats(self) -> str:
        """What the interval is over, in words."""
        n_seeds, n_data = self.facts["n_seeds"], len(self.facts["data_ids"])
        if self.facts["over"] == statistics.DATA:
            return f"mean and 95 % interval over {n_data} data sets"
        if n_seeds > 1:
            return f"mean and 95 % interval over {n_seeds} seeds"
        return "one seed" if n_seeds else "no runs"


_POLICY = {
    statistics.DROP: "what failed is left out of averages",
    statistics.FLOOR: "what failed counts as the random control",
}


def board(
    scores: pd.DataFrame,
    *,
    protocol: Protocol = CLEAN,
    missing: str = statistics.KEEP,
    over: str = statistics.AUTO,
) -> Board:
    """Build the table from result rows."""
    rows = _results.conform(scores)
    runs = statistics.per_run(rows, protocol=protocol, missing=missing)
    cells = statistics.over_repeats(runs, missing=missing, over=over)
    cells = cells.assign(line=_labels(cells), column=_column_names(cells))
    columns = _columns(rows, cells)
    scored = cells[cells["metric"] != ""]
    order = list(dict.fromkeys(cells["line"]))

    def grid(values: str) -> pd.DataFrame:
        return scored.pivot_table(index="line", columns="column", values=values, aggfunc="first", dropna=False).reindex(
            index=order, columns=columns.index
        )

    numbers = {name: grid(name).astype(float) for name in ("mean", "sd", "low", "high")}
    status = grid("status").fillna(statistics.MISSING)
    lines = _lines(rows, cells, order)
    ranked = [order[i] for i in statistics.ranking(_upward(numbers["mean"], columns), lines["status"])]
    ranked = [x for x in ranked if not lines["control"][x]]
    ranked += [x for name in controls() for x in lines.index[lines["method"] == name]]
    leading = _leading(columns)
    both = _policies(rows, status, leading, protocol=protocol, over=over)
    if missing == statistics.KEEP:
        for label in both[statistics.DROP].index:
            told = _policy_note(leading, status.loc[label], *(table.loc[label] for table in both.values()))
            lines.loc[label, "note"] += f"; {told}" if told else ""
    lines, notes = _notes(lines.loc[ranked])
    facts = {**_facts(rows), "over": statistics.resolve(runs, over) if len(runs) else statistics.SEEDS}
    facts["stand_ins"] = protocol.replaced(rows["metric"])
    numbers = {name: table.loc[ranked] for name, table in numbers.items()}
    runs = runs.merge(cells[[*statistics.LINE, *statistics.COLUMN, "line", "column"]], how="left")
    return Board(
        lines, columns, **numbers, status=status.loc[ranked], policies=both, runs=runs, notes=notes, facts=facts, protocol=protocol,
        missing=missing,
    )  # fmt: skip


def _leading(columns: pd.DataFrame) -> pd.DataFrame:
    columns = columns.assign(place=~columns["main"].astype(bool))
    return columns.sort_values("place", kind="stable").drop_duplicates("task").drop(columns="place")


def _upward(mean: pd.DataFrame, columns: pd.DataFrame) -> pd.DataFrame:
    """Numbers of which more is better."""
    return mean.mul(np.where(columns["better"] == "lower", -1.0, 1.0), axis=1)


def _policies(
    rows: pd.DataFrame, status: pd.DataFrame, leading: pd.DataFrame, *, protocol: Protocol, over: str
) -> dict[str, pd.DataFrame]:
    """The leading numbers of the lines in which something failed, under both ways of counting it."""
    broken = status[leading.index].isin(statistics.FAILURES)
    broken = broken[broken.any(axis=1) & ~broken.index.isin(controls())]
    found = {}
    for policy in (statistics.DROP, statistics.FLOOR):
        found[policy] = broken.astype(float)
        if len(broken):
            cells = statistics.summarise(rows, protocol=protocol, missing=policy, over=over)
            cells = cells.assign(line=_labels(cells))
            for name, about in leading.iterrows():
                part = cells[(cells["task"] == about["task"]) & (cells["metric"] == about["metric"])]
                found[policy][name] = part.set_index("line")["mean"].reindex(broken.index)
    return found


def _policy_note(leading: pd.DataFrame, status: pd.Series, dropped: pd.Series, floored: pd.Series) -> str:
    """What the numbers that lack something are under both policies, in words."""
    said = []
    for name, about in leading[status[leading.index].isin(statistics.FAILURES)].iterrows():
        ways = {"left out": dropped[str(name)], "counted as random": floored[str(name)]}
        told = [f"{value:.2f} if that is {way}" for way, value in ways.items() if not math.isnan(value)]
        said += [f"{about['title']} {', '.join(told)}"] if told else []
    return "; ".join(said)


def _labels(cells: pd.DataFrame) -> pd.Series:
    """The shortest name that tells the lines apart: key, with the method, with the configuration."""
    lines = cells[statistics.LINE].drop_duplicates()
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


def _lines(rows: pd.DataFrame, cells: pd.DataFrame, order: list[str]) -> pd.DataFrame:
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


def _notes(lines: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Number the notes; `mark` of a line points to its note."""
    notes, marks = [], []
    for label, note in lines["note"].items():
        if note:
            notes.append(f"{label}: {note}")
        marks.append(len(notes) if note else 0)
    return lines.assign(mark=marks), tuple(notes)


def _facts(rows: pd.DataFrame) -> Json:
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


def simulation(data: object) -> str:
    """What an object says about simulated values or batches, for the small print; empty if it says nothing."""
    text = getattr(data, "uns", {}).get("simulation", "")
    if not text:
        return ""
    try:
        return str(json.loads(text)["what"])
    except (ValueError, TypeError, KeyError):
        return str(text)  # written by somebody else: shown as it is


def number(value: float, digits: int = 2) -> str:
    """A score to be read; zero has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if pd.isna(seconds):
        return "–"
    if seconds < 60:
        return "< 0.1 s" if seconds < 0.05 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def memory(mb: float) -> str:
    """MiB as people say them."""
    if pd.isna(mb):
        return "–"
    return f"{mb:,.0f} MB" if mb < 1000 else f"{mb / 1024:.1f} GB"

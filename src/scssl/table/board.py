"""The table of a benchmark, ready to be drawn or printed: lines, columns, numbers, notes, facts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scssl import _results
from scssl._protocol import CLEAN
from scssl.table import statistics
from scssl.table.lines import column_names_of, columns_of, facts_of, labels_of, lines_of, notes_of
from scssl.table.statistics import TOTAL, controls

if TYPE_CHECKING:
    import pandas as pd

    from scssl._protocol import Protocol


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
    cells = cells.assign(line=labels_of(cells), column=column_names_of(cells))
    columns = columns_of(rows, cells)
    scored = cells[cells["metric"] != ""]
    order = list(dict.fromkeys(cells["line"]))

    def grid(values: str) -> pd.DataFrame:
        return scored.pivot_table(index="line", columns="column", values=values, aggfunc="first", dropna=False).reindex(
            index=order, columns=columns.index
        )

    numbers = {name: grid(name).astype(float) for name in ("mean", "sd", "low", "high")}
    status = grid("status").fillna(statistics.MISSING)
    lines = lines_of(rows, cells, order)
    ranked = [order[i] for i in statistics.ranking(_upward(numbers["mean"], columns), lines["status"])]
    ranked = [x for x in ranked if not lines["control"][x]]
    ranked += [x for name in controls() for x in lines.index[lines["method"] == name]]
    leading = _leading(columns)
    both = _policies(rows, status, leading, protocol=protocol, over=over)
    if missing == statistics.KEEP:
        for label in both[statistics.DROP].index:
            told = _policy_note(leading, status.loc[label], *(table.loc[label] for table in both.values()))
            lines.loc[label, "note"] += f"; {told}" if told else ""
    lines, notes = notes_of(lines.loc[ranked])
    facts = {**facts_of(rows), "over": statistics.resolve(runs, over) if len(runs) else statistics.SEEDS}
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
            cells = cells.assign(line=labels_of(cells))
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


def simulation(data: object) -> str:
    """What an object says about simulated values or batches, for the small print; empty if it says nothing."""
    text = getattr(data, "uns", {}).get("simulation", "")
    if not text:
        return ""
    try:
        return str(json.loads(text)["what"])
    except (ValueError, TypeError, KeyError):
        return str(text)  # written by somebody else: shown as it is

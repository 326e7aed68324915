"""Ranks with their uncertainty, comparisons with a baseline, and what a table of relative numbers hides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _results
from scssl._protocol import PAPER
from scssl._words import unknown
from scssl.table import statistics
from scssl.table.board import Board, board
from scssl.table.inference import difference, holm, rank_intervals
from scssl.table.lines import SEES_LABELS
from scssl.table.statistics import DATA, LINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl._protocol import Protocol

RANKED = ["task", "metric", "method", "mean", "low", "high", "rank", "rank_low", "rank_high", "tied", "status", "n"]


def ranks(table: Board) -> pd.DataFrame:
    """Rank intervals of the methods in the leading number of each task, best first.

    A method without a number, or whose embedding collapsed, has no rank (0) and stands last.

    Returns
    -------
    Frame with the columns `RANKED` and ``seconds``, ``peak_mb``. ``tied``: cannot be told from the best.
    """
    parts = [_ranked(table, str(name)) for name in table.leading.index]
    cost = table.lines[["seconds", "peak_mb"]].rename_axis("method").reset_index()
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=RANKED)
    return found.merge(cost, on="method", how="left")


def tied(table: Board) -> set[tuple[str, str]]:
    """Columns and methods that cannot be told from the best in it; empty if everything was measured once."""
    found = ranks(table)
    found = found[found["tied"] & (found.groupby("task")["n"].transform("max") > 1)]
    name = {(c["task"], c["metric"]): str(n) for n, c in table.leading.iterrows()}
    return {(name[row["task"], row["metric"]], row["method"]) for _, row in found.iterrows()}


def _ranked(table: Board, column: str) -> pd.DataFrame:
    about, lines = table.columns.loc[column], table.methods
    mean, status = table.mean.loc[lines.index, column], table.status.loc[lines.index, column]
    collapsed = mean.notna() & (lines["status"] == _results.COLLAPSED)
    status = status.mask(collapsed, _results.COLLAPSED).mask(lines["sees_labels"], SEES_LABELS)
    sound = mean.notna() & ~collapsed & ~lines["sees_labels"]
    up = -1.0 if about["better"] == "lower" else 1.0
    order = [*(up * mean[sound]).sort_values(ascending=False, kind="stable").index, *lines.index[~sound]]
    values = _repeats(table, column).reindex(order)
    n_ranked = int(sound.sum())
    bounds = np.zeros((len(order), 2), dtype=int)
    paired = table.facts["over"] == DATA
    bounds[:n_ranked] = rank_intervals(up * values.to_numpy()[:n_ranked], paired=paired)
    numbers = {name: getattr(table, name).loc[order, column].to_numpy() for name in ("mean", "low", "high")}
    place = np.where(np.arange(len(order)) < n_ranked, np.arange(1, len(order) + 1), 0)
    return pd.DataFrame(
        {
            "task": about["task"], "metric": about["metric"], "method": order, **numbers, "rank": place,
            "rank_low": bounds[:, 0], "rank_high": bounds[:, 1], "tied": bounds[:, 0] == 1,
            "status": status[order].to_numpy(),
            "n": values.notna().sum(axis=1).to_numpy(),
        },
        columns=RANKED,
    )  # fmt: skip


def _repeats(table: Board, column: str) -> pd.DataFrame:
    """Numbers of a column, lines by repeats."""
    about = table.columns.loc[column]
    runs = table.runs[(table.runs["task"] == about["task"]) & (table.runs["metric"] == about["metric"])]
    units = statistics.repeats(runs, over=table.facts["over"], missing=table.missing)
    units = units.merge(table.lines[LINE].rename_axis("line").reset_index(), on=LINE)
    return units.pivot_table(index="line", columns="unit", values="value", dropna=False)


def differences(table: Board, baseline: str) -> pd.DataFrame:
    """Every method against one of them, in the leading number of each task.

    Returns
    -------
    Frame with the columns ``task, metric, method, baseline, difference, low, high, p`` (adjusted by Holm for the number
    of methods)``, wins`` and ``runs`` (runs with the same data and seed in which the method is better, and all of them).
    """
    if baseline not in table.lines.index:
        raise unknown(kind="method", name=baseline, known=list(table.lines.index), parameter="baseline")
    parts = [_against(table, str(name), baseline) for name in table.leading.index]
    return pd.concat(parts, ignore_index=True)


def _against(table: Board, column: str, baseline: str) -> pd.DataFrame:
    about = table.columns.loc[column]
    others = [label for label in table.methods.index if label != baseline]
    values = _repeats(table, column).reindex([*others, baseline]).to_numpy()
    found = difference(values[:-1], values[-1:], paired=table.facts["over"] == DATA)
    gap = found.value if len(others) else np.empty(0)
    runs = table.runs[(table.runs["task"] == about["task"]) & (table.runs["metric"] == about["metric"])]
    each = runs.pivot_table(index="line", columns=["data_id", "seed"], values="value", dropna=False)
    gaps = each.reindex(others) - each.reindex([baseline]).to_numpy()
    up = -1.0 if about["better"] == "lower" else 1.0
    return pd.DataFrame(
        {
            "task": about["task"], "metric": about["metric"], "method": others, "baseline": baseline,
            "difference": gap, "low": found.low, "high": found.high, "p": holm(found.p),
            "wins": (up * gaps > 0).sum(axis=1).to_numpy(), "runs": gaps.notna().sum(axis=1).to_numpy(),
        }
    )  # fmt: skip


def flips(scores: pd.DataFrame, *, protocol: Protocol = PAPER) -> pd.DataFrame:
    """Pairs of methods that change places when a third one leaves the table.

    Returns
    -------
    Frame with the columns ``better, worse`` (as they stand in the full table) and ``without`` (who has to leave).
    Numbers that are not relative to the table have no such pairs.
    """
    table = board(scores, protocol=protocol)
    if table.columns.empty:
        return pd.DataFrame(columns=["better", "worse", "without"])
    about = table.columns.iloc[0]
    runs = statistics.raw_runs(scores, protocol=protocol)
    runs = runs[runs["task"] == about["task"]]
    full = _means(runs, table)
    found = [flip for left in full.index for flip in _flipped(full, runs, table, left)]
    return pd.DataFrame(found, columns=["better", "worse", "without"])


def _flipped(full: pd.Series, runs: pd.DataFrame, table: Board, left: str) -> Iterator[tuple[str, str, str]]:
    stays = ~np.logical_and.reduce([runs[name] == table.lines[name][left] for name in LINE])
    before = full.drop(left)
    after = _means(runs[stays], table).reindex(before.index)
    for i, a in enumerate(before.index):
        for b in before.index[i + 1 :]:
            was, is_now = before[a] - before[b], after[a] - after[b]
            if was * is_now < 0:
                yield (a, b, left) if was > 0 else (b, a, left)


def _means(runs: pd.DataFrame, table: Board) -> pd.Series:
    """The deciding number of each method; better is more."""
    about = table.columns.iloc[0]
    runs = statistics.with_totals(runs, protocol=table.protocol)
    cells = statistics.over_repeats(runs[runs["metric"] == about["metric"]], over=table.facts["over"])
    lines = table.methods[LINE].rename_axis("line").reset_index()
    mean = cells.merge(lines, on=LINE).set_index("line")["mean"].reindex(table.methods.index)
    return -mean if about["better"] == "lower" else mean

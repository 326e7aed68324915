"""What a table says, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scssl._registry import TASKS
from scssl.table import statistics
from scssl.table.lines import REASONS
from scssl.table.ranks import ranks
from scssl.table.units import duration, memory

if TYPE_CHECKING:
    from scssl.table.board import Board

SENTENCE = "sentence"
_SAME = 5e-4
_PCA = "pca"
_CONTROL = "control"


def advise(table: Board) -> pd.DataFrame:
    """One row per task: who cannot be told from the best, what they cost, and the same as a text.

    Returns
    -------
    Frame with the columns ``task, metric, best`` (list of methods, best mean first, no controls)``, mean, low, high`` (of the
    first)``, cheapest`` (of `best`)``, seconds, peak_mb`` (of the cheapest)``, n`` (repeats)``, sentence``.
    """
    found = ranks(table)
    found["control"] = [table.lines.loc[m, "family"] == _CONTROL for m in found["method"]]
    rows = [_advice(table, part.reset_index(drop=True)) for _, part in found.groupby("task", sort=False)]
    columns = ["task", "metric", "best", "mean", "low", "high", "cheapest", "seconds", "peak_mb", "n", SENTENCE]
    return pd.DataFrame(rows, columns=columns)


def _advice(table: Board, part: pd.DataFrame) -> dict[str, object]:
    placed = part[part["rank"] > 0]
    about = {"task": part["task"].iloc[0], "metric": part["metric"].iloc[0]}
    if placed.empty:
        return {**about, "best": [], SENTENCE: f"{_title(table, about)}: No method has a number that can be trusted."}
    tied = placed[placed["tied"]]
    about[SENTENCE] = " ".join(_sentences(table, part, tied))
    best = tied[~tied["control"]]
    if best.empty:
        return {**about, "best": []}
    cheap = best.sort_values("seconds", kind="stable").iloc[0]
    return {
        **about,
        "best": best["method"].tolist(),
        **best.iloc[0][["mean", "low", "high", "n"]],
        "cheapest": cheap["method"],
        **cheap[["seconds", "peak_mb"]],
    }


def _title(table: Board, about: dict[str, str]) -> str:
    task = about["task"]
    title = TASKS.describe(task).title if task in TASKS else task.replace("_", " ")
    columns = table.columns
    column = columns[(columns["task"] == task) & (columns["metric"] == about["metric"])].iloc[0]
    return f"{title} ({column['title']}, {'higher' if column['better'] == 'higher' else 'lower'} is better)"


def _sentences(table: Board, part: pd.DataFrame, best: pd.DataFrame) -> list[str]:
    placed, first = part[part["rank"] > 0], best.iloc[0]
    said = [f"{_title(table, {name: first[name] for name in ('task', 'metric')})}:"]
    leader, number = first["method"], _called(first) + _with_interval(first)
    if int(placed["n"].max()) < 2:
        return [*said, f"{leader} comes first ({number}).", "One repeat says nothing about chance: pass seeds=3 or more.", _costs(best.head(1))]  # fmt: skip
    if len(placed) == 1:
        said.append(f"{leader} was compared with nobody ({number}).")
    elif len(best) == 1:
        said.append(f"{leader} is best ({number}), beyond chance.")
    else:
        others = ", ".join(f"{row['method']} ({_called(row)}{row['mean']:.3f})" for _, row in best[1:].iterrows())
        said.append(f"{leader} leads ({number}); {others} cannot be told from the best.")
    if not best["control"].all():
        said.append(_costs(best[~best["control"]]))
    said += _warnings(table, part, best)
    return said


def _called(row: pd.Series) -> str:
    """A control is called one wherever it is named."""
    return "a control, " if row["control"] else ""


def _with_interval(row: pd.Series) -> str:
    if pd.isna(row["low"]):
        return f"{row['mean']:.3f}"
    if row["high"] - row["low"] < _SAME:
        return f"{row['mean']:.3f}, the same every time"
    return f"{row['mean']:.3f}, 95 % interval {row['low']:.3f} to {row['high']:.3f}"


def _costs(best: pd.DataFrame) -> str:
    """What the methods of the best group cost, the cheapest first."""
    known = best[best["seconds"].notna()].sort_values("seconds", kind="stable")
    if known.empty:
        return "What they cost was not recorded."
    costs = [
        f"{m} {duration(s)}" + ("" if pd.isna(mb) else f" and {memory(mb)}")
        for m, s, mb in zip(known["method"], known["seconds"], known["peak_mb"], strict=True)
    ]
    return f"Cost of a run: {', '.join(costs)}."


def _warnings(table: Board, part: pd.DataFrame, best: pd.DataFrame) -> list[str]:
    said = []
    free = best["control"] | (table.lines.loc[best["method"], "method"] == _PCA).to_numpy()
    if free.all():
        said.append("No trained network does better.")
    elif best["control"].any():
        said.append("Whoever cannot be told from a control has shown nothing that training does.")
    elif free.any():
        said.append(f"Among them: {', '.join(best['method'][free])}, which trains no network.")
    out = part[part["rank"] == 0]
    if len(out):
        names = [f"{m} ({REASONS.get(s, s).split(':')[0]})" for m, s in zip(out["method"], out["status"], strict=True)]
        said.append(f"Not ranked: {', '.join(names)}.")
    if table.facts["over"] == statistics.SEEDS:
        said.append("This holds for these cells with other seeds, not for other data.")
    return said

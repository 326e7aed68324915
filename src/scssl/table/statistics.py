"""Averages, intervals and totals of result rows, always a view: nothing here is stored, and no value is dropped in silence.

The order is fixed: mean over splits, aggregates per run, then mean and interval over seeds or over data sets. What
happens to a number that is missing is a choice (`POLICIES`); by default it stays missing in every average and total
above it, except over seeds, where the number of seeds that are left is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _results
from scssl._errors import InputError
from scssl._protocol import CLEAN
from scssl._registry import TASKS
from scssl._results import ANSWERS
from scssl._words import listed, nearest
from scssl.table.inference import half_width

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scssl._protocol import Protocol

POLICIES = ("keep", "drop", "floor")
KEEP, DROP, FLOOR = POLICIES
"""A number that is missing: stays missing above; is left out; counts as the random control of the same question."""
OVER = ("auto", "seeds", "data")
AUTO, SEEDS, DATA = OVER
DATA_SETS_ENOUGH = 3
"""With fewer data sets an interval over them would be wider than the scale."""
BIO, BATCH = "bio", "batch"
WEIGHTS = {BIO: 0.6, BATCH: 0.4}
"""Weight of the mean of each group in the total."""
TOTAL, TOTALS = "total", "totals"
SUMMED = "batch_correction"
"""The task whose metrics make up the total."""
CONTROLS = (_results.RANDOM, _results.ORACLE)
"""The ends of the scale."""
MISSING = "missing"
LINE = ["method", "key", "config_id"]
COLUMN = ["task", "group", "metric"]
_RUN = ["data_id", *LINE, "seed"]
FAILURES = (_results.FAILED, _results.TIMEOUT, MISSING)
# what a cell is called when its rows disagree: the first that occurs
_SEVERITY = (_results.FAILED, _results.TIMEOUT, MISSING, _results.NOT_APPLICABLE, _results.COLLAPSED, _results.OK)


def controls() -> list[str]:
    """All lines that no method made: noise, the trivial predictors of the tasks, the oracle."""
    trivial = (name for task in TASKS for name in TASKS.describe(task).controls)
    return list(dict.fromkeys([_results.RANDOM, *(name for name in trivial if name not in CONTROLS), _results.ORACLE]))


def check(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a way of looking at scores that does not exist."""
    if value not in known:
        msg = f"There is no {name} {value!r}. Known: {listed(list(known))}."
        raise InputError(msg, code=f"unknown_{name}", parameter=name, fix=nearest(value, list(known)))


def per_run(scores: pd.DataFrame, *, protocol: Protocol = CLEAN, missing: str = KEEP) -> pd.DataFrame:
    """One number per data set, method, seed and metric, with the aggregates ``bio``, ``batch`` and ``total``.

    Splits are averaged. Every run has a row for every metric of its data set; one that was not scored is NaN with
    the status and the message of the reason.

    Parameters
    ----------
    scores
        Result rows.
    protocol
        Which of the metrics of the groups in `WEIGHTS` count, and whether they are min-max scaled over the methods
        (controls left out) inside each seed.
    missing
        ``"keep"``: a total that lacks a number is missing. ``"drop"``: averages leave out what failed. ``"floor"``: what
        failed counts as the random control of the same data, split and metric.
    """
    return with_totals(raw_runs(scores, protocol=protocol, missing=missing), protocol=protocol, missing=missing)


def raw_runs(scores: pd.DataFrame, *, protocol: Protocol = CLEAN, missing: str = KEEP) -> pd.DataFrame:
    """As :func:`per_run` before numbers are scaled and totals are made: no row depends on other methods."""
    check("missing", missing, POLICIES)
    rows = identified(_results.conform(scores))
    rows = rows.assign(value=rows["value"].where(rows["status"].isin((_results.OK, _results.COLLAPSED))))
    rows = _summed(rows, protocol)
    rows = _floored(rows, ["data_id", "task", "split", "metric"]) if missing == FLOOR else rows
    runs = _complete(_over_splits(rows, strict=missing != DROP))
    return _floored(runs, ["data_id", "task", "metric"]) if missing == FLOOR else runs


def with_totals(runs: pd.DataFrame, *, protocol: Protocol = CLEAN, missing: str = KEEP) -> pd.DataFrame:
    """Runs as :func:`raw_runs` gives them, scaled if the protocol says so, and their totals."""
    runs = _min_max(runs) if protocol.min_max else runs
    return pd.concat([runs, *_aggregates(runs, strict=missing != DROP)], ignore_index=True)


def repeats(runs: pd.DataFrame, *, over: str = AUTO, missing: str = KEEP) -> pd.DataFrame:
    """One number per method, metric and repeat: what intervals and ranks are made of.

    Parameters
    ----------
    runs
        As :func:`per_run` returns them.
    over
        ``"seeds"``: a repeat is a seed, averaged over the data sets: what would other seeds give on these data?
        ``"data"``: a repeat is a data set, averaged over its seeds: what would other data sets give? ``"auto"``: data
        sets if there are at least `DATA_SETS_ENOUGH`.
    missing
        As for :func:`per_run`. A seed that failed on one of several data sets is no repeat.

    Returns
    -------
    Frame with the columns ``method, key, config_id, task, group, metric, unit, value, status, message``.
    """
    check("over", over, OVER)
    runs = runs[~_idle(runs)]
    unit, strict = ("data_id", False) if resolve(runs, over) == DATA else ("seed", missing != DROP)
    return _averaged(runs, [*LINE, unit, *COLUMN], strict=strict).rename(columns={unit: "unit"})


def resolve(runs: pd.DataFrame, over: str) -> str:
    """What ``"auto"`` means for these runs."""
    if over != AUTO:
        return over
    data = runs.loc[~runs["method"].isin(controls()) & (runs["data_id"] != ""), "data_id"]
    return DATA if data.nunique() >= DATA_SETS_ENOUGH else SEEDS


def summarise(
    scores: pd.DataFrame, *, protocol: Protocol = CLEAN, missing: str = KEEP, over: str = AUTO
) -> pd.DataFrame:
    """Mean, standard deviation and 95 % interval over repeats: one row per method and metric.

    Returns
    -------
    Frame with the columns ``method, key, config_id, task, group, metric, mean, sd, low, high, n`` (repeats with a
    number), ``n_seeds`` (seeds with a number), ``n_runs`` (seeds that were planned), ``status`` and ``message`` of what
    is missing.
    """
    return over_repeats(per_run(scores, protocol=protocol, missing=missing), missing=missing, over=over)


def over_repeats(runs: pd.DataFrame, *, missing: str = KEEP, over: str = AUTO) -> pd.DataFrame:
    """As :func:`summarise`, of runs."""
    if runs.empty:
        columns = [*LINE, *COLUMN, "mean", "sd", "low", "high", "n", "n_seeds", "n_runs", "status", "message"]
        return pd.DataFrame({c: pd.Series(dtype=object) for c in columns})
    units = repeats(runs, over=over, missing=missing)
    strict = missing != DROP and resolve(runs, over) == DATA
    table = (
        _averaged(units, [*LINE, *COLUMN], strict=strict).rename(columns={"value": "mean"}).set_index([*LINE, *COLUMN])
    )
    spread = units.groupby([*LINE, *COLUMN], sort=False)["value"].agg(sd="std", n="count")
    seeds = repeats(runs, over=SEEDS, missing=missing).groupby([*LINE, *COLUMN], sort=False)["value"]
    table = table.join(spread).join(seeds.agg(n_seeds="count", n_runs="size"))
    wide = half_width(table["sd"].to_numpy(float), table["n"].to_numpy(float))
    table = table.assign(low=table["mean"] - wide, high=table["mean"] + wide)
    return table[["mean", "sd", "low", "high", "n", "n_seeds", "n_runs", "status", "message"]].reset_index()


def _averaged(rows: pd.DataFrame, place: list[str], *, strict: bool) -> pd.DataFrame:
    """Mean of `value`, worst `status` and all messages at each place; strict: one that is missing takes the mean away."""
    known = {status: i for i, status in enumerate(_SEVERITY)}
    severity = rows["status"].map(known).fillna(0)  # a status of another version counts as failed
    groups = rows.assign(severity=severity).groupby(place, sort=False)
    table = groups.agg(
        value=("value", "mean"), known=("value", "count"), size=("value", "size"), severity=("severity", "min")
    )
    told = rows[rows["message"] != ""].groupby(place, sort=False)["message"].agg(_sentences)
    value = table["value"].where(table["known"] == table["size"]) if strict else table["value"]
    status = [_SEVERITY[int(i)] for i in table["severity"]]
    message = told.reindex(table.index).fillna("").astype(object)
    return table.assign(value=value, status=status, message=message).reset_index()[
        [*place, "value", "status", "message"]
    ]


def _sentences(messages: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(m for m in messages if m))


def _idle(rows: pd.DataFrame) -> pd.Series:
    """Rows of a metric that applies to nobody on this data set, if it does on another: the data cannot tell."""
    nobody = (
        rows["status"].eq(_results.NOT_APPLICABLE).groupby([rows[c] for c in ("data_id", *COLUMN)]).transform("all")
    )
    everywhere = nobody.groupby([rows[c] for c in COLUMN]).transform("all")
    return nobody & ~everywhere


def _summed(rows: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Without the metrics that the totals of the protocol do not know."""
    return rows[~rows["group"].isin(WEIGHTS) | rows["metric"].isin(protocol.shown(SUMMED, rows["metric"]))]


def _floored(rows: pd.DataFrame, place: list[str]) -> pd.DataFrame:
    """What failed gets the value of the random control at the same place, if there is one; its status stays."""
    control = rows[(rows["method"] == _results.RANDOM) & rows["value"].notna()].groupby(place)["value"].mean()
    floor = control.reindex(pd.MultiIndex.from_frame(rows[place])).to_numpy()
    broken = rows["value"].isna() & rows["status"].isin(FAILURES)
    return rows.assign(value=rows["value"].mask(broken, pd.Series(floor, index=rows.index)))


def identified(rows: pd.DataFrame) -> pd.DataFrame:
    """Name the lines: a control is one however it was called, a run that failed early joins those that did not.

    Before a model is built its configuration has no hash; if all other runs of the method have the same one, it is that.
    Scores of the reference implementation are lines of their own beside ours.
    """
    control = rows["method"].isin(controls())
    key = rows["key"].mask(control, rows["method"])
    if len(set(rows["engine"])) > 1:
        key = key.mask(rows["engine"] != _results.OWN_ENGINE, key + " (" + rows["engine"] + ")")
    rows = rows.assign(key=key, config_id=rows["config_id"].mask(control, ""))
    known = rows[rows["config_id"] != ""].groupby(["method", "key"])["config_id"].agg(["nunique", "first"])
    only = known.loc[known["nunique"] == 1, "first"]
    found = only.reindex(pd.MultiIndex.from_frame(rows[["method", "key"]])).fillna("").set_axis(rows.index)
    return rows.assign(config_id=rows["config_id"].where(rows["config_id"] != "", found))


def _over_splits(rows: pd.DataFrame, *, strict: bool) -> pd.DataFrame:
    """Mean over the splits of a run; a split to which the metric does not apply is left out."""
    place = [*_RUN, *COLUMN]
    applies = rows["status"] != _results.NOT_APPLICABLE
    any_applies = applies.groupby([rows[c] for c in place]).transform("any")
    return _averaged(rows[applies | ~any_applies], place, strict=strict)


def _complete(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for every planned run and every metric of its data set.

    A run that failed before it was scored has rows without a metric: their status and message go to every metric of
    the task (of all tasks, if they name none).
    """
    if runs.empty:
        return runs
    scored, broken = runs[runs["metric"] != ""], runs[runs["metric"] == ""]
    metrics = scored[["data_id", *COLUMN]].drop_duplicates()
    planned = runs[[*LINE, "seed"]].drop_duplicates().merge(metrics, how="cross")
    if metrics.empty:
        return broken.reset_index(drop=True)
    full = planned.merge(scored, on=[*_RUN, *COLUMN], how="left")
    full = full[
        ~full["method"].isin(controls()) | full["status"].notna()
    ]  # no control is planned: it comes with its task
    absent = full["status"].isna()
    reasons = _reasons(broken)
    keys = zip(*(full.loc[absent, c] for c in (*_RUN, "task")), strict=True)
    asked = ~full.loc[absent, "group"].isin(ANSWERS)
    found = [
        _reason(reasons, *k, otherwise=MISSING if a else _results.NOT_APPLICABLE)
        for k, a in zip(keys, asked, strict=True)
    ]
    full.loc[absent, "status"] = [status for status, _ in found]
    full.loc[absent, "message"] = [message for _, message in found]
    return full.reset_index(drop=True)


def _reasons(broken: pd.DataFrame) -> dict[tuple, tuple[str, str]]:
    """Status and message of the runs that failed as a whole, by run and task."""
    columns = [*_RUN, "task", "status", "message"]
    return {tuple(row[:-2]): (row[-2], row[-1]) for row in broken[columns].itertuples(index=False, name=None)}


def _reason(
    reasons: dict[tuple, tuple[str, str]], data_id: str, *run_and_task: object, otherwise: str
) -> tuple[str, str]:
    """The reason recorded for this task, for the whole run, or for the run before its data was read."""
    *run, task = run_and_task
    places = ((data_id, *run, task), (data_id, *run, ""), ("", *run, task), ("", *run, ""))
    return next((reasons[p] for p in places if p in reasons), (otherwise, ""))


def _min_max(runs: pd.DataFrame) -> pd.DataFrame:
    """Scale to the range over the methods of the same data set, seed and metric.

    A method that was run with a single seed counts in the range of every seed. A metric on which all methods agree
    becomes 0, as in the published tables. Controls are placed on the same scale but do not define it.
    """
    scored = runs["status"].isin((_results.OK, _results.COLLAPSED))  # not what was filled in
    pool = runs[~runs["method"].isin(controls()) & runs["group"].isin(WEIGHTS) & scored]
    single = pool.groupby(LINE)["seed"].transform("nunique") == 1
    seeds = pool[["data_id", "seed"]].drop_duplicates()
    everywhere = pool[single].drop(columns="seed").merge(seeds, on="data_id")
    pool = pd.concat([pool[~single], everywhere])
    place = ["data_id", "seed", "metric"]
    span = pool.groupby(place)["value"].agg(["min", "max"])
    span = runs[place].merge(span, left_on=place, right_index=True, how="left").reindex(runs.index)
    width = (span["max"] - span["min"]).where(lambda w: w > 0, 1.0)
    scaled = (runs["value"] - span["min"]) / width
    return runs.assign(value=runs["value"].mask(runs["group"].isin(WEIGHTS), scaled))


def _aggregates(runs: pd.DataFrame, *, strict: bool) -> list[pd.DataFrame]:
    """Mean of each weighted group and the weighted total, as rows of the group ``totals``."""
    used = runs[runs["group"].isin(WEIGHTS)]
    idle = used["status"].eq(_results.NOT_APPLICABLE).groupby([used["data_id"], used["metric"]]).transform("all")
    used = used[~idle]  # applies to nobody: the data cannot tell
    if used.empty or set(used["group"]) != set(WEIGHTS):
        return []
    place = [*_RUN, "task"]
    parts = _averaged(used.assign(message=""), [*place, "group"], strict=strict).set_index([*place, "group"])
    broken = used["value"].isna() | used["status"].isin(FAILURES)
    lacking = used[broken].groupby([*place, "group"], sort=False)["metric"].agg(", ".join)
    parts["message"] = ("no number for " + lacking).reindex(parts.index).fillna("")
    bio, batch = (parts["value"].xs(group, level="group") for group in (BIO, BATCH))
    total = WEIGHTS[BIO] * bio + WEIGHTS[BATCH] * batch
    parts = parts.reset_index()
    whole = _averaged(parts, place, strict=True).set_index(place)
    whole = whole.assign(value=total.reindex(whole.index), metric=TOTAL).reset_index()
    return [frame.assign(group=TOTALS) for frame in (whole, parts.rename(columns={"group": "metric"}))]


def ranking(mean: pd.DataFrame, status: pd.Series) -> np.ndarray:
    """Positions of the rows of a table, best first; collapsed ones below the sound ones, those without a number last.

    Parameters
    ----------
    mean
        Methods by columns; the first column decides, the next ones break ties.
    status
        Status of each method.
    """
    first = mean.iloc[:, 0] if mean.shape[1] else pd.Series(np.nan, index=mean.index)
    last = first.isna().to_numpy()
    collapsed = (status == _results.COLLAPSED).to_numpy()
    rest = mean.mean(axis=1).fillna(-np.inf).to_numpy()
    return np.lexsort((np.arange(len(mean)), -rest, -first.fillna(-np.inf).to_numpy(), collapsed, last))

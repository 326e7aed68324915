"""Averages and totals of result rows, always a view: nothing here is stored, and no value is dropped in silence.

The order is fixed: mean over splits, aggregates per seed, mean over data sets, then mean and standard deviation over
seeds. A number that is missing stays missing in every average and total above it, except over seeds, where the
number of seeds that are left is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _results
from scssl._errors import InputError
from scssl._registry import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROFILES = ("clean", "paper")
CLEAN, PAPER = PROFILES
BIO, BATCH = "bio", "batch"
WEIGHTS = {BIO: 0.6, BATCH: 0.4}
"""Weight of the mean of each group in the total."""
TOTAL, TOTALS = "total", "totals"
CONTROLS = (_results.RANDOM, _results.ORACLE)
MISSING = "missing"
_LINE = ["method", "key", "config_id"]
_COLUMN = ["task", "group", "metric"]
_RUN = ["data_id", *_LINE, "seed"]
# what a cell is called when its rows disagree: the first that occurs
_SEVERITY = (_results.FAILED, _results.TIMEOUT, MISSING, _results.NOT_APPLICABLE, _results.COLLAPSED, _results.OK)


def check_profile(profile: str) -> None:
    """Refuse a profile that does not exist."""
    if profile not in PROFILES:
        msg = f"There is no profile {profile!r}. Known: {listed(list(PROFILES))}."
        raise InputError(msg, code="unknown_profile", parameter="profile", fix=nearest(profile, list(PROFILES)))


def per_run(scores: pd.DataFrame, *, profile: str = CLEAN) -> pd.DataFrame:
    """One number per data set, method, seed and metric, with the aggregates ``bio``, ``batch`` and ``total``.

    Splits are averaged. Every run has a row for every metric of its data set; one that was not scored is NaN with
    the status and the message of the reason.

    Parameters
    ----------
    scores
        Result rows.
    profile
        ``"clean"``: raw values. ``"paper"``: the metrics of the groups in `WEIGHTS` are min-max scaled over the
        methods (controls left out) inside each seed, as the published tables are.
    """
    check_profile(profile)
    runs = _complete(_over_splits(identified(_results.conform(scores))))
    if profile == PAPER:
        runs = _min_max(runs)
    return pd.concat([runs, *_aggregates(runs)], ignore_index=True)


def summarise(scores: pd.DataFrame, *, profile: str = CLEAN) -> pd.DataFrame:
    """Mean and standard deviation over seeds: one row per method and metric.

    Returns
    -------
    Frame with the columns ``method, key, config_id, task, group, metric, mean, sd, n_seeds`` (seeds with a number),
    ``n_runs`` (seeds that were planned), ``status`` and ``message`` of what is missing.
    """
    runs = per_run(scores, profile=profile)
    if runs.empty:
        columns = [*_LINE, *_COLUMN, "mean", "sd", "n_seeds", "n_runs", "status", "message"]
        return pd.DataFrame({c: pd.Series(dtype=object) for c in columns})
    seeds = runs.groupby([*_LINE, "seed", *_COLUMN], sort=False).agg(
        value=("value", _strict_mean), status=("status", _worst), message=("message", _sentences)
    )
    cells = seeds.groupby([*_LINE, *_COLUMN], sort=False)
    table = cells["value"].agg(mean="mean", sd="std", n_seeds="count", n_runs="size")
    table["status"] = cells["status"].agg(_worst)
    table["message"] = cells["message"].agg(_sentences)
    return table.reset_index()


def _strict_mean(values: pd.Series) -> float:
    return float(values.mean(skipna=False))


def _worst(status: Iterable[str]) -> str:
    present = set(status)
    return next(s for s in _SEVERITY if s in present)


def _sentences(messages: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(m for m in messages if m))


def identified(rows: pd.DataFrame) -> pd.DataFrame:
    """Name the lines: a control is one however it was called, a run that failed early joins those that did not.

    Before a model is built its configuration has no hash; if all other runs of the method have the same one, it is that.
    """
    control = rows["method"].isin(CONTROLS)
    rows = rows.assign(key=rows["key"].mask(control, rows["method"]), config_id=rows["config_id"].mask(control, ""))
    known = rows[rows["config_id"] != ""].groupby(["method", "key"])["config_id"].agg(["nunique", "first"])
    only = known.loc[known["nunique"] == 1, "first"]
    found = only.reindex(pd.MultiIndex.from_frame(rows[["method", "key"]])).fillna("").to_numpy()
    return rows.assign(config_id=rows["config_id"].where(rows["config_id"] != "", found))


def _over_splits(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over the splits of a run; a split to which the metric does not apply is left out."""
    rows = rows.assign(value=rows["value"].where(rows["status"].isin((_results.OK, _results.COLLAPSED))))
    place = [*_RUN, *_COLUMN]
    applies = rows["status"] != _results.NOT_APPLICABLE
    any_applies = applies.groupby([rows[c] for c in place]).transform("any")
    used = rows[applies | ~any_applies]
    return used.groupby(place, sort=False, as_index=False).agg(
        value=("value", _strict_mean), status=("status", _worst), message=("message", _sentences)
    )


def _complete(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for every planned run and every metric of its data set.

    A run that failed before it was scored has rows without a metric: their status and message go to every metric of
    the task (of all tasks, if they name none).
    """
    if runs.empty:
        return runs
    scored, broken = runs[runs["metric"] != ""], runs[runs["metric"] == ""]
    metrics = scored[["data_id", *_COLUMN]].drop_duplicates()
    planned = runs[[*_LINE, "seed"]].drop_duplicates().merge(metrics, how="cross")
    if metrics.empty:
        return broken.reset_index(drop=True)
    full = planned.merge(scored, on=[*_RUN, *_COLUMN], how="left")
    full = full[
        ~full["method"].isin(CONTROLS) | full["status"].notna()
    ]  # no control is planned: it comes with its task
    absent = full["status"].isna()
    reasons = _reasons(broken)
    keys = zip(*(full.loc[absent, c] for c in (*_RUN, "task")), strict=True)
    found = [_reason(reasons, *k) for k in keys]
    full.loc[absent, "status"] = [status for status, _ in found]
    full.loc[absent, "message"] = [message for _, message in found]
    return full.reset_index(drop=True)


def _reasons(broken: pd.DataFrame) -> dict[tuple, tuple[str, str]]:
    """Status and message of the runs that failed as a whole, by run and task."""
    columns = [*_RUN, "task", "status", "message"]
    return {tuple(row[:-2]): (row[-2], row[-1]) for row in broken[columns].itertuples(index=False, name=None)}


def _reason(reasons: dict[tuple, tuple[str, str]], data_id: str, *run_and_task: object) -> tuple[str, str]:
    """The reason recorded for this task, for the whole run, or for the run before its data was read."""
    *run, task = run_and_task
    places = ((data_id, *run, task), (data_id, *run, ""), ("", *run, task), ("", *run, ""))
    return next((reasons[p] for p in places if p in reasons), (MISSING, ""))


def _min_max(runs: pd.DataFrame) -> pd.DataFrame:
    """Scale to the range over the methods of the same data set, seed and metric.

    A method that was run with a single seed counts in the range of every seed. A metric on which all methods agree
    becomes 0, as in the published tables. Controls are placed on the same scale but do not define it.
    """
    pool = runs[~runs["method"].isin(CONTROLS) & runs["group"].isin(WEIGHTS)]
    single = pool.groupby(_LINE)["seed"].transform("nunique") == 1
    seeds = pool[["data_id", "seed"]].drop_duplicates()
    everywhere = pool[single].drop(columns="seed").merge(seeds, on="data_id")
    pool = pd.concat([pool[~single], everywhere])
    place = ["data_id", "seed", "metric"]
    span = pool.groupby(place)["value"].agg(["min", "max"])
    span = runs[place].merge(span, left_on=place, right_index=True, how="left").reindex(runs.index)
    width = (span["max"] - span["min"]).where(lambda w: w > 0, 1.0)
    scaled = (runs["value"] - span["min"]) / width
    return runs.assign(value=runs["value"].mask(runs["group"].isin(WEIGHTS), scaled))


def _aggregates(runs: pd.DataFrame) -> list[pd.DataFrame]:
    """Mean of each weighted group and the weighted total, as rows of the group ``totals``."""
    used = runs[runs["group"].isin(WEIGHTS)]
    idle = used["status"].eq(_results.NOT_APPLICABLE).groupby([used["data_id"], used["metric"]]).transform("all")
    used = used[~idle]  # applies to nobody: the data cannot tell
    if used.empty or set(used["group"]) != set(WEIGHTS):
        return []
    place = [*_RUN, "task"]
    parts = used.groupby([*place, "group"], sort=False).agg(
        value=("value", _strict_mean), status=("status", _worst), message=("message", _lacking(used))
    )
    total = sum(weight * parts["value"].xs(group, level="group") for group, weight in WEIGHTS.items())
    whole = parts.groupby(place, sort=False).agg(status=("status", _worst), message=("message", _sentences))
    parts = parts.reset_index().rename(columns={"group": "metric"})
    whole = whole.assign(value=total.reindex(whole.index), metric=TOTAL).reset_index()
    return [frame.assign(group=TOTALS) for frame in (whole, parts)]


def _lacking(used: pd.DataFrame) -> Callable[[pd.Series], str]:
    """Says which metrics an average lacks."""

    def sentence(messages: pd.Series) -> str:
        rows = used.loc[messages.index]
        names = rows.loc[rows["value"].isna(), "metric"].tolist()
        return f"no number for {', '.join(names)}" if names else ""

    return sentence


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

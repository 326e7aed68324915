"""Doing a plan: what is missing, by whom, for how long; and the table that comes out."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from scssl import _results, _settings
from scssl._errors import InputError, warn
from scssl._validate import enforce
from scssl._validate.arguments import positive
from scssl._words import listed
from scssl.bench.cache import Cache
from scssl.bench.job import CACHED, MISSING, POLICIES, Bench, Done, owed
from scssl.bench.workers import engine, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from scssl.bench.plan import Plan
    from scssl.bench.setting import Job, Setting

_LOOK_AGAIN = 0.5  # seconds until we ask whether another process has done its job
_ABSENT = "not done yet, and policy='cached' computes nothing"
Rows = list[dict[str, Any]]


def run(
    plan: Plan,
    data: object,
    *,
    policy: str = MISSING,
    n_jobs: int | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    keep: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Do what is missing of a plan.

    Parameters
    ----------
    plan
        What to do, and where results are kept (``plan.setting.cache_dir``).
    data
        The object; it is not changed. Not needed for ``policy="cached"``.
    policy
        ``"missing"``: compute what the cache does not hold, and try again what failed. ``"always"``: compute all.
        ``"cached"``: compute nothing.
    n_jobs
        Processes; by default as ``joblib.parallel_config`` or ``settings.n_jobs`` say.
    timeout
        Seconds for a job (a model, and all its scores); one that takes longer is stopped.
    progress
        Show a progress bar.
    keep
        Is given the rows that are there if the run is interrupted.

    Returns
    -------
    pandas.DataFrame
        Rows of the result schema in the order of the plan, controls first; a job that failed has a row for each metric
        it owes.
    """
    _check(policy, n_jobs, timeout)
    finished: dict[str, Rows] = {}
    notes: dict[tuple[bool, str], None] = {}
    try:
        for done in _all(plan, data, policy=policy, n_jobs=n_jobs, timeout=timeout, progress=progress):
            finished |= done.rows
            notes |= dict.fromkeys(done.notes)
    except KeyboardInterrupt:
        if keep is not None and finished:
            keep(_table(plan, finished))
            _settings.info(f"interrupted: {len(finished)} of {len(plan.table())} cells are done and kept")
        raise
    table = _table(plan, finished)
    _tell(plan, table, notes)
    return table


def _all(
    plan: Plan, data: object, *, policy: str, n_jobs: int | None, timeout: float | None, progress: bool | None
) -> Iterator[Done]:
    """What is there already, then what is done now."""
    setting = plan.setting
    stored, again = _stored(plan, policy)
    yield stored
    todo = [job for job in plan.jobs if not set(job.cells.values()) <= set(stored.rows)]
    if not todo:
        return
    if policy == CACHED:
        yield _absent(todo, stored, setting)
        return
    tasks = {task for job in todo for task in job.cells}
    cells = setting.question.cells(data, layer=setting.layer, values=setting.question.asks_for_values(tasks))
    bench = Bench(cells, setting, policy, again)
    clock = _Clock(todo, engine(n_jobs)[1])
    bar = _settings.progress(range(len(todo)), description="benchmark", show=progress)
    turns = iter(bar)
    while todo:
        busy = []
        for job, done in outcomes(todo, data, bench, n_jobs=n_jobs, timeout=timeout):
            if done is None:
                busy.append(job)
                continue
            yield done
            next(turns, None)
            left = clock.tell(job, done)
            bar.set_postfix_str(left)
            if bar.disable:  # no terminal: a line for each, or nothing would be seen for hours
                _settings.info(clock.line(job, done, left))
        todo = busy
        if todo:
            time.sleep(_LOOK_AGAIN)
    next(turns, None)


def _check(policy: str, n_jobs: int | None, timeout: float | None) -> None:
    if policy not in POLICIES:
        msg = f"policy={policy!r} is not one of {listed(list(POLICIES))}."
        raise InputError(msg, code="unknown_policy", parameter="policy")
    if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0):
        msg = f"n_jobs={n_jobs!r} is not a number of processes."
        raise InputError(msg, code="bad_n_jobs", parameter="n_jobs", fix="Pass n_jobs=4, or n_jobs=-1 for all cores.")
    enforce(positive(timeout, "timeout", code="bad_timeout", example=600))


def _stored(plan: Plan, policy: str) -> tuple[Done, dict[str, str]]:
    """What the cache holds, and what of it failed and is tried again (with the hash of what is replaced)."""
    done = Done()
    again: dict[str, str] = {}
    if not plan.setting.cache_dir or policy not in (MISSING, CACHED):
        return done, again
    cache = Cache(plan.setting.cache_dir)
    for job in plan.jobs:
        for cell_id in job.cells.values():
            record = cache.read(cell_id)
            if record is None:
                continue
            if record.failed and policy == MISSING:
                again[cell_id] = record.sha256
            else:
                done.rows[cell_id] = record.rows
    done.notes = [(True, f"The cache holds what cannot be read, and is not used: {text}") for text in cache.damaged]
    return done, again


def _absent(jobs: Sequence[Job], stored: Done, setting: Setting) -> Done:
    """Rows that say what was not computed."""
    done = Done()
    for job in jobs:
        for cell_id, rows in owed(job, _results.FAILED, _ABSENT, {"seed": job.seed}, setting=setting):
            if cell_id not in stored.rows:
                done.rows[cell_id] = [{**row, "cell_id": cell_id} for row in rows]
    return done


class _Clock:
    """How long the rest will take, from what the same lines took so far."""

    def __init__(self, jobs: Sequence[Job], at_a_time: int) -> None:
        self.left = {(job.model_id, *job.cells.values()): job.key for job in jobs}
        self.at_a_time = min(at_a_time, len(jobs))
        self.took: dict[str, list[float]] = defaultdict(list)
        self.n = len(jobs)

    def tell(self, job: Job, done: Done) -> str:
        """The time that is left, in words."""
        self.left.pop((job.model_id, *job.cells.values()), None)
        if done.computed:
            self.took[job.key].append(done.seconds)
        known = {key: sum(seconds) / len(seconds) for key, seconds in self.took.items()}
        if not known or not self.left:
            return ""
        usual = sum(known.values()) / len(known)
        text = _duration(sum(known.get(key, usual) for key in self.left.values()) / self.at_a_time)
        return f"about {text} left"

    def line(self, job: Job, done: Done, left: str) -> str:
        """A job that has ended, for the log."""
        status = {row["status"] for rows in done.rows.values() for row in rows}
        bad = next((s for s in (_results.TIMEOUT, _results.FAILED, _results.COLLAPSED) if s in status), "")
        what = (job.key, f"seed {job.seed}" if job.entry else "", job.split.name, bad, _duration(done.seconds), left)
        return f"benchmark {self.n - len(self.left)}/{self.n}: {', '.join(filter(None, what))}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _table(plan: Plan, finished: dict[str, Rows]) -> pd.DataFrame:
    """Rows in the order of the plan, under the names that the plan has for data and lines."""
    setting = plan.setting
    common = {"data": setting.data, "data_id": setting.data_id, "n_obs": setting.n_obs}
    common |= {"batch_key": setting.question.batch_key or "", "label_key": setting.question.label_key or ""}
    rows = [
        {**row, **common, "key": row["method"] if job.entry is None else job.key}
        for job in plan.jobs
        for cell_id in job.cells.values()
        for row in finished.get(cell_id, [])
    ]
    return _results.scale(_results.frame(rows))


def _tell(plan: Plan, table: pd.DataFrame, notes: dict[tuple[bool, str], None]) -> None:
    """What a user should know besides the table, once."""
    for ours, text in notes:
        warn(text) if ours else warnings.warn(text, stacklevel=2)
    absent = table["message"].eq(_ABSENT)
    if absent.any():
        n, of = table.loc[absent, "cell_id"].nunique(), len(plan.table())
        warn(f"{n} of {of} cells are not in the cache {plan.setting.cache_dir!r}: their rows say so.")
    failed = table[table["status"].isin((_results.FAILED, _results.TIMEOUT)) & ~absent]
    for key, message in dict(zip(failed["key"], failed["message"], strict=True)).items():
        warn(f"{key!r} failed, at least in part: {message}")

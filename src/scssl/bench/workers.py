"""Who does the jobs: this process, processes of its own, or whatever engine joblib was told to use."""

from __future__ import annotations

import importlib
import os
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from scssl import _clock, _results
from scssl._errors import ScsslError
from scssl._registry import METHODS, METRICS, TASKS, VIEWS
from scssl.bench.job import Done, do, owed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scssl._types import Json
    from scssl.bench.job import Bench
    from scssl.bench.setting import Job

_LOCAL = ("LokyBackend", "ThreadingBackend", "MultiprocessingBackend", "SequentialBackend")
_STARTED_WITHIN = 300.0
Outcome = tuple["Job", "Done | None"]


def engine(n_jobs: int | None) -> tuple[str, int]:
    """Which engine, and how many jobs at a time.

    ``n_jobs=None`` follows an active ``joblib.parallel_config``, else ``settings.n_jobs``.
    """
    from joblib import effective_n_jobs
    from joblib.parallel import get_active_backend

    from scssl import _settings

    backend, configured = get_active_backend()
    local = type(backend).__name__ in _LOCAL
    if n_jobs is None and local and configured is None:
        n_jobs = int(_settings.settings.n_jobs)
    return "local" if local else "joblib", max(1, effective_n_jobs(n_jobs))


def outcomes(
    jobs: Sequence[Job], data: object, bench: Bench, *, n_jobs: int | None, timeout: float | None
) -> Iterator[Outcome]:
    """Every job with what came of it, as they end; ``None`` for a job that another process is doing."""
    kind, n = engine(n_jobs)
    if kind == "joblib":
        yield from _through_joblib(jobs, data, bench, n_jobs=n_jobs, timeout=timeout)
    elif n > 1 or timeout is not None:
        yield from _in_children(jobs, data, bench, n=min(n, len(jobs)), timeout=timeout)
    else:
        for job in jobs:
            yield job, do(job, data, bench)


def _through_joblib(
    jobs: Sequence[Job], data: object, bench: Bench, *, n_jobs: int | None, timeout: float | None
) -> Iterator[Outcome]:
    from joblib import Parallel, delayed

    added = _added()
    calls = (delayed(_far)(job, data, bench, added, timeout) for job in jobs)
    yield from Parallel(n_jobs=n_jobs, return_as="generator_unordered")(calls)


def _far(job: Job, data: object, bench: Bench, added: dict[str, Json], timeout: float | None) -> Outcome:
    """One job in a worker of somebody else's engine; the number of its threads is that engine's business."""
    _adopt(added)
    if timeout is None:
        return job, do(job, data, bench)
    child = Child(data, bench, threads=1)
    try:
        return job, child.do(job, timeout)
    finally:
        child.close()


def _in_children(
    jobs: Sequence[Job], data: object, bench: Bench, *, n: int, timeout: float | None
) -> Iterator[Outcome]:
    """Jobs in `n` processes, each with its share of the cores: threads that wait for each other cost more than they give."""
    threads = max(1, _cores() // n)
    free: SimpleQueue[Child] = SimpleQueue()
    children = [Child(data, bench, threads=threads) for _ in range(n)]
    for child in children:
        free.put(child)

    def one(job: Job) -> Outcome:
        child = free.get()
        try:
            return job, child.do(job, timeout)
        finally:
            free.put(child)

    pool = ThreadPoolExecutor(n)
    try:
        for future in as_completed([pool.submit(one, job) for job in jobs]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.close()
        pool.shutdown(wait=True)


def _cores() -> int:
    from joblib import cpu_count

    return int(cpu_count())


class Child:
    """A process that does jobs one after the other. One that dies or does not end is replaced, and costs one job.

    Parameters
    ----------
    data, bench
        Sent to the process once, when it starts.
    threads
        Number of its threads.
    """

    def __init__(self, data: object, bench: Bench, *, threads: int) -> None:
        self.data, self.bench, self.threads = data, bench, threads
        self._executor: Any = None
        self._busy = self._closed = False

    def do(self, job: Job, timeout: float | None) -> Done | None:
        """Do a job within `timeout` seconds, the start of the process not counted."""
        executor = self._running()
        started = time.perf_counter()
        self._busy = True
        try:
            done = executor.submit(_do_here, job).result(timeout)
        except TimeoutError:
            status, message = _results.TIMEOUT, f"stopped after {timeout:g} s"
        except BrokenExecutor as error:
            codes = str(error).rpartition("{")[2].partition("}")[0]
            status, message = _results.FAILED, f"its process died ({codes}), as it does when memory runs out"
        else:
            self._busy = False
            return done
        self.stop()
        return self._lost(job, status, message, time.perf_counter() - started)

    def _lost(self, job: Job, status: str, message: str, seconds: float) -> Done:
        """Rows for a job whose process did not come back; what it had committed stays."""
        setting = self.bench.setting
        about = {"seed": job.seed, "n_obs": setting.n_obs, "data_id": setting.data_id, "created": _clock.now()}
        done = Done(computed=len(job.cells), seconds=seconds)
        cache = self.bench.cache
        for cell_id, rows in owed(job, status, message, about, setting=setting, cells=self.bench.cells):
            record = cache.read(cell_id) if cache and self.bench.policy != "always" else None
            if record is not None and not record.failed:
                done.rows[cell_id] = record.rows
                continue
            done.rows[cell_id] = [{**row, "cell_id": cell_id} for row in rows]
            if cache:
                cache.write(cell_id, done.rows[cell_id])
        return done

    def _running(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor

        if self._closed:
            msg = "the benchmark was stopped"
            raise RuntimeError(msg)
        if self._executor is None:
            start = (self.data, self.bench, _added(), self.threads)
            self._executor = ProcessPoolExecutor(1, timeout=None, initializer=_start, initargs=start)
            try:
                self._executor.submit(_ready).result(_STARTED_WITHIN)
            except (BrokenExecutor, TimeoutError, AssertionError) as error:
                self._busy = True
                self.stop()
                raise _not_started(error) from error
        return self._executor

    def stop(self) -> None:
        """End the process, whatever it does; the next job starts another."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=self._busy)
        self._busy = False

    def close(self) -> None:
        """End the process for good."""
        self._closed = True
        self.stop()


def _not_started(error: Exception) -> ScsslError:
    msg = f"A process for the benchmark could not be started: {type(error).__name__}: {error}."
    fix = "Use n_jobs=1 and no timeout: then everything is done in this process."
    if isinstance(error, AssertionError):  # a daemon, as the workers of Dask are
        fix = 'Pass no timeout, or let workers start processes: dask.config.set({"distributed.worker.daemon": False}).'
    return ScsslError(msg, code="no_worker", parameter="timeout", fix=fix)


# loky replaces a process that grows by 300 MB after its first task, and the libraries of a job alone come to that
_LIBRARIES = ("scssl.models.fit", "sklearn.neighbors", "torch._dynamo")
_here: list[Any] = []  # data and bench of a child process


def _start(data: object, bench: Bench, added: dict[str, Json], threads: int) -> None:
    """First thing in a child process: what it works on, and how many threads it has."""
    from threadpoolctl import threadpool_limits

    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
    for library in _LIBRARIES:
        importlib.import_module(library)
    threadpool_limits(threads)
    _adopt(added)
    _here[:] = [data, bench]


def _ready() -> bool:
    return bool(_here)


def _do_here(job: Job) -> Done | None:
    data, bench = _here
    return do(job, data, bench)


def _added() -> dict[str, Json]:
    return {registry.kind: registry.added() for registry in (METHODS, METRICS, TASKS, VIEWS)}


def _adopt(added: dict[str, Json]) -> None:
    for registry in (METHODS, METRICS, TASKS, VIEWS):
        registry.adopt(added[registry.kind])

"""Doing one job of a plan, in whatever process: embed, score, commit; what fails becomes rows with the reason."""

from __future__ import annotations

import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import scssl
from scssl import _clock, _results, _settings
from scssl._errors import ScsslWarning
from scssl._registry import METRICS, TASKS
from scssl.bench.cache import Cache, Embedded
from scssl.bench.training import trained
from scssl.data.slots import dense
from scssl.tasks._score import control_rows, named, score_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scssl._types import Data, Facts, Json
    from scssl.bench.lines import Entry
    from scssl.bench.setting import Job, Setting
    from scssl.models.model import Model
    from scssl.tasks._cells import Cells

MISSING, ALWAYS, CACHED = POLICIES = ("missing", "always", "cached")
_SOURCE = "source"
_ELSEWHERE = "The embedding was made elsewhere; it may have seen the held-out cells."
_one_at_a_time = threading.Lock()  # random generators and warning filters belong to the process, not to a thread


@dataclass(frozen=True)
class Bench:
    """What every job needs besides the data, wherever it is done."""

    cells: Cells
    setting: Setting
    policy: str = MISSING
    again: Mapping[str, str] = field(default_factory=dict)
    """Cells that failed in an earlier run and are tried again: their identifier and the hash of what is to be replaced."""

    @property
    def cache(self) -> Cache | None:
        """Where results are kept, if they are."""
        return Cache(self.setting.cache_dir) if self.setting.cache_dir else None


@dataclass
class Done:
    """What came out of a job.

    Parameters
    ----------
    rows
        Rows by cell.
    notes
        What was warned about: category (ours or not) and text.
    computed
        Number of cells that were computed and not read.
    seconds
        How long that took.
    """

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[tuple[bool, str]] = field(default_factory=list)
    computed: int = 0
    seconds: float = 0.0


def kept(job: Job, cache: Cache | None, bench: Bench) -> dict[str, list[Json]]:
    """Rows of the cells of a job that need not be computed."""
    if cache is None or bench.policy == ALWAYS:
        return {}
    records = {cell_id: cache.read(cell_id) for cell_id in job.cells.values()}
    return {
        cell_id: record.rows
        for cell_id, record in records.items()
        if record is not None and bench.again.get(cell_id) != record.sha256
    }


def do(job: Job, data: object, bench: Bench) -> Done | None:
    """Do what is missing of a job and commit it; ``None`` if another process is at it.

    Cells that a cache holds are not computed again, nor is an embedding that it holds.
    """
    cache = bench.cache
    found = kept(job, cache, bench)
    if len(found) == len(job.cells):
        return Done(found)
    with cache.lock(job.model_id) if cache else nullcontext(enter_result=True) as mine:
        if not mine:
            return None
        found = kept(job, cache, bench)  # another process may have finished in the meantime
        absent = {task: cell_id for task, cell_id in job.cells.items() if cell_id not in found}
        if not absent:
            return Done(found)
        if cache:
            cache.sweep(job.model_id, list(job.cells.values()))
        done = Done(found, computed=len(absent))
        started = time.perf_counter()
        with _one_at_a_time, _quiet(done):
            for cell_id, rows in _computed(replace(job, cells=absent), data, bench, cache):
                done.rows[cell_id] = [{**row, "cell_id": cell_id, "created": _clock.now()} for row in rows]
                if cache:
                    cache.write(cell_id, done.rows[cell_id])
        done.seconds = time.perf_counter() - started
        if cache:
            done.notes += [
                (True, f"The cache held what cannot be read, it was made again: {text}") for text in cache.damaged
            ]
        return done


@contextmanager
def _quiet(done: Done) -> Iterator[None]:
    """Nothing is said while a job runs; warnings are noted, and said once for all jobs."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for unshown in (DeprecationWarning, PendingDeprecationWarning):  # one library to the authors of another
            warnings.simplefilter("ignore", unshown)
        with _settings.settings.override(verbosity=min(int(_settings.settings.verbosity), 1)):
            yield
    done.notes += dict.fromkeys((issubclass(w.category, ScsslWarning), str(w.message)) for w in caught)


def _computed(job: Job, data: object, bench: Bench, cache: Cache | None) -> Iterator[tuple[str, list[Json]]]:
    """Rows of every cell of a job, whatever happens to it."""
    cells = replace(bench.cells, query=job.split.query(data))
    about = {"seed": job.seed, "n_obs": bench.setting.n_obs, "data_id": bench.setting.data_id}
    about["version"] = scssl.__version__
    made = None
    if job.reason:
        about["method"] = job.method
        yield from owed(job, _results.NOT_APPLICABLE, job.reason, about, setting=bench.setting, cells=cells)
        return
    if job.entry is not None:
        about["method"] = job.entry.method
        try:
            made = _Made(job, job.entry, data, bench, cache)
            about |= made.embedded.about
        except Exception as error:  # noqa: BLE001 - a broken method costs its own rows, and they say what broke
            text = f"{type(error).__name__}: {error}"
            yield from owed(job, _results.FAILED, text, about, setting=bench.setting, cells=cells)
            return
    for task, cell_id in job.cells.items():
        try:
            rows = _scored(task, made, cells, job, bench.setting.question.metrics)
        except Exception as error:  # noqa: BLE001 - as above, for a task
            text = f"{type(error).__name__}: {error}"
            rows = _blank(task, job, _results.FAILED, text, setting=bench.setting, cells=cells)
        if job.entry is not None and job.entry.given and job.split.column:
            rows = [{**row, "message": " ".join(filter(None, (_ELSEWHERE, row["message"])))} for row in rows]
        yield cell_id, [{**about, **row} for row in rows]


def _scored(task: str, made: _Made | None, cells: Cells, job: Job, metrics: Sequence[str] | None) -> list[Json]:
    how: dict[str, Any] = {"seed": job.seed, "split": job.split.name, "metrics": metrics}
    if made is None:
        return list(control_rows(cells, [task], **how))
    embedding, own = made.for_task(task, cells)
    rows = score_rows(embedding, cells, [task], **how, own=own)
    return [row for row in rows if metrics is None or row["metric"] in metrics]


class _Made:
    """The embedding of a job: of the object, of the cache, or of a model that is trained now; and the model, if asked for."""

    def __init__(self, job: Job, entry: Entry, data: Data, bench: Bench, cache: Cache | None) -> None:
        self.job, self.entry, self.data, self.bench, self.cache = job, entry, data, bench, cache
        self._model: Model | None = None
        if entry.given:
            self.embedded = Embedded(dense(data.obsm[entry.slot]), {"device": "cpu"})
            return
        stored = cache.embedded(job.model_id) if cache and bench.policy != ALWAYS else None
        if stored is None:
            self._model, stored = self._train()
        self.embedded = stored

    def _train(self) -> tuple[Model, Embedded]:
        _clock.reset_peak()
        model, took = trained(self.job, self.entry, self.data, self.bench.setting)
        started = time.perf_counter()
        embedding = model.embed(self.data)
        about = {
            "config_id": model.record["config_id"],
            "fit_s": took,
            "embed_s": time.perf_counter() - started,
            "peak_mb": _clock.peak_mb(),
            "device": model.record["device"],
        }
        made = Embedded(embedding, about)
        if self.cache:
            self.cache.keep(self.job.model_id, made, model)
        return model, made

    @property
    def model(self) -> Model:
        """The model; trained again if only its embedding is left."""
        if self._model is None and self.cache:
            self._model = self.cache.model(self.job.model_id)
        self._model = self._model or self._train()[0]
        return self._model

    def for_task(self, task: str, cells: Cells) -> tuple[np.ndarray, dict[str, np.ndarray] | None]:
        """The embedding that a task asks for, and what the model answers itself."""
        spec = TASKS.describe(task)
        if self.entry.given or not (spec.own or spec.embeds == _SOURCE):
            return self.embedded.embedding, None
        from scssl.models.answers import answers

        embedding = self.embedded.embedding
        if spec.embeds == _SOURCE and list(self.model.features) != [cells.source]:
            embedding = self.model.embed(self.data, modality=cells.source)
        own = answers(
            self.model,
            self.data,
            spec.own,
            source=cells.source,
            target=cells.target,
            source_names=cells.source_names,
            target_names=cells.target_names,
            seed=self.job.seed,
        )
        return embedding, own


def owed(
    job: Job,
    status: str,
    message: str,
    about: Facts,
    *,
    setting: Setting,
    cells: Cells | None = None,
) -> Iterator[tuple[str, list[Json]]]:
    """For every cell of a job a row without a value for each metric that it did not get to."""
    for task, cell_id in job.cells.items():
        yield cell_id, [{**about, **row} for row in _blank(task, job, status, message, setting=setting, cells=cells)]


def _blank(task: str, job: Job, status: str, message: str, *, setting: Setting, cells: Cells | None) -> list[Json]:
    asked = TASKS.get(task)()
    chosen = named(task, setting.question.metrics)
    names = asked.metrics() if chosen is None else chosen
    specs = [METRICS.describe(name) for name in names if cells is None or asked.applies(name, cells)]
    methods = (_results.RANDOM, _results.ORACLE) if job.entry is None else (job.method,)
    return [
        {
            "method": method,
            "task": task,
            "split": job.split.name,
            "metric": spec.name,
            "group": spec.group,
            "value": np.nan,
            "better": spec.better,
            "main": spec.main,
            "status": status,
            "message": message,
        }
        for method in methods
        for spec in specs
    ]

"""Doing a plan: train, embed, score; what fails becomes rows with the reason."""

from __future__ import annotations

import json
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import scssl
from scssl import _keys, _results, _settings
from scssl._errors import ScsslWarning, warn
from scssl._registry import METRICS
from scssl.data.calm import calm
from scssl.data.columns import column, is_mudata
from scssl.data.matrix import csr
from scssl.data.recipe import kind_of, select_genes
from scssl.methods._fit import fit
from scssl.tasks._score import control_rows, score_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from scssl.bench.plan import Job, Plan
    from scssl.methods._fit import Request
    from scssl.tasks._cells import Cells


def run(
    plan: Plan, data: Any, cells: Cells, *, common: dict[str, Any], base: Request, progress: bool | None = None
) -> pd.DataFrame:
    """Do all jobs of a plan, one after the other, in memory.

    Parameters
    ----------
    plan
        What to do.
    data
        The object; it is not changed.
    cells
        What tasks may know about its cells.
    common
        Values of columns that all rows share: ``data``, ``data_id``, ``n_obs``.
    base
        What all models share: layer, batch key, device.
    progress
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        Rows of the result schema, those of the controls first; a job that failed has a row for each metric it owes.
    """
    rows = list(_controls(plan, cells, common))
    failed: dict[str, str] = {}
    with _told_once():
        for job in _settings.progress(plan.jobs, description="benchmark", show=progress):
            done = _do(job, data, cells, plan=plan, base=base)
            rows += [{**common, **row, "created": _results.now()} for row in done]
            failed |= {row["key"]: row["message"] for row in done if row["status"] == _results.FAILED}
    for key, message in failed.items():
        warn(f"{key!r} failed, at least in part: {message}")
    return _results.scale(_results.frame(rows))


@contextmanager
def _told_once() -> Iterator[None]:
    """What many jobs warn about is said once, at the end."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for category, text in dict.fromkeys((w.category, str(w.message)) for w in caught):
        warn(text) if issubclass(category, ScsslWarning) else warnings.warn(text, category, stacklevel=2)


def _controls(plan: Plan, cells: Cells, common: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of the random and the oracle control, for every split of the plan."""
    seed = min(job.seed for job in plan.jobs)
    for split, tasks in {job.split.name: (job.split, job.tasks) for job in plan.jobs}.values():
        for row in control_rows(replace(cells, query=split.query), tasks, seed=seed, split=split.name):
            yield {**common, **row, "seed": seed, "version": scssl.__version__, "created": _results.now()}


def _do(job: Job, data: Any, cells: Cells, *, plan: Plan, base: Request) -> list[dict[str, Any]]:
    """Rows of one job, whatever happens to it."""
    about = {"method": job.entry.method, "key": job.entry.key, "seed": job.seed, "version": scssl.__version__}
    try:
        model, took = _trained(job, data, base)
        started = time.perf_counter()
        embedding = model.embed(data)
        about |= {
            "config_id": model.record["config_id"],
            "fit_s": took,
            "embed_s": time.perf_counter() - started,
            "peak_mb": model.record["peak_mb"],
            "device": model.record["device"],
        }
    except Exception as error:  # noqa: BLE001 - a broken method costs its own rows, and they say what broke
        return [
            {**about, "cell_id": job.cell_id(task, plan.data_id), **owed}
            for task in job.tasks
            for owed in _owed(task, job.split.name, f"{type(error).__name__}: {error}")
        ]
    held_out = replace(cells, query=job.split.query)
    return [
        {**about, "cell_id": job.cell_id(row["task"], plan.data_id), **row}
        for row in score_rows(embedding, held_out, job.tasks, seed=job.seed, split=job.split.name)
    ]


def _trained(job: Job, data: Any, base: Request) -> tuple[Any, float]:
    """The model of a job, trained without the cells that are held out, and the seconds it took."""
    request = job.entry.request(base, seed=job.seed)
    training = data
    if job.split.query is not None:
        with calm():
            training = data[~job.split.query]
            training = training.to_memory() if getattr(data, "isbacked", False) else training.copy()
        _choose_genes_again(training, request)
        if request.batch_key is not None and column(training, request.batch_key, parameter="batch_key").nunique() < 2:
            request = replace(request, batch_key=None, within_batch=None)
    started = time.perf_counter()
    return fit(training, request), time.perf_counter() - started


def _choose_genes_again(training: Any, request: Request) -> None:
    """Mark the variable genes of the training cells alone, by the recipe that was run on all cells."""
    if request.mask_by != _keys.HIGHLY_VARIABLE:
        return
    for name, part in (training.mod if is_mudata(training) else {_keys.DEFAULT_MODALITY: training}).items():
        recipe = _keys.peek(part).get(_keys.RECIPE)
        if recipe is not None and kind_of(name) == "rna":
            part.var[_keys.HIGHLY_VARIABLE] = _variable(training, part, json.loads(recipe), request.layer)


def _variable(training: Any, part: Any, done: dict[str, Any], layer: str | None) -> np.ndarray:
    key = done.get("batch_key")
    batch = column(training, key, parameter="batch_key").astype(str)[part.obs_names].to_numpy() if key else None
    values = csr(part, layer=_keys.COUNTS_LAYER if done["flavor"].startswith("seurat_v3") else layer)
    marked = select_genes(values, done["n_top_genes"], batch=batch, flavor=done["flavor"])
    return marked & (np.bincount(values.indices, minlength=part.n_vars) > 0)


def _owed(task: str, split: str, message: str) -> list[dict[str, Any]]:
    """A row without a value for every metric that a job did not get to."""
    return [
        {
            "task": task,
            "split": split,
            "metric": name,
            "group": METRICS.describe(name).group,
            "value": np.nan,
            "better": METRICS.describe(name).better,
            "main": METRICS.describe(name).main,
            "status": _results.FAILED,
            "message": message,
        }
        for name in METRICS
        if METRICS.describe(name).task == task and METRICS.describe(name).default
    ]

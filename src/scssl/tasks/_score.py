"""The one way from an embedding to result rows, for ``tl.evaluate`` and for the benchmark."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from scssl._protocol import CLEAN
from scssl._registry import METRICS, TASKS
from scssl._results import ANSWERS, FAILED, OWN_ENGINE
from scssl.tasks._base import blank

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from scssl._protocol import Protocol
    from scssl._types import Json
    from scssl.tasks._base import Task
    from scssl.tasks._cells import Cells


def applicable(cells: Cells) -> list[str]:
    """Names of the tasks for which these cells have all that is needed."""
    return [name for name in TASKS if not _task(name).lacks(cells)]


def score_rows(
    embedding: np.ndarray,
    cells: Cells,
    tasks: Sequence[str],
    *,
    seed: int = 0,
    protocol: Protocol = CLEAN,
    split: str = "",
    metrics: Sequence[str] | None = None,
    own: Mapping[str, np.ndarray] | None = None,
    engine: str = OWN_ENGINE,
) -> list[Json]:
    """Score an embedding in several tasks.

    Parameters
    ----------
    embedding
        Shape ``(n, width)``, rows in the order of `cells`.
    cells
        Labels, batches and the rest.
    tasks
        Names of tasks.
    seed
        Seed of whatever the metrics draw.
    protocol
        What is computed, and how.
    split
        Text for the split column; by default the task says what it did.
    metrics
        Names of metrics; by default those that each task computes unless told otherwise.
    own
        What the model answered itself, for a task whose ``spec.own`` asks for it.
    engine
        Who computes the metrics.

    Returns
    -------
    Parts of result rows: ``task, metric, group, value, split, status, message, better, main, score_s``.
    """
    found = []
    for name in tasks:
        task = _task(name, engine)
        scores = task.score(
            embedding, cells, seed=seed, protocol=protocol, split=split, metrics=named(name, metrics), own=own
        )
        found += [{"task": name, **asdict(score)} for score in scores]
    return found


def refused_rows(task: str, cells: Cells, message: str, *, protocol: Protocol = CLEAN) -> list[Json]:
    """Parts of rows without a value for every metric of a task that must not be scored, with the reason."""
    asked = _task(task)
    names = [name for name in asked.metrics(protocol) if asked.applies(name, cells)]
    return [{"task": task, **asdict(blank(name, FAILED, message))} for name in names]


def named(task: str, metrics: Sequence[str] | None) -> list[str] | None:
    """Those of the metrics that belong to the task; ``None`` if none are named at all."""
    return None if metrics is None else [name for name in metrics if METRICS.describe(name).task == task]


def control_rows(
    cells: Cells,
    tasks: Sequence[str],
    *,
    seed: int = 0,
    protocol: Protocol = CLEAN,
    split: str = "",
    metrics: Sequence[str] | None = None,
    engine: str = OWN_ENGINE,
) -> Iterator[Json]:
    """Score the controls of several tasks; parts of rows as :func:`score_rows` gives them, with ``method`` and ``key``.

    First those that are embeddings, ``random`` and ``oracle``, then the trivial predictors of the task.
    """
    for name in tasks:
        task, chosen = _task(name, engine), named(name, metrics)
        scored = {
            control: task.score(embedding, cells, seed=seed, protocol=protocol, split=split, metrics=chosen)
            for control, embedding in task.controls(cells, seed=seed).items()
        }
        of_values = task.metrics(protocol) if chosen is None else chosen
        of_values = [m for m in task.divided(of_values)[1] if METRICS.describe(m).group not in ANSWERS]
        if of_values:
            scored |= task.predictors(cells, seed=seed, protocol=protocol, split=split, metrics=of_values)
        for control, scores in scored.items():
            for score in scores:
                if chosen is None or score.metric in chosen:
                    yield {"task": name, **asdict(score), "method": control, "key": control}


def _task(name: str, engine: str = OWN_ENGINE) -> Task:
    return TASKS.get(name)(engine)

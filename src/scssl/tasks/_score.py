"""The one way from an embedding to result rows, for ``tl.evaluate`` and for the benchmark."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scssl._registry import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

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
    profile: str = "clean",
    split: str = "",
) -> list[dict[str, Any]]:
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
    profile
        ``"clean"`` or ``"paper"``.
    split
        Text for the split column; by default the task says what it did.

    Returns
    -------
    Parts of result rows: ``task, metric, group, value, split, status, message, better, main, score_s``.
    """
    found = []
    for name in tasks:
        scores = _task(name).score(embedding, cells, seed=seed, profile=profile, split=split)
        found += [{"task": name, **asdict(score)} for score in scores]
    return found


def control_rows(
    cells: Cells, tasks: Sequence[str], *, seed: int = 0, profile: str = "clean", split: str = ""
) -> Iterator[dict[str, Any]]:
    """Score the controls of several tasks; parts of rows as :func:`score_rows` gives them, with ``method`` and ``key``."""
    for name in tasks:
        for control, embedding in _task(name).controls(cells, seed=seed).items():
            for row in score_rows(embedding, cells, [name], seed=seed, profile=profile, split=split):
                yield {**row, "method": control, "key": control}


def _task(name: str) -> Task:
    return TASKS.get(name)()

"""Which scores are asked for: tasks, metrics, and labels that mean none; the same words for every call that scores."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from scssl._registry import METRICS
from scssl._validate._problem import Problem, enforce
from scssl._validate.arguments import named as are_names

if TYPE_CHECKING:
    from collections.abc import Sequence

ABOUT_UNLABELLED = ("label_missing_values", "unlabelled_cells")
"""Problems of a label column that are none once the user has said which labels mean that there is none."""
_NO_VALUE = "nan"  # what a missing value reads as


def unlabelled(values: str | Sequence[str] | None) -> list[str] | None:
    """Values that mean no label; with any of them a missing value means it too."""
    if values is None:
        return None
    given = [values] if isinstance(values, str) or not hasattr(values, "__iter__") else values
    return list(dict.fromkeys([_NO_VALUE, *map(str, given)]))


def scores(
    tasks: str | Sequence[str] | None, metrics: str | Sequence[str] | None
) -> tuple[list[str] | None, list[str] | None]:
    """Names of tasks and metrics as lists; metrics alone say which tasks are meant.

    Raises
    ------
    InputError
        If a metric belongs to none of the tasks, or nothing is named.
    KeyNotFoundError
        If a metric does not exist.
    """
    enforce(chain(are_names(metrics, "metrics"), are_names(tasks, "tasks")))
    named = None if metrics is None else [metrics] if isinstance(metrics, str) else list(dict.fromkeys(metrics))
    wanted = None if tasks is None else [tasks] if isinstance(tasks, str) else list(dict.fromkeys(tasks))
    if named is None:
        return wanted, None
    homes = [METRICS.describe(name).task for name in named]
    if wanted is None:
        return list(dict.fromkeys(homes)), named
    enforce(
        Problem("metric_of_other_task", "metrics", f"Metric {name!r} belongs to the task {home!r}, not to {wanted}.")
        for name, home in zip(named, homes, strict=True)
        if home not in wanted
    )
    return wanted, named

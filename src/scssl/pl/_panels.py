"""One panel for each task: which tasks are drawn, and axes of a known size in inches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt

from scssl._errors import InputError
from scssl._registry import TASKS
from scssl._words import unknown
from scssl.pl._style import MUTED
from scssl.table.inference import LEVEL
from scssl.table.ranks import ranks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from scssl.table.board import Board


def ranked_tasks(table: Board, task: str | None, ax: Axes | None) -> dict[str, pd.DataFrame]:
    """Rank intervals by task, those that are to be drawn.

    Raises
    ------
    KeyNotFoundError
        If `task` is not in the table.
    InputError
        If `ax` is given for several tasks.
    """
    found = {str(name): part.reset_index(drop=True) for name, part in ranks(table).groupby("task", sort=False)}
    if task is not None and task not in found:
        raise unknown(kind="task", name=task, known=sorted(found), parameter="task")
    chosen = found if task is None else {task: found[task]}
    if ax is not None and len(chosen) > 1:
        msg = f"ax was given for {len(chosen)} tasks ({', '.join(chosen)}); one axes holds one panel."
        raise InputError(msg, code="one_axes", parameter="ax", fix="Choose one with task=, or leave ax out.")
    return chosen


def task_title(name: str) -> str:
    """A task as people say it."""
    return TASKS.describe(name).title if name in TASKS else name.replace("_", " ").capitalize()


def row_of_axes(
    n: int,
    figsize: tuple[float, float] | None,
    *,
    panel: tuple[float, float],
    margins: tuple[float, float, float, float],
) -> list[Axes]:
    """Axes side by side in a new figure.

    Parameters
    ----------
    n
        How many; at least one is made.
    figsize
        Size of the figure; by default as large as the panels need. Everything is scaled to fit.
    panel
        Width and height of each axes, inches.
    margins
        Room left of, right of, above and below each axes, inches.
    """
    left, right, top, bottom = margins
    width, height = left + panel[0] + right, top + panel[1] + bottom
    figure = plt.figure(figsize=figsize or (max(n, 1) * width, height))
    whole = max(n, 1) * width
    return [
        figure.add_axes(((i * width + left) / whole, bottom / height, panel[0] / whole, panel[1] / height))
        for i in range(max(n, 1))
    ]


def say_nothing_scored(ax: Axes) -> None:
    """Words in place of a panel."""
    ax.set_axis_off()
    ax.text(0, 0.5, "Nothing was scored: the table has no rows.", fontsize=9, transform=ax.transAxes)


def foot(ax: Axes, lines: list[str], *, below: float) -> None:
    """Small print, `below` points under the axes."""
    ax.annotate(
        "\n".join(line for line in lines if line), (0, 0), (0, -below), xycoords="axes fraction",
        textcoords="offset points", va="top", fontsize=7, color=MUTED, linespacing=1.5, annotation_clip=False,
    )  # fmt: skip


def repeated(part: pd.DataFrame) -> bool:
    """Whether anything can be said about chance."""
    return bool(len(part)) and int(np.max(part["n"])) > 1


PERCENT = f"{100 * LEVEL:g} %"

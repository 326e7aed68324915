"""What embeddings are asked: by which columns, in which tasks and metrics, and which cells are held out.

Shared by ``tl.evaluate``, which is handed embeddings, and ``tl.benchmark``, which makes them; without torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scssl import _files
from scssl._errors import InputError
from scssl._parts import modalities
from scssl._protocol import CLEAN
from scssl._registry import TASKS
from scssl._validate import Problem, columns, enforce
from scssl._validate import wanted as wanted_of
from scssl._validate.places import disagreement, present
from scssl._words import listed, nearest
from scssl.bench.split import two_sides
from scssl.tasks import Cells, applicable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from scssl._protocol import Protocol
    from scssl._types import Data
    from scssl.bench.split import Split

VALUES, TARGET = "values", "target"


@dataclass(frozen=True)
class Question:
    """What is asked of embeddings of some cells.

    Parameters
    ----------
    batch_key, label_key, split_key
        Columns of ``obs``.
    target
        Modality that is to be predicted.
    modality
        Modality in which the embeddings lie; ``None`` if they are of the whole object.
    tasks
        Names of tasks; ``None`` for all that have what they need.
    metrics
        Names of metrics; ``None`` for those that the tasks compute unless told otherwise.
    unlabelled
        Labels that mean that a cell has none.
    """

    batch_key: str | None = None
    label_key: str | None = None
    split_key: str | None = None
    target: str | None = None
    modality: str | None = None
    tasks: list[str] | None = None
    metrics: list[str] | None = None
    unlabelled: list[str] | None = None

    @property
    def columns(self) -> list[str | None]:
        """Columns of ``obs`` that scores depend on."""
        return [self.batch_key, self.label_key, self.split_key]

    def about(
        self,
        *,
        tasks: str | Sequence[str] | None,
        metrics: str | Sequence[str] | None,
        unlabelled: str | Sequence[str] | None,
    ) -> Question:
        """The question in tasks and metrics as the user names them.

        Raises
        ------
        InputError
            If a metric belongs to none of the tasks, or nothing is named.
        KeyNotFoundError
            If a metric does not exist.
        """
        wanted, named = wanted_of.scores(tasks, metrics)
        return replace(self, tasks=wanted, metrics=named, unlabelled=wanted_of.unlabelled(unlabelled))

    def problems(self, data: Data) -> Iterator[Problem]:
        """All that is wrong with the columns of batches and labels."""
        if self.batch_key is not None:
            yield from columns.batch(data, self.batch_key)
        if self.label_key is not None:
            told = () if self.unlabelled is None else wanted_of.ABOUT_UNLABELLED
            found = columns.label(data, self.label_key, self.batch_key)
            yield from (problem for problem in found if problem.code not in told)

    def of_split(self, data: Data, *, grouped: bool) -> Iterator[Problem]:
        """All that is wrong with the column of the split: any one of groups, or one that :func:`scssl.pp.split` made."""
        if self.split_key is not None:
            yield from present(data, self.split_key, "split_key") if grouped else two_sides(data, self.split_key)
            yield from disagreement(data, self.split_key, "split_key")

    def of_target(self, data: Data) -> Iterator[Problem]:
        """The modality to be predicted: there, and not the one that predicts."""
        if self.target is None:
            return
        known = [name for name in modalities(data) if name != self.modality]
        if self.target not in known or (self.modality is None and len(known) < 2):
            others = listed(known)
            message = f"target={self.target!r} cannot be predicted; the other modalities of the object are {others}."
            yield Problem("unknown_target", "target", message, nearest(self.target, known), missing=True)

    def cells(
        self,
        data: Data,
        *,
        values: bool,
        layer: str | None = None,
        protocol: Protocol = CLEAN,
        held_out: Sequence[str] | None = None,
    ) -> Cells:
        """The cells as tasks read them; `values`: with those of the modality that is embedded."""
        return Cells.of(
            data,
            batch_key=self.batch_key,
            label_key=self.label_key,
            split_key=self.split_key,
            modality=self.modality,
            layer=layer,
            protocol=protocol,
            unlabelled=self.unlabelled or (),
            held_out=held_out,
            target=self.target,
            values=values,
        )

    def counted(self, identity: str) -> str:
        """Identifier of the data where some cells are left out of scores: not the same numbers."""
        return identity if self.unlabelled is None else _files.fingerprint([identity, sorted(self.unlabelled)])

    def asks_for_values(self, tasks: Collection[str]) -> bool:
        """Whether one of the tasks compares with the values of the modality that is embedded."""
        return any(VALUES in TASKS.describe(task).needs for task in tasks)

    def scored(self, cells: Cells) -> list[str]:
        """The tasks for embeddings of these cells: those asked for, or those that have what they need.

        Raises
        ------
        InputError
            If one that is asked for lacks a column, or none is and all do.
        """
        usable = applicable(cells)
        if self.tasks is None and usable:
            return usable
        chosen = list(TASKS) if self.tasks is None else self.tasks
        lacking = {name: TASKS.get(name)().lacks(cells) for name in chosen}
        enforce(
            Problem(
                "task_needs_column", "tasks", f"Task {name!r} needs {needs}, which was not given.", f"Pass {needs}."
            )
            for name, needs in lacking.items()
            if needs
        )
        return chosen

    def planned(self, found: Sequence[Split]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Tasks that are asked of all cells, and those that hold some out, before anything is read.

        Raises
        ------
        InputError
            If a task lacks a column, or nothing can be held out. A task that needs the values has to be named.
        """
        given = {"batch_key": self.batch_key, "label_key": self.label_key, TARGET: self.target}
        given[VALUES] = None if self.tasks is None else "X"
        specs = [TASKS.describe(name) for name in (TASKS.names() if self.tasks is None else self.tasks)]
        lacking = {spec.name: [need for need in spec.needs if given.get(need) is None] for spec in specs}
        usable = [spec for spec in specs if not lacking[spec.name]]
        if not usable or (self.tasks is not None and len(usable) < len(specs)):
            needs = "; ".join(f"{name} needs {', '.join(n)}" for name, n in lacking.items() if n)
            msg = f"These tasks cannot be scored: {needs}."
            raise InputError(msg, code="missing_keys", parameter="tasks", fix="Pass the column names.")
        whole = tuple(spec.name for spec in usable if not spec.inductive)
        kept_out = tuple(spec.name for spec in usable if spec.inductive)
        if kept_out and not found and (self.tasks is not None or not whole):
            msg = f"{', '.join(kept_out)} holds cells out, and there is nothing to hold out: one batch, or none given."
            fix = "Pass split_key=, made by ssl.pp.split, or a batch_key with several batches."
            raise InputError(msg, code="nothing_to_hold_out", parameter="split_key", fix=fix)
        return whole, kept_out

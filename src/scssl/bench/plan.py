"""What a benchmark will do, listed before anything runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from scssl import _files
from scssl._errors import InputError
from scssl._parts import multimodal
from scssl._registry import METHODS, TASKS
from scssl._validate import enforce
from scssl.bench import identity
from scssl.bench.lines import entries, given, seed_list
from scssl.bench.question import Question
from scssl.bench.setting import CONTROLS, Job, Setting
from scssl.bench.split import EACH, Split, splits
from scssl.data.identity import data_id
from scssl.models.applies import modalities_for
from scssl.tasks._score import named
from scssl.tasks._values import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scssl._types import Data, Facts
    from scssl.bench.lines import Entry

FORMAT = 3  # 2: jobs say why they cannot be done; 3: the question has fields of its own


@dataclass(frozen=True)
class Plan:
    """All jobs of a benchmark, and what they share."""

    jobs: tuple[Job, ...]
    setting: Setting = field(default_factory=Setting)

    def table(self) -> pd.DataFrame:
        """One row a cell of the plan, in the order in which they are done."""
        columns = ["cell_id", "model_id", "key", "method", "seed", "task", "split"]
        rows = [
            (cell_id, job.model_id, job.key, job.method, job.seed, task, job.split.name)
            for job in self.jobs
            for task, cell_id in job.cells.items()
        ]
        return pd.DataFrame(rows, columns=columns)

    def cell(self, which: str) -> Job:
        """The job of a single cell, by its position in :meth:`table` or (the beginning of) its identifier.

        Raises
        ------
        InputError
            If there is no such cell, or several begin like that.
        """
        cells = [(job, task, cell_id) for job in self.jobs for task, cell_id in job.cells.items()]
        chosen = cells[int(which) : int(which) + 1] if which.isdecimal() and len(which) < len(str(10**8)) else []
        chosen = chosen or [c for c in cells if which and c[2].startswith(which)]
        if len(chosen) != 1:
            msg = f"cell={which!r} fits {len(chosen)} of the {len(cells)} cells of the plan."
            fix = f"Pass a position from 0 to {len(cells) - 1}, or an identifier."
            raise InputError(msg, code="unknown_cell", parameter="cell", fix=fix)
        job, task, cell_id = chosen[0]
        return replace(job, cells={task: cell_id})

    def to_json(self) -> str:
        """The plan as text, for a job on a cluster; :meth:`from_json` gives it back."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan that :meth:`to_json` wrote.

        Raises
        ------
        InputError
            If it is none, or was written by another version of scssl.
        """
        from scssl.bench.lines import Entry

        try:
            held = json.loads(text)
            if held["format"] != FORMAT:
                msg = f"format {held['format']}, not {FORMAT}"
                raise ValueError(msg)
            jobs = tuple(
                Job(**{**job, "split": Split(**job["split"]), "entry": job["entry"] and Entry(**job["entry"])})
                for job in held["jobs"]
            )
            setting = held["setting"]
            return cls(jobs, Setting(**{**setting, "question": Question(**setting["question"])}))
        except (ValueError, TypeError, KeyError) as error:
            msg = f"This is not a plan that this version of scssl can read: {type(error).__name__} {error}."
            fix = "Write it again with: scssl benchmark data.h5ad --plan plan.json"
            raise InputError(msg, code="bad_plan", parameter="plan", fix=fix) from error

    def verify(self, data: object) -> None:
        """Make sure that the identifiers of the plan are those of these data and of the installed code.

        Raises
        ------
        InputError
            If the data, the code of a method or task, or a library is another one than when the plan was made.
        """
        s, q = self.setting, self.setting.question
        found = data_id(data, layer=s.layer, columns=(q.batch_key, q.label_key))
        counted = q.counted(found)
        if counted != s.data_id:
            msg = f"The plan is for the data {s.data_id}, these are {counted}."
            raise InputError(msg, code="other_data", parameter="plan", fix="Make a plan for these data.")
        content = identity.Content(data, found)
        for job in self.jobs:
            split = Split.of(data, job.split.name, job.split.column, job.split.value) if job.split.column else Split()
            reason = job.entry.reason_against(data, split, batch_key=q.batch_key) if job.entry else ""
            again = _job(job.entry, job.seed, split, tuple(job.cells), s, content=content, reason=reason)
            if again != job:
                msg = (
                    f"The plan was made with another version of scssl, of its libraries, or of {job.method!r} or its "
                    f"tasks ({', '.join(job.cells)}), or with other genes marked: their results would not go together."
                )
                raise InputError(msg, code="other_code", parameter="plan", fix="Make the plan again, where it is run.")


def plan(
    data: Data,
    *,
    methods: str | Sequence[str] | Mapping[str, Facts],
    tasks: str | Sequence[str] | None,
    seeds: int | Sequence[int],
    batch_key: str | None,
    label_key: str | None,
    split_key: str | None = None,
    held_out: str | Sequence[str] = EACH,
    embeddings: Sequence[str] = (),
    target: str | None = None,
    metrics: str | Sequence[str] | None = None,
    unlabelled: str | Sequence[str] | None = None,
    layer: str | None = None,
    accelerator: str = "auto",
    name: str = "",
    path: str = "",
    cache_dir: str = "",
) -> Plan:
    """List every embedding to be made: one of all cells, and one for each split that a task holds out; and the controls."""
    question = Question(batch_key, label_key, split_key, target)
    question = question.about(tasks=tasks, metrics=metrics, unlabelled=unlabelled)
    enforce(question.problems(data))
    chosen = [*entries(methods, label_key=label_key, optional=bool(len(embeddings))), *given(data, embeddings)]
    _named_once(chosen)
    repeats = seed_list(seeds)
    found = splits(data, question, held_out)
    enforce(question.of_target(data))
    whole, kept_out = question.planned(found)
    _check_taught(chosen, label_key, whole)
    found_id = data_id(data, layer=layer, columns=(batch_key, label_key))
    setting = Setting(
        data=name or "data",
        data_id=question.counted(found_id),
        n_obs=int(data.n_obs),
        question=question,
        layer=layer,
        accelerator=accelerator,
        path=path,
        cache_dir=cache_dir,
    )
    places = [(Split(), whole)] * bool(whole) + [(split, kept_out) for split in found if kept_out]
    content = identity.Content(data, found_id)
    jobs = [_job(None, min(repeats), split, names, setting, content=content) for split, names in places]
    for entry in chosen:
        entry.check(batch_key)
        for seed in repeats[:1] if entry.given else repeats:
            jobs += [
                _job(
                    line,
                    seed,
                    split,
                    part,
                    setting,
                    content=content,
                    reason=line.reason_against(data, split, batch_key=batch_key),
                )
                for split, names in places
                for line, part in _inputs(entry, names, data, target)
            ]
    return Plan(tuple(jobs), setting)


def _named_once(chosen: Sequence[Entry]) -> None:
    keys = [entry.key for entry in chosen]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        msg = f"The table would have {', '.join(map(repr, twice))} more than once."
        fix = 'Give each line a name: methods={"simclr cold": {"method": "simclr", "temperature": 0.1}}.'
        raise InputError(msg, code="bad_methods", parameter="methods", fix=fix)


def _check_taught(chosen: Sequence[Entry], label_key: str | None, whole: Sequence[str]) -> None:
    """A model that learns labels is scored on cells whose labels it has not seen."""
    for entry in chosen:
        if entry.taught and label_key is None:
            msg = f"methods[{entry.key!r}] is to be fine-tuned, and there are no labels."
            raise InputError(msg, code="needs_label_key", parameter="label_key", fix="Pass label_key=.")
        if entry.taught and whole:
            msg = f"methods[{entry.key!r}] learns labels, and {', '.join(whole)} scores the cells that it learns them from."
            fix = "Pass tasks=['cell_typing'], which holds cells out."
            raise InputError(msg, code="labels_seen", parameter="tasks", fix=fix)


def _inputs(
    entry: Entry, tasks: tuple[str, ...], data: object, target: str | None
) -> list[tuple[Entry, tuple[str, ...]]]:
    """A line with all its tasks.

    A method that cannot embed cells from one of its modalities is trained on that one alone for the tasks that ask for it.
    """
    blind = tuple(name for name in tasks if TASKS.describe(name).embeds == "source")
    free = entry.given or not multimodal(data) or "modalities" in entry.options
    if not blind or free or METHODS.get(entry.method).embeds_one:
        return [(entry, tasks)]
    source = source_of(data, None, target)
    if modalities_for(METHODS.describe(entry.method), data, None)[0] == [source]:
        return [(entry, tasks)]
    alone = replace(entry, options={**entry.options, "modalities": [source]})
    rest = tuple(name for name in tasks if name not in blind)
    return [(alone, blind), *([(entry, rest)] if rest else [])]


def _job(
    entry: Entry | None,
    seed: int,
    split: Split,
    tasks: Sequence[str],
    setting: Setting,
    *,
    content: identity.Content,
    reason: str = "",
) -> Job:
    """A job with its identifiers: what it reads, how it is trained, how each task is scored."""
    s, q = setting, setting.question
    about: list[Any] = [split.cells, seed]
    if entry is None:
        about += [CONTROLS, content.whole]
    elif reason:
        about += [content.whole, entry.method, entry.options, reason]
    elif entry.given:
        about += [content.whole, entry.method, entry.options]
    else:
        about += [entry.ingredients(q.batch_key), s.accelerator, identity.training(entry, s)]
        about += content.of_line(entry, s, held_out=bool(split.column))
    model_id = _files.fingerprint(about)
    target = {task: q.target if "target" in TASKS.describe(task).needs else None for task in tasks}
    cells = {}
    for task in tasks:
        chosen = named(task, q.metrics)
        asked: list[Any] = [model_id, s.data_id, task, target[task], identity.scoring(task, chosen)]
        asked += [] if q.metrics is None and q.unlabelled is None else [chosen, q.unlabelled and sorted(q.unlabelled)]
        cells[task] = _files.fingerprint(asked)
    return Job(model_id, entry, seed, split, cells, reason)

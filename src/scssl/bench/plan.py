"""What a benchmark will do, listed before anything runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from scssl import _files
from scssl._errors import InputError
from scssl._registry import METHODS, TASKS
from scssl._validate import enforce
from scssl._validate import wanted as wanted_of
from scssl._validate.columns import batch as check_batch
from scssl._validate.columns import label as check_label
from scssl._words import unknown
from scssl.bench import identity
from scssl.bench.lines import EACH, Split, entries, given, seed_list, splits
from scssl.data.container import is_mudata
from scssl.data.identity import data_id
from scssl.models.applies import modalities_for
from scssl.tasks._score import named
from scssl.tasks._values import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scssl.bench.lines import Entry
    from scssl.models.fit import Request

FORMAT = 2  # 2: jobs say why they cannot be done
CONTROLS = "controls"


@dataclass(frozen=True)
class Setting:
    """What all cells of a plan share."""

    data: str = "data"
    """Name of the data in the table."""
    data_id: str = ""
    n_obs: int = 0
    layer: str | None = None
    batch_key: str | None = None
    label_key: str | None = None
    target: str | None = None
    """Modality that is to be predicted."""
    metrics: list[str] | None = None
    """Scores to be computed, those of the tasks by default."""
    unlabelled: list[str] | None = None
    """Labels that mean that a cell has none."""
    accelerator: str = "auto"
    path: str = ""
    """File of the data, for those who have nothing but the plan."""
    cache_dir: str = ""

    def request(self) -> Request:
        """What all lines that are trained share."""
        from scssl.models.fit import Request

        return Request(
            method="", layer=self.layer, batch_key=self.batch_key, accelerator=self.accelerator, progress=False
        )


@dataclass(frozen=True)
class Job:
    """One embedding to be made, and the tasks it is scored on.

    Parameters
    ----------
    model_id
        Hash of all that decides the embedding: data, held-out cells, method, configuration with its defaults, seed,
        code and libraries.
    entry
        The line of the table; ``None`` for the controls.
    seed, split
        Repeat, and the cells that are kept from training.
    cells
        For each task the identifier of its cell: hash of the model, the task and the code that scores it.
    """

    model_id: str
    entry: Entry | None
    seed: int
    split: Split
    cells: dict[str, str]
    reason: str = ""
    """Why nothing can be computed, in words, known before anything is trained; empty if it can."""

    @property
    def key(self) -> str:
        """Name of the line."""
        return CONTROLS if self.entry is None else self.entry.key

    @property
    def method(self) -> str:
        """Name of the method."""
        return CONTROLS if self.entry is None else self.entry.method


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
            return cls(jobs, Setting(**held["setting"]))
        except (ValueError, TypeError, KeyError) as error:
            msg = f"This is not a plan that this version of scssl can read: {type(error).__name__} {error}."
            fix = "Write it again with: scssl benchmark data.h5ad --plan plan.json"
            raise InputError(msg, code="bad_plan", parameter="plan", fix=fix) from error

    def verify(self, data: Any) -> None:
        """Make sure that the identifiers of the plan are those of these data and of the installed code.

        Raises
        ------
        InputError
            If the data, the code of a method or task, or a library is another one than when the plan was made.
        """
        s = self.setting
        found = data_id(data, layer=s.layer, columns=(s.batch_key, s.label_key))
        counted = _counted(found, s.unlabelled)
        if counted != s.data_id:
            msg = f"The plan is for the data {s.data_id}, these are {counted}."
            raise InputError(msg, code="other_data", parameter="plan", fix="Make a plan for these data.")
        content = identity.Content(data, found)
        for job in self.jobs:
            split = Split.of(data, job.split.name, job.split.column, job.split.value) if job.split.column else Split()
            reason = job.entry.reason_against(data, split, batch_key=s.batch_key) if job.entry else ""
            again = _job(job.entry, job.seed, split, tuple(job.cells), s, content=content, reason=reason)
            if again != job:
                msg = (
                    f"The plan was made with another version of scssl, of its libraries, or of {job.method!r} or its "
                    f"tasks ({', '.join(job.cells)}), or with other genes marked: their results would not go together."
                )
                raise InputError(msg, code="other_code", parameter="plan", fix="Make the plan again, where it is run.")


def plan(
    data: Any,
    *,
    methods: str | Sequence[str] | Mapping[str, Mapping[str, Any]],
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
    if batch_key is not None:
        enforce(check_batch(data, batch_key))
    without = wanted_of.unlabelled(unlabelled)
    if label_key is not None:
        told = () if without is None else wanted_of.ABOUT_UNLABELLED
        enforce(problem for problem in check_label(data, label_key, batch_key) if problem.code not in told)
    wanted, chosen_metrics = wanted_of.scores(tasks, metrics)
    chosen = [*entries(methods, label_key=label_key, optional=bool(len(embeddings))), *given(data, embeddings)]
    _named_once(chosen)
    repeats = seed_list(seeds)
    found = splits(data, batch_key=batch_key, split_key=split_key, held_out=held_out)
    _check_target(data, target)
    whole, kept_out = _tasks(wanted, {"batch_key": batch_key, "label_key": label_key, "target": target}, found)
    _check_taught(chosen, label_key, whole)
    found_id = data_id(data, layer=layer, columns=(batch_key, label_key))
    setting = Setting(
        data=name or "data",
        data_id=_counted(found_id, without),
        n_obs=int(data.n_obs),
        layer=layer,
        batch_key=batch_key,
        label_key=label_key,
        target=target,
        metrics=chosen_metrics,
        unlabelled=without,
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


def _counted(identity: str, unlabelled: list[str] | None) -> str:
    """Identifier of the data where some cells are left out of scores: not the same numbers; as ``tl.evaluate`` has it."""
    return identity if unlabelled is None else _files.fingerprint([identity, sorted(unlabelled)])


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


def _inputs(entry: Entry, tasks: tuple[str, ...], data: Any, target: str | None) -> list[tuple[Entry, tuple[str, ...]]]:
    """A line with all its tasks.

    A method that cannot embed cells from one of its modalities is trained on that one alone for the tasks that ask for it.
    """
    blind = tuple(name for name in tasks if TASKS.describe(name).embeds == "source")
    free = entry.given or not is_mudata(data) or "modalities" in entry.options
    if not blind or free or METHODS.get(entry.method).embeds_one:
        return [(entry, tasks)]
    source = source_of(data, None, target)
    if modalities_for(METHODS.describe(entry.method), data, None)[0] == [source]:
        return [(entry, tasks)]
    alone = replace(entry, options={**entry.options, "modalities": [source]})
    rest = tuple(name for name in tasks if name not in blind)
    return [(alone, blind), *([(entry, rest)] if rest else [])]


def _check_target(data: Any, target: str | None) -> None:
    known = list(data.mod) if is_mudata(data) else []
    if target is not None and target not in known:
        raise unknown(kind="modality", name=target, known=known, parameter="target")


def _tasks(
    tasks: list[str] | None, columns: Mapping[str, str | None], found: Sequence[Split]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tasks that are asked of all cells, and those that hold some out; one that needs the values has to be named."""
    columns = {**columns, "values": None if tasks is None else "X"}
    known = TASKS.names() if tasks is None else tasks
    specs = [TASKS.describe(name) for name in known]
    lacking = {spec.name: [n for n in spec.needs if columns.get(n) is None] for spec in specs}
    usable = [spec for spec in specs if not lacking[spec.name]]
    if not usable or (tasks is not None and len(usable) < len(specs)):
        needs = "; ".join(f"{name} needs {', '.join(n)}" for name, n in lacking.items() if n)
        msg = f"These tasks cannot be scored: {needs}."
        raise InputError(msg, code="missing_keys", parameter="tasks", fix="Pass the column names.")
    whole = tuple(s.name for s in usable if not s.inductive)
    kept_out = tuple(s.name for s in usable if s.inductive)
    if kept_out and not found and (tasks is not None or not whole):
        msg = f"{', '.join(kept_out)} holds cells out, and there is nothing to hold out: one batch, or none given."
        fix = "Pass split_key=, made by ssl.pp.split, or a batch_key with several batches."
        raise InputError(msg, code="nothing_to_hold_out", parameter="split_key", fix=fix)
    return whole, kept_out


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
    s = setting
    about: list[Any] = [split.cells, seed]
    if entry is None:
        about += [CONTROLS, content.whole]
    elif reason:
        about += [content.whole, entry.method, entry.options, reason]
    elif entry.given:
        about += [content.whole, entry.method, entry.options]
    else:
        about += [entry.ingredients(s.batch_key), s.accelerator, identity.training(entry, s)]
        about += content.of_line(entry, s, held_out=bool(split.column))
    model_id = _files.fingerprint(about)
    target = {task: s.target if "target" in TASKS.describe(task).needs else None for task in tasks}
    cells = {}
    for task in tasks:
        chosen = named(task, s.metrics)
        asked: list[Any] = [model_id, s.data_id, task, target[task], identity.scoring(task, chosen)]
        asked += [] if s.metrics is None and s.unlabelled is None else [chosen, s.unlabelled and sorted(s.unlabelled)]
        cells[task] = _files.fingerprint(asked)
    return Job(model_id, entry, seed, split, cells, reason)

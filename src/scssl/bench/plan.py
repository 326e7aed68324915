"""What a benchmark will do, listed before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _files, _keys
from scssl._errors import InputError
from scssl._registry import METHODS, TASKS, listed
from scssl._validate import enforce
from scssl._validate.columns import batch as check_batch
from scssl._validate.columns import label as check_label
from scssl.data.columns import column
from scssl.methods._fit import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

EACH = "each"
_REQUEST_FIELDS = frozenset({"preset", "within_batch", "layer", "modalities", "mask_by", "precision", "devices"})


@dataclass(frozen=True)
class Entry:
    """A line of the table: a method with its configuration, under a name.

    Parameters
    ----------
    key
        Name of the line.
    method
        Name of the method.
    options
        ``preset``, ``within_batch``, ``precision`` and fields of the configuration.
    """

    key: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)

    def request(self, base: Request, *, seed: int) -> Request:
        """What to train: what all lines share, with the options of this one."""
        named = {k: v for k, v in self.options.items() if k in _REQUEST_FIELDS}
        config = {k: v for k, v in self.options.items() if k not in _REQUEST_FIELDS}
        return replace(base, **named, method=self.method, seed=seed, config=config)

    def check(self) -> None:
        """Refuse a configuration that the method does not have, before anything is trained."""
        request = self.request(Request(method=self.method), seed=0)
        METHODS.get(self.method).configure(request.preset, **request.config)


@dataclass(frozen=True)
class Split:
    """Cells that are kept from training: none if `query` is ``None``."""

    name: str = ""
    query: np.ndarray | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Job:
    """One model to be trained and the tasks its embedding is scored on."""

    entry: Entry
    seed: int
    split: Split
    tasks: tuple[str, ...]

    def cell_id(self, task: str, data_id: str) -> str:
        """Identifier of one cell of the plan: data, method, configuration, seed, split and task."""
        e = self.entry
        return _files.fingerprint([data_id, e.key, e.method, e.options, self.seed, self.split.name, task])


@dataclass(frozen=True)
class Plan:
    """All jobs of a benchmark, and the identity of the data they are for."""

    jobs: tuple[Job, ...]
    data_id: str = ""

    def table(self) -> pd.DataFrame:
        """One row a cell of the plan."""
        rows = [
            {
                "cell_id": job.cell_id(task, self.data_id),
                "key": job.entry.key,
                "method": job.entry.method,
                "seed": job.seed,
                "task": task,
                "split": job.split.name,
            }
            for job in self.jobs
            for task in job.tasks
        ]
        return pd.DataFrame(rows, columns=["cell_id", "key", "method", "seed", "task", "split"])


def entries(methods: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> list[Entry]:
    """Lines of the table: names of methods, or ``{"line": {"method": ..., "temperature": ...}}``.

    Raises
    ------
    InputError
        If there is none, or a name occurs twice.
    KeyNotFoundError
        If a method does not exist.
    """
    if isinstance(methods, str):
        methods = [methods]
    made: list[Entry] = []
    lines = list(methods.items()) if isinstance(methods, Mapping) else [(name, {}) for name in methods]
    for key, options in lines:
        if not isinstance(options, Mapping):
            msg = f"methods[{key!r}]={options!r} is of type {type(options).__name__}, expected a dictionary of options."
            fix = f'For example methods={{{key!r}: {{"method": "simclr"}}}}.'
            raise InputError(msg, code="bad_methods", parameter="methods", fix=fix)
        made.append(
            Entry(str(key), str(options.get("method", key)), {k: v for k, v in options.items() if k != "method"})
        )
    twice = sorted({e.key for e in made if sum(e.key == other.key for other in made) > 1})
    if not made or twice:
        msg = f"methods={methods!r} names {listed(twice)} more than once." if twice else "methods is empty."
        fix = 'Give each line a name: methods={"simclr cold": {"method": "simclr", "temperature": 0.1}}.'
        raise InputError(msg, code="bad_methods", parameter="methods", fix=fix)
    for entry in made:
        entry.check()
    return made


def seed_list(seeds: int | Sequence[int]) -> list[int]:
    """``3`` means seeds 0, 1 and 2."""
    chosen = (
        list(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else list(np.atleast_1d(seeds))
    )
    if not chosen or len(set(chosen)) < len(chosen) or not all(isinstance(s, int | np.integer) for s in chosen):
        msg = f"seeds={seeds!r} is not a number of seeds or a list of different seeds."
        raise InputError(msg, code="bad_seeds", parameter="seeds", fix="Pass seeds=3 or seeds=[0, 1, 2].")
    return [int(s) for s in chosen]


def splits(data: Any, *, batch_key: str | None, split_key: str | None, held_out: str | Sequence[str]) -> list[Split]:
    """Which cells are kept from training in turn.

    Raises
    ------
    InputError
        If a batch that is to be held out does not exist, or a split has no reference or no query.
    """
    if split_key is not None:
        values = column(data, split_key, parameter="split_key").astype(str).to_numpy()
        query = values == _keys.QUERY
        if not query.any() or query.all():
            msg = f"split_key={split_key!r} marks {int(query.sum())} of {len(query)} cells as {_keys.QUERY!r}."
            fix = "Make it with ssl.pp.split(adata, by='batch', held_out=...)."
            raise InputError(msg, code="bad_split", parameter="split_key", fix=fix)
        return [Split(f"{split_key}={_keys.QUERY}", query)]
    if batch_key is None:
        return []
    values = column(data, batch_key, parameter="batch_key").astype(str).to_numpy()
    known = sorted(set(values))
    wanted = known if isinstance(held_out, str) and held_out == EACH else [str(b) for b in np.atleast_1d(held_out)]
    for name in wanted:
        if name not in known:
            msg = f"held_out names {name!r}, {batch_key!r} has {listed(known)}."
            raise InputError(msg, code="unknown_batch", parameter="held_out")
    return [Split(f"held-out {batch_key}={name}", values == name) for name in wanted] if len(known) > 1 else []


def plan(
    data: Any,
    *,
    methods: Sequence[str] | Mapping[str, Mapping[str, Any]],
    tasks: Sequence[str] | None,
    seeds: int | Sequence[int],
    batch_key: str | None,
    label_key: str | None,
    split_key: str | None = None,
    held_out: str | Sequence[str] = EACH,
) -> Plan:
    """List every model to be trained: one on all cells, and one for each split that a task holds out."""
    if batch_key is not None:
        enforce(check_batch(data, batch_key))
    if label_key is not None:
        enforce(check_label(data, label_key, batch_key))
    given = {"batch_key": batch_key, "label_key": label_key}
    known = TASKS.names() if tasks is None else list(tasks)
    specs = [TASKS.describe(name) for name in known]
    lacking = {spec.name: [n for n in spec.needs if given.get(n) is None] for spec in specs}
    usable = [spec for spec in specs if not lacking[spec.name]]
    if not usable or (tasks is not None and len(usable) < len(specs)):
        needs = "; ".join(f"{name} needs {', '.join(n)}" for name, n in lacking.items() if n)
        msg = f"These tasks cannot be scored: {needs}."
        raise InputError(msg, code="missing_keys", parameter="tasks", fix="Pass the column names.")
    found = splits(data, batch_key=batch_key, split_key=split_key, held_out=held_out)
    whole = tuple(s.name for s in usable if not s.inductive)
    kept_out = tuple(s.name for s in usable if s.inductive)
    if kept_out and not found and (tasks is not None or not whole):
        msg = f"{', '.join(kept_out)} holds cells out, and there is nothing to hold out: one batch, or none given."
        fix = "Pass split_key=, made by ssl.pp.split, or a batch_key with several batches."
        raise InputError(msg, code="nothing_to_hold_out", parameter="split_key", fix=fix)
    lines = [(Split(), whole)] * bool(whole) + [(split, kept_out) for split in found if kept_out]
    jobs = [Job(e, seed, split, names) for e in entries(methods) for seed in seed_list(seeds) for split, names in lines]
    return Plan(tuple(jobs))

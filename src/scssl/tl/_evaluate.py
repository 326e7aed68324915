"""``evaluate``: scores of embeddings that are already there, ours or anyone's; without torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

import scssl
from scssl import _clock, _keys, _results, _settings
from scssl._errors import warn
from scssl._files import fingerprint
from scssl._protocol import PROTOCOLS
from scssl._registry import TASKS
from scssl._validate import ERROR, Problem, columns, enforce
from scssl._validate import wanted as wanted_of
from scssl._validate.arguments import named as are_names
from scssl._validate.config import seed as check_seed
from scssl._validate.names import names as check_names
from scssl._validate.objects import in_memory
from scssl._validate.places import disagreement, present
from scssl._words import listed, nearest
from scssl.data import scored
from scssl.data.columns import column
from scssl.data.container import is_mudata
from scssl.data.identity import data_id
from scssl.data.sketch import fits
from scssl.data.slots import dense
from scssl.data.slots import slot as find_slot
from scssl.metrics._engines import ENGINES
from scssl.metrics._engines import identity as engine_identity
from scssl.tasks import Cells, applicable, control_rows, refused_rows, score_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

EACH = "each"
SOURCE = "source"


def evaluate(
    data: AnnData | MuData,
    *,
    use_rep: str | Sequence[str],
    tasks: str | Sequence[str] | None = None,
    batch_key: str | None = None,
    label_key: str | None = None,
    split_key: str | None = None,
    held_out: str | Sequence[str] | None = None,
    modality: str | None = None,
    target: str | None = None,
    metrics: str | Sequence[str] | None = None,
    unlabelled: str | Sequence[str] | None = None,
    seed: int = 0,
    profile: str = "clean",
    engine: str = "scssl",
) -> pd.DataFrame:
    """Score one or many embeddings of the same cells, whoever made them, beside controls.

    Parameters
    ----------
    data
        AnnData or MuData. Only ``uns["scssl"]`` is written to; ``X`` (or the modality ``"rna"``) is read to know how much
        of the variance batches explain before any integration.
    use_rep
        Slots of ``obsm``, with or without ``X_``: ``"X_pca"``, ``["simclr", "X_scvi"]``. Arrays, sparse matrices and
        frames are read.
    tasks
        Names of tasks, see :func:`scssl.tl.tasks`; by default all for which the columns are given.
    batch_key
        Column of ``obs`` with the batch.
    label_key
        Column of ``obs`` with the cell type.
    split_key
        Column of ``obs`` that calls held-out cells ``"query"``, as :func:`scssl.pp.split` does. Without it
        ``cell_typing`` holds out every batch in turn.
    held_out
        ``"each"``, or the groups that are held out in turn: of `split_key`, which may then be any column (donor, study),
        else of `batch_key`.
    modality
        Score embeddings that lie in a modality of a MuData.
    target
        Modality of a MuData that ``modality_prediction`` predicts from the embedding, which must have been made without
        it: from `modality`, or if that is not given, from ``"rna"``.
    metrics
        Names of metrics, see :func:`scssl.tl.metrics`; by default those marked ``default``.
    unlabelled
        Values of `label_key` that mean that a cell has no label, e.g. ``["undefined", "nan"]``. These cells, and those
        without a value, are left out of scores that use labels; the message of the row counts them.
    seed
        Seed of the clustering and of the random control.
    profile
        ``"clean"``, or ``"paper"`` for the scores of the published benchmark (needs scib-metrics and its compilation).
    engine
        Who computes the metrics: ``"scssl"``, or ``"scib-metrics"``, the reference implementation of the ten scores of
        scIB, on the same neighbours. Metrics that it does not have are ``not_applicable`` then. The column ``engine`` has
        its version; scores of both stand beside each other in ``uns``. What differs: :doc:`/concepts/benchmarks`.

    Returns
    -------
    pandas.DataFrame
        One number a row (``method, task, split, metric, value, scaled, status, message ...``), for the embeddings and
        for the controls ``random`` and ``oracle``. ``scaled`` is 0 at the random and 1 at the oracle control. An
        embedding with NaN, or a metric that fails, has rows that say so; the others are scored. Slots written:

        - ``.uns["scssl"]["scores"]``: the same rows, beside those of earlier calls
        - ``.uns["scssl"]["scored"]``: hashes of what they describe

    Raises
    ------
    InputError
        If a column cannot be used, an embedding is named twice, or no task has what it needs. The object is as before.
    KeyNotFoundError
        If an embedding, a column, a task or a modality does not exist.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> sc.pp.pca(adata, n_comps=30)
    >>> scores = ssl.tl.evaluate(adata, use_rep="X_pca", batch_key="batch", label_key="cell_type")
    >>> sorted(scores["method"].unique())
    ['oracle', 'pca', 'random']

    How well does an embedding of RNA predict proteins?

    >>> mdata = ssl.datasets.synthetic(300, modalities=("rna", "prot"))
    >>> ssl.pp.recipe(mdata)
    >>> sc.pp.pca(mdata.mod["rna"], n_comps=10)
    >>> scores = ssl.tl.evaluate(mdata, use_rep="X_pca", modality="rna", target="prot", tasks="modality_prediction")
    >>> sorted(scores["method"].unique())
    ['knn_pca', 'mean_profile', 'oracle', 'pca', 'random', 'ridge_pca']
    """
    enforce(Problem("no_use_rep", "use_rep", "use_rep=None names no embedding.", "") for _ in [()] if use_rep is None)
    enforce(are_names(use_rep, "use_rep", example="X_simclr"))
    names = [use_rep] if isinstance(use_rep, str) else list(use_rep)
    keys = {"batch_key": batch_key, "label_key": label_key, "split_key": split_key}
    without = wanted_of.unlabelled(unlabelled)
    enforce(
        _problems(
            data,
            names,
            keys,
            modality=modality,
            seed=seed,
            choices={"profile": (profile, tuple(PROTOCOLS)), "engine": (engine, ENGINES)},
            unlabelled=without,
            grouped=held_out is not None,
        )
    )
    enforce(_target(data, target, modality))
    protocol = PROTOCOLS[profile]
    kept_out = _held_out(data, held_out, split_key or batch_key)
    holder = data if modality is None else data.mod[modality]
    wanted, chosen_metrics = wanted_of.scores(tasks, metrics)
    cells = Cells.of(
        data,
        batch_key=batch_key,
        label_key=label_key,
        split_key=split_key,
        modality=modality,
        protocol=protocol,
        unlabelled=without or (),
        held_out=kept_out,
        target=target,
        values="values" in {need for name in wanted or () for need in TASKS.describe(name).needs},
    )
    chosen = _chosen(wanted, cells)
    how: dict[str, Any] = {"seed": seed, "protocol": protocol, "metrics": chosen_metrics, "engine": engine}
    rows = []
    for slot in (find_slot(holder, name) for name in names):
        embedding = dense(holder.obsm[slot])
        record, strange = _record(data, holder, slot, embedding)
        about = _about(record, _keys.bare(slot))
        leak, doubt = _seen(record, cells, modality)
        for task in chosen:
            blind = TASKS.describe(task).embeds == SOURCE
            if blind and leak:
                found = refused_rows(task, cells, leak, protocol=protocol)
            else:
                found = score_rows(embedding, cells, [task], **how)
            doubts = (strange, doubt if blind else "")
            rows += [{**about, **row, "message": " ".join(filter(None, (*doubts, row["message"])))} for row in found]
    rows += control_rows(cells, chosen, **how)
    common = {
        "data_id": _identity(data, holder, keys, without),
        "n_obs": len(cells),
        "batch_key": batch_key or "",
        "label_key": label_key or "",
        "seed": seed,
        "peak_mb": _clock.peak_mb(),
        "device": "cpu",
        "engine": engine_identity(engine),
        "version": scssl.__version__,
        "created": _clock.now(),
    }
    # rows of another protocol must not take the place of those of the default one
    variant = {"config_id": protocol.variant} if protocol.variant else {}
    table = _results.scale(_results.frame({**common, **row, **variant} for row in rows))
    scored.keep(data, table, columns=list(keys.values()))
    _settings.wrote(f".uns['{_keys.UNS}']['{_keys.SCORES}'] ({len(table)} rows)")
    return table


def _problems(
    data: Any,
    names: list[str],
    keys: dict[str, str | None],
    *,
    modality: str | None,
    seed: Any,
    choices: dict[str, tuple[str, tuple[str, ...]]],
    unlabelled: list[str] | None = None,
    grouped: bool = False,
) -> Iterator[Problem]:
    """All that can be wrong with a call, before anything is computed."""
    if not (hasattr(data, "obs") and hasattr(data, "obsm")):
        message = f"data is of type {type(data).__name__}; AnnData or MuData is needed."
        yield Problem("bad_type", "data", message, "Read the file first: anndata.read_h5ad(path).")
        return
    yield from in_memory(data)
    if modality is not None and (not is_mudata(data) or modality not in data.mod):
        known = list(data.mod) if is_mudata(data) else []
        message = f"modality={modality!r} does not exist; the object has {listed(known)}."
        yield Problem("unknown_modality", "modality", message, nearest(modality, known), missing=True)
        return
    for part in data.mod.values() if is_mudata(data) else [data]:  # a gene and its protein may share a name
        yield from (problem for problem in check_names(part) if problem.severity == ERROR)
    yield from _slots(data if modality is None else data.mod[modality], names)
    yield from check_seed(seed)
    for name, (chosen, offered) in choices.items():
        if chosen not in offered:
            message = f"{name}={chosen!r} does not exist; there are {listed(list(offered))}."
            yield Problem(f"unknown_{name}", name, message, nearest(chosen, list(offered)), missing=True)
    if keys["batch_key"] is not None:
        yield from columns.batch(data, keys["batch_key"])
    if keys["label_key"] is not None:
        found = columns.label(data, keys["label_key"], keys["batch_key"])
        told = () if unlabelled is None else wanted_of.ABOUT_UNLABELLED
        yield from (problem for problem in found if problem.code not in told)
    if keys["split_key"] is not None:
        yield from present(data, keys["split_key"], "split_key") if grouped else _split(data, keys["split_key"])
        yield from disagreement(data, keys["split_key"], "split_key")


def _slots(holder: Any, names: list[str]) -> Iterator[Problem]:
    """Embeddings: there, and each only once."""
    known = [str(name) for name in holder.obsm]
    if not names:
        yield Problem("no_use_rep", "use_rep", "use_rep names no embedding.", f"obsm has {listed(known)}.")
    for name in names:
        if not isinstance(name, str) or find_slot(holder, name) not in known:
            message = f"use_rep={name!r} is not in obsm, which has {listed(known)}."
            yield Problem("unknown_use_rep", "use_rep", message, nearest(name, known), missing=True)
    slots = [find_slot(holder, name) for name in names]
    twice = sorted({slot for slot in slots if slots.count(slot) > 1})
    if twice:
        message = f"use_rep={names!r} names {listed(twice)} more than once."
        yield Problem("duplicated_use_rep", "use_rep", message, "Name every embedding once.")


def _split(data: Any, split_key: Any) -> Iterator[Problem]:
    """The column of the split: there, complete, with cells on both sides."""
    values = column(data, split_key, parameter="split_key")
    n_query, n_absent = int((values.astype(str) == _keys.QUERY).sum()), int(values.isna().sum())
    fix = f"Make it with pp.split(adata, by=..., key_added={split_key!r})."
    if n_absent:
        message = f"split_key={split_key!r}: {n_absent} of {len(values)} cells have no value."
        yield Problem("split_missing_values", "split_key", message, fix)
    elif n_query in (0, len(values)):
        found = listed(sorted(set(values.astype(str))), 5)
        message = f"split_key={split_key!r} calls {n_query} of {len(values)} cells {_keys.QUERY!r}; it has {found}."
        yield Problem("split_one_sided", "split_key", message, fix)


def _held_out(data: Any, held_out: str | Sequence[str] | None, key: str | None) -> list[str] | None:
    """Groups to hold out in turn, empty for all of them; ``None`` if none are named."""
    if held_out is None:
        return None
    wanted = [] if isinstance(held_out, str) and held_out == EACH else [str(name) for name in np.atleast_1d(held_out)]
    known = [] if key is None else sorted(set(column(data, key, parameter="split_key").astype(str)))
    wrong = [name for name in wanted if name not in known]
    if wrong or not known:
        has = f"{key!r} has {listed(known)}" if key else "neither split_key nor batch_key was given"
        message = f"held_out={held_out!r} cannot be held out; {has}."
        fix = nearest(wrong[0], known) if wrong else "Pass split_key=."
        enforce([Problem("unknown_group", "held_out", message, fix, missing=bool(wrong))])
    return wanted


def _target(data: Any, target: Any, modality: str | None) -> Iterator[Problem]:
    """The modality to be predicted: there, and not the one that predicts."""
    if target is None:
        return
    known = [name for name in getattr(data, "mod", {}) if name != modality]
    if target not in known or (modality is None and len(known) < 2):
        message = f"target={target!r} cannot be predicted; the other modalities of the object are {listed(known)}."
        yield Problem("unknown_target", "target", message, nearest(target, known), missing=True)


def _seen(record: dict[str, Any], cells: Cells, modality: str | None) -> tuple[str, str]:
    """Whether the target went into an embedding: what forbids scoring it, and what is not known."""
    used = [
        str(name) for name in np.atleast_1d(record.get("modalities", list(json.loads(record.get("coverage", "{}")))))
    ]
    if any(name != cells.source for name in used):
        text = f"The embedding was made from {listed(used)}; {cells.target!r} has to be predicted from {cells.source!r} alone."
        return f"{text} Embed again: tl.embed(data, model, modality={cells.source!r}).", ""
    if used or modality is not None:
        return "", ""
    return "", f"Nothing is known of how the embedding was made; it must not have seen {cells.target!r}."


def _chosen(tasks: list[str] | None, cells: Cells) -> list[str]:
    """The tasks to score: those asked for, or those that have what they need."""
    chosen = list(TASKS) if tasks is None else tasks
    lacking = {name: TASKS.get(name)().lacks(cells) for name in chosen}
    usable = applicable(cells)
    if tasks is None and usable:
        return usable
    enforce(
        Problem("task_needs_column", "tasks", f"Task {name!r} needs {needs}, which was not given.", f"Pass {needs}.")
        for name, needs in lacking.items()
        if needs
    )
    return chosen


def _record(data: Any, holder: Any, slot: str, embedding: np.ndarray) -> tuple[dict[str, Any], str]:
    """The record of the embedding in a slot, none if the slot holds another one by now; and a sentence on that."""
    ours, key = _keys.peek(data), _keys.bare(slot)
    record = {**ours.get(_keys.MODELS, {}).get(key, {}), **ours.get(_keys.EMBEDDINGS, {}).get(key, {})}
    known = ours.get(_keys.SKETCHES, {}).get(key)
    if not record or known is None or (embedding.ndim == 2 and fits(known, holder.obs_names, embedding)):
        return record, ""
    told = f"obsm[{slot!r}] holds other values than scssl wrote there: scored as an embedding of unknown origin."
    warn(told)
    return {}, told


def _about(record: dict[str, Any], key: str) -> dict[str, Any]:
    """Where an embedding comes from, as far as its record knows."""
    if key in (_results.RANDOM, _results.ORACLE) and not record:
        key = _keys.embedding(key)  # somebody's slot of that name is not our control
    return {
        "key": key,
        "method": str(record.get("method", key)),
        "config_id": str(record.get("config_id", "")),
        "fit_s": float(record.get("seconds", np.nan)),
        **({"seed": int(record["seed"])} if "seed" in record else {}),
    }


def _identity(data: Any, holder: Any, keys: dict[str, str | None], unlabelled: list[str] | None) -> str:
    """Hash of the scored cells; of their names and columns alone where there is no matrix."""
    if unlabelled is not None:  # other cells count: not the same numbers
        return fingerprint([_identity(data, holder, keys, None), sorted(unlabelled)])
    used = [key for key in keys.values() if key is not None]
    parts = data.mod.values() if is_mudata(data) else [data]
    if all(part.X is not None for part in parts):
        return data_id(data, columns=used)
    known = {key: list(column(data, key, parameter=key).astype(str)) for key in used}
    return fingerprint({"cells": list(map(str, holder.obs_names)), **known})

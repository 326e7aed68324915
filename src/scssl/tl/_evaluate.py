"""``evaluate``: scores of embeddings that are already there, ours or anyone's; without torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import scssl
from scssl import _clock, _keys, _results, _settings
from scssl._files import fingerprint
from scssl._parts import modalities, parts
from scssl._parts import part as part_of
from scssl._protocol import PROTOCOLS
from scssl._registry import TASKS
from scssl._validate import ERROR, Problem, enforce
from scssl._validate import wanted as wanted_of
from scssl._validate.config import seed as check_seed
from scssl._validate.names import names as check_names
from scssl._validate.objects import in_memory
from scssl._words import listed, nearest
from scssl.bench.question import Question
from scssl.bench.split import groups
from scssl.data import scored
from scssl.data.columns import as_text, column
from scssl.data.identity import data_id
from scssl.data.slots import dense
from scssl.data.slots import slot as find_slot
from scssl.metrics._engines import ENGINES
from scssl.metrics._engines import identity as engine_identity
from scssl.metrics._engines import obstacles as engine_obstacles
from scssl.tasks import control_rows, refused_rows, score_rows
from scssl.tl._origin import fields, record_of, seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Data

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
    names: list[str] = list(use_rep) if hasattr(use_rep, "__iter__") and not isinstance(use_rep, str) else [use_rep]  # type: ignore[list-item]
    question = Question(batch_key, label_key, split_key, target, modality)
    choices = {"profile": (profile, tuple(PROTOCOLS)), "engine": (engine, ENGINES)}
    grouped = held_out is not None
    question = replace(question, unlabelled=wanted_of.unlabelled(unlabelled))
    enforce(_problems(data, names, question, seed=seed, choices=choices, grouped=grouped))
    enforce(engine_obstacles(engine))
    enforce(question.of_target(data))
    question = question.about(tasks=tasks, metrics=metrics, unlabelled=unlabelled)
    protocol, holder = PROTOCOLS[profile], part_of(data, modality)
    cells = question.cells(
        data,
        values=question.asks_for_values(question.tasks or ()),
        protocol=protocol,
        held_out=None if held_out is None else groups(data, held_out, split_key or batch_key),
    )
    chosen = question.scored(cells)
    how: dict[str, Any] = {"seed": seed, "protocol": protocol, "metrics": question.metrics, "engine": engine}
    rows = []
    for slot in (find_slot(holder, name) for name in names):
        embedding = dense(holder.obsm[slot])
        record, strange = record_of(data, holder, slot, embedding)
        about = fields(record, _keys.bare(slot))
        leak, doubt = seen(record, cells, modality)
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
        "data_id": _identity(data, holder, question),
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
    scored.keep(data, table, columns=question.columns)
    _settings.wrote(f".uns['{_keys.UNS}']['{_keys.SCORES}'] ({len(table)} rows)")
    return table


def _problems(
    data: object,
    names: list[str],
    question: Question,
    *,
    seed: object,
    choices: dict[str, tuple[str, tuple[str, ...]]],
    grouped: bool,
) -> Iterator[Problem]:
    """All that can be wrong with a call, before anything is computed."""
    if not (hasattr(data, "obs") and hasattr(data, "obsm")):
        message = f"data is of type {type(data).__name__}; AnnData or MuData is needed."
        yield Problem("bad_type", "data", message, "Read the file first: anndata.read_h5ad(path).")
        return
    yield from in_memory(data)
    if question.modality is not None and question.modality not in modalities(data):
        known = modalities(data)
        message = f"modality={question.modality!r} does not exist; the object has {listed(known)}."
        yield Problem("unknown_modality", "modality", message, nearest(question.modality, known), missing=True)
        return
    for part in parts(data).values():  # a gene and its protein may share a name
        yield from (problem for problem in check_names(part) if problem.severity == ERROR)
    yield from _slots(part_of(data, question.modality), names)
    yield from check_seed(seed)
    for name, (chosen, offered) in choices.items():
        if chosen not in offered:
            message = f"{name}={chosen!r} does not exist; there are {listed(list(offered))}."
            yield Problem(f"unknown_{name}", name, message, nearest(chosen, list(offered)), missing=True)
    yield from question.problems(data)
    yield from question.of_split(data, grouped=grouped)


def _slots(holder: Data, names: list[str]) -> Iterator[Problem]:
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


def _identity(data: Data, holder: Data, question: Question) -> str:
    """Hash of the scored cells; of their names and columns alone where there is no matrix."""
    used = [key for key in question.columns if key is not None]
    if all(part.X is not None for part in parts(data).values()):
        return question.counted(data_id(data, columns=used))
    known = {key: list(as_text(column(data, key, parameter=key))) for key in used}
    return question.counted(fingerprint({"cells": list(map(str, holder.obs_names)), **known}))

"""Cells as a trained model reads them: checked, genes in its order, batches that it knows by name; and their embedding."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl._errors import InputError, TrainingError, told, warn
from scssl._parts import modalities, multimodal
from scssl._validate import ERROR, Problem, enforce
from scssl._validate import matrix as check_matrix
from scssl._validate import names as check_names
from scssl._validate import objects as check_objects
from scssl._validate.beside import against
from scssl._validate.matrix import Aim
from scssl._validate.objects import NOTHING
from scssl._validate.on_scale import Look, Place, counts_of
from scssl._validate.places import groups, present
from scssl._validate.scale import from_text
from scssl._validate.silent import padded, shares_from_text
from scssl._words import listed, spelled_as, unknown
from scssl.data.align import MINIMUM
from scssl.data.cells import BATCH, COUNTS, Cells, Codes
from scssl.data.columns import codes, column
from scssl.data.container import counts_layer, parts_of
from scssl.data.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anndata import AnnData

    from scssl._types import Data
    from scssl.data.align import Alignment
    from scssl.methods._base import Method
    from scssl.models.model import Model


def cells_of(
    model: Model,
    data: object,
    *,
    layer: str | None = None,
    modality: str | None = None,
    stream: bool = True,
    min_coverage: float = MINIMUM,
) -> tuple[Cells, dict[str, Alignment]]:
    """Cells as the model reads them, and how its genes were found in the data.

    `min_coverage`: share of the model's genes below which the data are refused.
    """
    enforce(_share(min_coverage))
    spec = model.module.spec
    kept = "" if spec.values == COUNTS else model.record["layer"]  # counts are found where they are in this object
    layer = layer or kept or None
    features = _features(model, modality)
    asked = _Asked(model, layer, features, min_coverage)
    enforce(_problems(data, asked))
    cells, found = Cells.aligned(
        data, features, layer=layer, values=spec.values, stream=stream, min_coverage=min_coverage
    )
    found = _measured(found, asked)
    if model.module.tells_batches_apart:
        cells = model.module.aligned(_with_batches(model, data, cells))
    for alignment in found.values():
        if alignment.note:
            warn(alignment.note)
    return cells, found


def embedding_of(method: Method, cells: Cells, *, batch_size: int | None = None) -> np.ndarray:
    """Embedding of every cell in eval mode: float32 of shape ``(cells, width)``, C-contiguous.

    Depends on each cell alone, neither on the order of the cells nor on the batch size.

    Raises
    ------
    TrainingError
        If the embedding is not finite.
    """
    parts = [method.embedded(cells, index) for index in blocks(cells.n_obs, batch_size or method.cells_at_a_time)]
    embedding = np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)
    bad = int((~np.isfinite(embedding)).any(axis=1).sum())
    if bad:
        msg = f"The embedding of {bad} of {cells.n_obs} cells is not finite: the weights or the values are not."
        raise TrainingError(
            msg, code="embedding_not_finite", parameter="model", fix="Check the data with ssl.pp.check."
        )
    return embedding


def blocks(n_obs: int, size: int) -> Iterator[np.ndarray]:
    """Positions of all cells, some at a time."""
    for start in range(0, n_obs, size):
        yield np.arange(start, min(start + size, n_obs))


def _with_batches(model: Model, data: object, cells: Cells) -> Cells:
    """The cells with the batches that the data name; without any if they do not."""
    key, known = model.record["batch_key"], list(model.module.batches)
    if next(present(data, key, "batch_key"), None) is not None:
        msg = f"The data have no column {key!r} that names the batch of each cell, which this model can make use of: "
        msg += f"all cells are embedded as of an unseen batch. It knows {listed(known)}; "
        warn(msg + f"name the batches in obs[{key!r}], if these cells are of them.")
        return cells
    values, names = codes(column(data, key, parameter="batch_key"))
    respelled, note = spelled_as(known, names, parameter=f"batch_key={key!r}")
    cells = cells.with_codes(**{BATCH: Codes(values, tuple(respelled))})
    if not model.module.has_to_learn(model.module.aligned(cells)):  # else the caller says that they are learned
        told(note)
    return cells


@dataclass(frozen=True)
class _Asked:
    """What is asked of some data, and what their values were found to be, by modality."""

    model: Model
    layer: str | None
    features: Mapping[str, np.ndarray]
    min_coverage: float
    looks: dict[str, Look] = field(default_factory=dict)


def _measured(found: dict[str, Alignment], asked: _Asked) -> dict[str, Alignment]:
    """The alignments, with the genes that no cell has and that count as missing."""
    shares = json.loads(asked.model.record.get("detected", "") or "{}")
    made = dict(found)
    for name in shares.keys() & asked.looks.keys():
        look, at = asked.looks[name], found[name].positions
        if len(shares_from_text(shares[name])) != len(at):  # the record is of other genes: a model put together by hand
            continue
        n_cells = np.where(at >= 0, look.detected[at], -1)  # those that are missing are known to be
        silent = padded(shares_from_text(shares[name]), n_cells, look.n_obs)
        made[name] = found[name].without(silent, look.n_obs, minimum=asked.min_coverage)
    return made


def _share(minimum: object) -> Iterator[Problem]:
    number = float(minimum) if isinstance(minimum, int | float | np.number) and not isinstance(minimum, bool) else 0.0
    if not 0 < number <= 1:
        message = f"min_coverage={minimum!r} is not a share above 0 and at most 1."
        yield Problem("out_of_range", "min_coverage", message, "Pass e.g. min_coverage=0.5.")


def _features(model: Model, modality: str | None) -> dict[str, np.ndarray]:
    """The features of the modality that is asked for, of all if none is."""
    if modality is None:
        return model.features
    if modality not in model.features:
        raise unknown(kind="modality", name=modality, known=list(model.features))
    if len(model.features) > 1 and not model.module.embeds_one:
        msg = f"modality={modality!r}: method {model.method!r} makes one embedding of {listed(list(model.features))}."
        fix = f"Leave it out, or train with modalities=[{modality!r}]."
        raise InputError(msg, code="needs_all_modalities", parameter="modality", fix=fix)
    return {modality: model.features[modality]}


def _problems(data: Data, asked: _Asked) -> Iterator[Problem]:
    model, names = asked.model, list(asked.features)
    yield from check_objects.container(data)
    if data.n_obs == 0:
        fix = "Check the filter that was applied last: adata[mask].n_obs."
        yield Problem("no_cells", "data", "The object has 0 cells: there is nothing to embed.", fix)
    if not multimodal(data) and len(names) > 1:
        msg = f"The model was trained on {listed(names)}, the data are an AnnData, which holds one modality."
        fix = f"Pass a MuData, or say which one it is: modality={names[0]!r}."
        yield Problem("needs_mudata", "modality" if model.module.embeds_one else "data", msg, fix)
    if multimodal(data):
        there = modalities(data)
        lacking = [name for name in names if name not in there]
        if lacking:
            msg = f"The model was trained on {listed(list(model.features))}; the MuData has {listed(there)}."
            other = next((repr(name) for name in model.features if name in there), "...")
            fix = f"Embed from one that is there, e.g. modality={other}, or name the modalities as in training."
            yield Problem("unknown_modality", "data", msg, fix, missing=True)
        yield from (problem for problem in check_objects.measured(data, names) if problem.code == NOTHING)
    for name, part in ((name, part) for name, part in parts_of(data, names).items() if part.n_obs):
        for problem in _values(data, name, part, asked):
            yield problem.of(name, genes=kind_of(name).of_genes) if multimodal(data) else problem


def _values(data: Data, name: str, part: AnnData, asked: _Asked) -> Iterator[Problem]:
    """What is wrong with the values of one modality, also beside those that the model was trained on."""
    model, values = asked.model, asked.model.module.spec.values
    yield from (problem for problem in check_names.names(part) if problem.severity == ERROR)
    where = counts_layer(part, asked.layer) if values == COUNTS else asked.layer
    at = pd.Index(part.var_names.astype(str)).get_indexer(pd.Index(asked.features[name]))
    batches = groups(data, model.record["batch_key"], part.obs_names)
    aim = Aim(kind_of(name).name, batches, at[at >= 0], partial(asked.looks.__setitem__, name))
    expects = check_matrix.expected(values, aim.kind)
    yield from check_matrix.matrix(part, layer=where, expects=expects, genes=None, aim=aim)
    known = from_text(model.record.get("scale", "")).get(name)
    coverage = float((at >= 0).mean())
    if known is not None and name in asked.looks and values != COUNTS and coverage >= asked.min_coverage:
        slot = "X" if where is None else f"layers[{where!r}]"
        place = Place(slot, "data" if where is None else "layer", counts_of(part, slot), aim.kind)
        yield from against(known, asked.looks[name].scale, place, coverage=coverage)

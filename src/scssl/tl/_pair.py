"""A query and its reference in the same embedding: where it lies, and whether the two fit together."""

from __future__ import annotations

import numbers
import os
from typing import TYPE_CHECKING

import numpy as np

from scssl import _keys
from scssl._errors import InputError
from scssl._validate import WARNING, Problem
from scssl._validate.objects import in_memory
from scssl._words import listed, nearest
from scssl.data.slots import dense, slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl._types import Data, Json
    from scssl.models.model import Model


def model_of(model: object) -> Model:
    """The model, or the one that was saved in a folder."""
    from scssl.models.model import Model, load

    if isinstance(model, Model):
        return model
    if not isinstance(model, str | os.PathLike):
        msg = f"model is of type {type(model).__name__}; a model or the folder of one is needed."
        raise InputError(msg, code="bad_type", parameter="model", fix="Pass what tl.fit returned.")
    return load(model)


def whole(k: object, *, example: int) -> Iterator[Problem]:
    """A number of neighbours is a whole number of at least 1."""
    if isinstance(k, bool | np.bool_) or not isinstance(k, numbers.Integral) or k < 1:
        message = f"k={k!r} is not a whole number of at least 1."
        yield Problem("bad_k", "k", message, f"Pass e.g. k={example}.")


def embedded(query: object, reference: object, use_rep: object) -> Iterator[Problem]:
    """Both objects hold the embedding."""
    for parameter, data in (("query", query), ("reference", reference)):
        if not (hasattr(data, "obs") and hasattr(data, "obsm")):
            message = f"{parameter} is of type {type(data).__name__}; AnnData or MuData is needed."
            yield Problem("bad_type", parameter, message, "Read the file first: anndata.read_h5ad(path).")
            return
        yield from in_memory(data, parameter=parameter)
        slots = [str(name) for name in data.obsm]
        if use_rep is None:
            message = (
                f"use_rep= is needed: the embedding to look for neighbours in. The {parameter} has {listed(slots)}."
            )
            yield Problem(
                "needs_use_rep", "use_rep", message, "Embed both with the same model: tl.embed(query, model)."
            )
            return
        if not isinstance(use_rep, str) or slot(data, use_rep) not in slots:
            message = f"use_rep={use_rep!r} is not in obsm of the {parameter}, which has {listed(slots)}."
            fix = nearest(use_rep, slots) or "Embed both with the same model: tl.embed(query, model)."
            yield Problem("unknown_use_rep", "use_rep", message, fix, missing=True)


def alike(query: Data, reference: Data, use_rep: str) -> Iterator[Problem]:
    """The embeddings are finite and alike, and the query is not part of the reference."""
    name = slot(query, use_rep)
    arrays = {"query": dense(query.obsm[name]), "reference": dense(reference.obsm[slot(reference, use_rep)])}
    for parameter, array in arrays.items():
        bad = ~np.isfinite(array.astype(np.float64)).reshape(len(array), -1).all(axis=1)
        if array.ndim != 2 or len(array) == 0 or bad.any():
            found = f"{int(bad.sum())} of {len(array)} cells with NaN or inf" if bad.any() else f"shape {array.shape}"
            message = f"use_rep={name!r} of the {parameter} cannot be used: {found}."
            yield Problem("bad_embedding", "use_rep", message, "Drop these cells, or embed them again.")
            return
    widths = {parameter: array.shape[1] for parameter, array in arrays.items()}
    if widths["query"] != widths["reference"]:
        message = (
            f"use_rep={name!r} has width {widths['query']} in the query and {widths['reference']} in the reference."
        )
        yield Problem("other_width", "use_rep", message, "Embed both with the same model: tl.embed(query, model).")
        return
    yield from _one_model(query, reference, name)
    shared = reference.obs_names.get_indexer(query.obs_names) if reference.obs_names.is_unique else np.array([-1])
    both = np.flatnonzero(shared >= 0)
    same = int((arrays["query"][both] == arrays["reference"][shared[both]]).all(axis=1).sum()) if len(both) else 0
    if same:
        message = f"{same} of {query.n_obs} cells of the query are in the reference too: they find themselves."
        yield Problem("query_in_reference", "reference", message, "Leave them out of the reference.", WARNING)


def _one_model(query: object, reference: object, name: str) -> Iterator[Problem]:
    """Both embeddings are of one model: distances between those of two mean nothing, however wide they are."""
    records = {"query": _record(query, name), "reference": _record(reference, name)}
    made = {who: record.get(_keys.MODEL_ID, "") for who, record in records.items()}
    if all(made.values()) and len(set(made.values())) > 1:
        who = "; ".join(
            f"of the {who} by {record['method']!r} of {record['created']} (data {record['data_id']}, seed {record['seed']})"
            for who, record in records.items()
        )
        message = f"use_rep={name!r} was made by two models: {who}. Distances between their embeddings mean nothing."
        fix = "Embed the query with the model of the reference: tl.embed(query, model)."
        yield Problem("other_model", "use_rep", message, fix)
    elif not all(made.values()):
        silent = " and ".join(who for who, model in made.items() if not model)
        message = f"Nothing in the {silent} says which model made use_rep={name!r}; both have to be of one."
        yield Problem("unknown_model", "use_rep", message, "tl.embed(query, model) keeps a record of it.", WARNING)


def _record(data: Data, name: str) -> Json:
    return _keys.record_of(data, _keys.bare(slot(data, name)))

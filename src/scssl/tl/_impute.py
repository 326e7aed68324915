"""``impute``: values that were not measured."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scssl import _keys, _settings
from scssl._errors import InputError, told, warn
from scssl._parts import modalities, multimodal, parts
from scssl._parts import part as part_of
from scssl._validate import WARNING, Problem, enforce
from scssl._validate.names import key as check_key
from scssl._validate.objects import container as check_container
from scssl._words import listed, nearest
from scssl._written import free, put
from scssl.data.kinds import KINDS, OTHER
from scssl.data.matrix import csr
from scssl.data.slots import dense, slot
from scssl.tasks._regression import by_neighbors
from scssl.tl._given import cells_of, is_file, table
from scssl.tl._pair import alike, embedded, model_of, whole

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Data
    from scssl.models.model import Model


@dataclass(frozen=True)
class Predicted:
    """Values of a modality, cells x features, and how they were come by."""

    name: str
    values: np.ndarray
    features: Sequence[str] | np.ndarray
    how: str
    scale: str


def impute(
    query: AnnData | MuData | str | os.PathLike[str],
    model_or_reference: Model | str | os.PathLike[str] | AnnData | MuData,
    *,
    modality: str,
    reference: AnnData | MuData | str | os.PathLike[str] | None = None,
    use_rep: str | None = None,
    k: int = 5,
    layer: str | None = None,
    key_added: str | None = None,
    overwrite: bool = False,
) -> pd.DataFrame | None:
    """Predict a modality that was not measured in the query from one that was.

    With a model that decodes, its decoder answers. With any other model the query and a `reference` are embedded from what
    both have besides the missing modality, and the values of the `k` nearest reference cells are averaged. With a
    reference alone this is done in an embedding that is there already. How far to trust the values is measured by the
    task ``modality_prediction`` of :func:`scssl.tl.evaluate`.

    Parameters
    ----------
    query
        Cells without the modality, or the path of an h5ad, zarr or h5mu file of them (nothing is written to it). If they
        have it, it is not looked at.
    model_or_reference
        What :func:`scssl.tl.fit` returned, or the folder of a saved model; or cells in which the modality was measured, or
        the path of a file of them. Of a MuData it is clear which values these are; an AnnData whose features the query
        has itself is refused.
    modality
        The modality to predict.
    reference
        With a model that does not decode: a MuData with cells in which the modality was measured beside one of the
        model, such as those it was trained on, or the path of a file of them.
    use_rep
        With a reference alone: slot of ``obsm`` of both objects, with or without ``X_``.
    k
        Reference cells that are averaged.
    layer
        Layer to embed from, and of the reference to average; by default the one of the model, and ``X``.
    key_added
        Name of the result; by default that of the method or of the embedding.
    overwrite
        Whether a slot of this name may be replaced if `impute` did not write it.

    Returns
    -------
    None, or of a path a pandas.DataFrame
        The values of a file are returned, cells by features. Slots written to a `query` in memory:

        - ``.obsm["<key>_<modality>"]``: the values, a frame of float32 with a column for each feature; a ``/`` in a name
          becomes ``_``, for files cannot hold it
        - ``.uns["scssl"]["imputed"]["<key>_<modality>"]``: names of the features, how the values were predicted, and on
          which scale they are

    Raises
    ------
    InputError
        If the model neither decodes nor a reference is given, the objects share no other modality, embeddings cannot be
        used or are of different models, or the slot holds something else. The query is as before.
    KeyNotFoundError
        If the modality, the layer or the embedding does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> mdata = ssl.datasets.synthetic(300, modalities=("rna", "prot"))
    >>> ssl.pp.recipe(mdata)
    >>> reference, query = mdata[:200].copy(), mdata[200:].copy()
    >>> model = ssl.tl.fit(reference, "pca", modalities=["rna"], width=10)
    >>> ssl.tl.embed(query, model)
    >>> ssl.tl.impute(query, reference, modality="prot", use_rep="X_pca")
    >>> query.obsm["pca_prot"].shape == query.mod["prot"].shape
    True
    """
    enforce(whole(k, example=5))
    enforce(check_key(modality, parameter="modality"))
    if key_added is not None:
        enforce(_target(query, key_added, _keys.imputed(key_added, modality), overwrite=overwrite))
    with ExitStack() as until:
        cells, teacher = cells_of(query, until), model_or_reference
        if hasattr(teacher, "obsm") or is_file(teacher):
            found = _from_reference(cells, cells_of(teacher, until), modality, use_rep, k=k, layer=layer)
        else:
            model = model_of(teacher)
            enforce(check_container(cells, parameter="query"))
            found = _from_model(cells, model, modality, cells_of(reference, until), k=k, layer=layer)
        frame = table(found.values, cells.obs_names, found.features)
    if is_file(query):
        return frame
    key = found.name if key_added is None else key_added
    enforce(_target(cells, key, _keys.imputed(key, modality), overwrite=overwrite))
    _write(cells, _keys.imputed(key, modality), modality, (frame, found))
    return None


def _from_reference(
    query: Data, reference: Data, modality: str, use_rep: Any, *, k: int, layer: str | None
) -> Predicted:
    """Neighbours in an embedding that both have."""
    enforce(_pair_problems(query, reference, modality, use_rep, layer))
    x, known = (dense(data.obsm[slot(data, use_rep)]) for data in (query, reference))
    return _averaged(_keys.bare(use_rep), x, known, reference, modality, k=k, layer=layer)


def _from_model(
    query: object, model: Model, modality: str, reference: object, *, k: int, layer: str | None
) -> Predicted:
    """The answer of the decoder; of a model that has none, neighbours in its embedding."""
    decoder = _decoded(model, query, modality, layer)
    if decoder is not None:
        scale = f"{_slot(layer or model.record['layer'] or None)} that the model was trained on"
        return Predicted(model.method, *decoder, how="decoder", scale=scale)
    teacher = _teacher(model, reference, modality, layer)
    x, known = (_embedded(model, data, modality, layer) for data in (query, teacher))
    return _averaged(model.method, x, known, teacher, modality, k=k, layer=layer)


def _averaged(
    name: str, x: np.ndarray, known: np.ndarray, reference: Data, modality: str, *, k: int, layer: str | None
) -> Predicted:
    """The mean of the nearest cells of the reference."""
    part = part_of(reference, modality)
    position = reference.obs_names.get_indexer(part.obs_names)
    values = csr(part, layer=layer)
    _refuse_holes(values.data, modality)
    predicted, note = by_neighbors(known[position], values, x, k=int(k))
    told(note)
    how = f"mean of {min(int(k), len(position))} neighbours"
    return Predicted(name, predicted, part.var_names, how, _scale(part, layer))


def _slot(layer: str | None) -> str:
    return "X" if layer is None else f"layers[{layer!r}]"


def _scale(part: object, layer: str | None) -> str:
    """The scale of the values of a reference, as far as its record says."""
    made = json.loads(_keys.peek(part).get(_keys.RECIPE, "{}"))
    scale = KINDS.get(made.get("kind", ""), OTHER).scale.format(total=made.get("target_sum") or "the median")
    of = {None: scale, _keys.COUNTS_LAYER: "counts" if made else None}.get(layer)
    return f"{_slot(layer)} of the reference" + (f": {of}" if of else "")


def _pair_problems(query: Data, reference: Data, modality: str, use_rep: Any, layer: str | None) -> Iterator[Problem]:
    """All that can be wrong with a query and a reference; what comes later relies on what came before."""
    yield from embedded(query, reference, use_rep)
    yield from alike(query, reference, use_rep)
    yield from _measured(reference, modality, layer)
    if not multimodal(reference):
        yield from _other_modality(query, reference, modality)


def _other_modality(query: Data, reference: Data, modality: str) -> Iterator[Problem]:
    """An AnnData does not say what was measured: features that the query has too are not those of a missing modality."""
    others = {name: part for name, part in parts(query).items() if name != modality}
    theirs = set(map(str, reference.var_names))
    fix = f"Pass a MuData, in which modalities have names: mudata.MuData({{{modality!r}: reference}})."
    for name, part in others.items():
        shared = len(theirs & set(map(str, part.var_names)))
        where = f"modality {name!r} of the query" if name else "the query"
        message = f"{shared} of {len(theirs)} features of the reference are among the {part.n_vars} of {where}"
        if 2 * shared > part.n_vars:
            yield Problem("other_modality", "modality", f"{message}: they are not {modality!r}.", fix)
        elif 2 * shared > len(theirs):
            said = f"{message}; nothing tells that they are {modality!r}."
            yield Problem("unclear_modality", "modality", said, fix, WARNING)


def _measured(reference: Data, modality: str, layer: str | None) -> Iterator[Problem]:
    known = modalities(reference)
    if multimodal(reference) and modality not in known:
        message = f"modality={modality!r} is not in the reference, which has {listed(known)}."
        yield Problem("unknown_modality", "modality", message, nearest(modality, known), missing=True)
        return
    part = part_of(reference, modality)
    layers = _keys.layers(part)
    if (part.X is None) if layer is None else (layer not in layers):
        message = f"{modality!r} of the reference has no values in {_slot(layer)}; its layers are {listed(layers)}."
        yield Problem("unknown_layer", "layer", message, nearest(layer, layers), missing=True)


def _teacher(model: Model, reference: object, modality: str, layer: str | None) -> Data:
    """The reference of a model that does not decode: it holds what the model embeds and what is missing."""
    if reference is None:
        msg = f"method {model.method!r} cannot give values of {modality!r} itself."
        fix = "Pass reference=, cells in which it was measured; the nearest of them are averaged."
        raise InputError(msg, code="needs_reference", parameter="reference", fix=fix)
    enforce(check_container(reference, parameter="reference"))
    if not multimodal(reference):
        msg = f"reference is an AnnData: it holds either what the model embeds, or {modality!r}; both are needed."
        fix = f"Pass a MuData: mudata.MuData({{{next(iter(model.features))!r}: ..., {modality!r}: ...}})."
        raise InputError(msg, code="needs_mudata", parameter="reference", fix=fix)
    enforce(_measured(reference, modality, layer))
    return reference


def _source(model: Model, data: object, modality: str) -> str | None:
    """The modality to embed from; ``None`` for a model of one, which must not be the missing one."""
    there = modalities(data)
    usable = [name for name in model.features if name != modality and (not there or name in there)]
    if not usable:
        has = listed(there) if there else "one modality"
        msg = f"{modality!r} cannot be predicted by a model of {listed(list(model.features))}; the data have {has}."
        fix = "Train a model on a modality that the query has: ssl.tl.fit(mdata, modalities=['rna'])."
        raise InputError(msg, code="no_source", parameter="modality", fix=fix)
    return None if len(model.features) == 1 else usable[0]


def _embedded(model: Model, data: object, modality: str, layer: str | None) -> np.ndarray:
    return model.embed(data, layer=layer, modality=_source(model, data, modality))


def _decoded(model: Model, query: object, modality: str, layer: str | None) -> tuple[np.ndarray, np.ndarray] | None:
    """The answer of the decoder, from another modality; ``None`` if it has none."""
    from scssl.models.answers import decoded, decodes

    if not decodes(model, modality) or not model.module.embeds_one or len(model.features) < 2:
        return None
    values = decoded(model, query, layer=layer, modality=_source(model, query, modality))
    return values[modality], model.features[modality]


def _refuse_holes(values: np.ndarray, modality: str) -> None:
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        msg = f"{n_bad} of {len(values)} values of {modality!r} in the reference that are not zero are NaN or inf."
        raise InputError(msg, code="values_not_finite", parameter="reference", fix="Look at them with ssl.pp.check.")


def _target(query: object, key: object, slot: str, *, overwrite: bool) -> Iterator[Problem]:
    wrong = list(check_key(key, parameter="key_added"))
    yield from wrong
    if not wrong and hasattr(query, "obsm"):
        yield from free(query, "obsm", [slot], key, overwrite=overwrite)


def _write(query: object, name: str, modality: str, made: tuple[pd.DataFrame, Predicted]) -> None:
    frame, found = made
    features = frame.columns.to_numpy().astype(object)
    put(query, "obsm", name, frame.rename(columns=dict(zip(features, _storable(features), strict=True))))
    record = {"features": features, "modality": modality, "how": found.how, "scale": found.scale}
    _keys.shelf(query, _keys.IMPUTED)[name] = record
    _settings.wrote(f".obsm['{name}']", f".uns['{_keys.UNS}']['{_keys.IMPUTED}']['{name}']")


def _storable(features: np.ndarray) -> list[str]:
    """Names of columns that files can hold: no ``/``, which is between folders; still one for each feature."""
    names = [str(name).replace("/", "_") for name in features]
    changed = [str(name) for name in features if "/" in name]
    if len(set(names)) < len(names):  # two names would be one
        names = [
            f"{name}_{i}" if old in changed else name for i, (name, old) in enumerate(zip(names, features, strict=True))
        ]
    if changed:
        warn(
            f"{len(changed)} names of features hold '/', which files cannot: in obsm it is '_' (first: {changed[0]!r})."
        )
    return names

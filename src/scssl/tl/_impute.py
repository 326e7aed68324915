"""``impute`` and ``reconstruct``: values that were not measured, and those that an embedding still holds."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _keys, _settings
from scssl._errors import InputError, told
from scssl._validate import Problem, enforce
from scssl._validate.names import key as check_key
from scssl._validate.objects import container as check_container
from scssl._words import listed, nearest
from scssl.data.container import is_mudata
from scssl.data.matrix import csr
from scssl.data.open import SUFFIXES, opened
from scssl.tasks._regression import by_neighbors
from scssl.tl._pair import alike, dense, embedded, model_of, slot, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from mudata import MuData

    from scssl.models.model import Model


@dataclass(frozen=True)
class Predicted:
    """Values of a modality, cells x features, and how they were come by."""

    name: str
    values: np.ndarray
    features: Sequence[str] | np.ndarray
    how: str


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
        the path of a file of them.
    modality
        The modality to predict.
    reference
        With a model that does not decode: cells in which the modality was measured, such as those it was trained on, or
        the path of a file of them.
    use_rep
        With a reference alone: slot of ``obsm`` of both objects, with or without ``X_``.
    k
        Reference cells that are averaged.
    layer
        Layer to embed from, and of the reference to average; by default the one of the model, and ``X``.
    key_added
        Name of the result; by default that of the method or of the embedding.

    Returns
    -------
    None, or of a path a pandas.DataFrame
        The values of a file are returned, cells by features. Slots written to a `query` in memory:

        - ``.obsm["<key>_<modality>"]``: the values, float32 of shape ``(n_obs, features)``
        - ``.uns["scssl"]["imputed"]["<key>_<modality>"]``: names of the features, and how they were predicted

    Raises
    ------
    InputError
        If the model neither decodes nor a reference is given, the objects share no other modality, or embeddings cannot
        be used. The query is as before.
    KeyNotFoundError
        If the modality or the embedding does not exist.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scssl as ssl
    >>> mdata = ssl.datasets.synthetic(300, modalities=("rna", "prot"))
    >>> ssl.pp.recipe(mdata)
    >>> sc.pp.pca(mdata.mod["rna"], n_comps=10)
    >>> mdata.obsm["X_pca"] = mdata.mod["rna"].obsm["X_pca"]
    >>> reference, query = mdata[:200].copy(), mdata[200:].copy()
    >>> ssl.tl.impute(query, reference, modality="prot", use_rep="X_pca")
    >>> query.obsm["pca_prot"].shape == query.mod["prot"].shape
    True
    """
    enforce(whole(k, example=5))
    if key_added is not None:
        enforce(check_key(key_added, parameter="key_added"))
    with ExitStack() as until:
        cells, teacher = _cells(query, until), model_or_reference
        if hasattr(teacher, "obsm") or _is_file(teacher):
            found = _from_reference(cells, _cells(teacher, until), modality, use_rep, k=k, layer=layer)
        else:
            model = model_of(teacher)
            enforce(check_container(cells, parameter="query"))
            found = _from_model(cells, model, modality, _cells(reference, until), k=k, layer=layer)
        if _is_file(query):
            return _frame(found.values, cells.obs_names, found.features)
    _write(cells, found.name if key_added is None else key_added, modality, found)
    return None


def reconstruct(
    data: AnnData | MuData | str | os.PathLike[str],
    model: Model | str | os.PathLike[str],
    *,
    layer: str | None = None,
    modality: str | None = None,
    key_added: str | None = None,
    batch_size: int | None = None,
) -> pd.DataFrame | None:
    """Write the values that a model reconstructs from the embedding of each cell: what it keeps, without the noise.

    Parameters
    ----------
    data
        AnnData or MuData: any cells, genes in any order; or the path of an h5ad, zarr or h5mu file (read by blocks; nothing
        is written to it).
    model
        What :func:`scssl.tl.fit` returned, or the folder of a saved model; its method must decode, see the column
        ``decodes`` of ``tl.methods(full=True)``.
    layer
        Layer to read; by default the one the model was trained on.
    modality
        Reconstruct this modality of a MuData; by default all of the model. Of an AnnData: the modality that it holds, of a
        model of several.
    key_added
        The layer is called ``<key_added>_reconstructed``; the name of the method by default.
    batch_size
        Cells at a time; has no influence on the result.

    Returns
    -------
    None, or of a path a pandas.DataFrame
        The values of a file are returned, cells by features of the model. Slots written to an object in memory (for a MuData,
        to each modality):

        - ``.layers["<key>_reconstructed"]``: float32 of the shape of ``X``; NaN for genes that the model does not use

    Raises
    ------
    InputError
        If the method does not decode, or the data cannot be used. The object is as before.
    KeyNotFoundError
        If the modality does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> ssl.pp.recipe(adata)
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> ssl.tl.reconstruct(adata, model)
    >>> adata.layers["pca_reconstructed"].shape == adata.shape
    True
    """
    from scssl.models.answers import aligned, decoded

    model = model_of(model)
    key = model.method if key_added is None else key_added
    enforce(check_key(key, parameter="key_added"))
    if modality is not None and modality not in model.features:
        known = list(model.features)
        message = f"modality={modality!r} is not one of the model, which has {listed(known)}."
        enforce([Problem("unknown_modality", "modality", message, nearest(modality, known), missing=True)])
    names = list(model.features) if modality is None else [modality]
    with ExitStack() as until:
        cells = _cells(data, until)
        if _is_file(data):
            enforce(_one_table(names))
        alone = None if is_mudata(cells) else modality
        values = decoded(model, cells, layer=layer, modality=alone, batch_size=batch_size)
        if _is_file(data):
            return _frame(values[names[0]], cells.obs_names, model.features[names[0]])
    parts = {name: cells.mod[name] if is_mudata(cells) else cells for name in names}
    made = {}
    for name, part in parts.items():
        rows = cells.obs_names.get_indexer(part.obs_names)
        made[name] = aligned(values[name][rows], model.features[name], part.var_names)
    for name, part in parts.items():
        part.layers[_keys.reconstructed(key)] = made[name]
    _settings.wrote(f".layers['{_keys.reconstructed(key)}']")
    return None


def _is_file(data: Any) -> bool:
    """Whether cells are given as the path of a file; a folder of another name is that of a model."""
    return isinstance(data, str | os.PathLike) and Path(data).suffix.lower() in SUFFIXES


def _cells(data: Any, until: ExitStack) -> Any:
    """The cells, of a file as long as it is open."""
    return until.enter_context(opened(Path(data))) if _is_file(data) else data


def _frame(values: np.ndarray, cells: pd.Index, features: Any) -> pd.DataFrame:
    return pd.DataFrame(values, index=cells, columns=np.asarray(features, dtype=str).astype(object))


def _one_table(names: list[str]) -> Iterator[Problem]:
    """What is returned is one table."""
    if len(names) > 1:
        message = f"The model reconstructs {listed(names)}; of a file one of them is returned."
        yield Problem("needs_modality", "modality", message, f"Say which one, e.g. modality={names[0]!r}.")


def _from_reference(query: Any, reference: Any, modality: str, use_rep: Any, *, k: int, layer: str | None) -> Predicted:
    """Neighbours in an embedding that both have."""
    enforce(_pair_problems(query, reference, modality, use_rep))
    x, known = (dense(data.obsm[slot(data, use_rep)]) for data in (query, reference))
    return _averaged(_keys.bare(use_rep), x, known, reference, modality, k=k, layer=layer)


def _from_model(query: Any, model: Model, modality: str, reference: Any, *, k: int, layer: str | None) -> Predicted:
    """The answer of the decoder; of a model that has none, neighbours in its embedding."""
    decoder = _decoded(model, query, modality, layer)
    if decoder is not None:
        return Predicted(model.method, *decoder, how="decoder")
    teacher = _teacher(model, reference, modality)
    x, known = (_embedded(model, data, modality, layer) for data in (query, teacher))
    return _averaged(model.method, x, known, teacher, modality, k=k, layer=layer)


def _averaged(
    name: str, x: np.ndarray, known: np.ndarray, reference: Any, modality: str, *, k: int, layer: str | None
) -> Predicted:
    """The mean of the nearest cells of the reference."""
    part = _part(reference, modality)
    position = reference.obs_names.get_indexer(part.obs_names)
    values = csr(part, layer=layer)
    _refuse_holes(values.data, modality)
    predicted, note = by_neighbors(known[position], values, x, k=int(k))
    told(note)
    return Predicted(name, predicted, part.var_names, f"mean of {min(int(k), len(position))} neighbours")


def _pair_problems(query: Any, reference: Any, modality: str, use_rep: Any) -> Iterator[Problem]:
    """All that can be wrong with a query and a reference; what comes later relies on what came before."""
    yield from embedded(query, reference, use_rep)
    yield from alike(query, reference, use_rep)
    yield from _measured(reference, modality)


def _measured(reference: Any, modality: Any) -> Iterator[Problem]:
    known = list(reference.mod) if is_mudata(reference) else []
    if is_mudata(reference) and modality not in known:
        message = f"modality={modality!r} is not in the reference, which has {listed(known)}."
        yield Problem("unknown_modality", "modality", message, nearest(modality, known), missing=True)


def _teacher(model: Model, reference: Any, modality: str) -> Any:
    """The reference of a model that does not decode."""
    if reference is None:
        msg = f"method {model.method!r} cannot give values of {modality!r} itself."
        fix = "Pass reference=, cells in which it was measured; the nearest of them are averaged."
        raise InputError(msg, code="needs_reference", parameter="reference", fix=fix)
    enforce(_measured(reference, modality))
    return reference


def _source(model: Model, data: Any, modality: str) -> str | None:
    """The modality to embed from; ``None`` for a model of one, which must not be the missing one."""
    usable = [name for name in model.features if name != modality and (not is_mudata(data) or name in data.mod)]
    if not usable:
        has = listed(list(data.mod)) if is_mudata(data) else "one modality"
        msg = f"{modality!r} cannot be predicted by a model of {listed(list(model.features))}; the data have {has}."
        fix = "Train a model on a modality that the query has: ssl.tl.fit(mdata, modalities=['rna'])."
        raise InputError(msg, code="no_source", parameter="modality", fix=fix)
    return None if len(model.features) == 1 else usable[0]


def _embedded(model: Model, data: Any, modality: str, layer: str | None) -> np.ndarray:
    return model.embed(data, layer=layer, modality=_source(model, data, modality))


def _decoded(model: Model, query: Any, modality: str, layer: str | None) -> tuple[np.ndarray, Any] | None:
    """The answer of the decoder, from another modality; ``None`` if it has none."""
    from scssl.models.answers import decoded, decodes

    if not decodes(model, modality) or not model.module.embeds_one or len(model.features) < 2:
        return None
    values = decoded(model, query, layer=layer, modality=_source(model, query, modality))
    return values[modality], model.features[modality]


def _part(reference: Any, modality: str) -> Any:
    return reference.mod[modality] if is_mudata(reference) else reference


def _refuse_holes(values: np.ndarray, modality: str) -> None:
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        msg = f"{n_bad} of {len(values)} values of {modality!r} in the reference that are not zero are NaN or inf."
        raise InputError(msg, code="values_not_finite", parameter="reference", fix="Look at them with ssl.pp.check.")


def _write(query: Any, key: str, modality: str, found: Predicted) -> None:
    enforce(check_key(key, parameter="key_added"))
    name = _keys.imputed(key, modality)
    query.obsm[name] = found.values
    features = np.asarray(found.features, dtype=str).astype(object)
    _keys.shelf(query, _keys.IMPUTED)[name] = {"features": features, "modality": modality, "how": found.how}
    _settings.wrote(f".obsm['{name}']", f".uns['{_keys.UNS}']['{_keys.IMPUTED}']['{name}']")

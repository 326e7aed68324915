"""``impute`` and ``reconstruct``: values that were not measured, and those that an embedding still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scssl import _keys, _settings
from scssl._errors import InputError, warn
from scssl._registry import listed, nearest
from scssl._validate import Problem, enforce
from scssl._validate.names import key as check_key
from scssl.data.columns import is_mudata
from scssl.data.matrix import csr
from scssl.tasks._regression import by_neighbors
from scssl.tl._pair import alike, dense, embedded, model_of, slot, whole

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from anndata import AnnData
    from mudata import MuData

    from scssl.methods._model import Model


def impute(
    query: AnnData | MuData,
    model_or_reference: Model | str | os.PathLike[str] | AnnData | MuData,
    *,
    modality: str,
    reference: AnnData | MuData | None = None,
    use_rep: str | None = None,
    k: int = 5,
    layer: str | None = None,
    key_added: str | None = None,
) -> None:
    """Predict a modality that was not measured in the query from one that was.

    With a model that decodes, its decoder answers. With any other model the query and a `reference` are embedded from what
    both have besides the missing modality, and the values of the `k` nearest reference cells are averaged. With a
    reference alone this is done in an embedding that is there already. How far to trust the values is measured by the
    task ``modality_prediction`` of :func:`scssl.tl.evaluate`.

    Parameters
    ----------
    query
        Cells without the modality. If they have it, it is not looked at.
    model_or_reference
        What :func:`scssl.tl.fit` returned, or the folder of a saved model; or cells in which the modality was measured.
    modality
        The modality to predict.
    reference
        With a model that does not decode: cells in which the modality was measured, such as those it was trained on.
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
    None
        Slots written to `query`:

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
    teacher: Any = model_or_reference
    if hasattr(model_or_reference, "obsm"):
        enforce(_pair_problems(query, model_or_reference, modality, use_rep))
        name = _keys.bare(str(use_rep))
        x, known = (dense(data.obsm[slot(data, str(use_rep))]) for data in (query, teacher))
    else:
        model = model_of(model_or_reference)
        name = model.method
        decoder = _decoded(model, query, modality, layer)
        if decoder is not None:
            _write(query, name if key_added is None else key_added, modality, *decoder, how="decoder")
            return
        teacher = _teacher(model, reference, modality)
        x, known = (_embedded(model, data, modality, layer) for data in (query, teacher))
    part = _part(teacher, modality)
    position = teacher.obs_names.get_indexer(part.obs_names)
    values = csr(part, layer=layer)
    _refuse_holes(values.data, modality)
    predicted, note = by_neighbors(known[position], values, x, k=int(k))
    if note:
        warn(note)
    how = f"mean of {min(int(k), len(position))} neighbours"
    _write(query, name if key_added is None else key_added, modality, predicted, part.var_names, how=how)


def reconstruct(
    data: AnnData | MuData,
    model: Model | str | os.PathLike[str],
    *,
    layer: str | None = None,
    modality: str | None = None,
    key_added: str | None = None,
    batch_size: int | None = None,
) -> None:
    """Write the values that a model reconstructs from the embedding of each cell: what it keeps, without the noise.

    Parameters
    ----------
    data
        AnnData or MuData: any cells, genes in any order.
    model
        What :func:`scssl.tl.fit` returned, or the folder of a saved model; its method must decode, see the column
        ``decodes`` of ``tl.methods(full=True)``.
    layer
        Layer to read; by default the one the model was trained on.
    modality
        Reconstruct this modality of a MuData; by default all of the model.
    key_added
        The layer is called ``<key_added>_reconstructed``; the name of the method by default.
    batch_size
        Cells at a time; has no influence on the result.

    Returns
    -------
    None
        Slots written (for a MuData, to each modality):

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
    from scssl.methods._answers import aligned, decoded

    model = model_of(model)
    key = model.method if key_added is None else key_added
    enforce(check_key(key, parameter="key_added"))
    if modality is not None and modality not in model.features:
        known = list(model.features)
        message = f"modality={modality!r} is not one of the model, which has {listed(known)}."
        enforce([Problem("unknown_modality", "modality", message, nearest(modality, known), missing=True)])
    values = decoded(model, data, layer=layer, batch_size=batch_size)
    made = {}
    for name in values if modality is None else (modality,):
        part = data.mod[name] if is_mudata(data) else data
        rows = data.obs_names.get_indexer(part.obs_names)
        made[name] = (part, aligned(values[name][rows], model.features[name], part.var_names))
    for part, matrix in made.values():
        part.layers[_keys.reconstructed(key)] = matrix
    _settings.wrote(f".layers['{_keys.reconstructed(key)}']")


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
    from scssl.methods._answers import decoded, decodes

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


def _write(query: Any, key: str, modality: str, values: np.ndarray, names: Any, *, how: str) -> None:
    enforce(check_key(key, parameter="key_added"))
    name = _keys.imputed(key, modality)
    query.obsm[name] = values
    features = np.asarray(names, dtype=str).astype(object)
    _keys.shelf(query, _keys.IMPUTED)[name] = {"features": features, "modality": modality, "how": how}
    _settings.wrote(f".obsm['{name}']", f".uns['{_keys.UNS}']['{_keys.IMPUTED}']['{name}']")

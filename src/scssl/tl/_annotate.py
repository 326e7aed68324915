"""``annotate``: labels of new cells from labelled ones in the same embedding."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _keys, _settings
from scssl._errors import warn
from scssl._registry import listed, nearest
from scssl._validate import WARNING, Problem, columns, enforce
from scssl._validate.names import key as check_key
from scssl.data.columns import column
from scssl.tasks._readout import by_line, by_neighbors
from scssl.tasks._vote import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from mudata import MuData

KNN, LINEAR = CLASSIFIERS = ("knn", "linear")


def annotate(
    query: AnnData | MuData,
    *,
    reference: AnnData | MuData,
    use_rep: str,
    label_key: str,
    classifier: str = KNN,
    k: int = 15,
    weights: str = "uniform",
    key_added: str | None = None,
) -> None:
    """Give every cell of the query the label that its surroundings in the reference have, and a confidence.

    Parameters
    ----------
    query
        Cells without labels.
    reference
        Cells with labels, embedded by the same model.
    use_rep
        Slot of ``obsm`` in both, with or without ``X_``.
    label_key
        Column of ``obs`` of the reference.
    classifier
        ``"knn"``: the `k` nearest reference cells vote. ``"linear"``: logistic regression on the embedding (fitted to at
        most 20,000 cells). They are the read-outs of the task ``cell_typing``.
    k
        Reference cells that vote; fewer if there are not as many.
    weights
        ``"uniform"``, or ``"distance"``: votes count by the inverse of the distance.
    key_added
        Name of the columns; by default that of the embedding.

    Returns
    -------
    None
        Slots written to `query`:

        - ``.obs["<key>_label"]``: the label, categorical
        - ``.obs["<key>_confidence"]``: its share of the votes, or its probability, from 0 to 1

    Raises
    ------
    InputError
        If an embedding or the labels cannot be used, or the embeddings have different widths. The query is as before.
    KeyNotFoundError
        If the embedding, the column or the classifier does not exist.

    Examples
    --------
    >>> import scanpy as sc
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> ssl.pp.recipe(adata)
    >>> sc.pp.pca(adata, n_comps=30)
    >>> reference, query = adata[:500].copy(), adata[500:].copy()
    >>> ssl.tl.annotate(query, reference=reference, use_rep="X_pca", label_key="cell_type")
    >>> agreement = (query.obs["pca_label"].astype(str) == query.obs["cell_type"].astype(str)).mean()
    >>> bool(agreement > 0.6)
    True
    """
    name = _keys.bare(use_rep) if key_added is None and isinstance(use_rep, str) else key_added
    enforce(_problems(query, reference, use_rep, label_key, options=(classifier, k, weights), name=name))
    slot = _slot(query, use_rep)
    labels = pd.Categorical(column(reference, label_key, parameter="label_key").astype(str))
    x, known = _dense(query.obsm[slot]), _dense(reference.obsm[_slot(reference, use_rep)])
    known_codes = np.asarray(labels.codes, dtype=np.int64)
    if classifier == KNN:
        won, note = by_neighbors(known, known_codes, x, k=int(k), weights=weights)
        codes, confidence = won.codes, won.share
    else:
        keys = pd.util.hash_array(np.asarray(reference.obs_names, dtype=object))
        codes, confidence, note = by_line(known, known_codes, x, keys=keys)
    if note:
        warn(note)
    label = pd.Series(pd.Categorical.from_codes(codes, labels.categories), index=query.obs_names)
    query.obs[_keys.label(name)] = label.cat.remove_unused_categories()
    query.obs[_keys.confidence(name)] = confidence
    _settings.wrote(f".obs['{_keys.label(name)}']", f".obs['{_keys.confidence(name)}']")


def _problems(
    query: Any, reference: Any, use_rep: Any, label_key: Any, *, options: tuple[Any, Any, Any], name: Any
) -> Iterator[Problem]:
    """All that can be wrong with a call; what comes later relies on what came before."""
    yield from _options(*options)
    yield from _objects(query, reference, use_rep)
    yield from _embeddings(query, reference, use_rep)
    yield from columns.label(reference, label_key)
    yield from _targets(query, name)
    if options[0] == LINEAR:
        yield from _too_few(column(reference, label_key, parameter="label_key").astype(str))


def _options(classifier: Any, k: Any, weights: Any) -> Iterator[Problem]:
    for parameter, value, known in (("classifier", classifier, CLASSIFIERS), ("weights", weights, WEIGHTS)):
        if value not in known:
            message = f"{parameter}={value!r} does not exist; there are {listed(list(known))}."
            yield Problem(f"unknown_{parameter}", parameter, message, nearest(value, list(known)), missing=True)
    if isinstance(k, bool | np.bool_) or not isinstance(k, numbers.Integral) or k < 1:
        yield Problem("bad_k", "k", f"k={k!r} is not a whole number of at least 1.", "Pass e.g. k=15.")


def _objects(query: Any, reference: Any, use_rep: Any) -> Iterator[Problem]:
    """Both objects hold the embedding."""
    for parameter, data in (("query", query), ("reference", reference)):
        if not (hasattr(data, "obs") and hasattr(data, "obsm")):
            message = f"{parameter} is of type {type(data).__name__}; AnnData or MuData is needed."
            yield Problem("bad_type", parameter, message, "Read the file first: anndata.read_h5ad(path).")
            return
        slots = [str(slot) for slot in data.obsm]
        if not isinstance(use_rep, str) or _slot(data, use_rep) not in slots:
            message = f"use_rep={use_rep!r} is not in obsm of the {parameter}, which has {listed(slots)}."
            fix = nearest(use_rep, slots) or "Embed both with the same model: tl.embed(query, model)."
            yield Problem("unknown_use_rep", "use_rep", message, fix, missing=True)


def _embeddings(query: Any, reference: Any, use_rep: str) -> Iterator[Problem]:
    """The embeddings are finite and alike, and the query is not part of the reference."""
    slot = _slot(query, use_rep)
    arrays = {"query": _dense(query.obsm[slot]), "reference": _dense(reference.obsm[_slot(reference, use_rep)])}
    for parameter, array in arrays.items():
        bad = ~np.isfinite(array.astype(np.float64)).reshape(len(array), -1).all(axis=1)
        if array.ndim != 2 or len(array) == 0 or bad.any():
            found = f"{int(bad.sum())} of {len(array)} cells with NaN or inf" if bad.any() else f"shape {array.shape}"
            message = f"use_rep={slot!r} of the {parameter} cannot be used: {found}."
            yield Problem("bad_embedding", "use_rep", message, "Drop these cells, or embed them again.")
            return
    widths = {parameter: array.shape[1] for parameter, array in arrays.items()}
    if widths["query"] != widths["reference"]:
        message = (
            f"use_rep={slot!r} has width {widths['query']} in the query and {widths['reference']} in the reference."
        )
        yield Problem("other_width", "use_rep", message, "Embed both with the same model: tl.embed(query, model).")
        return
    shared = reference.obs_names.get_indexer(query.obs_names) if reference.obs_names.is_unique else np.array([-1])
    both = np.flatnonzero(shared >= 0)
    same = int((arrays["query"][both] == arrays["reference"][shared[both]]).all(axis=1).sum()) if len(both) else 0
    if same:
        message = f"{same} of {query.n_obs} cells of the query are in the reference too: they find themselves."
        yield Problem("query_in_reference", "reference", message, "Leave them out of the reference.", WARNING)


def _targets(query: Any, name: Any) -> Iterator[Problem]:
    """Names of the columns: good ones, and not taken by anything but an earlier annotation."""
    wrong = list(check_key(name, parameter="key_added"))
    if wrong:
        yield from wrong
        return
    taken = [c for c in (_keys.label(name), _keys.confidence(name)) if c in query.obs]
    if len(taken) == 1:
        message = f"obs[{taken[0]!r}] exists and was not written by annotate; key_added={name!r} would replace it."
        yield Problem("key_exists", "key_added", message, "Pass another key_added.")


def _too_few(labels: pd.Series) -> Iterator[Problem]:
    if labels.nunique() < 2:
        message = f"All cells of the reference have the label {labels.iloc[0]!r}; a linear classifier needs two."
        yield Problem("single_label", "label_key", message, "Pass a column with several labels.")


def _slot(data: Any, name: str) -> str:
    return name if name in data.obsm else _keys.embedding(name)


def _dense(stored: Any) -> np.ndarray:
    stored = stored.toarray() if hasattr(stored, "toarray") else stored
    return np.asarray(stored)

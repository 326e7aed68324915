"""``annotate``: labels of new cells from labelled ones in the same embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _keys, _settings
from scssl._errors import warn
from scssl._registry import listed, nearest
from scssl._validate import Problem, columns, enforce
from scssl._validate.names import key as check_key
from scssl.data.columns import column
from scssl.tasks._readout import by_line, by_neighbors
from scssl.tasks._vote import WEIGHTS
from scssl.tl._pair import alike, dense, embedded, slot, whole

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
    labels = pd.Categorical(column(reference, label_key, parameter="label_key").astype(str))
    x, known = dense(query.obsm[slot(query, use_rep)]), dense(reference.obsm[slot(reference, use_rep)])
    known_codes = np.asarray(labels.codes, dtype=np.int64)
    if classifier == KNN:
        won, note = by_neighbors(known, known_codes, x, k=int(k), weights=weights)
        codes, confidence = won.codes, won.share
    else:
        keys = pd.util.hash_array(np.asarray(reference.obs_names, dtype=object))
        codes, confidence, note = by_line(known, known_codes, x, keys=keys)
    if note:
        warn(note)
    label = pd.Series(pd.Categorical.from_codes(codes.tolist(), labels.categories), index=query.obs_names)
    query.obs[_keys.label(name)] = label.cat.remove_unused_categories()
    query.obs[_keys.confidence(name)] = confidence
    _settings.wrote(f".obs['{_keys.label(name)}']", f".obs['{_keys.confidence(name)}']")


def _problems(
    query: Any, reference: Any, use_rep: Any, label_key: Any, *, options: tuple[Any, Any, Any], name: Any
) -> Iterator[Problem]:
    """All that can be wrong with a call; what comes later relies on what came before."""
    yield from _options(*options)
    yield from embedded(query, reference, use_rep)
    yield from alike(query, reference, use_rep)
    yield from columns.label(reference, label_key)
    yield from _targets(query, name)
    if options[0] == LINEAR:
        yield from _too_few(column(reference, label_key, parameter="label_key").astype(str))


def _options(classifier: Any, k: Any, weights: Any) -> Iterator[Problem]:
    for parameter, value, known in (("classifier", classifier, CLASSIFIERS), ("weights", weights, WEIGHTS)):
        if value not in known:
            message = f"{parameter}={value!r} does not exist; there are {listed(list(known))}."
            yield Problem(f"unknown_{parameter}", parameter, message, nearest(value, list(known)), missing=True)
    yield from whole(k, example=15)


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

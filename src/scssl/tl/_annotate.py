"""``annotate``: labels of new cells from labelled ones in the same embedding."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _keys, _settings
from scssl._errors import InputError, told, warn
from scssl._validate import Problem, columns, enforce
from scssl._validate.names import key as check_key
from scssl._validate.objects import container
from scssl._words import listed, nearest
from scssl._written import free, put
from scssl.data.columns import as_text, classes, column
from scssl.data.slots import dense, slot
from scssl.tasks._readout import by_line, by_neighbors
from scssl.tasks._vote import UNIFORM, WEIGHTS
from scssl.tl._pair import alike, embedded, model_of, whole

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Data
    from scssl.models.model import Model

KNN, LINEAR, HEAD = CLASSIFIERS = ("knn", "linear", "head")


def annotate(
    query: AnnData | MuData,
    *,
    reference: AnnData | MuData | None = None,
    use_rep: str | None = None,
    label_key: str | None = None,
    classifier: str = KNN,
    model: Model | str | os.PathLike[str] | None = None,
    k: int = 15,
    weights: str = "uniform",
    key_added: str | None = None,
    overwrite: bool = False,
) -> None:
    """Give every cell of the query a label and a confidence: from the labelled cells around it, or from a model.

    Parameters
    ----------
    query
        Cells without labels.
    reference
        Cells with labels, embedded by the same model. With ``"head"`` it is needed only if the model has no head yet: then
        one is trained on these cells.
    use_rep
        Slot of ``obsm`` in both, with or without ``X_``; not for ``"head"``.
    label_key
        Column of ``obs`` of the reference.
    classifier
        ``"knn"``: the `k` nearest reference cells vote. ``"linear"``: logistic regression on the embedding (fitted to at
        most 20,000 cells). ``"head"``: the labels that `model` gives itself, genes aligned by name. They are the read-outs
        of the task ``cell_typing``.
    model
        For ``"head"``: what :func:`finetune` returned, or the folder of such a model.
    k
        Reference cells that vote; fewer if there are not as many.
    weights
        ``"uniform"``, or ``"distance"``: votes count by the inverse of the distance.
    key_added
        Name of the columns; by default that of the embedding, or of the method of the model.
    overwrite
        Whether columns of these names may be replaced if `annotate` did not write them, or they were edited since.

    Returns
    -------
    None
        Slots written to `query`:

        - ``.obs["<key>_label"]``: the label, categorical, of the type that it has in the reference
        - ``.obs["<key>_confidence"]``: its share of the votes, or its probability, from 0 to 1
        - ``.uns["scssl"]["annotated"]["<key>"]``: how the labels were found

    Raises
    ------
    InputError
        If an embedding or the labels cannot be used, the embeddings have different widths or are known to be of different
        models, or a column would be replaced that `annotate` did not write. The query is as before.
    KeyNotFoundError
        If the embedding, the column or the classifier does not exist.
    NotFittedError
        If the model has no head, and there is no reference to train one on.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> ssl.pp.recipe(adata)
    >>> reference, query = adata[:500].copy(), adata[500:].copy()
    >>> model = ssl.tl.fit(reference, "pca", width=30)
    >>> ssl.tl.embed(query, model)
    >>> ssl.tl.annotate(query, reference=reference, use_rep="X_pca", label_key="cell_type")
    >>> agreement = (query.obs["pca_label"].astype(str) == query.obs["cell_type"].astype(str)).mean()
    >>> bool(agreement > 0.6)
    True
    """
    if classifier == HEAD:
        if use_rep is not None:
            message = f"use_rep={use_rep!r} is not looked at: with classifier='head' the model embeds the cells itself."
            raise InputError(message, code="use_rep_with_head", parameter="use_rep", fix="Leave it out.")
        _by_head(query, model, reference, label_key, (key_added, overwrite))
        return
    if model is not None:
        message = f"model= is for classifier='head'; classifier={classifier!r} reads the embedding from use_rep."
        raise InputError(message, code="model_without_head", parameter="model", fix="Pass classifier='head'.")
    name = _keys.bare(use_rep) if key_added is None and isinstance(use_rep, str) else key_added
    problems = _problems(query, reference, use_rep, label_key, options=(classifier, k, weights))
    enforce(chain(problems, _targets(query, name, overwrite=overwrite)))
    _by_surroundings(query, reference, use_rep, label_key, options=(classifier, int(k), weights), name=name)


def _by_surroundings(
    query: Data, reference: Data, use_rep: Any, label_key: Any, *, options: tuple[str, int, str], name: Any
) -> None:
    classifier, k, weights = options
    labels = classes(column(reference, label_key, parameter="label_key"))
    x, known = dense(query.obsm[slot(query, use_rep)]), dense(reference.obsm[slot(reference, use_rep)])
    known_codes = np.asarray(labels.codes, dtype=np.int64)
    if classifier == KNN:
        won, note = by_neighbors(known, known_codes, x, k=k, weights=weights)
        codes, confidence = won.codes, won.share
        told(_outnumbered(labels, codes, k) if weights == UNIFORM else "")
    else:
        keys = pd.util.hash_array(np.asarray(reference.obs_names, dtype=object))
        codes, confidence, note = by_line(known, known_codes, x, keys=keys)
    told(note)
    how = {"classifier": classifier, "use_rep": slot(query, use_rep), "label_key": label_key}
    _write(query, name, pd.Categorical.from_codes(codes.tolist(), dtype=labels.dtype), confidence, how)


def _outnumbered(labels: pd.Categorical, codes: np.ndarray, k: int) -> str:
    """A sentence on labels that were given though they have too few cells for half of the votes: ties decided."""
    sizes = np.bincount(labels.codes, minlength=len(labels.categories))
    given = np.bincount(codes, minlength=len(sizes))
    few = np.flatnonzero((2 * sizes < min(k, len(labels))) & (given > 0))
    if not len(few):
        return ""
    shown = listed([f"{labels.categories[int(i)]} ({sizes[i]})" for i in few], 5)
    return (
        f"{int(given[few].sum())} of {len(codes)} cells got a label that has fewer than {k / 2:g} cells in the reference, "
        f"half of k={k}: {shown}. It wins only where the votes of the others are split: look at the confidence, or pass a "
        "smaller k."
    )


def _write(query: Data, name: Any, labels: pd.Categorical, confidence: np.ndarray, how: dict[str, str]) -> None:
    put(query, "obs", _keys.label(name), pd.Series(labels, index=query.obs_names))
    put(query, "obs", _keys.confidence(name), confidence)
    _keys.shelf(query, _keys.ANNOTATED)[name] = how
    _settings.wrote(f".obs['{_keys.label(name)}']", f".obs['{_keys.confidence(name)}']")


def _by_head(query: Data, model: object, reference: Data, label_key: Any, target: tuple[Any, bool]) -> None:
    """The labels of a model's own head; of one that is trained on the reference, if the model has none."""
    from scssl.models.finetune import Tuning, finetune

    if model is None:
        message = "classifier='head' asks a model for its labels, and there is none."
        raise InputError(message, code="needs_model", parameter="model", fix="Pass model=, from ssl.tl.finetune.")
    model = model_of(model)
    key_added, overwrite = target
    name = model.method if key_added is None else key_added
    enforce(container(query, parameter="query"))
    enforce(_targets(query, name, overwrite=overwrite))
    if not model.classes and reference is not None:
        model = finetune(reference, model, Tuning(label_key=label_key))
    elif reference is not None and label_key is not None:
        _unheard(reference, label_key, model)
    text, confidence = model.classify(query)
    how = {"classifier": HEAD, _keys.MODEL_ID: model.identity}
    _write(query, name, _typed(text, model), confidence, how)


def _typed(text: np.ndarray, model: Model) -> pd.Categorical:
    """The labels of a model, which it knows as text, in the type that they had when it learnt them."""
    known = list(model.classes)
    types: dict[str, Callable[[str], object]] = {"integer": int, "boolean": "True".__eq__}
    as_learnt = types.get(model.record.get("label_type", ""), str)
    codes = pd.Index(known).get_indexer(pd.Index(text))
    return pd.Categorical.from_codes(codes.tolist(), categories=pd.Index([as_learnt(name) for name in known]))


def _unheard(reference: object, label_key: str, model: Model) -> None:
    """Say so if the reference has labels that the model does not know."""
    labels = set(as_text(column(reference, label_key, parameter="label_key").dropna()))
    unknown = sorted(labels - set(model.classes))
    if unknown:
        message = (
            f"The model never gives {len(unknown)} of {len(labels)} labels of the reference: {listed(unknown, 5)}."
        )
        warn(f"{message} It knows {listed(list(model.classes), 5)}.")


def _problems(
    query: Data, reference: Data, use_rep: Any, label_key: Any, *, options: tuple[object, object, object]
) -> Iterator[Problem]:
    """All that can be wrong with a call; what comes later relies on what came before."""
    yield from _options(*options)
    yield from embedded(query, reference, use_rep)
    yield from alike(query, reference, use_rep)
    yield from columns.label(reference, label_key)
    if options[0] == LINEAR:
        yield from _too_few(as_text(column(reference, label_key, parameter="label_key")))


def _options(classifier: object, k: object, weights: object) -> Iterator[Problem]:
    for parameter, value, known in (("classifier", classifier, CLASSIFIERS), ("weights", weights, WEIGHTS)):
        if value not in known:
            message = f"{parameter}={value!r} does not exist; there are {listed(list(known))}."
            yield Problem(f"unknown_{parameter}", parameter, message, nearest(value, list(known)), missing=True)
    yield from whole(k, example=15)


def _targets(query: Data, name: Any, *, overwrite: bool) -> Iterator[Problem]:
    """Names of the columns: good ones, and taken by nothing but an earlier annotation."""
    wrong = list(check_key(name, parameter="key_added"))
    yield from wrong
    if not wrong:
        yield from free(query, "obs", [_keys.label(name), _keys.confidence(name)], name, overwrite=overwrite)


def _too_few(labels: pd.Series) -> Iterator[Problem]:
    if labels.nunique() < 2:
        message = f"All cells of the reference have the label {labels.iloc[0]!r}; a linear classifier needs two."
        yield Problem("single_label", "label_key", message, "Pass a column with several labels.")

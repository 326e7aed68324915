"""Values that are predicted or reconstructed: of the modality that is embedded, and of the one that is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scssl import _keys, _sparse
from scssl._errors import InputError
from scssl._parts import modalities, multimodal
from scssl._parts import part as part_of
from scssl.data.kinds import kind_of
from scssl.data.matrix import csr, genes_of

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    from scssl._types import Data, Json

MAX_FEATURES = 5000


def source_of(data: object, modality: str | None, target: str | None) -> str:
    """The modality that embeddings are made from: the one asked for, else ``"rna"``, else the first that is no target."""
    if modality is not None or not multimodal(data):
        return modality or _keys.DEFAULT_MODALITY
    others = [name for name in modalities(data) if name != target]
    return _keys.DEFAULT_MODALITY if _keys.DEFAULT_MODALITY in others else others[0]


def read_values(data: Data, part: AnnData, modality: str | None, *, target: str | None, layer: str | None) -> Json:
    """Fields of :class:`~scssl.tasks.Cells` that hold values, for the cells of `part`.

    Counts are taken to logarithms as :func:`scssl.pp.recipe` does. Of the source the marked genes are read, of a target all features, but not more than the 5,000 that most cells have:
    the predicted values of the scored cells are dense.
    """
    source = source_of(data, modality, target)
    found: dict[str, Any] = {"source": source}
    for name, field in ((source, "source_values"), (target, "target_values")):
        holder = part_of(data, name)
        if name is None or holder.X is None:
            continue
        marked = field == "source_values" and _keys.HIGHLY_VARIABLE in holder.var
        matrix = csr(holder, layer=layer if field == "source_values" else None)
        _refuse_holes(matrix, name)
        matrix = _logged(matrix, name)
        features = _common(matrix, genes_of(holder, _keys.HIGHLY_VARIABLE if marked else None))
        matrix = matrix[:, features]
        found[field.replace("values", "names")] = tuple(map(str, holder.var_names[features]))
        found[field], measured = _placed(matrix, holder.obs_names, part.obs_names)
        if field == "target_values":
            found |= {"target": name, "measured": None if measured.all() else measured}
    return found


def _logged(matrix: sp.csr_array, modality: str) -> sp.csr_array:
    """Counts of genes and proteins as the recipe transforms them; whatever else there is as it stands."""
    counts = bool((matrix.data >= 0).all() and (np.rint(matrix.data) == matrix.data).all())
    logged = kind_of(modality).logged
    return logged(matrix) if counts and logged is not None else matrix


def _refuse_holes(matrix: sp.csr_array, modality: str) -> None:
    n_bad = int((~np.isfinite(matrix.data)).sum())
    if n_bad:
        msg = f"{n_bad} of {matrix.nnz} values of {modality!r} that are not zero are NaN or inf."
        raise InputError(msg, code="values_not_finite", parameter="data", fix="Look at them with ssl.pp.check(data).")


def _common(matrix: sp.csr_array, features: np.ndarray) -> np.ndarray:
    """At most 5,000 of the features, those that most cells have, in their order."""
    if len(features) <= MAX_FEATURES:
        return features
    cells = np.bincount(matrix.indices, minlength=matrix.shape[1])[features]
    return features[np.sort(np.argsort(-cells, kind="stable")[:MAX_FEATURES])]


def _placed(matrix: sp.csr_array, own: pd.Index, names: pd.Index) -> tuple[sp.csr_array, np.ndarray]:
    """Rows in the order of `names`, and which of them there are; the others are empty."""
    position = own.get_indexer(names)
    measured = position >= 0
    if measured.all():
        return (
            matrix if (position == np.arange(len(own))).all() and len(own) == len(names) else matrix[position]
        ), measured
    ones = np.ones(int(measured.sum()), dtype=matrix.dtype)
    select = _sparse.from_pairs(ones, np.flatnonzero(measured), position[measured], shape=(len(names), len(own)))
    return select @ matrix, measured

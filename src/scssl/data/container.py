"""What holds the cells: the only place that asks whether an object is an AnnData or a MuData, and where the counts are; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from scssl import _keys, _sparse
from scssl._errors import InputError, KeyNotFoundError
from scssl._words import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


def is_mudata(data: Any) -> bool:
    """Whether an object holds several modalities."""
    return hasattr(data, "mod")


def modalities(data: Any) -> list[str]:
    """Names of the modalities of a MuData; none for an AnnData."""
    return [str(name) for name in data.mod] if is_mudata(data) else []


def parts_of(data: Any, modalities: Sequence[str] | None = None) -> dict[str, Any]:
    """The AnnData of each modality that is asked for, with those of the cells that it has.

    An AnnData is a single modality, called ``rna`` if nothing else is asked for.
    """
    modalities = (modalities,) if isinstance(modalities, str) else modalities
    if not is_mudata(data):
        if modalities is not None and len(modalities) != 1:
            msg = f"modalities={tuple(modalities)!r} were asked of an AnnData, which holds one."
            raise InputError(msg, code="needs_mudata", parameter="modalities", fix="Pass a MuData.")
        return {(modalities or (_keys.DEFAULT_MODALITY,))[0]: data}
    wanted = list(modalities or data.mod)
    for name in wanted:
        if name not in data.mod:
            msg = f"modalities names {name!r}, the MuData has {listed(list(data.mod))}."
            raise KeyNotFoundError(
                msg, code="unknown_modality", parameter="modalities", fix=nearest(name, list(data.mod))
            )
    return {name: _in_order(data.mod[name], data.obs_names) for name in wanted}


def _in_order(part: Any, names: pd.Index) -> Any:
    """The modality with its cells in the order of the whole object, which may have more."""
    names = names if len(part.obs_names) == len(names) else names[names.isin(part.obs_names)]
    return part if part.obs_names.equals(names) else part[names]


def asked(data: Any, names: list[str]) -> list[str] | None:
    """The modalities of a model that are to be asked of an object: an AnnData is taken for an only one."""
    return names if is_mudata(data) or len(names) == 1 else None


def measured_in(data: Any, parts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """For each modality which of all cells have it."""
    return {name: data.obs_names.isin(part.obs_names) for name, part in parts.items()}


def spread(matrix: Any, there: np.ndarray) -> Any:
    """The rows put where `there` is true, empty rows elsewhere."""
    if there.all():
        return matrix
    if not there.any():
        return sp.csr_array((len(there), matrix.shape[1]), dtype=np.float32)
    lengths = np.zeros(len(there) + 1, dtype=matrix.indptr.dtype)
    lengths[1:][there] = np.diff(matrix.indptr)
    return _sparse.from_rows(matrix.data, matrix.indices, np.cumsum(lengths), shape=(len(there), matrix.shape[1]))


def counts_layer(part: Any, layer: str | None = None) -> str | None:
    """The layer of an AnnData that holds the counts: the one that is named, else ``"counts"``; ``None`` for ``X``."""
    return layer if layer is not None or _keys.COUNTS_LAYER not in part.layers else _keys.COUNTS_LAYER

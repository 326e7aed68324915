"""The object that holds the cells: its modalities by name, and where the counts are; without torch."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from scssl import _keys, _sparse
from scssl._errors import InputError, KeyNotFoundError
from scssl._parts import multimodal
from scssl._words import listed, nearest
from scssl.data.calm import calm
from scssl.data.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd
    from anndata import AnnData

    from scssl._types import Data, Facts, Json
    from scssl._validate import Problem


def parts_of(data: object, modalities: Sequence[str] | None = None) -> Json:
    """The AnnData of each modality that is asked for, with those of the cells that it has.

    An AnnData is a single modality, called ``rna`` if nothing else is asked for.
    """
    modalities = (modalities,) if isinstance(modalities, str) else modalities
    if not multimodal(data):
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


def _in_order(part: AnnData, names: pd.Index) -> AnnData:
    """The modality with its cells in the order of the whole object, which may have more."""
    names = names if len(part.obs_names) == len(names) else names[names.isin(part.obs_names)]
    return part if part.obs_names.equals(names) else part[names]


def asked(data: object, names: list[str]) -> list[str] | None:
    """The modalities of a model that are to be asked of an object: an AnnData is taken for an only one."""
    return names if multimodal(data) or len(names) == 1 else None


def told_of(data: Data, name: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Problems of a modality in words that name it; those of an AnnData as they are."""
    for problem in problems:
        yield problem.of(name, genes=kind_of(name).of_genes) if multimodal(data) else problem


def without(data: Data, left_out: np.ndarray) -> Data:
    """The cells that are not left out, as a private object in memory."""
    with calm():
        kept = data[~left_out]
        return kept.to_memory() if data.isbacked else kept.copy()


def copied(data: Data) -> Data:
    """A copy; that of a MuData without the columns which mudata would pull up from the modalities."""
    with calm() if multimodal(data) else nullcontext():
        return data.copy()


def measured_in(data: Data, parts: Facts) -> dict[str, np.ndarray]:
    """For each modality which of all cells have it."""
    return {name: data.obs_names.isin(part.obs_names) for name, part in parts.items()}


def spread(matrix: sp.csr_matrix, there: np.ndarray) -> sp.csr_matrix:
    """The rows put where `there` is true, empty rows elsewhere."""
    if there.all():
        return matrix
    if not there.any():
        return sp.csr_array((len(there), matrix.shape[1]), dtype=np.float32)
    lengths = np.zeros(len(there) + 1, dtype=matrix.indptr.dtype)
    lengths[1:][there] = np.diff(matrix.indptr)
    return _sparse.from_rows(matrix.data, matrix.indices, np.cumsum(lengths), shape=(len(there), matrix.shape[1]))


def counts_layer(part: AnnData, layer: str | None = None) -> str | None:
    """The layer of an AnnData that holds the counts: the one that is named, else ``"counts"``; ``None`` for ``X``."""
    return layer if layer is not None or _keys.COUNTS_LAYER not in part.layers else _keys.COUNTS_LAYER

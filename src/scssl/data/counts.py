"""The counts behind normalised values: one factor for each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scssl import _keys, _sparse
from scssl._errors import InputError
from scssl.data.matrix import BLOCK
from scssl.data.recipe import kind_of
from scssl.data.source import parts_of, spread
from scssl.data.stream import matrix_of

if TYPE_CHECKING:
    from scssl.data.source import Source


def factors(source: Source, name: str, part: Any, *, who: str, parameter: str) -> np.ndarray:
    """For each cell the number of counts in a unit of ``expm1`` of its values, float32.

    Parameters
    ----------
    source
        The cells.
    name
        A modality of theirs.
    part
        The object of that modality, with ``layers["counts"]``.
    who, parameter
        What needs counts, for messages, and the argument that asked for it.

    Raises
    ------
    InputError
        If there are no counts, or not every count is found again.
    """
    where = "" if name == _keys.DEFAULT_MODALITY else f"Modality {name!r}: "
    if _keys.COUNTS_LAYER not in part.layers:
        msg = f"{where}layers['counts'] does not exist, and {who} needs counts."
        fix = "Start from counts with ssl.pp.recipe(adata), which keeps them, or put them there."
        raise InputError(msg, code="no_counts", parameter=parameter, fix=fix)
    genes = pd.Index(part.var_names.astype(str)).get_indexer(source.features[name])
    counts = matrix_of(part, layer=_keys.COUNTS_LAYER, genes=genes, stream=source.stream is not None)
    counts = spread(counts, source.present[name]) if name in source.present else counts
    blocks = [np.arange(start, min(start + BLOCK, source.n_obs)) for start in range(0, source.n_obs, BLOCK)]
    parts = [_compared(source.matrices[name][rows], counts[rows]) for rows in blocks]
    found, fit = (np.concatenate(each) for each in zip(*parts, strict=True))
    lost = np.flatnonzero(~fit)
    if len(lost):
        msg = (
            f"{where}layers['counts'] and the values do not fit: in {len(lost)} of {len(fit)} cells (first "
            f"{str(source.obs_names[lost[0]])!r}) the values are not the logarithm of 1 + whole counts on one scale."
        )
        fix = "Make the values from the counts: ssl.pp.recipe(adata, layer='counts')."
        raise InputError(msg, code="counts_do_not_fit", parameter=parameter, fix=fix)
    return found


def _compared(values: sp.csr_array, counts: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """For each cell its factor, and whether every count is found again from its values."""
    units = _sparse.from_rows(
        np.expm1(values.data, dtype=np.float64), values.indices, values.indptr, shape=values.shape
    )
    there, wanted = (np.asarray(m.sum(axis=1, dtype=np.float64)).ravel() for m in (units, counts))
    found = np.divide(wanted, there, out=np.zeros_like(wanted), where=there > 0).astype(np.float32)
    again = sp.diags_array(found.astype(np.float64)) @ units
    again.data = np.round(again.data)
    return found, np.asarray(abs(again - counts).max(axis=1).toarray()).ravel() == 0


def prepare_factors(source: Source, data: Any, *, who: str, parameter: str) -> None:
    """Have every batch of `source` come with the factors of its cells.

    Raises
    ------
    InputError
        As :func:`factors`, and for open chromatin: TF-IDF is not a scale of the cell.
    """
    for name, part in parts_of(data, list(source.matrices)).items():
        if kind_of(name) == "atac":
            msg = f"{who} needs counts, and the TF-IDF values of {name!r} are not scaled counts."
            raise InputError(msg, code="no_counts", parameter=parameter, fix="Use output='linear'.")
        source.factors[name] = factors(source, name, part, who=who, parameter=parameter)

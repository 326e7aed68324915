"""The counts behind normalised values: one factor for each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scssl import _keys, _sparse
from scssl._errors import InputError
from scssl.data.container import spread
from scssl.data.kinds import kind_of
from scssl.data.matrix import BLOCK
from scssl.data.stream import matrix_of

if TYPE_CHECKING:
    from scssl.data.cells import Cells


def factors(cells: Cells, name: str, *, who: str, parameter: str) -> np.ndarray:
    """For each cell the number of counts in a unit of ``expm1`` of its values, float32.

    Parameters
    ----------
    cells
        The cells.
    name
        A modality of theirs, read from an object with ``layers["counts"]``.
    who, parameter
        What needs counts, for messages, and the argument that asked for it.

    Raises
    ------
    InputError
        If there are no counts, or not every count is found again.
    """
    part = cells.parts[name]
    where = "" if name == _keys.DEFAULT_MODALITY else f"Modality {name!r}: "
    if _keys.COUNTS_LAYER not in part.layers:
        msg = f"{where}layers['counts'] does not exist, and {who} needs counts."
        fix = "Start from counts with ssl.pp.recipe(adata), which keeps them, or put them there."
        raise InputError(msg, code="no_counts", parameter=parameter, fix=fix)
    genes = pd.Index(part.var_names.astype(str)).get_indexer(cells.genes[name])
    counts = matrix_of(part, layer=_keys.COUNTS_LAYER, genes=genes, stream=cells.stream is not None)
    counts = spread(counts, cells.present[name]) if name in cells.present else counts
    blocks = [np.arange(start, min(start + BLOCK, cells.n_obs)) for start in range(0, cells.n_obs, BLOCK)]
    parts = [_compared(cells.matrices[name][rows], counts[rows]) for rows in blocks]
    found, fit = (np.concatenate(each) for each in zip(*parts, strict=True))
    lost = np.flatnonzero(~fit)
    if len(lost):
        msg = (
            f"{where}layers['counts'] and the values do not fit: in {len(lost)} of {len(fit)} cells (first "
            f"{str(cells.names[lost[0]])!r}) the values are not the logarithm of 1 + whole counts on one scale."
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


def factors_of(cells: Cells, *, who: str, parameter: str) -> dict[str, np.ndarray]:
    """The factors of every modality.

    Raises
    ------
    InputError
        As :func:`factors`, and for open chromatin: TF-IDF is not a scale of the cell.
    """
    for name in cells.matrices:
        if kind_of(name).of_peaks:
            msg = f"{who} needs counts, and the TF-IDF values of {name!r} are not scaled counts."
            raise InputError(msg, code="no_counts", parameter=parameter, fix="Use output='linear'.")
    return {name: cells.factors(name, who=who, parameter=parameter) for name in cells.matrices}

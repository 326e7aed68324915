"""Sparse arrays by rows, with positions of 32 bits wherever these suffice.

Scipy's arrays keep the 64 bits that positions come with, its old matrices did not: twice the memory, and some compiled
code takes 32 bits alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import scipy.sparse as sp

if TYPE_CHECKING:
    import numpy as np


def from_rows(
    values: np.ndarray, indices: np.ndarray, indptr: np.ndarray, *, shape: tuple[int, int], copy: bool = False
) -> sp.csr_array:
    """Sparse array of the `values` in the columns `indices`, those of row ``i`` from ``indptr[i]`` to ``indptr[i + 1]``.

    With `copy` it shares no memory with what it is made of.
    """
    kind = _smallest(indices, indptr, shape)
    parts = (values, indices.astype(kind, copy=False), indptr.astype(kind, copy=False))
    return sp.csr_array(parts, shape=shape, copy=copy)


def from_pairs(values: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, shape: tuple[int, int]) -> sp.csr_array:
    """Sparse array of `values` at some rows and columns; the values of a place that is named twice are added."""
    kind = _smallest(rows, columns, shape)
    return sp.csr_array((values, (rows.astype(kind, copy=False), columns.astype(kind, copy=False))), shape=shape)


def _smallest(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> np.dtype:
    return sp.get_index_dtype((first, second), maxval=max(shape), check_contents=True)

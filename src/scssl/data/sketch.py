"""Does a record describe the embedding that lies in its slot? A hash of some of its rows, by name of the cell.

A hash of the whole could not be compared once the object is filtered or sorted.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from scssl import _random

SKETCH_CELLS = 1024
"""16 kB in ``uns``; of a subset of one cell in a hundred, ten are still known."""
_SALT = _random.derive(0, "sketch") >> 1


def sketch(names: object, embedding: np.ndarray) -> np.ndarray:
    """Hashes of the names and of the rows of at most 1,024 cells, those whose names have the smallest hashes.

    Parameters
    ----------
    names
        Names of the cells.
    embedding
        Shape ``(n, width)``.

    Returns
    -------
    uint64 of shape ``(2, min(n, 1024))``, rising along the first row.
    """
    hashed = _hashed(names)
    chosen = np.argsort(hashed, kind="stable")[:SKETCH_CELLS]
    return np.stack([hashed[chosen], _of_rows(embedding[chosen])])


def fits(known: np.ndarray, names: object, embedding: np.ndarray) -> bool:
    """Whether all cells of a sketch that are still there have the rows that they had; true if none is left."""
    hashed = _hashed(names)
    there = np.flatnonzero(np.isin(hashed, known[0]))
    # cells may share a name: a row fits if it is that of any of them
    return bool(np.isin(_of_rows(embedding[there]), known[1]).all())


def _hashed(names: object) -> np.ndarray:
    return _random.mix(pd.util.hash_array(np.asarray(names, dtype=object)), _SALT)


def _of_rows(rows: np.ndarray) -> np.ndarray:
    bits = (np.ascontiguousarray(rows, dtype=np.float32) + 0).view(np.uint32)  # there are two zeros, which are equal
    salts = _random.mix(np.arange(bits.shape[1]), _SALT)
    return _random.mix(bits ^ salts, _SALT).sum(axis=1, dtype=np.uint64)

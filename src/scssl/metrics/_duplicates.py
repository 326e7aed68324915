"""Neighbours of identical cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl._neighbors import nearest
from scssl._random import generator

if TYPE_CHECKING:
    from scssl._neighbors import Neighbors


def apart(embedding: np.ndarray, neighbors: Neighbors) -> np.ndarray:
    """Neighbours in which identical cells do not all have the same ones.

    More identical cells than neighbours are found by position: all of them have the first few. They get the neighbours
    among themselves that noise of any small size gives; all others keep theirs.

    Parameters
    ----------
    embedding
        Shape ``(n, width)``.
    neighbors
        Neighbours of these cells among themselves.

    Returns
    -------
    Positions, shape ``(n, k)``.
    """
    indices = neighbors.indices
    point, sizes = _points(embedding)
    crowded = np.flatnonzero(sizes > neighbors.k)
    if not len(crowded):
        return indices
    indices = indices.copy()
    for number in crowded:
        cells = np.flatnonzero(point == number)
        noise = generator(0, "duplicates", len(cells)).standard_normal((len(cells), embedding.shape[1]))
        indices[cells] = cells[nearest(noise, neighbors.k).indices]
    return indices


def _points(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the point at which each cell lies, and how many cells lie there."""
    x = np.ascontiguousarray(x + 0)  # there are two zeros, which are equal
    rows = x.view(np.dtype((np.void, x.dtype.itemsize * x.shape[1]))).ravel()
    _, point, sizes = np.unique(rows, return_inverse=True, return_counts=True)
    return point, sizes

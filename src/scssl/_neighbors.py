"""Nearest neighbours: found once per embedding, shared by views, metrics and label transfer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scssl import _sparse
from scssl._errors import InputError

if TYPE_CHECKING:
    import scipy.sparse as sp

# Above this many cells (geometric mean of searched and searching cells) the exact search costs more than the
# compilation and the search of pynndescent together: 9 s against 30 s at 50,000 cells, 90 neighbours, 2 cores.
EXACT_UP_TO = 50_000
_BISECTIONS = 64
_TOLERANCE = 1e-5
_SMALLEST_SCALE = 1e-3


@dataclass(frozen=True)
class Neighbors:
    """The nearest cells of every cell, nearest first.

    If a set of cells was searched for its own neighbours, column 0 is always the cell itself (distance 0), whatever
    duplicates it has: :attr:`others` leaves that column out. There is never a placeholder such as ``-1``.

    Parameters
    ----------
    indices
        Positions in the searched set, shape ``(n, k)``, int64.
    distances
        Euclidean distances, same shape, rising along each row.
    requested
        The number that was asked for; larger than :attr:`k` if there are not as many cells.
    exact
        Whether the search was exhaustive.
    """

    indices: np.ndarray
    distances: np.ndarray
    requested: int
    exact: bool = True

    @property
    def k(self) -> int:
        """Number of neighbours per cell that there are."""
        return self.indices.shape[1]

    @property
    def note(self) -> str:
        """A sentence for the record if fewer neighbours exist than were asked for, else empty."""
        return "" if self.k >= self.requested else f"k reduced from {self.requested} to {self.k}: no more cells."

    @property
    def others(self) -> Neighbors:
        """Without column 0, the cell itself."""
        return replace(self, indices=self.indices[:, 1:], distances=self.distances[:, 1:], requested=self.requested - 1)

    def first(self, k: int) -> Neighbors:
        """The nearest `k` of them; all, if there are fewer."""
        return replace(self, indices=self.indices[:, :k], distances=self.distances[:, :k], requested=k)


def nearest(x: np.ndarray, k: int, *, query: np.ndarray | None = None, seed: int = 0) -> Neighbors:
    """Find the `k` nearest rows of `x` by euclidean distance.

    The search is exhaustive, in blocks, up to 50,000 cells, and uses pynndescent above.

    Parameters
    ----------
    x
        Cells to search, shape ``(n, d)``, finite.
    k
        Neighbours per cell; reduced to the number of rows of `x` if that is smaller (:attr:`Neighbors.note` says so).
    query
        Cells that search, shape ``(m, d)``. Without it the cells of `x` search among themselves, and each is its own
        first neighbour and counts as one of the `k`.
    seed
        Seed of the approximate search; the exact one draws nothing.

    Returns
    -------
    Neighbors of shape ``(m, k)``, or ``(n, k)`` without `query`.

    Raises
    ------
    InputError
        If there is nothing to search, `k` is below 1, values are not finite, or the widths differ.
    """
    x = _clean(x, "x")
    q = x if query is None else _clean(query, "query")
    if k < 1 or len(x) == 0 or q.shape[1] != x.shape[1]:
        msg = f"Cannot find k={k} neighbours of {q.shape[0]} cells of width {q.shape[1]} among {x.shape}."
        raise InputError(msg, code="bad_neighbors", parameter="k")
    wanted = min(k, len(x))
    exact = len(x) * len(q) <= EXACT_UP_TO**2
    indices, distances = _exhaustive(x, q, wanted) if exact else _approximate(x, query, wanted, seed)
    if query is None:
        indices, distances = _self_first(indices, distances)
    return Neighbors(indices, distances, requested=k, exact=exact)


def connectivities(neighbors: Neighbors) -> sp.csr_array:
    """Weigh the edges of a neighbour graph as a fuzzy simplicial set :cite:p:`mcinnes2018umap`, as scanpy does.

    Parameters
    ----------
    neighbors
        Neighbours of cells among themselves; column 0 is the cell itself.

    Returns
    -------
    Symmetric sparse matrix of shape ``(n, n)`` with values in (0, 1] and an empty diagonal.
    """
    n, k = neighbors.indices.shape
    distances = neighbors.distances.astype(np.float64)
    nearest_other = _first_positive(distances)
    beyond = np.maximum(distances - nearest_other[:, None], 0.0)
    scale = _smooth_scale(beyond[:, 1:], np.log2(k))
    floor = np.where(nearest_other > 0, distances.mean(axis=1), distances.mean())
    scale = np.maximum(scale, _SMALLEST_SCALE * floor)[:, None]
    with np.errstate(divide="ignore", invalid="ignore", under="ignore"):
        weights = np.where(beyond > 0, np.exp(-beyond / scale), 1.0).astype(np.float32)
    weights[neighbors.indices == np.arange(n)[:, None]] = 0.0
    directed = _sparse.from_rows(weights.ravel(), neighbors.indices.ravel(), np.arange(0, n * k + 1, k), shape=(n, n))
    directed.eliminate_zeros()
    directed.sort_indices()
    back = directed.T.tocsr()
    union = directed + back - directed.multiply(back)
    union.eliminate_zeros()
    union.sort_indices()
    return union


def _clean(x: np.ndarray, name: str) -> np.ndarray:
    x = np.asarray(x)
    x = np.ascontiguousarray(x, dtype=x.dtype if x.dtype in (np.float32, np.float64) else np.float32)
    if x.ndim != 2 or not np.isfinite(x).all():
        bad = "not a matrix" if x.ndim != 2 else f"{int((~np.isfinite(x)).any(axis=1).sum())} rows with NaN or inf"
        msg = f"Neighbours need a finite matrix; {name} has shape {x.shape}: {bad}."
        raise InputError(msg, code="not_finite", parameter=name)
    return x


def _exhaustive(x: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs, in blocks, by the compiled reduction of scikit-learn; memory grows with n k."""
    from sklearn.neighbors import NearestNeighbors

    # squared norms are subtracted: far from the origin small distances would drown. Double precision keeps the noise of
    # a rotation below whatever is made of the distances
    centre = x.mean(axis=0, dtype=np.float64)
    searched = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x - centre)
    distances, indices = searched.kneighbors(query - centre)
    return indices, distances


def _approximate(x: np.ndarray, query: np.ndarray | None, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from pynndescent import NNDescent

    index = NNDescent(x, n_neighbors=k, random_state=seed, low_memory=True)
    found = index.neighbor_graph if query is None else index.query(query, k=k)
    indices, distances = found[0].astype(np.int64), found[1].copy()
    lost = np.flatnonzero((indices < 0).any(axis=1))
    if len(lost):  # the search found too few for these cells: look at every pair instead
        indices[lost], distances[lost] = _exhaustive(x, (x if query is None else query)[lost], k)
    return indices, distances


def _self_first(indices: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move every cell to the front of its own row; it may stand elsewhere or be absent among many duplicates."""
    n = len(indices)
    mine = indices == np.arange(n)[:, None]
    if mine[:, 0].all() and not distances[:, 0].any():
        return indices, distances
    absent = ~mine.any(axis=1)
    mine[absent, -1] = True
    indices[absent, -1] = np.flatnonzero(absent)
    distances[mine] = 0.0
    order = np.argsort(~mine, axis=1, kind="stable")
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _first_positive(distances: np.ndarray) -> np.ndarray:
    """Smallest positive distance of each row, 0 where there is none."""
    positive = np.where(distances > 0, distances, np.inf).min(axis=1)
    return np.where(np.isfinite(positive), positive, 0.0)


def _smooth_scale(beyond: np.ndarray, target: float) -> np.ndarray:
    """Per row the scale ``s`` with ``sum(exp(-beyond / s)) = target``, by bisection of all rows at once."""
    n = len(beyond)
    low, high, scale = np.zeros(n), np.full(n, np.inf), np.ones(n)
    active = np.arange(n)
    for _ in range(_BISECTIONS):
        with np.errstate(under="ignore", over="ignore"):
            total = np.exp(-beyond[active] / scale[active, None]).sum(axis=1)
        open_ = np.abs(total - target) >= _TOLERANCE
        active, total = active[open_], total[open_]
        if not len(active):
            break
        above, below = active[total > target], active[total <= target]
        high[above], low[below] = scale[above], scale[below]
        unbounded = np.isinf(high[active])
        with np.errstate(invalid="ignore"):
            scale[active] = np.where(unbounded, scale[active] * 2, (low[active] + high[active]) / 2)
    return scale

"""Harmony: principal components of several batches, corrected cluster by cluster; without torch.

Cells are clustered softly by direction, with a penalty on clusters in which a batch is more frequent than among all
cells. In each cluster a ridge regression tells how far each batch is displaced, and every cell is moved by the mean over
its clusters. Both are repeated until cells no longer move :cite:p:`korsunsky2019harmony`. The penalty is bounded and the
ridge grows with the cluster, as in the second version of the method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from scssl import _random, _sparse
from scssl._errors import InputError
from scssl.data.partners import mutual

CELLS_PER_CLUSTER, MOST_CLUSTERS = 30, 100  # of the paper
BLOCKS = 20  # a twentieth of the cells at a time, as in the paper: more would crowd before the penalty has seen them
SWEEPS = 4  # over all cells in each round; 2 and 10 score alike
SETTLED = 0.03  # movement relative to the length of cells, below which scores stay and only types begin to mix
MEETINGS = 3  # moves of whole batches: neighbours are found again after each, and a fourth moves less than a tenth of the third
PAIRED_CELLS = 10_000  # among which mutual neighbours are looked for: ample for one shift per batch
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Corrected:
    """Components without the differences between batches, and how they came about.

    Parameters
    ----------
    embedding
        Corrected components, shape ``(cells, width)``, float64.
    objective
        Objective of the clustering after each round. Cells have moved in between, so that it may rise from one round to
        the next, but never within a round.
    change
        Movement of the cells in each round, relative to their length (root mean squares).
    """

    embedding: np.ndarray
    objective: np.ndarray
    change: np.ndarray


def correct(
    components: np.ndarray,
    batch: np.ndarray,
    *,
    seed: int = 0,
    theta: float = 2.0,
    sigma: float = 0.1,
    alpha: float = 0.1,
    n_clusters: int | None = None,
    neighbors: int = 20,
    max_rounds: int = 10,
) -> Corrected:
    """Principal components in which cells of different batches meet.

    The same bits for any order of the cells, any codes of the batches and any number of threads.

    Parameters
    ----------
    components
        Principal components, shape ``(cells, width)``, finite.
    batch
        Code of the batch of each cell, shape ``(cells,)``; at least two different ones.
    seed
        Of the first centroids and of the order in which cells are assigned.
    theta
        Weight of the penalty on clusters of few batches, at least 0.
    sigma
        Width of the clusters, above 0: difference of squared distances between directions that counts.
    alpha
        Ridge penalty, above 0, relative to the number of cells that a batch would have in a cluster if batches were
        mixed: with that many cells it is moved by ``1 / (1 + alpha)`` of its displacement, with few hardly.
    n_clusters
        Number of clusters; by default one for 30 cells, and at most 100.
    neighbors
        Before the first round each batch is moved as a whole, to where its mutual nearest neighbours in the other batches
        are; that many neighbours are looked at. With 0 the first clusters are those of the components as they are, as
        published: batches far apart are then never mixed, because no cluster has cells of two of them.
    max_rounds
        Largest number of rounds of clustering and regression, at least 1.

    Raises
    ------
    InputError
        If there is one batch, the arrays differ in length, or components are not finite.
    """
    import sklearn.neighbors  # noqa: F401 - pools of threads are limited only if their library is loaded
    from threadpoolctl import threadpool_limits

    _check(components, batch)
    order, codes = _canonical(components, batch)
    x = np.asarray(components, dtype=np.float64)[order]
    n_clusters = n_clusters or int(np.clip(len(x) // CELLS_PER_CLUSTER, 2, MOST_CLUSTERS))
    objective: list[float] = []
    change: list[float] = []
    with threadpool_limits(limits=1):  # the last bits of a sum depend on the number of threads
        for _ in range(MEETINGS if neighbors else 0):
            x = meet(x, codes, neighbors, seed=seed)
        moved = x
        clusters = Clusters.start(unit(moved), codes, n_clusters, theta=theta, sigma=sigma, seed=seed)
        while len(change) < max_rounds and (not change or change[-1] > SETTLED):
            directions = unit(moved)
            for sweep in range(SWEEPS):
                draw = _random.generator(seed, "harmony", len(change), sweep)
                clusters.sweep(directions, np.array_split(draw.permutation(len(x)), BLOCKS))
            objective.append(clusters.objective(directions))
            before, moved = moved, x - displacement(x, codes, clusters.weights, alpha=alpha)
            change.append(float(np.linalg.norm(moved - before) / max(np.linalg.norm(x), _TINY)))
    embedding = np.empty_like(moved)
    embedding[order] = moved
    return Corrected(embedding, np.array(objective), np.array(change))


@dataclass
class Clusters:
    """Soft clusters of directions, in which batches should be as frequent as among all cells.

    Parameters
    ----------
    codes
        Batch of each cell, from 0.
    theta
        Weight of the penalty.
    sigma
        Width of the clusters.
    centroids
        Rows of length one, shape ``(clusters, width)``.
    weights
        Share of each cluster in each cell, shape ``(cells, clusters)``, rows sum to one.
    counts
        Number of cells of each batch in each cluster, shape ``(batches, clusters)``.
    """

    codes: np.ndarray
    theta: float
    sigma: float
    centroids: np.ndarray
    weights: np.ndarray
    counts: np.ndarray

    @classmethod
    def start(
        cls, directions: np.ndarray, codes: np.ndarray, n_clusters: int, *, theta: float, sigma: float, seed: int
    ) -> Clusters:
        """Centroids by k-means, weights without penalty; fewer clusters if there are fewer directions."""
        from sklearn.cluster import KMeans

        state = _random.derive(seed, "harmony centroids") % 2**32
        distinct = len(np.unique(directions.sum(axis=1)))
        found = KMeans(min(n_clusters, distinct), n_init=1, max_iter=25, random_state=state).fit(directions)
        centroids = unit(found.cluster_centers_)
        weights = _softmax(2 / sigma * directions @ centroids.T)
        return cls(codes, theta, sigma, centroids, weights, members(codes, codes.max() + 1) @ weights)

    @property
    def surplus(self) -> np.ndarray:
        """Penalty of each batch in each cluster: 0 where it is absent, log 2 where it is as frequent as among all cells.

        Bounded below: a cluster cannot draw cells from any distance because their batch is absent.
        """
        expected = np.outer(np.bincount(self.codes) / len(self.codes), self.counts.sum(axis=0))
        return np.log1p(self.counts / (expected + 1))

    def sweep(self, directions: np.ndarray, blocks: list[np.ndarray]) -> None:
        """Move the centroids, then assign the cells block by block, by the counts of all others."""
        self.centroids = unit(self.weights.T @ directions)
        for block in blocks:
            codes = self.codes[block]
            member = members(codes, len(self.counts))
            self.counts -= member @ self.weights[block]
            fit = 2 / self.sigma * directions[block] @ self.centroids.T
            self.weights[block] = _softmax(fit - self.theta * self.surplus[codes])
            self.counts += member @ self.weights[block]

    def objective(self, directions: np.ndarray) -> float:
        """Squared distances to the centroids, less the entropy, plus the penalty."""
        distance = 2 * (len(directions) - (self.weights.T @ directions * self.centroids).sum())
        entropy = -(self.weights * np.log(np.maximum(self.weights, _TINY))).sum()
        return float(distance + self.sigma * (self.theta * (self.counts * self.surplus).sum() - entropy))


def displacement(x: np.ndarray, codes: np.ndarray, weights: np.ndarray, *, alpha: float) -> np.ndarray:
    """How far each cell is displaced by its batch: in each cluster a ridge regression on the batches, with intercept.

    Parameters
    ----------
    x
        Cells, shape ``(n, d)``.
    codes
        Batch of each cell, sorted: 0, 0, 1 ...
    weights
        Share of each cluster in each cell, shape ``(n, clusters)``.
    alpha
        Ridge penalty of a batch, relative to its number of cells in the cluster if batches were mixed.
    """
    parts = np.split(np.arange(len(x)), np.flatnonzero(np.diff(codes)) + 1)
    sums = np.stack([weights[part].T @ x[part] for part in parts])
    counts = np.stack([weights[part].sum(axis=0) for part in parts])
    penalty = alpha * np.outer(np.bincount(codes) / len(x), counts.sum(axis=0)) + _TINY
    # the normal equations are diagonal in the batches: what is left without them is one equation for the intercept
    left = penalty / (counts + penalty)
    intercept = (left[:, :, None] * sums).sum(axis=0) / np.maximum((left * counts).sum(axis=0), _TINY)[:, None]
    effects = (sums - counts[:, :, None] * intercept) / (counts + penalty)[:, :, None]
    return np.concatenate([weights[part] @ effect for part, effect in zip(parts, effects, strict=True)])


def meet(x: np.ndarray, codes: np.ndarray, k: int, *, seed: int) -> np.ndarray:
    """Batches moved as a whole so that mutual nearest neighbours in different batches meet, by least squares.

    The means of the batches could be moved onto each other without neighbours, but a type of cells that one of them lacks
    would then displace all the others; it has few mutual neighbours.
    """
    n_batches = codes.max() + 1
    draw = _random.generator(seed, "harmony start").permutation(len(x))
    most = max(PAIRED_CELLS // n_batches, k)
    groups = [np.sort(draw[codes[draw] == code][:most]) for code in range(n_batches)]
    i, j = (np.concatenate(side) for side in zip(*mutual(x, groups, k), strict=True))
    pairs = _sparse.from_pairs(np.ones(len(i)), i, j, shape=(len(x), len(x)))
    laplacian = sp.diags_array(pairs @ np.ones(len(x))) - pairs
    member = members(codes, n_batches)
    # no pair says where all batches are as a whole: least squares leave that as it is
    shifts = np.linalg.lstsq((member @ laplacian @ member.T).toarray(), member @ (laplacian @ x), rcond=None)[0]
    return x - shifts[codes]


def members(codes: np.ndarray, n: int) -> sp.csr_array:
    """One row for each of `n` codes, with a one for each cell that has it."""
    return _sparse.from_pairs(np.ones(len(codes)), codes, np.arange(len(codes)), shape=(n, len(codes)))


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length one; a row of zeros stays."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), _TINY)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _canonical(x: np.ndarray, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order of the cells, batch by batch, that depends on nothing but where they are; and their codes in it."""
    order = np.lexsort(x.T[::-1])
    _, first, inverse = np.unique(batch[order], return_index=True, return_inverse=True)
    codes = np.argsort(np.argsort(first))[inverse]
    by_batch = np.argsort(codes, kind="stable")
    return order[by_batch], codes[by_batch]


def _check(components: np.ndarray, batch: np.ndarray) -> None:
    """Refuse what cannot be corrected."""
    if batch.shape != components.shape[:1]:
        msg = f"batch has shape {batch.shape}, components have shape {components.shape}: one code per cell is needed."
        raise InputError(msg, code="batch_length", parameter="batch", fix="Pass codes of the same cells.")
    if components.ndim != 2 or not np.isfinite(components).all():
        bad = f"{int((~np.isfinite(components)).sum())} of {components.size} values are NaN or infinite"
        msg = f"Components need a finite matrix; they have shape {components.shape} and {bad}."
        raise InputError(msg, code="not_finite", parameter="components", fix="Drop these cells before PCA.")
    if len(np.unique(batch)) < 2:
        msg = f"All {len(batch)} cells are of one batch: there is nothing to correct."
        raise InputError(msg, code="single_batch", parameter="batch", fix="Pass a column with several batches.")

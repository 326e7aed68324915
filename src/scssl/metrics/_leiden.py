"""Leiden clusterings of the neighbour graph over a range of resolutions, and how well the best one fits the labels."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scssl._neighbors import connectivities
from scssl._random import derive

if TYPE_CHECKING:
    from scssl._neighbors import Neighbors
    from scssl.metrics._base import Groups

RESOLUTIONS = tuple(2 * step / 10 for step in range(1, 11))


@dataclass(frozen=True)
class Scan:
    """The clustering with the highest NMI, and all of them.

    Parameters
    ----------
    nmi, ari, resolution, n_clusters
        Of the clustering that fits the labels best.
    partitions
        Cluster of each cell at every resolution.
    """

    nmi: float
    ari: float
    resolution: float
    n_clusters: int
    partitions: tuple[np.ndarray, ...] = ()

    @property
    def note(self) -> str:
        """Which clustering it was."""
        return f"Best of {len(RESOLUTIONS)} resolutions: {self.resolution:g}, {self.n_clusters} clusters."


def scan(neighbors: Neighbors, labels: Groups, *, seed: int = 0) -> Scan:
    """Cluster at ten resolutions from 0.2 to 2 :cite:p:`traag2019leiden` and keep the one with the highest NMI.

    Parameters
    ----------
    neighbors
        Neighbours of the cells among themselves.
    labels
        Label of each cell.
    seed
        Seed of the clustering.
    """
    import igraph
    import scipy.sparse as sp
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    # each pair once with twice its weight: the same clusters as from each pair twice, in two thirds of the time
    pairs = sp.triu(connectivities(neighbors), format="coo")
    graph = igraph.Graph(n=pairs.shape[0], edges=np.stack([pairs.row, pairs.col], axis=1).tolist())
    weights = (2.0 * pairs.data).tolist()
    found, partitions = [], []
    try:
        for resolution in RESOLUTIONS:
            igraph.set_random_number_generator(random.Random(clustering_seed(seed)))
            parts = graph.community_leiden(objective_function="modularity", weights=weights, resolution=resolution)
            clusters = np.asarray(parts.membership)
            partitions.append(clusters)
            nmi = float(normalized_mutual_info_score(labels.codes, clusters))
            ari = float(adjusted_rand_score(labels.codes, clusters))
            found.append(Scan(nmi, ari, resolution, int(clusters.max()) + 1))
    finally:
        # igraph draws from one generator for the whole process and cannot say which it was; this is what it starts with
        igraph.set_random_number_generator(random)
    return replace(max(found, key=lambda one: one.nmi), partitions=tuple(partitions))


def clustering_seed(seed: int) -> int:
    """Seed of igraph's generator; at 0 the one that scib-metrics uses, so that both give the same clusters."""
    return 42 if seed == 0 else derive(seed, "leiden")

"""Leiden clusterings of the neighbour graph over a range of resolutions, and how well the best ones fit the labels."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scssl._neighbors import connectivities
from scssl._random import derive

if TYPE_CHECKING:
    from collections.abc import Iterator

    import igraph

    from scssl._neighbors import Neighbors
    from scssl.metrics._base import Groups

RESOLUTIONS = tuple(2 * step / 10 for step in range(1, 11))
RUNS = 4
"""Four runs halve the standard deviation of a score; one costs 1.1 s for 10,000 cells."""


@dataclass(frozen=True)
class Run:
    """The clustering with the highest NMI over ten resolutions, and all of them.

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
    partitions: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Scan:
    """Runs that differ in their seed only."""

    runs: tuple[Run, ...]

    @property
    def nmi(self) -> np.ndarray:
        """Normalised mutual information of each run."""
        return np.array([run.nmi for run in self.runs])

    @property
    def ari(self) -> np.ndarray:
        """Adjusted Rand index of each run."""
        return np.array([run.ari for run in self.runs])

    def note(self, values: np.ndarray) -> str:
        """How much the runs differ in `values`, and which clusterings they chose."""
        chosen, found = (sorted({getattr(run, name) for run in self.runs}) for name in ("resolution", "n_clusters"))
        resolution, n_clusters = (f"{x[0]:g}" if len(x) == 1 else f"{x[0]:g} to {x[-1]:g}" for x in (chosen, found))
        return (
            f"Mean of {len(self.runs)} runs, sd {values.std(ddof=1):.3f}, each the best of {len(RESOLUTIONS)} resolutions: "
            f"{resolution}, {n_clusters} clusters."
        )


def scan(neighbors: Neighbors, labels: Groups, *, seed: int = 0) -> Scan:
    """Cluster at ten resolutions from 0.2 to 2 :cite:p:`traag2019leiden`, several times, and keep the highest NMI of each run.

    Parameters
    ----------
    neighbors
        Neighbours of the cells among themselves.
    labels
        Label of each cell.
    seed
        Seed of the clusterings.
    """
    graph = _graph(neighbors)
    with own_generator():
        return Scan(tuple(_run(graph, labels, clustering_seed(seed, number)) for number in range(RUNS)))


def clustering_seed(seed: int, run: int = 0) -> int:
    """Seed of igraph's generator; of the first run at 0 the one that scib-metrics uses, so that both give the same clusters."""
    if run:
        return derive(seed, "leiden", run)
    return 42 if seed == 0 else derive(seed, "leiden")


def _graph(neighbors: Neighbors) -> igraph.Graph:
    import igraph
    import scipy.sparse as sp

    # each pair once with twice its weight: the same clusters as from each pair twice, in two thirds of the time
    pairs = sp.triu(connectivities(neighbors), format="coo")
    graph = igraph.Graph(n=pairs.shape[0], edges=np.stack([pairs.row, pairs.col], axis=1).tolist())
    graph.es["weight"] = (2.0 * pairs.data).tolist()
    return graph


def _run(graph: igraph.Graph, labels: Groups, seed: int) -> Run:
    import igraph
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    found = []
    for resolution in RESOLUTIONS:
        igraph.set_random_number_generator(random.Random(seed))
        parts = graph.community_leiden(objective_function="modularity", weights="weight", resolution=resolution)
        found.append(np.asarray(parts.membership))
    nmi = [float(normalized_mutual_info_score(labels.codes, clusters)) for clusters in found]
    best = int(np.argmax(nmi))
    ari = float(adjusted_rand_score(labels.codes, found[best]))
    return Run(nmi[best], ari, RESOLUTIONS[best], int(found[best].max()) + 1, tuple(found))


@contextmanager
def own_generator() -> Iterator[None]:
    """Leave igraph as it starts: it draws from one generator for the whole process and cannot say which it was."""
    import igraph

    try:
        yield
    finally:
        igraph.set_random_number_generator(random)

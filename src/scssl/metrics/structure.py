"""Scores of integration that scIB does not have, or not in this form: a block of their own, outside of its totals.

Three are computed by default, from the neighbours and clusterings that the ten of scIB need anyway: mixing inside each
type (``cilisi``), rare types (``isolated_labels_f1``), the surroundings of a cell (``knn_purity``). The fourth has to be
named: the relations between types (``scgraph``), which the others are blind to, need four types in batches of 100 cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl._neighbors import nearest
from scssl._registry import METRICS
from scssl.metrics._base import GRAPH_NEIGHBORS, MAX_NEIGHBORS, MIN_CELLS, Groups, Measured, NotApplicable
from scssl.metrics._lisi import Weights
from scssl.metrics._threads import side_by_side
from scssl.metrics.integration import fewest_batches

if TYPE_CHECKING:
    from scssl._neighbors import Neighbors
    from scssl.metrics._leiden import Scan

GRAPH_BATCH, GRAPH_COMPONENTS, GRAPH_LABELS = 100, 10, 4
_KEPT = 0.9


@METRICS.register(
    "cilisi",
    title="CiLISI",
    task="batch_correction",
    group="beyond",
    needs=("embedding", "labels", "batch"),
    reference="andreatta2024cilisi",
    floor="batch",
    summary="effective number of batches around a cell among the cells of its own type: mixing types does not help",
)
def cilisi(embedding: np.ndarray, labels: Groups, batch: Groups) -> Measured:
    """Mean over cells of the LISI of batches among the cells of the own label, 0 for one batch and 1 for all of the label.

    Labels with fewer than 10 cells or in a single batch are left out. Neighbours are 90, or all cells of a small label.
    """
    members = [(cells, np.unique(batch.codes[cells], return_inverse=True)) for cells in labels.members()]
    mixed = [(cells, *of) for cells, of in members if len(cells) >= MIN_CELLS and len(of[0]) > 1]

    def mixing(label: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        cells, present, codes = label
        around = Weights.of(nearest(embedding[cells], MAX_NEIGHBORS)).simpson(codes, len(present))
        return (around - 1) / (len(present) - 1)

    with side_by_side() as each:
        found = list(each(mixing, mixed))
    if not found:
        msg = f"no label has {MIN_CELLS} cells and two batches"
        raise NotApplicable(msg)
    left_out = len(labels) - len(found)
    note = f"{left_out} of {len(labels)} labels are left out: fewer than {MIN_CELLS} cells or one batch."
    return Measured(float(np.concatenate(found).mean()), note if left_out else "")


@METRICS.register(
    "isolated_labels_f1",
    title="Isolated labels F1",
    task="batch_correction",
    group="beyond",
    needs=("leiden", "labels", "batch"),
    reference="luecken2022scib",
    summary="is there a Leiden cluster for each label that occurs in the fewest batches?",
)
def isolated_labels_f1(leiden: Scan, labels: Groups, batch: Groups) -> Measured:
    """Mean over isolated labels of the best F1 of the label with any cluster at any of ten resolutions.

    Labels of fewer than 10 cells are left out. Mean over the runs of the clustering.
    """
    isolated, note = fewest_batches(labels, batch)
    found = [np.max([_best_f1(labels, clusters) for clusters in run.partitions], axis=0) for run in leiden.runs]
    return Measured(float(np.mean(found, axis=0)[isolated].mean()), note)


def _best_f1(labels: Groups, clusters: np.ndarray) -> np.ndarray:
    """Highest F1 of every label with any cluster."""
    n_clusters = int(clusters.max()) + 1
    place = labels.codes * n_clusters + clusters
    both = np.bincount(place, minlength=len(labels) * n_clusters).reshape(len(labels), n_clusters)
    f1 = 2 * both / (labels.sizes[:, None] + np.bincount(clusters, minlength=n_clusters))
    return f1.max(axis=1)


@METRICS.register(
    "knn_purity",
    title="Neighbour purity",
    task="batch_correction",
    group="beyond",
    needs=("neighbors", "labels"),
    summary="share of the 15 nearest cells that have the label of the cell, each label counted once",
)
def knn_purity(neighbors: Neighbors, labels: Groups) -> Measured:
    """Mean over labels of the share of the nearest cells with the own label, among 15 or as many as the label has."""
    others = neighbors.first(GRAPH_NEIGHBORS + 1).others.indices
    same = labels.codes[others] == labels.codes[:, None]
    reach = np.minimum(labels.sizes[labels.codes] - 1, others.shape[1])
    counted = np.arange(others.shape[1]) < reach[:, None]
    with np.errstate(invalid="ignore"):
        share = (same & counted).sum(axis=1) / reach
    kept = labels.sizes > 1
    if not kept.any():
        msg = "no label has two cells"
        raise NotApplicable(msg)
    sums = np.bincount(labels.codes, weights=np.nan_to_num(share), minlength=len(labels))
    note = f"{int((~kept).sum())} labels of one cell are left out." if not kept.all() else ""
    return Measured(float((sums[kept] / labels.sizes[kept]).mean()), note)


@METRICS.register(
    "scgraph",
    title="scGraph",
    task="batch_correction",
    group="beyond",
    needs=("before", "embedding", "labels", "batch"),
    lower=-1.0,
    default=False,
    reference="wang2025scgraph",
    floor="batch",
    summary="do types lie to each other as they do inside single batches? Flags embeddings that tear types apart",
)
def scgraph(before: np.ndarray, embedding: np.ndarray, labels: Groups, batch: Groups) -> Measured:
    """Mean over labels of the correlation of the distances to other labels with those inside single batches.

    As Corr-Weighted of the paper: near labels count more (weights are the inverse distances of the consensus). Two
    choices are ours. The components of a batch are taken from the principal components `before`, not from its genes. And
    the tenth of the cells that lies farthest from the centre of its label is left out of the centroid, where the paper
    trims each coordinate, so that rotating an embedding does not change its score. Labels of few cells have centres far
    out in noise as well as in their batches: read the score beside the random control.
    """
    consensus = type_distances(before, labels, batch)
    here = _distances(_centroids(embedding, labels))
    found = [_weighted_correlation(there, own) for there, own in zip(consensus, here, strict=True)]
    found = [value for value in found if np.isfinite(value)]
    if not found:
        msg = (
            f"fewer than {GRAPH_LABELS} labels of {MIN_CELLS} cells occur together in batches of {GRAPH_BATCH} cells, "
            "or their centres coincide"
        )
        raise NotApplicable(msg)
    note = f"{len(found)} of {len(labels)} labels have enough cells." if len(found) < len(labels) else ""
    return Measured(float(np.mean(found)), note)


def type_distances(before: np.ndarray, labels: Groups, batch: Groups) -> np.ndarray:
    """Distances between labels inside single batches, averaged over the batches.

    Parameters
    ----------
    before
        Representation without integration, shape ``(n, d)``.
    labels, batch
        Label and batch of each cell.

    Returns
    -------
    Shape ``(number of labels, number of labels)``; NaN for two labels that no batch of 100 cells has 10 cells of, and on
    the diagonal.
    """
    sums, seen = np.zeros((len(labels), len(labels))), np.zeros((len(labels), len(labels)))
    for cells in batch.members():
        if len(cells) < GRAPH_BATCH:
            continue
        x = np.asarray(before[cells], dtype=np.float64)
        x = x - x.mean(axis=0)
        axes = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :GRAPH_COMPONENTS]
        distances = _distances(_centroids(x @ axes, Groups(labels.codes[cells], labels.names)))
        known = np.isfinite(distances)
        largest = distances[known].max() if known.any() else 0.0
        if largest > 0:
            sums[known] += distances[known] / largest
            seen[known] += 1
    with np.errstate(invalid="ignore"):
        return sums / np.where(seen > 0, seen, np.nan)


def _centroids(x: np.ndarray, labels: Groups) -> np.ndarray:
    """Centre of each label without the tenth of its cells that lies farthest out; NaN for fewer than 10 cells."""
    found = np.full((len(labels), x.shape[1]), np.nan)
    for label, cells in enumerate(labels.members()):
        if len(cells) >= MIN_CELLS:
            own = np.asarray(x[cells], dtype=np.float64)
            away = np.linalg.norm(own - own.mean(axis=0), axis=1)
            found[label] = own[away <= np.quantile(away, _KEPT)].mean(axis=0)
    return found


def _distances(centroids: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(centroids[:, None] - centroids[None], axis=2)
    np.fill_diagonal(distances, np.nan)
    return distances


def _weighted_correlation(there: np.ndarray, own: np.ndarray) -> float:
    """Pearson correlation of two rows of distances with the weights ``1 / there``; NaN for fewer than three pairs."""
    both = np.isfinite(there) & np.isfinite(own) & (there > 0)
    if both.sum() < GRAPH_LABELS - 1:
        return float("nan")
    weights = 1 / there[both] / (1 / there[both]).sum()
    a, b = (values[both] - weights @ values[both] for values in (there, own))
    size = np.sqrt((weights @ a**2) * (weights @ b**2))
    return float(weights @ (a * b) / size) if size > 1e-12 * np.abs(own[both]).max() else float("nan")


def corners(
    cells_before: np.ndarray | None, labels: Groups, batch: Groups | None, *, spread: float = 3.0
) -> np.ndarray:
    """A corner for each label: all far from each other, and as far as the labels are inside single batches.

    Parameters
    ----------
    cells_before
        Representation without integration, or ``None``: all corners are equally far then.
    labels, batch
        Label and batch of each cell.
    spread
        Largest distance inside batches, in units of the common distance of corners divided by the root of two.

    Returns
    -------
    Shape ``(number of labels, number of labels)``.
    """
    n = len(labels)
    if cells_before is None or batch is None or n < GRAPH_LABELS:
        return np.eye(n)
    apart = type_distances(cells_before, labels, batch)
    known = np.isfinite(apart)
    if not known.any():
        return np.eye(n)
    apart = np.where(known, apart, apart[known].mean())
    squared = 2.0 + (spread * apart) ** 2
    np.fill_diagonal(squared, 0.0)
    centred = squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    return vectors * np.sqrt(values.clip(min=0.0))

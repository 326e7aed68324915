"""Scores of integration: do cells of a type stay together, and do the batches mix?

The ten scores of scIB :cite:p:`luecken2022scib` from shared neighbours and distances and without compilation, plus two for
old tables: ``silhouette_batch`` and ``kbet_scib``. All are in [0, 1], higher is better. Definitions are those of
scib-metrics, but for labels and batches of few cells, which decide nothing here, for Leiden clusterings, of which several
are averaged, and for identical cells; :mod:`scssl.metrics._reference` computes the originals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _sparse
from scssl._registry import METRICS
from scssl._words import listed
from scssl.metrics._base import (
    DIFFUSION_NEIGHBORS,
    GRAPH_NEIGHBORS,
    MIN_CELLS,
    Groups,
    Measured,
    NotApplicable,
    groups,
)
from scssl.metrics._duplicates import apart
from scssl.metrics._kbet import acceptance_per_label
from scssl.metrics._silhouette import mixing_widths

if TYPE_CHECKING:
    from scssl._neighbors import Neighbors
    from scssl.metrics._leiden import Scan
    from scssl.metrics._lisi import Weights

MIN_BATCH = 10
_SHOWN = 5
_NOWHERE_MIXED = "no label has enough cells in two batches"


@METRICS.register(
    "isolated_labels",
    title="Isolated labels",
    task="batch_correction",
    group="bio",
    needs=("large_label_widths", "labels", "batch"),
    reference="luecken2022scib",
    scib="isolated_labels",
    summary="silhouette of the labels that occur in the fewest batches, among labels of at least 10 cells",
)
def isolated_labels(large_label_widths: np.ndarray, labels: Groups, batch: Groups) -> Measured:
    """Mean silhouette, from 0 to 1, of the labels that occur in the fewest batches, each label counted once.

    Labels of fewer than 10 cells are left out, as isolated labels and as neighbours of others: one mislabelled cell
    would be the only isolated label, and lie nearer to the cells around it than their own label.
    """
    isolated, note = fewest_batches(labels, batch)
    per_label = np.bincount(labels.codes, weights=(large_label_widths + 1) / 2) / labels.sizes
    return Measured(float(per_label[isolated].mean()), note)


@METRICS.register(
    "leiden_nmi",
    title="Leiden NMI",
    task="batch_correction",
    group="bio",
    needs=("leiden",),
    reference="luecken2022scib",
    scib="nmi_ari_cluster_labels_leiden",
    summary="mutual information of labels and the best of ten Leiden clusterings, mean of four runs",
)
def leiden_nmi(leiden: Scan) -> Measured:
    """Normalised mutual information of the labels and the Leiden clustering that fits them best, mean over runs."""
    return Measured(float(leiden.nmi.mean()), leiden.note(leiden.nmi))


@METRICS.register(
    "leiden_ari",
    title="Leiden ARI",
    task="batch_correction",
    group="bio",
    needs=("leiden",),
    lower=-0.5,
    reference="hubert1985ari",
    scib="nmi_ari_cluster_labels_leiden",
    summary="adjusted Rand index of labels and the best of ten Leiden clusterings, mean of four runs",
)
def leiden_ari(leiden: Scan) -> Measured:
    """Adjusted Rand index of the labels and the Leiden clustering with the highest NMI, mean over runs."""
    return Measured(float(leiden.ari.mean()), leiden.note(leiden.ari))


@METRICS.register(
    "silhouette_label",
    title="Silhouette label",
    task="batch_correction",
    group="bio",
    needs=("label_widths",),
    reference="rousseeuw1987silhouettes",
    scib="silhouette_label",
    summary="mean silhouette of cells with respect to their label",
)
def silhouette_label(label_widths: np.ndarray) -> float:
    """Mean silhouette of all cells with respect to their label, from 0 to 1."""
    return float((label_widths.mean() + 1) / 2)


@METRICS.register(
    "clisi",
    title="cLISI",
    task="batch_correction",
    group="bio",
    needs=("local_weights", "labels"),
    reference="korsunsky2019harmony",
    scib="clisi_knn",
    summary="are the neighbours of a cell of its own label? LISI of scib-metrics since 0.5: without the cell itself",
)
def clisi(local_weights: Weights, labels: Groups) -> float:
    """Median effective number of labels around a cell, scaled so that 1 is one label and 0 all of them.

    The cell itself does not count, see :class:`scssl.metrics._lisi.Weights`.
    """
    around = local_weights.simpson(labels.codes, len(labels))
    return float((len(labels) - np.median(around)) / (len(labels) - 1))


@METRICS.register(
    "bras",
    title="BRAS",
    task="batch_correction",
    group="batch",
    needs=("embedding", "labels", "batch"),
    reference="rautenstrauch2025silhouette",
    floor="batch",
    scib="bras",
    summary="silhouette of batches inside each label, against all other batches; has a narrow range",
)
def bras(embedding: np.ndarray, labels: Groups, batch: Groups) -> Measured:
    """Batch removal adapted silhouette: inside each label, cosine distance to the own against all other batches."""
    per_label = mixing_widths(embedding, groups(labels), groups(batch), cosine=True, between="others")
    return _mean_of(per_label, len(groups(labels)))


@METRICS.register(
    "silhouette_batch",
    title="Silhouette batch",
    task="batch_correction",
    group="batch",
    needs=("embedding", "labels", "batch"),
    default=False,
    reference="luecken2022scib",
    floor="batch",
    scib="silhouette_batch",
    summary="silhouette of batches inside each label, for old tables: blind to batches that mix with one neighbour only",
)
def silhouette_batch(embedding: np.ndarray, labels: Groups, batch: Groups) -> Measured:
    """Silhouette of batches inside each label, against the nearest batch; for comparison with old tables."""
    return _mean_of(mixing_widths(embedding, groups(labels), groups(batch)), len(groups(labels)))


@METRICS.register(
    "ilisi",
    title="iLISI",
    task="batch_correction",
    group="batch",
    needs=("local_weights", "batch"),
    reference="korsunsky2019harmony",
    floor="batch",
    scib="ilisi_knn",
    summary="effective number of batches around a cell; LISI of scib-metrics since 0.5: without the cell itself",
)
def ilisi(local_weights: Weights, batch: Groups) -> Measured:
    """Median effective number of batches around a cell, scaled so that 0 is one batch and 1 all of them.

    The cell itself does not count, see :class:`scssl.metrics._lisi.Weights`. Batches of fewer than 10 cells are left
    out: they cannot surround anybody, yet would lower the score of everybody.
    """
    large = batch.sizes >= MIN_BATCH
    if large.sum() < 2:
        msg = f"fewer than two batches have {MIN_BATCH} cells"
        raise NotApplicable(msg)
    codes = np.where(large, np.cumsum(large) - 1, -1)[batch.codes]
    around = local_weights.simpson(codes, int(large.sum()))[codes >= 0]
    left_out = [str(name) for name in batch.names[~large]]
    note = f"Batches of fewer than {MIN_BATCH} cells are left out: {', '.join(left_out)}." if left_out else ""
    return Measured(float((np.nanmedian(around) - 1) / (large.sum() - 1)), note)


@METRICS.register(
    "kbet",
    title="kBET",
    task="batch_correction",
    group="batch",
    needs=("neighbors", "labels", "batch"),
    reference="buttner2019kbet",
    floor="batch",
    scib="kbet_per_label",
    summary="share of cells with batches around them in the proportions of their label",
)
def kbet(neighbors: Neighbors, labels: Groups, batch: Groups) -> Measured:
    """Share of cells around which the batches occur in the proportions of the label; each label counted once."""
    per_label = acceptance_per_label(neighbors.first(DIFFUSION_NEIGHBORS), groups(labels), groups(batch))
    return _mean_of(per_label, len(groups(labels)))


@METRICS.register(
    "kbet_scib",
    title="kBET (scib-metrics)",
    task="batch_correction",
    group="batch",
    needs=("neighbors", "labels", "batch"),
    default=False,
    reference="buttner2019kbet",
    floor="batch",
    scib="kbet_per_label",
    summary="kBET as scib-metrics computes it, for old tables; changes when labels are renamed",
)
def kbet_scib(neighbors: Neighbors, labels: Groups, batch: Groups) -> Measured:
    """The kBET of the installed scib-metrics on the same neighbours; imports JAX."""
    import scib_metrics
    from scib_metrics.nearest_neighbors import NeighborsResults

    table = neighbors.first(DIFFUSION_NEIGHBORS)
    results = NeighborsResults(indices=table.indices, distances=table.distances)
    value = scib_metrics.kbet_per_label(results, batches=batch.names[batch.codes], labels=labels.names[labels.codes])
    return Measured(float(value), f"scib-metrics {scib_metrics.__version__}.")


@METRICS.register(
    "graph_connectivity",
    title="Graph connectivity",
    task="batch_correction",
    group="batch",
    needs=("embedding", "neighbors", "labels"),
    reference="luecken2022scib",
    floor="batch",
    scib="graph_connectivity",
    summary="does the neighbour graph hold each label together?",
)
def graph_connectivity(embedding: np.ndarray, neighbors: Neighbors, labels: Groups) -> float:
    """Mean over labels of the share of cells in the largest strongly connected part of the label's neighbour graph.

    Identical cells have the neighbours that they would have if they differed by a little noise: found by position, all of
    them would point at the same few.
    """
    from scipy.sparse.csgraph import connected_components

    indices, labels = apart(embedding, neighbors.first(GRAPH_NEIGHBORS)), groups(labels)
    n, k = indices.shape
    ones = np.ones(n * k, dtype=np.float32)
    graph = _sparse.from_rows(ones, indices.ravel(), np.arange(0, n * k + 1, k), shape=(n, n))
    shares = []
    for cells in labels.members():
        part = connected_components(graph[cells][:, cells], connection="strong")[1]
        shares.append(np.bincount(part).max() / len(cells))
    return float(np.mean(shares))


@METRICS.register(
    "pcr_comparison",
    title="PCR comparison",
    task="batch_correction",
    group="batch",
    needs=("before", "embedding", "batch"),
    reference="buttner2019kbet",
    floor="batch",
    scib="pcr_comparison",
    summary="variance explained by batch: how much less than before?",
)
def pcr_comparison(before: np.ndarray, embedding: np.ndarray, batch: Groups) -> Measured:
    """Relative loss of the variance that batches explain, 0 if they explain more than before.

    Regressing all principal components on batch, weighted by their variance, is the same as dividing the variance
    between batches by the total variance: no decomposition is needed.
    """
    batch = groups(batch)
    shares = {"before": explained_by(before, batch), "after": explained_by(embedding, batch)}
    for when, share in shares.items():
        if not np.isfinite(share) or (when == "before" and share == 0):
            msg = f"batches explain a share of {share:.3g} of the variance {when} integration"
            raise NotApplicable(msg)
    change = (shares["before"] - shares["after"]) / shares["before"]
    note = f"Batches explain {shares['before']:.2%} of the variance before, {shares['after']:.2%} after."
    return Measured(max(0.0, change), note)


def fewest_batches(labels: Groups, batch: Groups) -> tuple[np.ndarray, str]:
    """The labels that occur in the fewest batches, and a sentence on how many they are and which were left out."""
    large = labels.sizes >= MIN_CELLS
    if not large.any():
        msg = f"no label has {MIN_CELLS} cells"
        raise NotApplicable(msg)
    n_batches = _batches_of(labels, batch)
    fewest = n_batches[large].min()
    isolated = np.flatnonzero(large & (n_batches == fewest))
    note = f"{len(isolated)} of {large.sum()} labels occur in {fewest} batches, no others in fewer."
    small = [f"{name} ({size})" for name, size in zip(labels.names[~large], labels.sizes[~large], strict=True)]
    left_out = f" Labels of fewer than {MIN_CELLS} cells are left out: {listed(small, _SHOWN)}." if small else ""
    return isolated, note + left_out


def _batches_of(labels: Groups, batch: Groups) -> np.ndarray:
    """Number of batches in which each label occurs, with two cells: a single one may be mislabelled.

    Of labels that are scattered, most of their cells alone in a batch, single cells count.
    """
    size = len(labels) * len(batch)
    cells = np.bincount(labels.codes * len(batch) + batch.codes, minlength=size).reshape(len(labels), len(batch))
    scattered = np.where(cells > 1, cells, 0).sum(axis=1) < labels.sizes / 2
    return np.where(scattered, (cells > 0).sum(axis=1), (cells > 1).sum(axis=1))


def explained_by(x: np.ndarray, column: Groups) -> float:
    """Share of the variance of `x`, shape ``(n, d)``, that lies between groups; NaN if there is no variance."""
    x = np.asarray(x, dtype=np.float64)
    x = x - x.mean(axis=0)
    sums = np.stack([x[cells].sum(axis=0) for cells in column.members()])
    between, total = (sums**2 / column.sizes[:, None]).sum(), (x**2).sum()
    return float(between / total) if total > 0 else float("nan")


def _mean_of(per_label: dict[str, float], n_labels: int) -> Measured:
    if not per_label:
        raise NotApplicable(_NOWHERE_MIXED)
    left_out = n_labels - len(per_label)
    kept = (
        f"{left_out} of {n_labels} labels are left out: fewer than {MIN_CELLS} cells or one batch." if left_out else ""
    )
    return Measured(float(np.mean(list(per_label.values()))), kept)

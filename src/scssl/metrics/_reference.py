"""Scores of the reference implementation: ``spec.scib`` names its function; its import takes seconds and compiles."""

from __future__ import annotations

import importlib.metadata
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from scssl._registry import METRICS
from scssl.metrics._base import DIFFUSION_NEIGHBORS, GRAPH_NEIGHBORS, MAX_NEIGHBORS, Measured, NotApplicable
from scssl.metrics._leiden import own_generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl.metrics._base import Groups, Inputs

PACKAGE = "scib-metrics"
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "isolated_labels": ("embedding", "labels", "batch"),
    "silhouette_label": ("embedding", "labels"),
    "bras": ("embedding", "labels", "batch"),
    "silhouette_batch": ("embedding", "labels", "batch"),
    "clisi_knn": ("90", "labels"),
    "ilisi_knn": ("90", "batch"),
    "kbet_per_label": ("50", "batch", "labels"),
    "nmi_ari_cluster_labels_leiden": ("15", "labels"),
    "graph_connectivity": ("15", "labels"),
    "pcr_comparison": ("before", "embedding", "batch"),
}
"""What each function takes, in its order; a number stands for so many neighbours."""
_NEIGHBORS = {str(k): k for k in (GRAPH_NEIGHBORS, DIFFUSION_NEIGHBORS, MAX_NEIGHBORS)}
_OF_TWO = {"leiden_nmi": "nmi", "leiden_ari": "ari"}
_INSIDE_LABELS = ("bras", "silhouette_batch", "kbet_per_label")


def version() -> str:
    """Name and version of what computes: they decide a score."""
    return f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"


def reference(name: str, inputs: Inputs) -> Measured:
    """Compute one metric by scib-metrics.

    Raises
    ------
    NotApplicable
        If it has no such metric, or the cells do not offer what the metric needs.
    """
    function = METRICS.describe(name).scib
    if not function:
        msg = f"{PACKAGE} does not have this metric"
        raise NotApplicable(msg)
    if function in _INSIDE_LABELS:
        _require_mixed(inputs.give("labels"), inputs.give("batch"))
    with _as_before():
        found = inputs.once(f"{PACKAGE} {function}", lambda: _call(function, inputs))
    value = float(found[_OF_TWO[name]] if isinstance(found, dict) else found)
    if not np.isfinite(value):
        msg = f"the value is {value}: it is not defined for these cells"
        raise NotApplicable(msg)
    return Measured(value, inputs.neighbors.note if _NEIGHBORS.keys() & set(_ARGUMENTS[function]) else "")


def _call(function: str, inputs: Inputs) -> float | dict[str, float]:
    import scib_metrics

    arguments = [_argument(need, inputs) for need in _ARGUMENTS[function]]
    options = {"categorical": True} if function == "pcr_comparison" else {}
    return getattr(scib_metrics, function)(*arguments, **options)


def _argument(need: str, inputs: Inputs) -> object:
    from scib_metrics.nearest_neighbors import NeighborsResults

    if need in _NEIGHBORS:
        table = inputs.neighbors.first(_NEIGHBORS[need])
        return NeighborsResults(indices=table.indices, distances=table.distances)
    given = inputs.give(need)
    return given.names[given.codes].astype(str) if need in ("labels", "batch") else given


def _require_mixed(labels: Groups, batch: Groups) -> None:
    """There, labels of which no cells can be compared raise, or divide by zero, as the version goes."""
    n_batches = [len(np.unique(batch.codes[cells])) for cells in labels.members()]
    if not any(1 < n < size for n, size in zip(n_batches, labels.sizes, strict=True)):
        msg = "no label has enough cells in two batches"
        raise NotApplicable(msg)


@contextmanager
def _as_before() -> Iterator[None]:
    """Leave warnings, loggers and igraph's generator as they were: scib-metrics and its libraries set all three."""
    root, package = logging.getLogger(), logging.getLogger("scib_metrics")
    kept = [(logger, logger.level, list(logger.handlers)) for logger in (root, package)]
    package.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(), own_generator():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level, handlers in kept:
            logger.setLevel(level)
            logger.handlers[:] = handlers

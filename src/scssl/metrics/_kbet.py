"""kBET per label: are the batches around a cell mixed as in the whole label?

The test of :cite:t:`buttner2019kbet` is applied inside each label, to neighbours by diffusion distance, as scIB does
:cite:p:`luecken2022scib`. Two differences from scib-metrics 0.5.10. Every label has its own number of diffusion
components: there, one small label lowers it for all labels that come later in the alphabet, so that renaming a label
changes the score. And neighbours in diffusion space are exact. The value of a label is the one that scib-metrics gives
when this label is the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl._neighbors import connectivities, nearest
from scssl._random import generator
from scssl.metrics._base import MIN_CELLS
from scssl.metrics._threads import side_by_side

if TYPE_CHECKING:
    import scipy.sparse as sp

    from scssl._neighbors import Neighbors
    from scssl.metrics._base import Groups

_COMPONENTS = 100
_DENSE = 3 * _COMPONENTS
_STATIONARY = 1e-6
_ENOUGH = 0.75
_ALPHA = 0.05
_EIGEN_TOLERANCE = 1e-9


def acceptance_per_label(neighbors: Neighbors, labels: Groups, batch: Groups) -> dict[str, float]:
    """Share of cells whose neighbourhood holds the batches in the proportions of their label.

    Parameters
    ----------
    neighbors
        50 nearest neighbours of the cells among themselves.
    labels, batch
        Label and batch of each cell.

    Returns
    -------
    Value per name of label; labels with fewer than 10 cells or in a single batch are left out. A label whose graph is
    in small pieces has 0.
    """
    graph = connectivities(neighbors)
    members = {str(name): cells for name, cells in zip(labels.names, labels.members(), strict=True)}
    mixed = [name for name, cells in members.items() if len(cells) >= MIN_CELLS and np.ptp(batch.codes[cells])]
    with side_by_side() as each:
        values = each(
            lambda name: _acceptance(graph[members[name]][:, members[name]], batch.codes[members[name]]), mixed
        )
        return dict(zip(mixed, values, strict=True))


def _acceptance(graph: sp.csr_array, batches: np.ndarray) -> float:
    from scipy.sparse.csgraph import connected_components

    k = int(min(70, max(10, len(batches) / len(np.unique(batches)) // 4)))
    n_parts, part = connected_components(graph, directed=False)
    if n_parts > 1:
        kept = np.flatnonzero(np.bincount(part)[part] >= 3 * k)
        if len(kept) < _ENOUGH * len(batches):
            return 0.0
        graph, batches = graph[kept][:, kept], batches[kept]
    around = nearest(diffusion_map(graph), k + 1).indices
    return float((mixing_p_values(batches[around], batches) >= _ALPHA).mean())


def mixing_p_values(around: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """P value per cell of Pearson's test that the batches `around` it are drawn as in all `batches`.

    Parameters
    ----------
    around
        Batch codes of the neighbours, shape ``(n, k)``.
    batches
        Batch code of each cell.
    """
    from scipy.special import chdtrc

    present, codes = np.unique(batches, return_inverse=True)
    if len(present) == 1:
        return np.ones(len(around))
    n, k = around.shape
    place = np.arange(n)[:, None] * len(present) + np.searchsorted(present, around)
    observed = np.bincount(place.ravel(), minlength=n * len(present)).reshape(n, len(present))
    expected = np.bincount(codes) / len(codes) * k
    return chdtrc(len(present) - 1, ((observed - expected) ** 2 / expected).sum(axis=1))


def diffusion_map(graph: sp.csr_array) -> np.ndarray:
    """Coordinates in which euclidean distance is diffusion distance, summed over all times.

    Parameters
    ----------
    graph
        Symmetric connectivities of shape ``(n, n)``.

    Returns
    -------
    Shape ``(n, min(100, n - 1))``.
    """
    import scipy.sparse as sp

    density = np.asarray(graph.sum(axis=0)).ravel()
    weight = sp.diags_array(1.0 / density)
    kernel = weight @ graph.astype(np.float64) @ weight
    norm = sp.diags_array(1.0 / np.sqrt(np.asarray(kernel.sum(axis=0)).ravel()))
    values, vectors = _leading(norm @ kernel @ norm)
    scale = np.ones_like(values)
    moving = np.abs(1.0 - values) > _STATIONARY
    scale[moving] = values[moving] / (1.0 - values[moving])
    return vectors * scale


def _leading(matrix: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Eigenpairs of largest magnitude, as many as a diffusion map has."""
    from scipy.sparse.linalg import eigsh

    n = matrix.shape[0]
    wanted = min(_COMPONENTS, n - 1)
    if n <= _DENSE:
        values, vectors = np.linalg.eigh(matrix.toarray())
        kept = np.argsort(-np.abs(values), kind="stable")[:wanted]
        return values[kept], vectors[:, kept]
    start = generator(0, "diffusion_map", n).standard_normal(n)
    return eigsh(matrix, k=wanted, which="LM", v0=start, ncv=wanted * 3 // 2, tol=_EIGEN_TOLERANCE)

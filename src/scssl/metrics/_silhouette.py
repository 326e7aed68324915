"""Silhouette widths from blocks of distances: each pair of cells once, memory for a block only."""

from __future__ import annotations

import numpy as np

from scssl.metrics._base import Groups, one_hot
from scssl.metrics._threads import side_by_side

_BLOCK = 1024


def distance_sums(x: np.ndarray, column: Groups, *, cosine: bool = False) -> np.ndarray:
    """Sum of the distances from every cell to all cells of every group.

    Parameters
    ----------
    x
        Embedding, shape ``(n, d)``.
    column
        Group of each cell.
    cosine
        Cosine instead of euclidean distance.

    Returns
    -------
    float64 of shape ``(n, number of groups)``.
    """
    # double precision: squared norms cancel between close cells
    x = np.asarray(x, dtype=np.float64)
    one = np.ones((len(x), 1))
    if cosine:
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        x = x / np.where(norm > 0, norm, 1.0)
        left, right = np.hstack([-x, one]), np.hstack([x, one])  # their product is 1 - cosine
    else:
        x = x - x.mean(axis=0)
        squared = np.einsum("ij,ij->i", x, x)[:, None]
        left, right = np.hstack([-2.0 * x, squared, one]), np.hstack([x, one, squared])  # squared distance
    indicator = one_hot(column.codes, len(column))
    sums = np.zeros_like(indicator)
    right = np.ascontiguousarray(right.T)
    blocks = [slice(start, min(start + _BLOCK, len(x))) for start in range(0, len(x), _BLOCK)]
    with side_by_side() as each:
        for number, mine in enumerate(blocks):

            def reach(other: slice, mine: slice = mine) -> np.ndarray:
                """Distances serve both blocks: the sums of the other one are added, those of mine returned."""
                block = left[mine] @ right[:, other]
                np.maximum(block, 0.0, out=block)
                np.minimum(block, 2.0, out=block) if cosine else np.sqrt(block, out=block)
                if other == mine:
                    np.fill_diagonal(block, 0.0)
                else:
                    sums[other] += block.T @ indicator[mine]
                return block @ indicator[other]

            for found in each(reach, blocks[number:]):
                sums[mine] += found
    return sums


def silhouette_widths(x: np.ndarray, column: Groups, *, cosine: bool = False, between: str = "nearest") -> np.ndarray:
    """Silhouette width of every cell :cite:p:`rousseeuw1987silhouettes`.

    Parameters
    ----------
    x
        Embedding, shape ``(n, d)``.
    column
        Group of each cell; at least two groups.
    cosine
        Cosine instead of euclidean distance.
    between
        What a cell is compared with: ``"nearest"`` other group, or all ``"others"`` together.

    Returns
    -------
    Values in [-1, 1], shape ``(n,)``; 0 for the only cell of a group.
    """
    return widths(distance_sums(x, column, cosine=cosine), column, between=between)


def widths(sums: np.ndarray, column: Groups, *, between: str = "nearest") -> np.ndarray:
    """As :func:`silhouette_widths`, from the sums of distances that :func:`distance_sums` gives."""
    sums, sizes, own = sums.copy(), column.sizes, column.codes
    rows = np.arange(len(own))
    within = sums[rows, own]
    sums[rows, own] = np.inf if between == "nearest" else 0.0
    other = (sums / sizes).min(axis=1) if between == "nearest" else sums.sum(axis=1) / (len(own) - sizes[own])
    alone = sizes[own] == 1
    within = within / np.where(alone, 1, sizes[own] - 1)
    larger = np.maximum(within, other)
    return np.where(alone | (larger == 0), 0.0, (other - within) / np.where(larger == 0, 1.0, larger))


def mixing_widths(
    x: np.ndarray, labels: Groups, batch: Groups, *, cosine: bool = False, between: str = "nearest"
) -> dict[str, float]:
    """Mean of ``1 - |width|`` with respect to batch, for every label whose cells lie in several batches.

    Parameters
    ----------
    x
        Embedding, shape ``(n, d)``.
    labels, batch
        Label and batch of each cell.
    cosine, between
        As for :func:`silhouette_widths`.

    Returns
    -------
    Value per name of label; labels of a single batch, or with one cell per batch, are left out.
    """
    found = {}
    for name, cells in zip(labels.names, labels.members(), strict=True):
        present, codes = np.unique(batch.codes[cells], return_inverse=True)
        if 1 < len(present) < len(cells):
            width = silhouette_widths(x[cells], Groups(codes, present), cosine=cosine, between=between)
            found[str(name)] = float(np.mean(1.0 - np.abs(width)))
    return found

"""Silhouette widths from blocks of distances: two matrix products a block, memory for a block only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from scssl.metrics._base import Groups, one_hot

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK_BYTES = 16 * 2**20


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
    sums = np.empty_like(indicator)
    other = np.ascontiguousarray(right.T)

    def fill(here: slice) -> None:
        block = left[here] @ other
        np.maximum(block, 0.0, out=block)
        np.minimum(block, 2.0, out=block) if cosine else np.sqrt(block, out=block)
        block[np.arange(len(block)), np.arange(here.start, here.stop)] = 0.0
        sums[here] = block @ indicator

    rows = max(1, _BLOCK_BYTES // (8 * len(x)))
    _each([slice(start, min(start + rows, len(x))) for start in range(0, len(x), rows)], fill)
    return sums


def _each(blocks: list[slice], do: Callable[[slice], None]) -> None:
    """Do all blocks, side by side in as many threads as a matrix product would use; each product then has one."""
    from threadpoolctl import threadpool_info, threadpool_limits

    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(max(blas, default=1)) as pool:
        for _ in pool.map(do, blocks):
            pass


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
    sums, sizes, own = distance_sums(x, column, cosine=cosine), column.sizes, column.codes
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
            widths = silhouette_widths(x[cells], Groups(codes, present), cosine=cosine, between=between)
            found[str(name)] = float(np.mean(1.0 - np.abs(widths)))
    return found

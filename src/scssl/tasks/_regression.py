"""Values of cells from their embedding or from principal components: what trivial predictors and read-outs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _sparse
from scssl._neighbors import nearest

if TYPE_CHECKING:
    import scipy.sparse as sp

_SHRINK = 1.0


def ridge(known: np.ndarray, values: sp.csr_array, x: np.ndarray) -> np.ndarray:
    """Values of the cells at `x` by a linear map with little shrinkage, the same for any rotation and size of the embedding.

    Parameters
    ----------
    known, values
        Embedding and values of the reference cells.
    x
        Embedding of the cells to be predicted.

    Returns
    -------
    float32 of shape ``(len(x), features)``.
    """
    known = known.astype(np.float64)
    centre = known.mean(axis=0)
    size = np.sqrt(((known - centre) ** 2).mean())
    scaled = (known - centre) / (size if size > 0 else 1.0)
    gram = scaled.T @ scaled + _SHRINK * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, (values.T @ scaled).T)  # the embedding is centred: the values need not be
    return ((x - centre) / (size if size > 0 else 1.0) @ weights + mean_profile(values)).astype(np.float32)


def by_neighbors(
    known: np.ndarray, values: sp.csr_array, x: np.ndarray, *, k: int, seed: int = 0
) -> tuple[np.ndarray, str]:
    """Mean of the values of the `k` nearest reference cells, and a sentence if there are fewer."""
    found = nearest(known, k, query=x, seed=seed)
    n, k = found.indices.shape
    share = np.full(n * k, 1 / k, dtype=np.float32)
    weights = _sparse.from_rows(share, found.indices.ravel(), np.arange(0, n * k + 1, k), shape=(n, len(known)))
    return (weights @ values).toarray().astype(np.float32, copy=False), found.note


def mean_profile(values: sp.csr_array) -> np.ndarray:
    """Mean of every feature."""
    return np.asarray(values.mean(axis=0), dtype=np.float64).ravel()


def components(known: sp.csr_array, x: sp.csr_array, *, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Principal components of the reference cells: their scores, those of the cells `x`, and `x` put back together."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    model = PCA(min(width, min(known.shape) - 1), svd_solver="arpack", random_state=0)
    with threadpool_limits(limits=1):  # thousands of small products
        scores = model.fit_transform(known.astype(np.float64))
        mine = model.transform(x.astype(np.float64))
    return scores, mine, (mine @ model.components_ + model.mean_).astype(np.float32)

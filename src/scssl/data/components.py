"""Principal components of sparse modalities, side by side; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from scssl import _random

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_EXACT = 5000  # features up to which the covariance matrix is decomposed as a whole


@dataclass(frozen=True)
class Components:
    """Leading eigenvectors of the covariance of cells.

    Parameters
    ----------
    scores
        Coordinates of the cells, shape ``(cells, width)``.
    weights
        What the values are multiplied with, shape ``(width, features)``, all modalities side by side.
    mean
        Mean of the values, shape ``(features,)``.
    """

    scores: np.ndarray
    weights: np.ndarray
    mean: np.ndarray


def decompose(matrices: Mapping[str, sp.csr_array], width: int, *, seed: int = 0) -> Components:
    """Principal components by scikit-learn; several modalities are scaled to the same total variance.

    Parameters
    ----------
    matrices
        For each modality cells x features, cells in the same order.
    width
        Number of components; fewer if there are fewer cells or features.
    seed
        Of the start of the iterative solver, which is used above 5,000 features.
    """
    from sklearn.decomposition import PCA

    parts = list(matrices.values())
    scales = [_scale(part) if len(parts) > 1 else 1.0 for part in parts]
    matrix = sp.hstack([part * scale for part, scale in zip(parts, scales, strict=True)], format="csr")
    exact = matrix.shape[1] <= min(LARGEST_EXACT, matrix.shape[0])
    decomposition = PCA(
        min(width, min(matrix.shape) - 1),
        svd_solver="covariance_eigh" if exact else "arpack",
        random_state=_random.derive(seed, "pca") % 2**32,
    )
    scores = decomposition.fit_transform(matrix.astype(np.float64))
    per_feature = np.repeat(scales, [part.shape[1] for part in parts])
    return Components(scores, decomposition.components_ * per_feature, decomposition.mean_ / per_feature)


def _scale(matrix: sp.csr_array) -> float:
    """Factor that brings the total variance of a modality to one."""
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    total = float(np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel().sum() - (mean**2).sum())
    return 1.0 / np.sqrt(total) if total > 0 else 1.0

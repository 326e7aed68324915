"""Principal components."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch

from scssl import _random
from scssl._registry import METHODS
from scssl.methods import _base

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.data.source import Batch, Source
    from scssl.train.loop import Run

LARGEST_EXACT = 5000  # features up to which the covariance matrix is decomposed as a whole


@METHODS.register(
    "pca",
    title="PCA",
    family="baseline",
    reference="pearson1901pca",
    trains=False,
    within_batch="off",
    summary="the baseline that every method has to justify itself against",
)
class PCA(_base.Method):
    r"""Principal components of the log-normalised values :cite:p:`pearson1901pca`, by scikit-learn.

    .. math:: y = W (x - \bar{x})

    The rows of :math:`W` are the leading eigenvectors of the covariance of the training cells, :math:`\bar{x}` is their
    mean.

    Several modalities are put side by side, each scaled to the same total variance.
    """

    @dataclass(frozen=True)
    class Config(_base.Config):
        """Configuration of PCA."""

        width: int = field(default=50, metadata={"at_least": 1})
        """Number of components; fewer if there are fewer cells or genes."""

    mean: Tensor
    components: Tensor

    def build(self) -> None:
        """Room for the components."""
        features = sum(self.sizes.values())
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("components", torch.zeros(min(self.config.width, features), features))

    @property
    def n_dims(self) -> int:
        """Number of components."""
        return len(self.components)

    def represent(self, batch: Batch) -> Tensor:
        """The scores of the cells."""
        x = torch.cat([batch.x[name] for name in self.sizes], dim=1)
        return (x - self.mean) @ self.components.T

    def learn(self, source: Source, run: Run) -> list[dict[str, Any]]:
        """Decompose the covariance of all cells."""
        from sklearn.decomposition import PCA as Decomposition

        scales = [_scale(source.matrices[name]) if len(self.sizes) > 1 else 1.0 for name in self.sizes]
        matrix = sp.hstack([source.matrices[n] * s for n, s in zip(self.sizes, scales, strict=True)], format="csr")
        width = min(len(self.components), min(matrix.shape) - 1)
        exact = matrix.shape[1] <= min(LARGEST_EXACT, matrix.shape[0])
        decomposition = Decomposition(
            width,
            svd_solver="covariance_eigh" if exact else "arpack",
            random_state=_random.derive(run.seed, "pca") % 2**32,
        ).fit(sp.csr_matrix(matrix, dtype=np.float64))
        weights = np.repeat(scales, list(self.sizes.values()))
        self.components.zero_()
        self.components[:width] = torch.from_numpy(decomposition.components_ * weights)
        self.mean.copy_(torch.from_numpy(decomposition.mean_ / weights))
        return []


def _scale(matrix: sp.csr_matrix) -> float:
    """Factor that brings the total variance of a modality to one."""
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    total = float(np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel().sum() - (mean**2).sum())
    return 1.0 / np.sqrt(total) if total > 0 else 1.0

"""Principal components."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from scssl._registry import METHODS
from scssl.data.components import decompose
from scssl.methods import _base
from scssl.methods._network import Network

if TYPE_CHECKING:
    from torch import Tensor

    from scssl.data.cells import Cells
    from scssl.train.batches import Batch
    from scssl.train.loop import History, Run


@METHODS.register(
    "pca",
    title="PCA",
    family="baseline",
    reference="pearson1901pca",
    compares="off",
    gives=("values",),
    summary="the baseline that every method has to justify itself against",
)
class PCA(Network):
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

    def decode(self, embedding: Tensor) -> dict[str, Tensor]:
        r"""What the scores stand for: :math:`\bar{x} + W^\top y`, with the scale of each modality undone."""
        parts = self.components.double().split(list(self.sizes.values()), dim=1)
        used = self.components.abs().sum(dim=1) > 0
        # rows are orthonormal before modalities are scaled: that tells the scales
        grams = torch.stack([(part[used] @ part[used].T).flatten() for part in parts], dim=1)
        one = torch.eye(int(used.sum()), dtype=torch.float64, device=grams.device).flatten()
        scales = torch.linalg.lstsq(grams, one[:, None]).solution[:, 0]
        means = self.mean.double().split(list(self.sizes.values()))
        y = embedding.double()
        return {
            name: (mean + y @ part * scale).float()
            for name, mean, part, scale in zip(self.sizes, means, parts, scales, strict=True)
        }

    def fit(self, cells: Cells, run: Run) -> History:
        """Decompose the covariance of all cells."""
        matrices = {name: cells.matrices[name] for name in self.sizes}
        found = decompose(matrices, len(self.components), seed=run.seed)
        self.components.zero_()
        self.components[: len(found.weights)] = torch.from_numpy(found.weights)
        self.mean.copy_(torch.from_numpy(found.mean))
        return []

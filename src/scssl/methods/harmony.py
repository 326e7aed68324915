"""Harmony."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from scssl._registry import METHODS
from scssl.data.components import decompose
from scssl.data.harmony import correct
from scssl.methods import _base

if TYPE_CHECKING:
    from scssl.data.cells import Cells
    from scssl.train.loop import History, Run


@METHODS.register(
    "harmony",
    title="Harmony",
    family="baseline",
    reference="korsunsky2019harmony",
    needs=("batches",),
    inductive=False,
    compares="off",
    summary="the fast baseline of integration: principal components corrected cluster by cluster, in seconds, of these cells only",
)
class Harmony(_base.Transductive):
    r"""Principal components, corrected for the batch within soft clusters :cite:p:`korsunsky2019harmony`.

    .. math:: \tilde{x}_i = x_i - \sum_k r_{ik} \, \beta_{k, b(i)}

    :math:`r_{ik}` is the share of cluster :math:`k` in cell :math:`i`, drawn to clusters in which all batches are present;
    :math:`\beta_{k, b}` is how far batch :math:`b` lies from the others in cluster :math:`k`, by ridge regression. Both are
    repeated until cells no longer move.

    The implementation is that of scssl, written from the paper, with one addition: before the first round each batch is moved as a
    whole to where its mutual nearest neighbours in the other batches are. Without it batches that lie far apart share no cluster and
    are never mixed, which is what some releases of other implementations do on some sets; ``preset="paper"`` leaves it out.

    It is transductive: it embeds the cells that it was fitted to and no others. New cells are named by neighbours in an embedding
    that takes them, or fitted together with the old ones.
    """

    @dataclass(frozen=True)
    class Config(_base.Config):
        """Configuration of Harmony."""

        width: int = field(default=50, metadata={"at_least": 2})
        """Number of principal components; fewer if there are fewer cells or genes."""
        theta: float = field(default=2.0, metadata={"at_least": 0})
        """Weight of the penalty on clusters in which a batch is more frequent than among all cells."""
        sigma: float = field(default=0.1, metadata={"above": 0})
        """Width of the soft clusters."""
        alpha: float = field(default=0.1, metadata={"above": 0})
        """Ridge penalty, relative to the number of cells that a batch would have in a cluster if batches were mixed."""
        n_clusters: int | None = field(default=None, metadata={"at_least": 2})
        """Number of clusters; ``None``: one for 30 cells, at most 100."""
        neighbors: int = field(default=20, metadata={"at_least": 0})
        """Mutual nearest neighbours by which batches are moved before the first round; 0: they are not moved."""
        max_rounds: int = field(default=10, metadata={"at_least": 1})
        """Largest number of rounds of clustering and regression."""

    presets: ClassVar = {"paper": {"neighbors": 0}}

    def fit(self, cells: Cells, run: Run) -> History:
        """Decompose the covariance of all cells and correct the scores."""
        c = self.config
        scores = decompose(cells.matrices, c.width, seed=run.seed).scores
        found = correct(
            scores,
            cast("np.ndarray", cells.batch),
            seed=run.seed,
            theta=c.theta,
            sigma=c.sigma,
            alpha=c.alpha,
            n_clusters=c.n_clusters,
            neighbors=c.neighbors,
            max_rounds=c.max_rounds,
        )
        self.fitted = np.ascontiguousarray(found.embedding, dtype=np.float32)
        return []

"""Integration: one embedding in which types stay apart and batches mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _random
from scssl._registry import TASKS
from scssl._results import ORACLE
from scssl.metrics import Inputs
from scssl.metrics._base import groups, one_hot
from scssl.tasks._base import PAPER, Score, Task, measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scssl.tasks._cells import Cells

_JITTER, _BALL = 0.025, 8  # few dimensions: the neighbour graph of a corner holds together
_OF_PAPER = {"bras": "silhouette_batch", "kbet": "kbet_scib"}


@TASKS.register(
    "batch_correction",
    title="Batch correction",
    needs=("batch_key",),
    reference="luecken2022scib",
    summary="do cells of a type stay together and the batches mix? Ten scores of scIB on all cells",
)
class BatchCorrection(Task):
    """The ten scores of scIB on all cells :cite:p:`luecken2022scib`.

    Profile ``"paper"`` takes the batch silhouette and the kBET of scib-metrics in place of BRAS and our kBET.
    """

    def metrics(self, profile: str = "clean") -> list[str]:
        """Five scores of biology and five of mixing."""
        names = super().metrics(profile)
        return [_OF_PAPER.get(name, name) for name in names] if profile == PAPER else names

    def oracle(self, cells: Cells, *, width: int, seed: int) -> dict[str, np.ndarray]:
        """One corner per label, and around it a small ball of cells that knows nothing of batches."""
        if cells.labels is None:
            return {}
        column = groups(cells.labels)
        corners = one_hot(column.codes, max(width - _BALL, len(column)))
        ball = _JITTER * _random.noise(cells.keys, _BALL, _random.derive(seed, "oracle"))
        return {ORACLE: np.hstack([corners, ball]).astype(np.float32)}

    def score_finite(
        self, embedding: np.ndarray, cells: Cells, *, seed: int, profile: str, metrics: Sequence[str], split: str
    ) -> list[Score]:
        """All cells at once; neighbours and distances are shared by the metrics."""
        given = {"embedding": embedding, "labels": cells.labels, "batch": cells.batch, "before": cells.before}
        inputs = Inputs(given, seed=seed)
        notes = {"pcr_comparison": cells.before_note}
        return [measured(name, inputs, split=split, note=notes.get(name, "")) for name in metrics]

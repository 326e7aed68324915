"""Integration: one embedding in which types stay apart and batches mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _random
from scssl._registry import METRICS, TASKS
from scssl._results import ORACLE
from scssl.metrics import Inputs
from scssl.metrics._base import FROM_LABELS, groups
from scssl.metrics.structure import corners
from scssl.tasks._base import Score, Task, measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scssl._protocol import Protocol
    from scssl.tasks._cells import Cells

_JITTER, _BALL = 0.025, 8  # few dimensions: the neighbour graph of a corner holds together


@TASKS.register(
    "batch_correction",
    title="Batch correction",
    needs=("batch_key",),
    reference="luecken2022scib",
    summary="do cells of a type stay together and the batches mix? Ten scores of scIB and some beyond, on all cells",
)
class BatchCorrection(Task):
    """The ten scores of scIB on all cells :cite:p:`luecken2022scib`, which make the totals, and some beyond.

    Cells without a label (``cells.labelled``) are left out of every score that uses labels, and kept in the others.
    Profile ``"paper"`` takes the batch silhouette and the kBET of scib-metrics in place of BRAS and our kBET.
    """

    def oracle(self, cells: Cells, *, width: int, seed: int) -> dict[str, np.ndarray]:
        """One corner per label, and around it a small ball of cells that knows nothing of batches.

        Corners are as far apart as the labels are inside single batches, but never close.
        """
        if cells.labels is None:
            return {}
        column = groups(cells.labels)
        place = corners(cells.before, column, None if cells.batch is None else groups(cells.batch))
        place = np.pad(place, [(0, 0), (0, max(width - _BALL - len(column), 0))])
        ball = _JITTER * _random.noise(cells.keys, _BALL, _random.derive(seed, "oracle"))
        return {ORACLE: np.hstack([place[column.codes], ball]).astype(np.float32)}

    def score_finite(
        self, embedding: np.ndarray, cells: Cells, *, seed: int, protocol: Protocol, metrics: Sequence[str], split: str
    ) -> list[Score]:
        """All cells at once, those with a label for what needs one; neighbours and distances are shared."""
        if (
            protocol.by_name
        ):  # clustering and eigenvectors depend on the order: it is that of the names, whatever was given
            order = np.argsort(cells.keys, kind="stable")
            embedding, cells = embedding[order], cells.take(order)
        every = labelled = _inputs(embedding, cells, seed)
        if cells.labelled is not None:
            labelled = _inputs(embedding[cells.labelled], cells.take(cells.labelled), seed)
        found = []
        for name in metrics:
            of_labels = bool(FROM_LABELS.intersection(METRICS.describe(name).needs))
            note = cells.before_note if name == "pcr_comparison" else cells.unlabelled_note if of_labels else ""
            inputs = labelled if of_labels else every
            found.append(measured(name, inputs, split=split, note=note, engine=self.engine))
        return found


def _inputs(embedding: np.ndarray, cells: Cells, seed: int) -> Inputs:
    given = {"embedding": embedding, "labels": cells.labels, "batch": cells.batch, "before": cells.before}
    return Inputs(given, seed=seed)

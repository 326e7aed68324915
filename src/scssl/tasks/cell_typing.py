"""Typing: the labels of held-out cells from their nearest labelled cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _keys
from scssl._neighbors import nearest
from scssl._registry import TASKS, listed
from scssl._results import NOT_APPLICABLE, ORACLE
from scssl.metrics import Inputs
from scssl.metrics._base import groups, one_hot
from scssl.tasks._base import PAPER, Score, Task, blank, measured
from scssl.tasks._vote import vote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scssl.tasks._cells import Cells

K = 11
_SHOWN = 5


@TASKS.register(
    "cell_typing",
    title="Cell typing",
    needs=("label_key",),
    inductive=True,
    reference="ovcharenko2025scssl",
    summary="labels of held-out cells by their 11 nearest labelled cells; without a split, every batch is held out in turn",
)
class CellTyping(Task):
    """Label transfer by the 11 nearest neighbours, uniform votes, euclidean distance :cite:p:`ovcharenko2025scssl`.

    The reference are the cells outside of ``cells.query``. Without a split every batch is held out in turn; if the
    embedding was made from all cells, the split says ``transductive``. Profile ``"paper"`` breaks ties as scikit-learn
    does, by the order of the labels.
    """

    def lacks(self, cells: Cells) -> str:
        """Labels, and a split or batches to hold out."""
        missing = super().lacks(cells)
        if cells.query is None and cells.batch is None:
            missing = " and ".join(filter(None, (missing, "split_key or batch_key")))
        return missing

    def oracle(self, cells: Cells, *, width: int, seed: int) -> dict[str, np.ndarray]:
        """One corner per label."""
        if cells.labels is None:
            return {}
        column = groups(cells.labels)
        return {ORACLE: one_hot(column.codes, max(len(column), 2)).astype(np.float32)}

    def score_finite(
        self, embedding: np.ndarray, cells: Cells, *, seed: int, profile: str, metrics: Sequence[str], split: str
    ) -> list[Score]:
        """Every split on its own."""
        left_out = cells.unlabelled_note
        if cells.labelled is not None:
            embedding, cells = embedding[cells.labelled], cells.take(cells.labelled)
        if cells.labels is None:
            return [blank(name, NOT_APPLICABLE, "needs 'labels', which was not given", split) for name in metrics]
        found = []
        for text, query in _splits(cells, split):
            reason = _impossible(query, cells.labels)
            if reason:
                found += [blank(name, NOT_APPLICABLE, reason, text) for name in metrics]
                continue
            inputs, note = _predicted(embedding, cells.labels, query, seed=seed, profile=profile)
            note = " ".join(filter(None, (note, left_out)))
            found += [measured(name, inputs, split=text, note=note if name == "macro_f1" else "") for name in metrics]
        return found


def _splits(cells: Cells, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Text and held-out cells of every split."""
    if cells.query is not None:
        yield split or f"held-out {_keys.SPLIT}={_keys.QUERY}", cells.query
    elif cells.batch is None:
        yield split, np.zeros(len(cells), dtype=bool)
    else:
        for batch in np.unique(cells.batch):
            yield split or f"held-out batch={batch}, transductive", cells.batch == batch


def _impossible(query: np.ndarray, labels: np.ndarray) -> str:
    n = int(query.sum())
    if n in (0, len(query)):
        return f"{n} of {len(query)} cells are held out; both sides need cells"
    if len(np.unique(labels)) < 2:
        return f"all cells have the same label {labels[0]!r}; two are needed"
    return ""


def _predicted(
    embedding: np.ndarray, labels: np.ndarray, query: np.ndarray, *, seed: int, profile: str
) -> tuple[Inputs, str]:
    """True and predicted labels of the held-out cells, and what must be said about them."""
    column = groups(labels)
    neighbors = nearest(embedding[~query], K, query=embedding[query], seed=seed)
    ties = "first" if profile == PAPER else "nearest"
    won = vote(neighbors, column.codes[~query], len(column), ties=ties)
    truth = labels[query]
    known = np.isin(truth, labels[~query])
    given = {"truth": truth, "predicted": column.names[won.codes], "known": known}
    missing = np.unique(truth[~known])
    note = neighbors.note
    if len(missing):
        cells = f"{int((~known).sum())} of {len(truth)} cells"
        note = (
            f"{len(missing)} labels of {cells} do not occur in the reference: {listed(list(missing), _SHOWN)}. {note}"
        )
    return Inputs(given, seed=seed), note.strip()

"""Typing: the labels of held-out cells from labelled cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _random
from scssl._protocol import CLEAN
from scssl._registry import METRICS, TASKS
from scssl._results import HEAD, NOT_APPLICABLE, ORACLE
from scssl._words import listed
from scssl.metrics import Inputs
from scssl.metrics._base import groups, one_hot
from scssl.tasks._base import Score, Task, blank, measured
from scssl.tasks._readout import by_line, by_neighbors
from scssl.tasks._splits import one_sided, splits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scssl._protocol import Protocol
    from scssl.tasks._cells import Cells
    from scssl.tasks._vote import Vote

KNN, LINEAR = "typing", "linear"
_NOTED = ("macro_f1", "macro_f1_union", "macro_f1_linear", "macro_f1_head")
_SHOWN = 5
_JITTER, _BALL = 0.025, 8


@TASKS.register(
    "cell_typing",
    title="Cell typing",
    needs=("label_key",),
    inductive=True,
    own="labels",
    reference="ovcharenko2025scssl",
    summary="labels of held-out cells by their 11 nearest labelled cells, and by a linear probe; without a split, every "
    "batch is held out in turn",
)
class CellTyping(Task):
    """Label transfer to held-out cells, with two read-outs that are the same for every embedding.

    The 11 nearest reference cells vote, uniform votes, euclidean distance :cite:p:`ovcharenko2025scssl`: groups
    ``typing`` of the metrics, with the main one. A linear probe: group ``linear``. A model that classifies has its own
    labels scored as well: group ``head``.

    The reference are the cells outside of ``cells.query``. Without a split every batch is held out in turn; if the
    embedding was made from all cells, the split says ``transductive``. Cells of types that the reference lacks count as
    wrong (they are listed); ``macro_f1_shared`` leaves them out. Profile ``"paper"`` breaks ties as scikit-learn does, by
    the order of the labels, averages F1 over all labels that are true or predicted, and adds the read-out with 5
    neighbours that was used for some methods.
    """

    def lacks(self, cells: Cells) -> str:
        """Labels, and a split or batches to hold out."""
        missing = super().lacks(cells)
        if cells.query is None and cells.groups is None and cells.batch is None:
            missing = " and ".join(filter(None, (missing, "split_key or batch_key")))
        return missing

    def metrics(self, protocol: Protocol = CLEAN) -> list[str]:
        """Scores of both read-outs; those of a head come with its answers."""
        return sorted(super().metrics(protocol), key=lambda name: METRICS.describe(name).group != KNN)

    def oracle(self, cells: Cells, *, width: int, seed: int) -> dict[str, np.ndarray]:
        """One corner per label, and some noise: cells of a rare label then have different labels behind their own."""
        if cells.labels is None:
            return {}
        column = groups(cells.labels)
        noise = _JITTER * _random.noise(cells.keys, _BALL, _random.derive(seed, "oracle"))
        return {ORACLE: np.hstack([one_hot(column.codes, len(column)), noise]).astype(np.float32)}

    def score_finite(
        self, embedding: np.ndarray, cells: Cells, *, seed: int, protocol: Protocol, metrics: Sequence[str], split: str
    ) -> list[Score]:
        """Every split on its own."""
        return _over_splits(cells, metrics, split, embedding=embedding, protocol=protocol)

    def score_own(
        self, own: Mapping[str, np.ndarray], cells: Cells, *, seed: int, protocol: Protocol, split: str
    ) -> list[Score]:
        """The labels that a model with a head gave to all cells: ``own["labels"]``, and ``own["confidence"]``."""
        metrics = self.of_group(HEAD)
        return _over_splits(cells, metrics, split, own=own) if "labels" in own else []


def _over_splits(
    cells: Cells,
    metrics: Sequence[str],
    split: str,
    *,
    embedding: np.ndarray | None = None,
    own: Mapping[str, np.ndarray] | None = None,
    protocol: Protocol = CLEAN,
) -> list[Score]:
    """Scores of an embedding or of given labels on every split, of the cells with a label."""
    left_out = cells.unlabelled_note
    if cells.labelled is not None:
        embedding = None if embedding is None else embedding[cells.labelled]
        own = None if own is None else {name: np.asarray(value)[cells.labelled] for name, value in own.items()}
        cells = cells.take(cells.labelled)
    if cells.labels is None:
        return [blank(name, NOT_APPLICABLE, "needs 'labels', which was not given", split) for name in metrics]
    found = []
    for text, query in splits(cells, split):
        reason = one_sided(query) or _single(cells.labels)
        if reason:
            found += [blank(name, NOT_APPLICABLE, reason, text) for name in metrics]
            continue
        answers: dict[str, tuple[Inputs, str]] = {}
        for name in metrics:
            group = METRICS.describe(name).group
            if group not in answers:
                answers[group] = (
                    _given(cells, query, own)
                    if embedding is None
                    else _read_out(group, embedding, cells, query, protocol=protocol)
                )
            inputs, note = answers[group]
            note = " ".join(filter(None, (note, left_out))) if name in _NOTED else ""
            found.append(measured(name, inputs, split=text, note=note))
    return found


def _single(labels: np.ndarray) -> str:
    return f"all cells have the same label {labels[0]!r}; two are needed" if len(np.unique(labels)) < 2 else ""


def _read_out(group: str, x: np.ndarray, cells: Cells, query: np.ndarray, *, protocol: Protocol) -> tuple[Inputs, str]:
    """True and predicted labels of the held-out cells by the read-out of a group, and what must be said about them."""
    column = groups(cells.labels)
    known, codes = x[~query], column.codes[~query]
    if group == LINEAR:
        predicted, confidence, note = by_line(known, codes, x[query], keys=cells.keys[~query])
    else:
        k = protocol.neighbors[group]
        won, note = by_neighbors(known, codes, x[query], k=k, ties=protocol.ties)
        predicted, confidence = won.codes, won.share
        note = " ".join(filter(None, (note, _decided_by_ties(won, np.bincount(codes), column.names, k))))
    return _compared(cells, query, column.names[predicted], confidence, note)


def _decided_by_ties(won: Vote, sizes: np.ndarray, names: np.ndarray, k: int) -> str:
    """A sentence on labels with too few reference cells to win a vote, where they took part in a tie; or nothing."""
    few = np.flatnonzero((sizes > 0) & (sizes < k / 2) & won.tied.any(axis=0))
    if not len(few):
        return ""
    n = int(won.tied[:, few].any(axis=1).sum())
    which = listed([f"{names[label]} ({sizes[label]})" for label in few], _SHOWN)
    most = k // 2 + 1
    return f"{n} of {len(won.codes)} votes are ties with labels that have fewer than {most} reference cells: {which}."


def _given(cells: Cells, query: np.ndarray, own: Mapping[str, np.ndarray] | None) -> tuple[Inputs, str]:
    """The same for labels that were given by a model."""
    own = own or {}
    predicted = np.asarray(own["labels"]).astype(str)[query]
    confidence = np.asarray(own["confidence"])[query] if "confidence" in own else np.ones(len(predicted))
    return _compared(cells, query, predicted, confidence, "")


def _compared(
    cells: Cells, query: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, note: str
) -> tuple[Inputs, str]:
    labels = np.asarray(cells.labels)
    truth = labels[query]
    known = np.isin(truth, labels[~query])
    missing = np.unique(truth[~known])
    if len(missing):
        of = f"{int((~known).sum())} of {len(truth)} cells"
        note = f"{len(missing)} labels of {of} do not occur in the reference: {listed(list(missing), _SHOWN)}. {note}"
    given = {"truth": truth, "predicted": predicted, "known": known, "confidence": confidence}
    return Inputs(given), note.strip()

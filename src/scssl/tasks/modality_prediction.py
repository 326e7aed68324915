"""A modality that was not measured, predicted from the one that was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scssl._protocol import CLEAN
from scssl._registry import TASKS
from scssl._results import NOT_APPLICABLE, ORACLE, OWN
from scssl.data.kinds import kind_of
from scssl.metrics import Inputs
from scssl.tasks import _regression as regression
from scssl.tasks._base import Score, Task, blank, measured
from scssl.tasks._splits import splits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scssl._protocol import Protocol
    from scssl.tasks._cells import Cells

COMPONENTS = 50
KNN = "prediction"
MEAN, RIDGE, NEIGHBORS = "mean_profile", "ridge_pca", "knn_pca"


@dataclass(frozen=True)
class Question:
    """Which cells teach and which are asked, or why nobody can be asked."""

    split: str
    known: np.ndarray
    asked: np.ndarray
    reason: str = ""


@TASKS.register(
    "modality_prediction",
    title="Modality prediction",
    needs=("target",),
    inductive=True,
    embeds="source",
    own="target",
    controls=("mean_profile", "ridge_pca", "knn_pca"),
    reference="ovcharenko2025scssl",
    summary="protein, accessibility or expression of held-out cells from another modality, by 5 neighbours in the embedding",
)
class ModalityPrediction(Task):
    """Values of the modality ``cells.target`` of held-out cells, from embeddings made of ``cells.source`` alone.

    The five nearest reference cells in which the target was measured are averaged :cite:p:`ovcharenko2025scssl`; what a
    model with a decoder predicts itself has rows of its own (group ``own``). The main number is the correlation over cells,
    feature by feature: over the features of one cell, even the mean profile correlates highly. It is one of the controls,
    with ridge regression and neighbours on 50 principal components of the source, fitted to the reference cells.
    Without split and batches a fifth of the cells is held out. Profile ``"paper"`` finds neighbours by cosine distance.
    """

    def applies(self, metric: str, cells: Cells) -> bool:
        """Precision is for peaks."""
        return not metric.startswith("auprc") or kind_of(cells.target).of_peaks

    def oracle(self, cells: Cells, *, width: int, seed: int) -> dict[str, np.ndarray]:
        """No embedding: the oracle among the predictors knows the values."""
        return {}

    def predictors(
        self,
        cells: Cells,
        *,
        seed: int = 0,
        protocol: Protocol = CLEAN,
        split: str = "",
        metrics: Sequence[str] | None = None,
    ) -> dict[str, list[Score]]:
        """Scores of the truth, of the mean profile, and of two predictors on principal components of the source."""
        found: dict[str, list[Score]] = {name: [] for name in (ORACLE, MEAN, RIDGE, NEIGHBORS)}
        metrics = self.metrics(protocol) if metrics is None else metrics
        metrics = [name for name in metrics if self.applies(name, cells)]
        for question in _questions(cells, split):
            answers = {} if question.reason else _trivial(cells, question, k=protocol.neighbors[KNN])
            for name, scores in found.items():
                scores += _compared(cells, question, answers.get(name), metrics)
        return {
            name: scores for name, scores in found.items() if cells.source_values is not None or name in (ORACLE, MEAN)
        }

    def score_finite(
        self, embedding: np.ndarray, cells: Cells, *, seed: int, protocol: Protocol, metrics: Sequence[str], split: str
    ) -> list[Score]:
        """Every split on its own."""
        found = []
        x, k = _on_sphere(embedding) if protocol.on_sphere else embedding, protocol.neighbors[KNN]
        for question in _questions(cells, split):
            predicted, note = None, ""
            if not question.reason and cells.target_values is not None:
                known = cells.target_values[question.known]
                predicted, note = regression.by_neighbors(x[question.known], known, x[question.asked], k=k, seed=seed)
            found += _compared(cells, question, predicted, metrics, note)
        return found

    def score_own(
        self, own: Mapping[str, np.ndarray], cells: Cells, *, seed: int, protocol: Protocol, split: str
    ) -> list[Score]:
        """What the model itself predicts: ``own["target"]``, shape ``(n, features)``, NaN for features it does not know."""
        if "target" not in own:
            return []
        metrics = [name for name in self.of_group(OWN) if self.applies(name, cells)]
        found = []
        for question in _questions(cells, split):
            found += _compared(cells, question, own["target"][question.asked], metrics)
        return found


def _questions(cells: Cells, split: str) -> Iterator[Question]:
    """Each split, with the direction in its name; cells without the target can neither teach nor be asked."""
    measured_ = np.ones(len(cells), dtype=bool) if cells.measured is None else cells.measured
    for text, query in splits(cells, split, at_random=True):
        known, asked = np.flatnonzero(measured_ & ~query), np.flatnonzero(measured_ & query)
        reason = ""
        if min(len(known), len(asked)) < 2:
            reason = (
                f"{cells.target!r} was measured in {len(asked)} of {int(query.sum())} held-out cells "
                f"and in {len(known)} of the others; both sides need two"
            )
        yield Question(f"{cells.source} to {cells.target}, {text}", known, asked, reason)


def _trivial(cells: Cells, question: Question, *, k: int) -> dict[str, np.ndarray]:
    """Predictions of the controls for the cells that are asked."""
    values = cells.target_values
    if values is None:
        return {}
    known, asked = question.known, question.asked
    profile = regression.mean_profile(values[known]).astype(np.float32)
    found = {ORACLE: values[asked].toarray(), MEAN: np.broadcast_to(profile, (len(asked), len(profile)))}
    if cells.source_values is not None:
        source = cells.source_values
        scores, mine, _ = regression.components(source[known], source[asked], width=COMPONENTS)
        found[RIDGE] = regression.ridge(scores, values[known], mine)
        found[NEIGHBORS] = regression.by_neighbors(scores, values[known], mine, k=k)[0]
    return found


def _compared(
    cells: Cells, question: Question, predicted: np.ndarray | None, metrics: Sequence[str], note: str = ""
) -> list[Score]:
    reason = question.reason or ("" if cells.target_values is not None else "needs 'target', which was not given")
    if reason or predicted is None or cells.target_values is None:
        return [blank(name, NOT_APPLICABLE, reason or "needs values of the source", question.split) for name in metrics]
    truth = cells.target_values[question.asked].toarray()
    answered = np.isfinite(predicted).all(axis=0)
    if not answered.any():
        reason = f"none of the {len(answered)} features is predicted"
        return [blank(name, NOT_APPLICABLE, reason, question.split) for name in metrics]
    if not answered.all():
        note = f"{int(answered.sum())} of {len(answered)} features are predicted. {note}".strip()
        truth, predicted = truth[:, answered], predicted[:, answered]
    given = {"truth": truth, "predicted": predicted}
    if kind_of(cells.target).of_peaks:
        given["accessible"] = truth > 0
    inputs = Inputs(given)
    size = f"{len(truth)} cells, {truth.shape[1]} features."
    noted = ("pearson_feature", "pearson_feature_own")
    return [
        measured(name, inputs, split=question.split, note=f"{size} {note}".strip() if name in noted else "")
        for name in metrics
    ]


def _on_sphere(x: np.ndarray) -> np.ndarray:
    """Rows of length one: their euclidean neighbours are those by cosine."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norm > 0, norm, 1.0)

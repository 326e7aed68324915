"""Scores of predicted labels, over the labels that the scored cells truly have."""

from __future__ import annotations

import numpy as np

from scssl._registry import METRICS
from scssl.metrics._base import Measured, NotApplicable, groups

_NO_KNOWN = "no scored cell has a label that occurs in the reference"


@METRICS.register(
    "macro_f1",
    title="Macro F1",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted"),
    main=True,
    summary="mean F1 of the labels, rare ones count as much as common ones",
)
def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the labels in `truth`; a label that is predicted but never true has no F1 of its own."""
    f1, _ = _f1_per_label(truth, predicted)
    return float(f1.mean())


@METRICS.register(
    "macro_f1_shared",
    title="Macro F1, shared types",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted", "known"),
    summary="macro F1 of the cells whose label occurs in the reference",
)
def macro_f1_shared(truth: np.ndarray, predicted: np.ndarray, known: np.ndarray) -> Measured:
    """Macro F1 over the cells that can be right: those whose label occurs in the reference (`known`)."""
    if not known.any():
        raise NotApplicable(_NO_KNOWN)
    left_out = int((~known).sum())
    note = (
        f"{left_out} of {len(known)} cells are left out: their label does not occur in the reference."
        if left_out
        else ""
    )
    return Measured(macro_f1(truth[known], predicted[known]), note)


@METRICS.register(
    "weighted_f1",
    title="Weighted F1",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted"),
    summary="mean F1 of the labels, weighted by their cells",
)
def weighted_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the labels in `truth`, weighted by their number of cells."""
    f1, sizes = _f1_per_label(truth, predicted)
    return float((f1 * sizes).sum() / sizes.sum())


@METRICS.register(
    "accuracy",
    title="Accuracy",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted"),
    summary="share of cells with the right label",
)
def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of cells with the right label."""
    return float((np.asarray(truth) == np.asarray(predicted)).mean())


@METRICS.register(
    "balanced_accuracy",
    title="Balanced accuracy",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted"),
    summary="mean over labels of the share of cells with the right label",
)
def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over the labels in `truth` of the share of their cells that are recognised."""
    column = groups(truth)
    right = np.asarray(truth) == np.asarray(predicted)
    return float((np.bincount(column.codes, weights=right) / column.sizes).mean())


def _f1_per_label(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 and number of cells of every label in `truth`."""
    column = groups(truth)
    right = np.asarray(truth) == np.asarray(predicted)
    hits = np.bincount(column.codes, weights=right, minlength=len(column))
    called = np.array([(np.asarray(predicted) == name).sum() for name in column.names])
    return 2 * hits / (column.sizes + called), column.sizes

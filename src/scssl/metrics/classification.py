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
    summary="mean F1 of the labels by 11 nearest neighbours, rare ones count as much as common ones",
)
@METRICS.register(
    "macro_f1_linear",
    title="Macro F1, linear",
    task="cell_typing",
    group="linear",
    needs=("truth", "predicted"),
    summary="mean F1 of the labels by the linear probe",
)
@METRICS.register(
    "macro_f1_head",
    title="Macro F1, own head",
    task="cell_typing",
    group="head",
    needs=("truth", "predicted"),
    default=False,
    summary="mean F1 of the labels that the model itself gives",
)
def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the labels in `truth`; a label that is predicted but never true has no F1 of its own."""
    f1, _ = _f1_per_label(truth, predicted)
    return float(f1.mean())


@METRICS.register(
    "macro_f1_union",
    title="Macro F1, true or predicted",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted"),
    default=False,
    reference="ovcharenko2025scssl",
    summary="mean F1 of the labels that are true or predicted, as in the paper: one that is never true counts as 0",
)
@METRICS.register(
    "macro_f1_union_k5",
    title="Macro F1, true or predicted, k = 5",
    task="cell_typing",
    group="typing_k5",
    needs=("truth", "predicted"),
    default=False,
    reference="ovcharenko2025scssl",
    summary="mean F1 of the labels that are true or predicted, by 5 neighbours, as the paper did for scVI, CLAIRE and scCLIP",
)
def macro_f1_union(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the labels in `truth` or `predicted`, as scikit-learn averages."""
    f1, _ = _f1_per_label(truth, predicted)
    never_true = np.setdiff1d(np.asarray(predicted, dtype=str), np.asarray(truth, dtype=str))
    return float(f1.sum() / (len(f1) + len(never_true)))


@METRICS.register(
    "macro_f1_shared",
    title="Macro F1, shared types",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted", "known"),
    summary="mean F1 of the labels over the cells whose label occurs in the reference",
)
def macro_f1_shared(truth: np.ndarray, predicted: np.ndarray, known: np.ndarray) -> Measured:
    """Macro F1 over the cells that can be right: those whose label occurs in the reference (`known`)."""
    note = _shared(known)
    return Measured(macro_f1(truth[known], predicted[known]), note)


@METRICS.register(
    "macro_f1_union_shared",
    title="Macro F1, true or predicted, shared types",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted", "known"),
    default=False,
    reference="ovcharenko2025scssl",
    summary="mean F1 of the labels that are true or predicted, over the cells whose label occurs in the reference",
)
def macro_f1_union_shared(truth: np.ndarray, predicted: np.ndarray, known: np.ndarray) -> Measured:
    """As :func:`macro_f1_union`, over the cells whose label occurs in the reference (`known`)."""
    note = _shared(known)
    return Measured(macro_f1_union(truth[known], predicted[known]), note)


@METRICS.register(
    "weighted_f1",
    title="Weighted F1",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted"),
    summary="mean F1 of the labels by 11 nearest neighbours, weighted by their cells",
)
@METRICS.register(
    "weighted_f1_linear",
    title="Weighted F1, linear",
    task="cell_typing",
    group="linear",
    needs=("truth", "predicted"),
    default=False,
    summary="mean F1 of the labels by the linear probe, weighted by their cells",
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
    summary="share of cells with the right label by 11 nearest neighbours",
)
@METRICS.register(
    "accuracy_k5",
    title="Accuracy, k = 5",
    task="cell_typing",
    group="typing_k5",
    needs=("truth", "predicted"),
    default=False,
    reference="ovcharenko2025scssl",
    summary="share of cells with the right label by 5 neighbours, as the paper did for scVI, CLAIRE and scCLIP",
)
@METRICS.register(
    "accuracy_linear",
    title="Accuracy, linear",
    task="cell_typing",
    group="linear",
    needs=("truth", "predicted"),
    summary="share of cells with the right label by the linear probe",
)
@METRICS.register(
    "accuracy_head",
    title="Accuracy, own head",
    task="cell_typing",
    group="head",
    needs=("truth", "predicted"),
    default=False,
    summary="share of cells to which the model itself gives the right label",
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
    summary="mean over labels of the share of their cells with the right label",
)
@METRICS.register(
    "balanced_accuracy_linear",
    title="Balanced accuracy, linear",
    task="cell_typing",
    group="linear",
    needs=("truth", "predicted"),
    default=False,
    summary="mean over labels of the share of their cells to which the linear probe gives the right label",
)
def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over the labels in `truth` of the share of their cells that are recognised."""
    column = groups(truth)
    right = np.asarray(truth) == np.asarray(predicted)
    return float((np.bincount(column.codes, weights=right) / column.sizes).mean())


@METRICS.register(
    "rejection_area",
    title="Rejection area",
    task="cell_typing",
    group="typing",
    needs=("truth", "predicted", "confidence"),
    reference="elyaniv2010selective",
    summary="accuracy of the most confident cells, mean over all shares of them: does it know when it is wrong?",
)
@METRICS.register(
    "rejection_area_linear",
    title="Rejection area, linear",
    task="cell_typing",
    group="linear",
    needs=("truth", "predicted", "confidence"),
    default=False,
    reference="elyaniv2010selective",
    summary="accuracy of the cells of which the linear probe is most confident, mean over all shares of them",
)
def rejection_area(truth: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> float:
    """Area below :func:`rejection_curve`: 1 if all are right, the accuracy if the confidence says nothing."""
    return float(rejection_curve(truth, predicted, confidence)[1].mean())


def rejection_curve(truth: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy against coverage :cite:p:`elyaniv2010selective`: the least confident cells are rejected first.

    Parameters
    ----------
    truth, predicted
        Labels.
    confidence
        One number a cell. Cells that tie are rejected in random order; the expectation over it is taken.

    Returns
    -------
    Coverage (``1/n`` to 1) and the accuracy of the cells that are kept, both of shape ``(n,)``.
    """
    right = (np.asarray(truth) == np.asarray(predicted)).astype(np.float64)
    level = np.unique(-np.asarray(confidence, dtype=np.float64), return_inverse=True)[1]
    sizes = np.bincount(level)
    share = np.bincount(level, weights=right) / sizes
    kept = np.arange(1, len(right) + 1)
    return kept / len(right), np.cumsum(np.repeat(share, sizes)) / kept


def _shared(known: np.ndarray) -> str:
    """A sentence on the cells whose label the reference lacks."""
    if not known.any():
        raise NotApplicable(_NO_KNOWN)
    sentence = f"{int((~known).sum())} of {len(known)} cells are left out: their label does not occur in the reference."
    return "" if known.all() else sentence


def _f1_per_label(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 and number of cells of every label in `truth`."""
    column = groups(truth)
    right = np.asarray(truth) == np.asarray(predicted)
    hits = np.bincount(column.codes, weights=right, minlength=len(column))
    called = np.array([(np.asarray(predicted) == name).sum() for name in column.names])
    return 2 * hits / (column.sizes + called), column.sizes

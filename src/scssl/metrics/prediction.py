"""Scores of predicted values: of a modality that was not measured, and of the values that an embedding was made from.

All take the true and the predicted values of the scored cells, shape ``(cells, features)``. Features are gone through in
blocks, so that no more than a block is ever copied. A feature or cell whose true values are all equal says nothing and is
left out; a prediction that is constant over cells has a correlation of 0.
"""

from __future__ import annotations

import numpy as np

from scssl._registry import METRICS
from scssl.metrics._base import Measured, NotApplicable
from scssl.metrics._correlation import average_precision, blocks, correlations, mean_correlation


@METRICS.register(
    "pearson_feature",
    title="Pearson per feature",
    task="modality_prediction",
    group="prediction",
    needs=("truth", "predicted"),
    lower=-1.0,
    main=True,
    summary="correlation over cells, mean of the features: the mean profile has 0",
)
@METRICS.register(
    "pearson_feature_own",
    title="Pearson per feature, own decoder",
    task="modality_prediction",
    group="own",
    needs=("truth", "predicted"),
    lower=-1.0,
    default=False,
    summary="correlation over cells of what the model itself predicts, mean of the features",
)
def pearson_feature(truth: np.ndarray, predicted: np.ndarray) -> Measured:
    """Mean over features of the correlation of truth and prediction over cells."""
    return mean_correlation(truth, predicted, "features")


@METRICS.register(
    "spearman_feature",
    title="Spearman per feature",
    task="modality_prediction",
    group="prediction",
    needs=("truth", "predicted"),
    lower=-1.0,
    summary="rank correlation over cells, mean of the features",
)
@METRICS.register(
    "spearman_feature_own",
    title="Spearman per feature, own decoder",
    task="modality_prediction",
    group="own",
    needs=("truth", "predicted"),
    lower=-1.0,
    default=False,
    summary="rank correlation over cells of what the model itself predicts, mean of the features",
)
def spearman_feature(truth: np.ndarray, predicted: np.ndarray) -> Measured:
    """Mean over features of the rank correlation of truth and prediction over cells."""
    return mean_correlation(truth, predicted, "features", ranks=True)


@METRICS.register(
    "pearson_cell",
    title="Pearson per cell",
    task="modality_prediction",
    group="prediction",
    needs=("truth", "predicted"),
    lower=-1.0,
    reference="ovcharenko2025scssl",
    summary="correlation over features, mean of the cells: high for the mean profile already",
)
@METRICS.register(
    "pearson_cell_own",
    title="Pearson per cell, own decoder",
    task="modality_prediction",
    group="own",
    needs=("truth", "predicted"),
    lower=-1.0,
    default=False,
    summary="correlation over features of what the model itself predicts, mean of the cells",
)
def pearson_cell(truth: np.ndarray, predicted: np.ndarray) -> Measured:
    """Mean over cells of the correlation of truth and prediction over features."""
    return mean_correlation(truth.T, predicted.T, "cells")


@METRICS.register(
    "pearson_cell_least",
    title="Pearson per cell, least",
    task="modality_prediction",
    group="prediction",
    needs=("truth", "predicted"),
    lower=-1.0,
    default=False,
    reference="ovcharenko2025scssl",
    summary="correlation over features of the worst cell, as the paper reports it",
)
def pearson_cell_least(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Least correlation of truth and prediction over features, of all cells."""
    return float(correlations(truth.T, predicted.T).min())


@METRICS.register(
    "pearson_cell_most",
    title="Pearson per cell, most",
    task="modality_prediction",
    group="prediction",
    needs=("truth", "predicted"),
    lower=-1.0,
    default=False,
    reference="ovcharenko2025scssl",
    summary="correlation over features of the best cell, as the paper reports it",
)
def pearson_cell_most(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Largest correlation of truth and prediction over features, of all cells."""
    return float(correlations(truth.T, predicted.T).max())


@METRICS.register(
    "spearman_cell",
    title="Spearman per cell",
    task="modality_prediction",
    group="prediction",
    needs=("truth", "predicted"),
    lower=-1.0,
    summary="rank correlation over features, mean of the cells",
)
@METRICS.register(
    "spearman_cell_own",
    title="Spearman per cell, own decoder",
    task="modality_prediction",
    group="own",
    needs=("truth", "predicted"),
    lower=-1.0,
    default=False,
    summary="rank correlation over features of what the model itself predicts, mean of the cells",
)
def spearman_cell(truth: np.ndarray, predicted: np.ndarray) -> Measured:
    """Mean over cells of the rank correlation of truth and prediction over features."""
    return mean_correlation(truth.T, predicted.T, "cells", ranks=True)


@METRICS.register(
    "rmse",
    title="RMSE",
    task="modality_prediction",
    group="prediction",
    needs=("truth", "predicted"),
    upper=1e999,
    better="lower",
    summary="root of the mean squared error, in the units of the values",
)
@METRICS.register(
    "rmse_own",
    title="RMSE, own decoder",
    task="modality_prediction",
    group="own",
    needs=("truth", "predicted"),
    upper=1e999,
    better="lower",
    default=False,
    summary="root of the mean squared error of what the model itself predicts",
)
def rmse(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Root of the mean squared error over all cells and features."""
    squared = sum(float(((t - p) ** 2).sum()) for t, p in blocks(truth, predicted))
    return float(np.sqrt(squared / truth.size))


@METRICS.register(
    "auprc",
    title="AUPRC",
    task="modality_prediction",
    group="prediction",
    needs=("accessible", "predicted"),
    summary="average precision of finding the cells in which a peak is open, mean of the peaks",
)
@METRICS.register(
    "auprc_own",
    title="AUPRC, own decoder",
    task="modality_prediction",
    group="own",
    needs=("accessible", "predicted"),
    default=False,
    summary="average precision of finding the cells in which a peak is open by what the model itself predicts, mean of the peaks",
)
def auprc(accessible: np.ndarray, predicted: np.ndarray) -> Measured:
    """Mean over peaks of the average precision; noise has the share of cells in which a peak is open."""
    found, shares = [], []
    for open_, values in blocks(accessible, predicted):
        mixed = (open_.sum(axis=0) > 0) & (open_.sum(axis=0) < len(open_))
        found.append(average_precision(open_[:, mixed] > 0, values[:, mixed]))
        shares.append(open_[:, mixed].mean(axis=0))
    precision, share = np.concatenate(found), np.concatenate(shares)
    if not len(precision):
        msg = "no feature is open in some of the scored cells and closed in others"
        raise NotApplicable(msg)
    left_out = accessible.shape[1] - len(precision)
    note = f"By chance: {share.mean():.3f}."
    return Measured(float(precision.mean()), f"{note} {left_out} constant features are left out." if left_out else note)

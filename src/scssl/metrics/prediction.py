"""Scores of predicted values: of a modality that was not measured, and of the values that an embedding was made from.

All take the true and the predicted values of the scored cells, shape ``(cells, features)``. Features are gone through in
blocks, so that no more than a block is ever copied. A feature or cell whose true values are all equal says nothing and is
left out; a prediction that is constant over cells has a correlation of 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl._registry import METRICS
from scssl.metrics._base import Measured, NotApplicable

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_VALUES = 2**21
_FLAT = 1e-12


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
    return _mean_correlation(truth, predicted, "features")


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
    return _mean_correlation(truth, predicted, "features", ranks=True)


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
    return _mean_correlation(truth.T, predicted.T, "cells")


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
    return _mean_correlation(truth.T, predicted.T, "cells", ranks=True)


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
    squared = sum(float(((t - p) ** 2).sum()) for t, p in _blocks(truth, predicted))
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
    for open_, values in _blocks(accessible, predicted):
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


@METRICS.register(
    "weighted_ev",
    title="Explained variance",
    task="reconstruction",
    group="reconstruction",
    needs=("truth", "predicted"),
    lower=-1e999,
    main=True,
    reference="richter2025delineating",
    summary="share of the variance of all genes that a linear map from the embedding explains",
)
@METRICS.register(
    "weighted_ev_own",
    title="Explained variance, own decoder",
    task="reconstruction",
    group="own",
    needs=("truth", "predicted"),
    lower=-1e999,
    default=False,
    reference="richter2025delineating",
    summary="share of the variance of all genes that the model itself reconstructs",
)
def weighted_ev(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Explained variance weighted by variance: one minus summed variance of residuals over summed variance of genes.

    A constant offset of a gene costs nothing.
    """
    left, all_ = 0.0, 0.0
    for t, p in _blocks(truth, predicted):
        left, all_ = left + float((t - p).var(axis=0).sum()), all_ + float(t.var(axis=0).sum())
    if all_ <= 0:
        msg = "the true values of the scored cells are constant"
        raise NotApplicable(msg)
    return 1 - left / all_


@METRICS.register(
    "ev_above_pca",
    title="Explained variance above PCA",
    task="reconstruction",
    group="reconstruction",
    needs=("truth", "predicted", "by_pca"),
    lower=-1e999,
    summary="variance that a linear map from the embedding explains, minus that of as many principal components of the same cells",
)
@METRICS.register(
    "ev_above_pca_own",
    title="Explained variance above PCA, own decoder",
    task="reconstruction",
    group="own",
    needs=("truth", "predicted", "by_pca"),
    lower=-1e999,
    default=False,
    summary="explained variance of the values that the model itself reconstructs, minus that of as many principal components",
)
def ev_above_pca(truth: np.ndarray, predicted: np.ndarray, by_pca: np.ndarray) -> Measured:
    """Explained variance less that of the prediction `by_pca`."""
    reference = weighted_ev(truth, by_pca)
    return Measured(weighted_ev(truth, predicted) - reference, f"PCA explains {reference:.4f}.")


@METRICS.register(
    "r2_gene",
    title="R2 per gene",
    task="reconstruction",
    group="reconstruction",
    needs=("truth", "predicted"),
    lower=-1e999,
    floor="",
    summary="coefficient of determination of each gene by a linear map from the embedding, median over genes; an offset counts",
)
@METRICS.register(
    "r2_gene_own",
    title="R2 per gene, own decoder",
    task="reconstruction",
    group="own",
    needs=("truth", "predicted"),
    lower=-1e999,
    default=False,
    floor="",
    summary="coefficient of determination of each gene by what the model itself reconstructs, median over genes",
)
def r2_gene(truth: np.ndarray, predicted: np.ndarray) -> Measured:
    """Median over genes of the coefficient of determination over cells."""
    found = []
    for t, p in _blocks(truth, predicted):
        spread = ((t - t.mean(axis=0)) ** 2).sum(axis=0)
        varies = spread > _FLAT
        found.append(1 - ((t - p) ** 2).sum(axis=0)[varies] / spread[varies])
    values = np.concatenate(found)
    if not len(values):
        msg = "the true values of the scored cells are constant"
        raise NotApplicable(msg)
    return Measured(float(np.median(values)), f"{(values < 0).mean():.1%} of {len(values)} genes are below 0.")


@METRICS.register(
    "masked_error",
    title="Error at hidden entries",
    task="reconstruction",
    group="own",
    needs=("truth", "unhidden", "hidden", "mean_profile"),
    upper=1e999,
    better="lower",
    default=False,
    floor="",
    summary="squared error where the input was hidden from the model, relative to that of the mean of the gene",
)
def masked_error(truth: np.ndarray, unhidden: np.ndarray, hidden: np.ndarray, mean_profile: np.ndarray) -> Measured:
    """Squared error at the entries that were hidden, over that of the mean profile: 1 is no better than the mean."""
    away, by_mean = (float(((truth - other)[hidden] ** 2).sum()) for other in (unhidden, mean_profile))
    if by_mean <= 0:
        msg = "no entry is hidden that the mean profile does not know"
        raise NotApplicable(msg)
    return Measured(away / by_mean, f"{hidden.mean():.1%} of the entries were hidden.")


def correlations(truth: np.ndarray, predicted: np.ndarray, *, ranks: bool = False) -> np.ndarray:
    """Correlation of every column of `truth` that varies with that of `predicted`; 0 where that one is constant."""
    from scipy.stats import rankdata

    found = []
    for t, p in _blocks(truth, predicted):
        if ranks:
            t, p = rankdata(t, axis=0), rankdata(p, axis=0)
        t_away, p_away = t - t.mean(axis=0), p - p.mean(axis=0)
        size_t, size_p = np.linalg.norm(t_away, axis=0), np.linalg.norm(p_away, axis=0)
        varies = size_t > _FLAT * np.maximum(np.linalg.norm(t, axis=0), 1.0)
        moves = size_p > _FLAT * np.maximum(np.linalg.norm(p, axis=0), 1.0)
        both = (t_away * p_away).sum(axis=0) / np.where(moves & varies, size_t * size_p, 1.0)
        found.append(np.where(moves, both, 0.0)[varies])
    return np.clip(np.concatenate(found), -1.0, 1.0)


def average_precision(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Average precision of each column; entries with the same score are found together.

    Parameters
    ----------
    positive
        Booleans of shape ``(n, columns)``, at least one in each column.
    score
        Numbers of the same shape; the largest are found first.
    """
    order = np.argsort(-score, axis=0, kind="stable")
    value, hit = np.take_along_axis(score, order, axis=0), np.take_along_axis(positive, order, axis=0)
    n = len(score)
    place = np.broadcast_to(np.arange(n)[:, None], score.shape)
    last = np.vstack([value[1:] != value[:-1], np.ones((1, score.shape[1]), dtype=bool)])
    end = np.minimum.accumulate(np.where(last, place, n)[::-1], axis=0)[::-1]
    precision = np.take_along_axis(np.cumsum(hit, axis=0), end, axis=0) / (end + 1)
    return (precision * hit).sum(axis=0) / hit.sum(axis=0)


def _mean_correlation(truth: np.ndarray, predicted: np.ndarray, what: str, *, ranks: bool = False) -> Measured:
    found = correlations(truth, predicted, ranks=ranks)
    if not len(found):
        msg = f"the true values of all {truth.shape[1]} {what} are constant"
        raise NotApplicable(msg)
    left_out = truth.shape[1] - len(found)
    return Measured(float(found.mean()), f"{left_out} constant {what} are left out." if left_out else "")


def _blocks(truth: np.ndarray, predicted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both in double precision, some columns at a time."""
    step = max(1, _BLOCK_VALUES // max(len(truth), 1))
    for start in range(0, truth.shape[1], step):
        here = slice(start, start + step)
        yield truth[:, here].astype(np.float64), predicted[:, here].astype(np.float64)

"""Metrics of reconstruction: how much of the values an embedding still holds, against as many principal components."""

from __future__ import annotations

import numpy as np

from scssl._registry import METRICS
from scssl.metrics._base import Measured, NotApplicable
from scssl.metrics._correlation import FLAT, blocks


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
    for t, p in blocks(truth, predicted):
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
    for t, p in blocks(truth, predicted):
        spread = ((t - t.mean(axis=0)) ** 2).sum(axis=0)
        varies = spread > FLAT
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

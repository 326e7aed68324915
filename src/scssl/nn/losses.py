"""Losses of self-supervised learning as pure functions of two projections of the same cells."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent(a: Tensor, b: Tensor, temperature: float, group: Tensor | None = None) -> Tensor:
    """Normalised temperature-scaled cross-entropy :cite:p:`chen2020simclr`.

    Each of the 2N projections has to find the other view of its cell among the other 2N - 1.

    Parameters
    ----------
    a, b
        Projections of the two views, shape ``(cells, width)``.
    temperature
        Divides the cosines.
    group
        Integer code of each cell, shape ``(cells,)``: cells of other groups are left out of the comparison, so that
        recognising the group does not help. ``None`` compares all with all.

    Returns
    -------
    Tensor
        Mean over the 2N projections.
    """
    n = len(a)
    z = F.normalize(torch.cat((a, b)).float(), dim=1)
    logits = z @ z.T / temperature
    excluded = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    if group is not None:
        codes = group.repeat(2)
        excluded |= codes[:, None] != codes[None, :]
    target = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits.masked_fill(excluded, -torch.inf), target)


def invariance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of the two projections over cells and dimensions."""
    return F.mse_loss(a, b)


def variance(z: Tensor, floor: float = 1.0, epsilon: float = 1e-4) -> Tensor:
    """How far the standard deviation of each dimension is below `floor`, mean over dimensions."""
    return F.relu(floor - (z.var(dim=0) + epsilon).sqrt()).mean()


def covariance(z: Tensor) -> Tensor:
    """Sum of the squared covariances of different dimensions, divided by the number of dimensions."""
    n, width = z.shape
    centred = z - z.mean(dim=0)
    product = centred.T @ centred / (n - 1)
    return (product.square().sum() - product.diagonal().square().sum()) / width


def vicreg(
    a: Tensor, b: Tensor, *, invariance_weight: float, variance_weight: float, covariance_weight: float
) -> dict[str, Tensor]:
    """Variance-invariance-covariance regularisation :cite:p:`bardes2022vicreg`.

    Returns
    -------
    dict
        The weighted sum as ``loss`` and its terms unweighted: ``invariance`` of the views, ``variance`` (mean of the two
        views) and ``covariance`` (sum over the two views).
    """
    terms = {
        "invariance": invariance(a, b),
        "variance": (variance(a) + variance(b)) / 2,
        "covariance": covariance(a) + covariance(b),
    }
    weights = (invariance_weight, variance_weight, covariance_weight)
    weighted = [weight * term for weight, term in zip(weights, terms.values(), strict=True)]
    return {"loss": torch.stack(weighted).sum(), **terms}


def barlow_twins(a: Tensor, b: Tensor, *, redundancy_weight: float) -> dict[str, Tensor]:
    """Redundancy reduction :cite:p:`zbontar2021barlow`: the cross-correlation of the views becomes the identity.

    Each dimension is standardised over the cells of its own view.

    Returns
    -------
    dict
        The weighted sum as ``loss``; ``invariance``, the sum of ``(1 - C_ii)^2``; ``redundancy``, the sum of ``C_ij^2``
        over different dimensions.
    """
    standard = [(z - z.mean(dim=0)) / (z.std(dim=0, correction=0) + 1e-5) for z in (a, b)]
    correlation = standard[0].T @ standard[1] / len(a)
    on = correlation.diagonal()
    terms = {"invariance": (1 - on).square().sum(), "redundancy": correlation.square().sum() - on.square().sum()}
    return {"loss": terms["invariance"] + redundancy_weight * terms["redundancy"], **terms}


def distance_to_target(prediction: Tensor, target: Tensor) -> Tensor:
    """Minus the mean cosine of predictions and targets; no gradient reaches the targets."""
    return -F.cosine_similarity(prediction, target.detach(), dim=1).mean()

"""Losses of self-supervised learning as pure functions: of two projections of the same cells, or of values and what they should be."""

from __future__ import annotations

import math
from typing import Any

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


def info_nce(query: Tensor, key: Tensor, bank: Tensor, allowed: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding the own key among keys of other cells :cite:p:`he2020moco`.

    Parameters
    ----------
    query, key
        Projections of the two views, shape ``(cells, width)``.
    bank
        Keys of length one, shape ``(size, width)``.
    allowed
        Which keys of the bank each cell is compared with, boolean of shape ``(cells, size)``.
    temperature
        Divides the cosines.

    Returns
    -------
    Tensor
        Mean over the cells of the cross-entropy, shifted by ``log((1 + size) / (1 + number of allowed keys))``. The shift
        changes no gradient. With it guessing costs ``log(1 + size)`` whatever the number of keys, so that a bank that
        is being filled does not look like a run that gets worse. A cell with no allowed key has no gradient.
    """
    query, key = (F.normalize(z.float(), dim=1) for z in (query, key))
    same = (query * key).sum(dim=1, keepdim=True)
    others = (query @ bank.T).float().masked_fill(~allowed, -torch.inf)
    logits = torch.cat((same, others), dim=1) / temperature
    shift = math.log1p(len(bank)) - allowed.sum(dim=1).log1p().mean()
    return F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.long)) + shift


def centred(z: Tensor, group: Tensor | None = None) -> tuple[Tensor, int]:
    """Every dimension minus its mean over the cells, or over the cells of the same group.

    Parameters
    ----------
    z
        Projections, shape ``(cells, width)``.
    group
        Integer code of each cell, shape ``(cells,)``; ``None`` is one group.

    Returns
    -------
    tuple
        The deviations, and the degrees of freedom that the means leave: cells minus groups, at least 1.
    """
    if group is None:
        return z - z.mean(dim=0), max(len(z) - 1, 1)
    names, member, counts = torch.unique(group, return_inverse=True, return_counts=True)
    means = z.new_zeros(len(names), z.shape[1]).index_add(0, member, z) / counts[:, None]
    return z - means[member], max(len(z) - len(names), 1)


def invariance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of the two projections over cells and dimensions."""
    return F.mse_loss(a, b)


def variance(z: Tensor, group: Tensor | None = None, *, floor: float = 1.0, epsilon: float = 1e-4) -> Tensor:
    """How far the standard deviation of each dimension (within groups) is below `floor`, mean over dimensions."""
    deviations, freedom = centred(z, group)
    return F.relu(floor - (deviations.square().sum(dim=0) / freedom + epsilon).sqrt()).mean()


def covariance(z: Tensor, group: Tensor | None = None) -> Tensor:
    """Sum of the squared covariances of different dimensions (within groups), divided by the number of dimensions."""
    deviations, freedom = centred(z, group)
    product = deviations.T @ deviations / freedom
    return (product.square().sum() - product.diagonal().square().sum()) / z.shape[1]


def vicreg(
    a: Tensor,
    b: Tensor,
    group: Tensor | None = None,
    *,
    invariance_weight: float,
    variance_weight: float,
    covariance_weight: float,
) -> dict[str, Tensor]:
    """Variance-invariance-covariance regularisation :cite:p:`bardes2022vicreg`.

    Parameters
    ----------
    a, b
        Projections of the two views, shape ``(cells, width)``.
    group
        Integer code of each cell: variances and covariances are those within groups, pooled over all groups (see
        :func:`centred`), so that no difference between groups counts as spread. ``None`` is one group.
    invariance_weight, variance_weight, covariance_weight
        Weights of the terms.

    Returns
    -------
    dict
        The weighted sum as ``loss`` and its terms unweighted: ``invariance`` of the views, ``variance`` (mean of the two
        views) and ``covariance`` (sum over the two views).
    """
    terms = {
        "invariance": invariance(a, b),
        "variance": (variance(a, group) + variance(b, group)) / 2,
        "covariance": covariance(a, group) + covariance(b, group),
    }
    weights = (invariance_weight, variance_weight, covariance_weight)
    weighted = [weight * term for weight, term in zip(weights, terms.values(), strict=True)]
    return {"loss": torch.stack(weighted).sum(), **terms}


def barlow_twins(a: Tensor, b: Tensor, group: Tensor | None = None, *, redundancy_weight: float) -> dict[str, Tensor]:
    """Redundancy reduction :cite:p:`zbontar2021barlow`: the cross-correlation of the views becomes the identity.

    Each dimension is standardised over the cells of its own view.

    Parameters
    ----------
    a, b
        Projections of the two views, shape ``(cells, width)``.
    group
        Integer code of each cell: the correlation is that within groups, pooled over all groups (the partial correlation
        given the group), so that no difference between groups counts as agreement. ``None`` is one group.
    redundancy_weight
        Weight of the correlations between different dimensions.

    Returns
    -------
    dict
        The weighted sum as ``loss``; ``invariance``, the sum of ``(1 - C_ii)^2``; ``redundancy``, the sum of ``C_ij^2``
        over different dimensions.
    """
    deviations = [centred(z, group)[0] for z in (a, b)]
    standard = [z / (torch.linalg.vector_norm(z, dim=0) / math.sqrt(len(z)) + 1e-5) for z in deviations]
    correlation = standard[0].T @ standard[1] / len(a)
    on = correlation.diagonal()
    terms = {"invariance": (1 - on).square().sum(), "redundancy": correlation.square().sum() - on.square().sum()}
    return {"loss": terms["invariance"] + redundancy_weight * terms["redundancy"], **terms}


def distance_to_target(prediction: Tensor, target: Tensor) -> Tensor:
    """Minus the mean cosine of predictions and targets; no gradient reaches the targets."""
    return -F.cosine_similarity(prediction, target.detach(), dim=1).mean()


def mean_squared(found: Tensor, wanted: Tensor, asked: Tensor | None = None) -> Tensor:
    """Mean squared error over the values that are asked for.

    Parameters
    ----------
    found, wanted
        Values of the same shape ``(cells, features)``.
    asked
        Boolean of that shape; ``None``: all. If nothing is asked for, the error is zero.
    """
    return _MeanSquared.apply(found, wanted, asked)


class _MeanSquared(torch.autograd.Function):
    """Four passes over the values where autograd takes ten: they are many, and the products beside them fast."""

    @staticmethod
    def forward(ctx: Any, found: Tensor, wanted: Tensor, asked: Tensor | None) -> Tensor:
        difference = found - wanted
        n = difference.numel()
        if asked is not None:
            difference *= asked
            n = int(torch.count_nonzero(asked))
        ctx.save_for_backward(difference)
        ctx.n = max(n, 1)
        return torch.linalg.vector_norm(difference, dim=1).square().sum() / ctx.n

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (difference,) = ctx.saved_tensors
        gradient = difference * (gradients[0] * 2 / ctx.n)
        return gradient, -gradient if ctx.needs_input_grad[1] else None, None

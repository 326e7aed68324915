"""Log likelihoods of counts as pure functions; everything in logarithms, so that nothing overflows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def negative_binomial(counts: Tensor, log_mean: Tensor, log_dispersion: Tensor) -> Tensor:
    r"""Log probability of counts with mean :math:`\mu` and variance :math:`\mu + \mu^2 / \theta`.

    Parameters
    ----------
    counts
        Whole numbers of at least 0.
    log_mean
        :math:`\log \mu`, of the same shape.
    log_dispersion
        :math:`\log \theta`, broadcast; the larger, the nearer to a Poisson distribution.

    Returns
    -------
    Tensor
        One value for each count.
    """
    dispersion = log_dispersion.exp()
    log_sum = torch.logaddexp(log_dispersion, log_mean)
    ways = torch.lgamma(counts + dispersion) - torch.lgamma(dispersion) - torch.lgamma(counts + 1)
    return ways + dispersion * (log_dispersion - log_sum) + counts * (log_mean - log_sum)


def zero_inflated(counts: Tensor, log_mean: Tensor, log_dispersion: Tensor, dropout: Tensor) -> Tensor:
    """Log probability of counts that are zero with probability ``sigmoid(dropout)``, else :func:`negative_binomial`.

    Parameters
    ----------
    counts, log_mean, log_dispersion
        As for :func:`negative_binomial`.
    dropout
        Log odds of a zero that is not one of the negative binomial.

    Returns
    -------
    Tensor
        One value for each count.
    """
    measured = negative_binomial(counts, log_mean, log_dispersion) - F.softplus(dropout)
    return torch.where(counts == 0, torch.logaddexp(-F.softplus(-dropout), measured), measured)

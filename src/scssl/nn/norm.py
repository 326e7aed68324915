"""Batch norm that can tell experimental batches apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHARED, DOMAIN, NONE = BATCH_NORMS = ("shared", "domain", "none")


class BatchNorm1d(nn.BatchNorm1d):
    """Batch norm that survives a single cell: alone it has no statistics, the running ones are used."""

    def forward(self, x: Tensor) -> Tensor:
        """Values of shape ``(cells, features)`` in, standardised ones out."""
        if self.training and len(x) < 2:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class DomainBatchNorm1d(BatchNorm1d):
    """Batch norm with statistics of each domain (experimental batch); scale and shift are shared.

    In training the cells of a domain are standardised by their own mean and variance in the mini-batch, as by a batch
    norm for each domain :cite:p:`chang2019domain`. A cell that is the only one of its domain has no variance: it gets the
    pooled statistics of the mini-batch.

    In eval mode a cell gets the running statistics of its domain alone, a cell of an unseen domain the pooled ones.
    A domain that was met in few steps leans on the pooled ones too: after :math:`n` steps with momentum :math:`m` its
    own statistics count :math:`1 - (1 - m)^n`. What a cell becomes never depends on other cells.

    Parameters
    ----------
    features
        Width of the layer.
    n_domains
        Number of domains.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float
    domain_mean: Tensor
    domain_var: Tensor
    domain_weight: Tensor

    def __init__(self, features: int, n_domains: int) -> None:
        super().__init__(features)
        self.n_domains = n_domains
        self.register_buffer("domain_mean", torch.zeros(n_domains, features))
        self.register_buffer("domain_var", torch.zeros(n_domains, features))
        self.register_buffer("domain_weight", torch.zeros(n_domains, 1))

    def forward(self, x: Tensor, domain: Tensor | None = None) -> Tensor:
        """Standardise each cell by the statistics of its domain.

        Parameters
        ----------
        x
            Values of shape ``(cells, features)``.
        domain
            Number of the domain of each cell, -1 where it is not known; ``None``: no cell's is known.
        """
        if domain is None or (self.training and len(x) < 2):
            return super().forward(x)
        domain = torch.where(domain < 0, self.n_domains, domain)  # the last place is for the pooled statistics
        values = x.float()
        mean, var, domain = self._of_these(values, domain) if self.training else (*self._remembered(), domain)
        scale = (var + self.eps).rsqrt() * self.weight
        return ((values - mean[domain]) * scale[domain] + self.bias).to(x.dtype)

    def _of_these(self, x: Tensor, domain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance of each domain in the mini-batch, pooled ones last, and where each cell finds its own."""
        n = x.new_zeros(self.n_domains + 1, 1).index_add(0, domain, x.new_ones(len(x), 1))
        own = n > 1
        own[-1] = False
        domain = torch.where(own[domain, 0], domain, self.n_domains)
        pooled_var, pooled_mean = torch.var_mean(x, 0, correction=0)
        zeros = x.new_zeros(self.n_domains + 1, x.shape[1])
        mean = torch.where(own, zeros.index_add(0, domain, x) / n.clamp(min=1), pooled_mean)
        squares = (x - mean[domain]).square()
        var = torch.where(own, zeros.index_add(0, domain, squares) / n.clamp(min=1), pooled_var)
        self._remember(torch.where(own, n, len(x)), mean, var, own)
        return mean, var, domain

    @torch.no_grad()
    def _remember(self, n: Tensor, mean: Tensor, var: Tensor, met: Tensor) -> None:
        """Running statistics move towards those of the mini-batch: the pooled ones, and those of the domains met."""
        var = var * n / (n - 1)
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean[-1], self.momentum)
        self.running_var.lerp_(var[-1], self.momentum)
        step = self.momentum * met[:-1].float()
        self.domain_mean.lerp_(mean[:-1], step)
        self.domain_var.lerp_(var[:-1], step)
        self.domain_weight.lerp_(torch.ones_like(step), step)

    def _remembered(self) -> tuple[Tensor, Tensor]:
        """Running mean and variance of each domain, pooled ones last."""
        rest = 1 - self.domain_weight
        mean = torch.cat((self.domain_mean + rest * self.running_mean, self.running_mean[None]))
        var = torch.cat((self.domain_var + rest * self.running_var, self.running_var[None]))
        return mean, var

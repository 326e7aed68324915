"""Local inverse Simpson index: the effective number of groups around a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scssl._neighbors import Neighbors

_STEPS = 50
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Weights:
    """How much each neighbour of a cell counts: a kernel whose width gives every cell the same perplexity.

    The cell itself is the first of the 90 and has no weight, as in scib-metrics since 0.5.0 (checked: 0.5.10, 0.6.0 and
    0.6.1); up to 0.4.1 it counted as a neighbour at distance 0, which lowers LISI.

    Parameters
    ----------
    indices
        Neighbours, shape ``(n, k)``.
    weights
        Rows sum to 1; the cell itself has weight 0.
    """

    indices: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, neighbors: Neighbors) -> Weights:
        """Weights with a perplexity of a third of the neighbours :cite:p:`korsunsky2019harmony`."""
        mine = neighbors.indices == np.arange(len(neighbors.indices))[:, None]
        distances = neighbors.distances.astype(np.float64)
        # the kernel does not depend on an offset, and without it exp cannot vanish for all neighbours
        distances -= np.where(mine, np.inf, distances).min(axis=1, keepdims=True)
        distances[mine] = np.inf
        return cls(neighbors.indices, _kernel(distances, np.log(max(1, neighbors.k // 3))))

    def simpson(self, codes: np.ndarray, n_groups: int) -> np.ndarray:
        """Inverse Simpson index of every cell: 1 (one group around it) to `n_groups`.

        Neighbours with a negative code do not count; a cell with no other neighbours has NaN.
        """
        n, k = self.indices.shape
        around = codes[self.indices]
        counted = np.where(around >= 0, self.weights, 0.0)
        place = np.repeat(np.arange(n) * n_groups, k) + np.maximum(around, 0).ravel()
        share = np.bincount(place, weights=counted.ravel(), minlength=n * n_groups).reshape(n, n_groups)
        total = share.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return total**2 / (share**2).sum(axis=1)


def _kernel(distances: np.ndarray, entropy: float) -> np.ndarray:
    """Normalised ``exp(-beta d)`` per row, with `beta` found by bisection so that each row has the given entropy."""
    n = len(distances)
    beta, low, high = np.ones(n), np.zeros(n), np.full(n, np.inf)
    weights = np.zeros_like(distances)
    active = np.arange(n)
    for _ in range(_STEPS + 1):
        here = distances[active]
        with np.errstate(under="ignore", invalid="ignore"):
            kernel = np.exp(-here * beta[active, None])
        total = kernel.sum(axis=1)
        mean = (np.where(np.isinf(here), 0.0, here) * kernel).sum(axis=1) / total
        excess = np.log(total) + beta[active] * mean - entropy
        weights[active] = kernel / total[:, None]
        open_ = np.abs(excess) >= _TOLERANCE
        active, excess = active[open_], excess[open_]
        if not len(active):
            break
        wide, narrow = active[excess > 0], active[excess <= 0]
        low[wide], high[narrow] = beta[wide], beta[narrow]
        doubled = np.isinf(high[active])
        with np.errstate(invalid="ignore"):
            beta[active] = np.where(doubled, beta[active] * 2, (low[active] + high[active]) / 2)
    return weights

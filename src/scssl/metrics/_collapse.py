"""Has an embedding lost its cells? A dead encoder scores better than noise in the usual total, so it must be said."""

from __future__ import annotations

import numpy as np

_NO_SPREAD = 1e-4
_ONE_DIMENSION = 1.01
_SHARE, _POINT = 0.9, 1e-4


def effective_rank(embedding: np.ndarray) -> float:
    """Number of directions in which cells differ: exp of the entropy of the shares of variance.

    The effective rank of :cite:p:`roy2007effective` on squared singular values: stricter than the one on the singular
    values themselves, which training is watched with, so that a healthy embedding is never taken for a dead one.

    Parameters
    ----------
    embedding
        Shape ``(n, width)``, finite.

    Returns
    -------
    Between 1 (a line) and the width (a ball); 0 if all cells are equal.
    """
    x = embedding.astype(np.float64)
    x = x - x.mean(axis=0)
    spectrum = np.linalg.eigvalsh(x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T).clip(min=0.0)
    total = spectrum.sum()
    if total <= 0.0:
        return 0.0
    share = spectrum[spectrum > 0] / total
    return float(np.exp(-(share * np.log(share)).sum()))


def collapsed(embedding: np.ndarray) -> str:
    """Why an embedding must be called collapsed, or an empty string if it is healthy.

    Parameters
    ----------
    embedding
        Shape ``(n, width)``, finite.

    Returns
    -------
    A sentence with the number that gave it away: no spread, nearly all cells in one point, or one direction only.
    """
    x = np.asarray(embedding, dtype=np.float64)
    size = float(np.sqrt((x**2).sum(axis=1).mean()))
    away = x - x.mean(axis=0)
    spread = float(np.sqrt((away**2).sum(axis=1).mean()))
    if spread <= _NO_SPREAD * size:
        return f"collapsed: cells differ by {spread:.1e}, the embedding has size {size:.1e}."
    in_point = float((np.linalg.norm(x - np.median(x, axis=0), axis=1) <= _POINT * spread).mean())
    if in_point >= _SHARE:
        return f"collapsed: {in_point:.1%} of the cells lie in one point."
    rank = effective_rank(x / spread)
    if x.shape[1] > 1 and rank < _ONE_DIMENSION:
        return f"collapsed: effective rank {rank:.3f} of {x.shape[1]}, all cells lie on a line."
    return ""

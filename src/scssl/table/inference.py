"""What a few repeats can tell: intervals, comparisons of two methods, ranks with their uncertainty.

Everything is an interval or a test of Student's type, in closed form. With three to ten repeats these hold their level
(the tests simulate it), where percentiles of a bootstrap :cite:p:`efron1986bootstrap` cover too little.
Missing repeats are NaN and count as fewer repeats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
_SAME = 1e-9
"""Differences below this are rounding."""


def half_width(sd: np.ndarray, n: np.ndarray, *, level: float = LEVEL) -> np.ndarray:
    """Half of the interval of a mean of `n` independent repeats with standard deviation `sd`; NaN below two repeats."""
    from scipy import stats

    sd, n = np.asarray(sd, dtype=float), np.asarray(n, dtype=float)
    enough = n >= 2
    safe = np.where(enough, n, 2.0)
    return np.where(enough, stats.t.ppf((1 + level) / 2, safe - 1) * sd / np.sqrt(safe), np.nan)


@dataclass(frozen=True)
class Difference:
    """``a - b``: its estimate, interval and p-value, arrays of one shape."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def difference(a: np.ndarray, b: np.ndarray, *, paired: bool, level: float = LEVEL) -> Difference:
    """Compare the means of two methods.

    Parameters
    ----------
    a, b
        Repeats along the last axis, NaN where there is none; the other axes are broadcast.
    paired
        Repeat for repeat (data sets: what makes one hard is hard for both, and cancels). Otherwise Welch's comparison
        :cite:p:`welch1947generalization`: methods draw differently from the same seed, and may differ in spread, down
        to none at all.
    level
        Of the interval.
    """
    from scipy import stats

    a, b = np.broadcast_arrays(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    value, se, df = _paired(a - b) if paired else _welch(a, b)
    known = np.isfinite(se)
    certain = known & (se <= _SAME)
    df = np.where(np.isfinite(df) & (df > 0), df, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * stats.t.sf(np.abs(value) / np.where(certain, np.nan, se), df)
    p = np.where(certain, np.where(np.abs(value) > _SAME, 0.0, 1.0), p)
    wide = np.where(known, stats.t.ppf((1 + level) / 2, df) * se, np.nan)
    return Difference(value, value - wide, value + wide, np.where(known, p, np.nan))


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance of the mean and number of repeats; NaN where they cannot be known."""
    n = np.isfinite(x).sum(axis=-1)
    mean = np.where(n > 0, np.nansum(x, axis=-1) / np.maximum(n, 1), np.nan)
    squares = np.nansum((x - mean[..., None]) ** 2, axis=-1)
    return mean, np.where(n > 1, squares / np.maximum(n - 1, 1) / np.maximum(n, 1), np.nan), n


def _paired(d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean, variance, n = _moments(d)
    return mean, np.sqrt(variance), n - 1.0


def _welch(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (mean_a, var_a, n_a), (mean_b, var_b, n_b) = _moments(a), _moments(b)
    variance = var_a + var_b
    with np.errstate(invalid="ignore", divide="ignore"):
        df = variance**2 / (var_a**2 / np.maximum(n_a - 1, 1) + var_b**2 / np.maximum(n_b - 1, 1))
    return mean_a - mean_b, np.sqrt(variance), df


def holm(p: np.ndarray) -> np.ndarray:
    """P-values adjusted for their number, so that one false finding among all is as rare as one was before.

    NaN stays NaN and does not count :cite:p:`holm1979simple`.
    """
    p = np.asarray(p, dtype=float)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return adjusted


def rank_intervals(values: np.ndarray, *, paired: bool, level: float = LEVEL) -> np.ndarray:
    """Between which ranks each method lies, all at once with probability `level` :cite:p:`mogstad2024inference`.

    Every pair is compared and the p-values are adjusted by :func:`holm`. The best possible rank of a method is one more
    than the number of methods that are better beyond chance, its worst possible one is what those that are worse leave.

    Parameters
    ----------
    values
        Methods by repeats, higher is better, NaN where a repeat is missing.
    paired
        As for :func:`difference`.
    level
        Probability that all intervals hold their true rank.

    Returns
    -------
    Integers of shape ``(methods, 2)``. A method whose interval begins with 1 cannot be told from the best.
    """
    n = len(values)
    first, second = np.triu_indices(n, 1)
    found = difference(values[first], values[second], paired=paired)
    sure = np.nan_to_num(holm(found.p), nan=1.0) <= 1 - level
    better = np.zeros((n, n), dtype=bool)  # [i, j]: i is better than j
    better[first, second] = sure & (found.value > 0)
    better[second, first] = sure & (found.value < 0)
    return np.stack([1 + better.sum(axis=0), n - better.sum(axis=1)], axis=1)

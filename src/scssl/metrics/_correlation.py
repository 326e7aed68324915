"""Correlation and precision, feature by feature or cell by cell; a block of features at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl.metrics._base import Measured, NotApplicable

if TYPE_CHECKING:
    from collections.abc import Iterator


_BLOCK_VALUES = 2**21
FLAT = 1e-12


def correlations(truth: np.ndarray, predicted: np.ndarray, *, ranks: bool = False) -> np.ndarray:
    """Correlation of every column of `truth` that varies with that of `predicted`; 0 where that one is constant."""
    from scipy.stats import rankdata

    found = []
    for t, p in blocks(truth, predicted):
        if ranks:
            t, p = rankdata(t, axis=0), rankdata(p, axis=0)
        t_away, p_away = t - t.mean(axis=0), p - p.mean(axis=0)
        size_t, size_p = np.linalg.norm(t_away, axis=0), np.linalg.norm(p_away, axis=0)
        varies = size_t > FLAT * np.maximum(np.linalg.norm(t, axis=0), 1.0)
        moves = size_p > FLAT * np.maximum(np.linalg.norm(p, axis=0), 1.0)
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


def mean_correlation(truth: np.ndarray, predicted: np.ndarray, what: str, *, ranks: bool = False) -> Measured:
    """Mean over the columns of the correlation of true and predicted values, of all that vary."""
    found = correlations(truth, predicted, ranks=ranks)
    if not len(found):
        msg = f"the true values of all {truth.shape[1]} {what} are constant"
        raise NotApplicable(msg)
    left_out = truth.shape[1] - len(found)
    return Measured(float(found.mean()), f"{left_out} constant {what} are left out." if left_out else "")


def blocks(truth: np.ndarray, predicted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Both in double precision, some columns at a time."""
    step = max(1, _BLOCK_VALUES // max(len(truth), 1))
    for start in range(0, truth.shape[1], step):
        here = slice(start, start + step)
        yield truth[:, here].astype(np.float64), predicted[:, here].astype(np.float64)

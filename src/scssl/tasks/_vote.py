"""Labels by the vote of the nearest neighbours: for the typing task and for label transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scssl._protocol import NEAREST

if TYPE_CHECKING:
    from scssl._neighbors import Neighbors

UNIFORM, DISTANCE = WEIGHTS = ("uniform", "distance")


@dataclass(frozen=True)
class Vote:
    """Result of a vote.

    Parameters
    ----------
    codes
        Winning label of each cell, as its number.
    share
        Share of the votes that it had, 0 to 1.
    tied
        Labels that had as many votes as the winner where they decided: booleans, cells by labels, no true value in the
        rows of cells with a single best label.
    """

    codes: np.ndarray
    share: np.ndarray
    tied: np.ndarray


def vote(
    neighbors: Neighbors, codes: np.ndarray, n_labels: int, *, weights: str = UNIFORM, ties: str = NEAREST
) -> Vote:
    """Let the neighbours of every cell vote.

    Parameters
    ----------
    neighbors
        Neighbours of the query cells in the reference.
    codes
        Label of each reference cell, as a number.
    n_labels
        Number of labels.
    weights
        ``"uniform"``, or ``"distance"``: a neighbour counts by the inverse of its distance, and only those at distance
        0 count if there are any.
    ties
        ``"nearest"``: the tied label whose neighbour is nearest wins, so that names of labels do not matter.
        ``"first"``: the first label wins, as in scikit-learn.
    """
    n, k = neighbors.indices.shape
    weight = np.ones((n, k)) if weights == UNIFORM else _by_distance(neighbors.distances)
    place = (np.arange(n)[:, None] * n_labels + codes[neighbors.indices]).ravel()

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights=values.ravel(), minlength=n * n_labels).reshape(n, n_labels)

    votes = summed(weight)
    winner, best = votes.argmax(axis=1), votes.max(axis=1, keepdims=True)
    tied = votes >= best * (1 - 1e-12)
    if ties == NEAREST:
        # a sum of halving terms is largest for the label of the nearest neighbour
        nearness = summed(np.broadcast_to(0.5 ** np.arange(1, k + 1), (n, k)))
        winner = np.where(tied, nearness, -1.0).argmax(axis=1)
    tied &= tied.sum(axis=1, keepdims=True) > 1
    return Vote(winner, votes[np.arange(n), winner] / votes.sum(axis=1), tied)


def _by_distance(distances: np.ndarray) -> np.ndarray:
    touching = distances == 0
    with np.errstate(divide="ignore"):
        return np.where(touching.any(axis=1, keepdims=True), touching, 1.0 / distances)

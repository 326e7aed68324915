"""Cells that are not trained on, so that training knows when to stop."""

from __future__ import annotations

import numpy as np

from scssl import _random

SHARE = 0.1  # of the labelled cells, at least, if whole groups are held out
MOST = 0.5


def by_group(codes: np.ndarray, groups: np.ndarray, *, seed: int) -> np.ndarray:
    """Whole groups (donors, batches), drawn until they hold a tenth of the cells.

    A group is passed over if it holds the last training cells of a label, or if more than half of the cells would be gone.

    Parameters
    ----------
    codes
        Label of each cell, as codes.
    groups
        Group of each cell.

    Returns
    -------
    Which cells are held out; none if no group can be spared.
    """
    held = np.zeros(len(codes), dtype=bool)
    names = np.unique(groups)
    for name in _random.generator(seed, "held_out").permutation(names):
        more = held | (groups == name)
        if more.mean() <= MOST and len(np.unique(codes[~more])) == len(np.unique(codes)):
            held = more
        if held.mean() >= SHARE:
            break
    return held


def at_random(n_obs: int, share: float, *, seed: int) -> np.ndarray:
    """Positions of a share of the cells, rounded down."""
    return np.sort(_random.generator(seed, "held_out").permutation(n_obs)[: int(share * n_obs)])


def by_cell(codes: np.ndarray, *, seed: int) -> np.ndarray:
    """A tenth of the cells of each label, rounded down: a label of fewer than ten cells keeps them all for training."""
    rng, held = _random.generator(seed, "held_out"), np.zeros(len(codes), dtype=bool)
    for code in np.unique(codes):
        cells = np.flatnonzero(codes == code)
        held[rng.permutation(cells)[: int(SHARE * len(cells))]] = True
    return held

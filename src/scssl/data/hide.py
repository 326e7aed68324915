"""Entries of a matrix that are hidden from a model: the same wherever they are asked for; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _random

if TYPE_CHECKING:
    from collections.abc import Iterable

SHARE = 0.15


def hidden(cells: np.ndarray, features: np.ndarray, *, seed: int = 0, share: float = SHARE) -> np.ndarray:
    """Which entries are hidden: a function of the names of cell and feature and of the seed alone.

    Parameters
    ----------
    cells, features
        64-bit keys of the cell and of the feature of each entry; they are broadcast.
    seed
        Seed of the draw.
    share
        Share of the entries.

    Returns
    -------
    Booleans of the broadcast shape.
    """
    salt = _random.derive(seed, "hide") >> 1
    drawn = _random.mix(_random.mix(cells.astype(np.uint64), salt) ^ features.astype(np.uint64), salt + 1)
    return drawn < np.uint64(share * 2**64)


def keys(names: Iterable[str]) -> np.ndarray:
    """64-bit keys of names."""
    return pd.util.hash_array(np.asarray(list(names), dtype=object))

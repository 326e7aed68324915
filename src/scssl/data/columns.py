"""Columns of ``obs``, wherever an AnnData or MuData keeps them; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl._validate import enforce
from scssl._validate.columns import places, present

if TYPE_CHECKING:
    from numpy.typing import NDArray


def column(data: Any, key: str, *, parameter: str) -> pd.Series:
    """The column `key`, one value a cell of `data`: of the object, else of the first modality that has it.

    Raises
    ------
    KeyNotFoundError
        If no such column exists; lists those that do.
    """
    enforce(present(data, key, parameter))
    return next(places(data, key))


def codes(values: pd.Series) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Integer codes and names of the categories that occur (unused ones are dropped)."""
    categorical = pd.Categorical(values.astype(str))
    return categorical.codes.astype(np.int64), tuple(str(c) for c in categorical.categories)

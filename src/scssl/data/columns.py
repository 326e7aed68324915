"""Columns of ``obs``, wherever an AnnData or MuData keeps them; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl._validate import enforce
from scssl._validate.columns import places, present

if TYPE_CHECKING:
    from numpy.typing import NDArray


def is_mudata(data: Any) -> bool:
    """Whether an object holds several modalities."""
    return hasattr(data, "mod")


def column(data: Any, key: str, *, parameter: str) -> pd.Series:
    """The column `key`, one value a cell of `data`: of the object, else of the first modality that has it.

    Raises
    ------
    KeyNotFoundError
        If no such column exists; lists those that do.
    """
    enforce(present(data, key, parameter))
    return next(places(data, key))


def as_text(values: pd.Series) -> pd.Series:
    """The values as text, missing ones as ``nan`` or ``None``, which pandas 3 would leave missing; dtype object."""
    made, absent = values.astype(str).astype(object), values.isna().to_numpy()
    if absent.any():
        made.iloc[absent] = [str(value) for value in values[absent]]
    return made


def codes(values: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Integer codes and names of the categories that occur (unused ones are dropped)."""
    categorical = pd.Categorical(as_text(values))
    return categorical.codes.astype(np.int64), [str(c) for c in categorical.categories]

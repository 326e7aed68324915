"""Columns of ``obs``, wherever an AnnData or MuData keeps them; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from scssl._validate import enforce
from scssl._validate.places import found, present

if TYPE_CHECKING:
    from numpy.typing import NDArray


def column(data: object, key: str, *, parameter: str) -> pd.Series:
    """The column `key`, one value a cell of `data`: of the object, else of its modalities, see :func:`found`.

    Raises
    ------
    KeyNotFoundError
        If no such column exists; lists those that do.
    """
    enforce(present(data, key, parameter))
    return cast("pd.Series", found(data, key))


def classes(values: pd.Series) -> pd.Categorical:
    """Labels as categories of their own type (text, whole numbers, booleans), in the order of the column; those that occur."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return pd.Categorical(values.cat.remove_unused_categories())
    return pd.Categorical(values.astype(object).infer_objects())


def as_text(values: pd.Series) -> pd.Series:
    """The values as text, missing ones as ``nan`` or ``None``, which pandas 3 would leave missing; dtype object."""
    made, absent = values.astype(str).astype(object), np.flatnonzero(values.isna())
    if len(absent):
        made.iloc[absent] = [str(value) for value in values.iloc[absent]]
    return made


def codes(values: pd.Series) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Integer codes and names of the categories that occur (unused ones are dropped)."""
    categorical = pd.Categorical(as_text(values))
    return categorical.codes.astype(np.int64), tuple(str(c) for c in categorical.categories)

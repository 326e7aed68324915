"""Columns of ``obs``, wherever an AnnData or MuData keeps them; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl._registry import listed, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_mudata(data: Any) -> bool:
    """Whether an object holds several modalities."""
    return hasattr(data, "mod")


def places(data: Any, key: str) -> Iterator[pd.Series]:
    """The columns that `key` may mean: of the object, then of each modality (``key`` or ``modality:key``)."""
    if key in data.obs:
        yield data.obs[key]
    for name, part in data.mod.items() if is_mudata(data) else ():
        if f"{name}:{key}" in data.obs:
            yield data.obs[f"{name}:{key}"]
        if key in part.obs:
            yield part.obs[key].reindex(data.obs_names)


def column(data: Any, key: str, *, parameter: str) -> pd.Series:
    """The column `key`, one value a cell of `data`.

    Raises
    ------
    KeyNotFoundError
        If no such column exists; lists those that do.
    """
    for found in places(data, key):
        return found
    known = list(map(str, data.obs.columns))
    if is_mudata(data):
        known += [f"{name}:{c}" for name, part in data.mod.items() for c in part.obs.columns]
    error = unknown("obs column", key, known, parameter=parameter)
    error.message = f"{parameter}={key!r} is not a column of obs, which has {listed(known)}."
    raise error


def codes(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Integer codes and names of the categories that occur (unused ones are dropped)."""
    categorical = pd.Categorical(values.astype(str))
    return categorical.codes.astype(np.int64), [str(c) for c in categorical.categories]

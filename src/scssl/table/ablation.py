"""Axes of an ablation, read back from the names of its lines."""

from __future__ import annotations

import pandas as pd

from scssl import _results


def columns(table: pd.DataFrame) -> pd.DataFrame:
    """One column per axis, read from the names of the lines: numbers where all values are numbers, else text.

    Lines without a value on an axis (controls, other methods) have ``None``, or NaN among numbers.
    """
    found = {key: _results.axes_of(key) for key in table["key"].unique()}
    axes = list(dict.fromkeys(axis for values in found.values() for axis in values))
    made = {}
    for axis in axes:
        values = table["key"].map({key: of.get(axis) for key, of in found.items()})
        numbers = pd.to_numeric(values, errors="coerce")
        made[axis] = numbers if numbers.notna().equals(values.notna()) else values.astype(object)
    return pd.DataFrame(made, index=table.index)

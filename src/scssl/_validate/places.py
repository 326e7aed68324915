"""Where a column of ``obs`` comes from: one rule for AnnData and MuData, and a sentence where two places disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl._parts import modalities, multimodal
from scssl._validate._problem import WARNING, Problem
from scssl._words import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl._types import Data

_MOST_GROUPS = 256  # looked at one by one
_CELLS_OF_GROUP = 8  # on average; fewer cells say nothing of their group


def places(data: Data, name: str) -> dict[str, pd.Series]:
    """The columns that `name` may mean, by the place where they stand, one value a cell; the first ones count most.

    In a MuData they are: the column of the whole object; the own columns of the modalities; copies of these that were
    pulled into the whole object, such as ``rna:batch``, which do not follow when the modality is corrected. A name with a
    modality before it means that modality alone: its own column, then the copy.
    """
    if not multimodal(data):
        return {f"obs[{name!r}]": _native(data.obs[name])} if name in data.obs else {}
    modality, _, rest = name.partition(":")
    alone = bool(rest) and modality in data.mod
    wanted = {modality: rest} if alone else dict.fromkeys(data.mod, name)
    there: dict[str, pd.Series] = {}
    if not alone and name in data.obs:
        there[f"obs[{name!r}]"] = _native(data.obs[name])
    for key, column in wanted.items():
        if column in data.mod[key].obs:
            there[f"mod[{key!r}].obs[{column!r}]"] = _spread(data.mod[key].obs[column], data.obs_names)
    for key, column in wanted.items():
        if f"{key}:{column}" in data.obs:
            there[f"obs['{key}:{column}']"] = _native(data.obs[f"{key}:{column}"])
    return there


def found(data: object, name: str) -> pd.Series | None:
    """The column `name`: of the whole object if it has one, else of the modalities, each cell from the first that names it.

    ``None`` if there is no such column; a frame if several columns of one table have the name.
    """
    there = places(data, name)
    values = list(there.values())
    if not values or f"obs[{name!r}]" == next(iter(there)) or any(isinstance(part, pd.DataFrame) for part in values):
        return next((part for part in values if isinstance(part, pd.DataFrame)), values[0] if values else None)
    first = values[0]
    for other in values[1:]:
        if not first.isna().any():
            break
        first = _completed(first, other)
    return first if first.isna().any() else first.infer_objects()


def groups(data: object, name: object, cells: pd.Index) -> pd.Series | None:
    """The value of the column for some cells as text, where it tells groups of cells apart; else ``None``.

    For looks at each batch for itself, before and beside the checks of the column: none is needed.
    """
    values = found(data, name) if isinstance(name, str) else None
    if not isinstance(values, pd.Series) or values.isna().any():
        return None
    text = values.astype(str)
    text = text if text.index.equals(cells) else text.reindex(cells)
    n = text.nunique()
    return text if n <= _MOST_GROUPS and n * _CELLS_OF_GROUP <= len(text) else None


def disagreement(data: Data, name: str, parameter: str) -> Iterator[Problem]:
    """Places of one column that name cells differently: which of them is used."""
    there = places(data, name)
    used = found(data, name) if len(there) > 1 else None
    if used is None:
        return
    mine, first = used.to_numpy(dtype=object), next(iter(there))
    for place, values in list(there.items())[1:]:
        other = values.to_numpy(dtype=object)
        known = (used.notna() & values.notna()).to_numpy()
        differ = np.flatnonzero(
            known & np.array([a != b and str(a) != str(b) for a, b in zip(mine, other, strict=True)])
        )
        if len(differ):
            i = differ[0]
            message = (
                f"{parameter}={name!r}: {len(differ)} of {int(known.sum())} cells are named differently in {first} and "
                f"{place} (cell {str(data.obs_names[i])!r}: {mine[i]!r} and {other[i]!r}); {first} is used."
            )
            fix = "Correct or delete the other one, or say which one is meant: a modality before the name, as in 'rna:batch'."
            yield Problem("columns_disagree", parameter, message, fix, WARNING)


def _native(values: pd.Series) -> pd.Series:
    """The values in the byte order of this machine, which pandas needs for grouping."""
    if isinstance(values, pd.Series) and isinstance(values.dtype, np.dtype) and not values.dtype.isnative:
        return values.astype(values.dtype.newbyteorder("="))
    return values


def _spread(values: pd.Series, cells: pd.Index) -> pd.Series:
    """A column of a modality for all cells; whole numbers stay whole where some cells lack it."""
    values = _native(values)
    if values.index.equals(cells):
        return values
    plain = isinstance(values, pd.Series) and isinstance(values.dtype, np.dtype)
    return (values.astype(object) if plain else values).reindex(cells)


def _completed(first: pd.Series, other: pd.Series) -> pd.Series:
    """The first column, and where it says nothing the other one."""
    values = np.where(first.notna(), first.to_numpy(dtype=object), other.to_numpy(dtype=object))
    if isinstance(first.dtype, pd.CategoricalDtype) and isinstance(other.dtype, pd.CategoricalDtype):
        names = list(dict.fromkeys([*first.cat.categories, *other.cat.categories]))
        return pd.Series(pd.Categorical(values, categories=names), index=first.index, name=first.name)
    return pd.Series(values, index=first.index, name=first.name, dtype=object)


def present(data: Data, name: object, parameter: str) -> Iterator[Problem]:
    """The column exists somewhere."""
    if not isinstance(name, str):
        message = f"{parameter}={name!r} is of type {type(name).__name__}, expected the name of a column of obs."
        yield Problem("key_not_text", parameter, message, "Pass one name, as text.")
        return
    values = found(data, name)
    if values is None:
        known = [str(column) for column in data.obs.columns]
        for modality in modalities(data):
            known += [f"{modality}:{column}" for column in data.mod[modality].obs.columns]
        known = list(dict.fromkeys(known))
        where = "obs of the object nor of a modality" if multimodal(data) else "obs"
        message = f"{parameter}={name!r} is not a column of {where}, which has {listed(known)}."
        yield Problem(f"unknown_{parameter}", parameter, message, nearest(name, known), missing=True)
    elif isinstance(values, pd.DataFrame):
        message = f"{parameter}={name!r} is the name of several columns of obs."
        yield Problem("duplicated_obs_columns", parameter, message, "Rename all but one of them.")

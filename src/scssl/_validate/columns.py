"""Checks of the columns that name batches and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from scssl._validate._problem import ERROR, WARNING, Problem
from scssl._words import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

UNLABELLED = frozenset({"undefined", "unknown", "unassigned", "unlabelled", "unlabeled", "nan", "na", "none", ""})
_SHOWN = 5
_FEW_NUMBERS = 20  # numbers up to this many are codes of groups, however few the cells


def batch(data: Any, batch_key: Any, *, parameter: str = "batch_key") -> Iterator[Problem]:
    """The column of batches: there, complete, groups rather than measurements."""
    values, problems = _values(data, batch_key, parameter)
    yield from problems
    if values is None:
        return
    sizes = values.astype(str).value_counts()
    if len(sizes) == 1:
        message = (
            f"{parameter}={batch_key!r} holds a single value, {sizes.index[0]!r}: there is no batch to be told apart."
        )
        yield Problem("single_batch", parameter, message, f"Leave {parameter} out.", WARNING)
    lone = sizes.index[sizes == 1].tolist()
    if lone and len(sizes) < len(values):
        message = (
            f"{parameter}={batch_key!r}: {len(lone)} of {len(sizes)} batches have one cell: {listed(lone, _SHOWN)}."
        )
        yield Problem("single_cell_batch", parameter, message, "Merge or drop them.", WARNING)


def label(data: Any, label_key: Any, batch_key: Any = None, *, parameter: str = "label_key") -> Iterator[Problem]:
    """The column of labels: there, complete, not the batch, not a name for each cell."""
    if batch_key is not None and label_key == batch_key:
        message = f"{parameter} and batch_key are the same column, {label_key!r}."
        yield Problem("label_is_batch", parameter, message, f"Pass the column of cell types as {parameter}.")
        return
    values, problems = _values(data, label_key, parameter)
    yield from problems
    if values is None:
        return
    text = values.astype(str)
    sizes = text.value_counts()
    if len(sizes) == 1:
        message = f"{parameter}={label_key!r} holds a single label, {sizes.index[0]!r}: label metrics say nothing."
        yield Problem("single_label", parameter, message, "Pass a column with several labels.", WARNING)
    blank = sizes[sizes.index.str.strip().str.lower().isin(UNLABELLED)]
    if len(blank):
        message = (
            f"{parameter}={label_key!r}: {int(blank.sum())} of {len(text)} cells are called {listed(blank.index.tolist())}, "
            "which is taken for a type like any other."
        )
        fix = f"Drop them: adata = adata[adata.obs[{label_key!r}] != {blank.index[0]!r}].copy()"
        yield Problem("unlabelled_cells", parameter, message, fix, WARNING)
    yield from _confounded(data, text, label_key, batch_key, parameter)


def _confounded(data: Any, labels: pd.Series, label_key: str, batch_key: Any, parameter: str) -> Iterator[Problem]:
    batches = next(iter(places(data, batch_key)), None) if isinstance(batch_key, str) else None
    if batches is None or labels.nunique() < 2:
        return
    pairs = pd.DataFrame({"label": labels.to_numpy(), "batch": batches.astype(str).to_numpy()}).drop_duplicates()
    if len(pairs) == pairs["label"].nunique() == pairs["batch"].nunique():
        message = (
            f"{parameter}={label_key!r} and batch_key={batch_key!r} group the cells in the same way: what belongs to "
            "the batch cannot be told from what belongs to the label."
        )
        yield Problem("label_confounded", parameter, message, "Batch metrics mean nothing here.", WARNING)


def _values(data: Any, name: Any, parameter: str) -> tuple[pd.Series | None, list[Problem]]:
    """The column if it can be used at all, and what is wrong with it."""
    problems = list(present(data, name, parameter))
    if problems:
        return None, problems
    values = next(places(data, name))
    problems = list(_usable(values, name, parameter))
    return (None if any(p.severity == ERROR for p in problems) else values), problems


def places(data: Any, name: str) -> Iterator[pd.Series]:
    """The columns that `name` may mean: of the object, then of each modality."""
    frames = [data.obs, *(part.obs for part in data.mod.values())] if hasattr(data, "mod") else [data.obs]
    for position, frame in enumerate(frames):
        prefixed = [f"{modality}:{name}" for modality in getattr(data, "mod", {})] if position == 0 else []
        for column in (name, *prefixed):
            if column in frame:
                found = frame[column]
                yield found if position == 0 else found.reindex(data.obs_names)
    modality, _, rest = name.partition(":")
    part = getattr(data, "mod", {}).get(modality) if rest else None
    if part is not None and rest in part.obs:
        yield part.obs[rest].reindex(data.obs_names)


def present(data: Any, name: Any, parameter: str) -> Iterator[Problem]:
    """The column exists somewhere."""
    if not isinstance(name, str):
        message = f"{parameter}={name!r} is of type {type(name).__name__}, expected the name of a column of obs."
        yield Problem("key_not_text", parameter, message, "Pass one name, as text.")
    elif next(places(data, name), None) is None:
        known = [str(column) for column in data.obs.columns]
        for modality, part in getattr(data, "mod", {}).items():
            known += [f"{modality}:{column}" for column in part.obs.columns]
        where = "obs of the object nor of a modality" if hasattr(data, "mod") else "obs"
        message = f"{parameter}={name!r} is not a column of {where}, which has {listed(known)}."
        yield Problem(f"unknown_{parameter}", parameter, message, nearest(name, known), missing=True)
    elif isinstance(next(places(data, name)), pd.DataFrame):
        message = f"{parameter}={name!r} is the name of several columns of obs."
        yield Problem("duplicated_obs_columns", parameter, message, "Rename all but one of them.")


def _usable(values: pd.Series, name: str, parameter: str) -> Iterator[Problem]:
    kind = parameter.removesuffix("_key")
    absent = values.isna().to_numpy()
    if absent.any():
        first = listed([str(cell) for cell in values.index[absent][:_SHOWN]])
        message = f"{parameter}={name!r}: {int(absent.sum())} of {len(values)} cells have no value (first: {first})."
        fix = f"Drop them with adata = adata[adata.obs[{name!r}].notna()].copy(), or name them first."
        yield Problem(f"{kind}_missing_values", parameter, message, fix)
    known = values[~absent]
    nested = [value for value in known.head(1000) if not isinstance(value, str) and hasattr(value, "__len__")]
    if nested:
        message = f"{parameter}={name!r} holds {type(nested[0]).__name__} objects (first: {nested[0]!r}), not names."
        yield Problem(f"{kind}_nested", parameter, message, "Turn them into text first.")
        return
    if len(known):
        yield from _groups(known, name, parameter)


def _groups(values: pd.Series, name: str, parameter: str) -> Iterator[Problem]:
    """Whether the values are names of groups."""
    kind = parameter.removesuffix("_key")
    kept = values.cat.remove_unused_categories() if isinstance(values.dtype, pd.CategoricalDtype) else values
    distinct = kept.unique()
    n, cells = len(distinct), len(values)
    text = pd.Index([str(value) for value in distinct])
    if not text.is_unique:
        twice = text[text.duplicated()].unique().tolist()
        message = f"{parameter}={name!r} has values that differ in type but read the same: {listed(twice, _SHOWN)}."
        fix = f"adata.obs[{name!r}] = adata.obs[{name!r}].astype(str).astype('category')"
        yield Problem(f"{kind}_values_collide", parameter, message, fix)
    elif _measured(values, n):
        low, high = values.min(), values.max()
        message = (
            f"{parameter}={name!r} looks like a measurement: {n} numbers from {low:g} to {high:g} in {cells} cells."
        )
        yield Problem(f"{kind}_continuous", parameter, message, "Pass a column that names groups of cells.")
    elif n == cells and cells > 1:
        message = f"{parameter}={name!r} is different in each of the {cells} cells."
        yield Problem(f"{kind}_unique_per_cell", parameter, message, "Pass a column that names groups of cells.")
    else:
        folded = text.str.strip().str.lower()
        alike = text[folded.duplicated(keep=False)].tolist()
        if alike:
            message = f"{parameter}={name!r} has values that differ only by case or spaces: {listed(alike, _SHOWN)}."
            fix = f"If they mean the same: adata.obs[{name!r}] = adata.obs[{name!r}].str.strip().str.lower()"
            yield Problem(f"{kind}_values_alike", parameter, message, fix, WARNING)


def _measured(values: pd.Series, n: int) -> bool:
    """Numbers with fractions, or so many different ones that they cannot be codes of groups."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return False
    fractions = bool((values % 1 != 0).any())
    return fractions or (n > _FEW_NUMBERS and n > len(values) / 5)

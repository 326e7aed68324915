"""Checks of the columns that name batches and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pandas as pd

from scssl._parts import multimodal
from scssl._validate._problem import ERROR, WARNING, Problem
from scssl._validate.places import disagreement, found, present
from scssl._words import canonical, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl._types import Data

UNLABELLED = frozenset({"undefined", "unknown", "unassigned", "unlabelled", "unlabeled", "nan", "na", "none", ""})
_SHOWN = 5
_FEW_NUMBERS = 20  # numbers up to this many are codes of groups, however few the cells


def batch(data: Data, batch_key: str, *, parameter: str = "batch_key") -> Iterator[Problem]:
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
    blank = _blank(sizes)
    if len(blank):
        message = _taken_for(blank, len(values), f"{parameter}={batch_key!r}", "group")
        fix = f"Give them their name, or drop them: {_kept(data, batch_key, f'!= {blank.index[0]!r}')}"
        yield Problem("unnamed_batch", parameter, message, fix, WARNING)


def label(data: Data, label_key: str, batch_key: object = None, *, parameter: str = "label_key") -> Iterator[Problem]:
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
    blank = _blank(sizes)
    if len(blank):
        message = _taken_for(blank, len(text), f"{parameter}={label_key!r}", "type")
        fix = f"Drop them: {_kept(data, label_key, f'!= {blank.index[0]!r}')}"
        yield Problem("unlabelled_cells", parameter, message, fix, WARNING)
    yield from _confounded(data, text, label_key, batch_key, parameter)


def _blank(sizes: pd.Series) -> pd.Series:
    """Groups whose name says that there is none, and their cells."""
    return sizes[sizes.index.str.strip().str.lower().isin(UNLABELLED)]


def _taken_for(blank: pd.Series, n: int, what: str, kind: str) -> str:
    called = listed(blank.index.tolist())
    return f"{what}: {int(blank.sum())} of {n} cells are called {called}, which is taken for a {kind} like any other."


def _kept(data: object, name: str, condition: str) -> str:
    """The line that keeps the other cells; of a MuData it needs a column of the whole object."""
    if not multimodal(data):
        of = f"adata.obs[{name!r}]"
        return f"adata = adata[{of + '.notna()' if condition == 'notna' else f'{of} {condition}'}].copy()"
    whole = "" if name in data.obs else f"mdata.obs[{name!r}] = ...; "
    of = f"mdata.obs[{name!r}]"
    return f"{whole}mdata = mdata[{of + '.notna()' if condition == 'notna' else f'{of} {condition}'}].copy()"


def _confounded(
    data: object, labels: pd.Series, label_key: str, batch_key: object, parameter: str
) -> Iterator[Problem]:
    batches = found(data, batch_key) if isinstance(batch_key, str) else None
    if batches is None or labels.nunique() < 2:
        return
    pairs = pd.DataFrame({"label": labels.to_numpy(), "batch": batches.astype(str).to_numpy()}).drop_duplicates()
    if len(pairs) == pairs["label"].nunique() == pairs["batch"].nunique():
        message = (
            f"{parameter}={label_key!r} and batch_key={batch_key!r} group the cells in the same way: what belongs to "
            "the batch cannot be told from what belongs to the label."
        )
        yield Problem("label_confounded", parameter, message, "Batch metrics mean nothing here.", WARNING)


def _values(data: Data, name: str, parameter: str) -> tuple[pd.Series | None, list[Problem]]:
    """The column if it can be used at all, and what is wrong with it."""
    problems = list(present(data, name, parameter))
    if problems:
        return None, problems
    values = cast("pd.Series", found(data, name))
    problems = list(_usable(data, values, name, parameter))
    if any(p.severity == ERROR for p in problems):
        return None, problems
    return values, [*problems, *disagreement(data, name, parameter)]


def _usable(data: object, values: pd.Series, name: str, parameter: str) -> Iterator[Problem]:
    kind = parameter.removesuffix("_key")
    absent = values.isna().to_numpy()
    if absent.any():
        first = listed([str(cell) for cell in values.index[absent][:_SHOWN]])
        message = f"{parameter}={name!r}: {int(absent.sum())} of {len(values)} cells have no value (first: {first})."
        fix = f"Name them first, or drop them with {_kept(data, name, 'notna')}."
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
        folded = text.map(canonical)
        alike = text[folded.duplicated(keep=False)].tolist()
        if alike:
            numbers = all(canonical(value).lstrip("-").replace(".", "", 1).isdigit() for value in alike)
            how = "are one number in several spellings" if numbers else "differ only by case or spaces"
            message = f"{parameter}={name!r} has values that {how}: {listed(alike, _SHOWN)}."
            brought = ".astype(float)" if numbers else ".str.strip().str.lower()"
            fix = f"If they mean the same: adata.obs[{name!r}] = adata.obs[{name!r}]{brought}"
            yield Problem(f"{kind}_values_alike", parameter, message, fix, WARNING)


def _measured(values: pd.Series, n: int) -> bool:
    """Numbers with fractions, or so many different ones that they cannot be codes of groups."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return False
    fractions = bool((values % 1 != 0).any())
    return fractions or (n > _FEW_NUMBERS and n > len(values) / 5)

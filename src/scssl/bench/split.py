"""Cells that are held out: those of a split, or each group of a column in turn; without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _files, _keys
from scssl._validate import Problem, enforce
from scssl._words import listed, nearest
from scssl.data.columns import column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scssl._types import Data
    from scssl.bench.question import Question


EACH = "each"


@dataclass(frozen=True)
class Split:
    """Cells that are kept from training: those with a value in a column of ``obs``; none without a column.

    Parameters
    ----------
    name
        What the table calls it.
    column, value
        Which cells.
    cells
        Hash of their names.
    """

    name: str = ""
    column: str = ""
    value: str = ""
    cells: str = ""

    @classmethod
    def of(cls, data: Data, name: str, key: str, value: str) -> Split:
        """The split that holds out the cells with this value."""
        split = cls(name, key, value)
        held_out = np.asarray(data.obs_names, dtype=object)[split.query(data)]
        return replace(split, cells=_files.fingerprint(sorted(map(str, held_out))))

    def query(self, data: Data) -> np.ndarray | None:
        """Which cells are held out; ``None`` if none are."""
        if not self.column:
            return None
        return column(data, self.column, parameter="split_key").astype(str).to_numpy() == self.value


def splits(data: Data, question: Question, held_out: str | Sequence[str]) -> list[Split]:
    """Cells that are kept from training in turn: the query of a split, else batches.

    Raises
    ------
    InputError
        If a batch that is to be held out does not exist, or a split has no reference or no query.
    """
    key = question.split_key
    if key is not None:
        enforce(question.of_split(data, grouped=False))
        return [Split.of(data, f"{key}={_keys.QUERY}", key, _keys.QUERY)]
    key = question.batch_key
    if key is None:
        return []
    known = sorted(pd.unique(column(data, key, parameter="batch_key").astype(str)))
    wanted = known if isinstance(held_out, str) and held_out == EACH else groups(data, held_out, key)
    return [Split.of(data, f"held-out {key}={name}", key, name) for name in wanted] if len(known) > 1 else []


def groups(data: Data, held_out: str | Sequence[str], key: str | None) -> list[str]:
    """Groups of a column to hold out in turn, empty for all of them.

    Raises
    ------
    InputError
        If there is no such group, or no column.
    """
    wanted = [] if isinstance(held_out, str) and held_out == EACH else [str(name) for name in np.atleast_1d(held_out)]
    known = [] if key is None else sorted(set(column(data, key, parameter="split_key").astype(str)))
    wrong = [name for name in wanted if name not in known]
    if wrong or not known:
        has = f"{key!r} has {listed(known)}" if key else "neither split_key nor batch_key was given"
        message = f"held_out={held_out!r} cannot be held out; {has}."
        fix = nearest(wrong[0], known) if wrong else "Pass split_key=."
        enforce([Problem("unknown_group", "held_out", message, fix, missing=bool(wrong))])
    return wanted


def two_sides(data: Data, split_key: str) -> Iterator[Problem]:
    """The column of a split: complete, with cells on both sides."""
    values = column(data, split_key, parameter="split_key")
    n_query, n_absent = int((values.astype(str) == _keys.QUERY).sum()), int(values.isna().sum())
    fix = f"Make it with ssl.pp.split(adata, by=..., key_added={split_key!r})."
    if n_absent:
        message = f"split_key={split_key!r}: {n_absent} of {len(values)} cells have no value."
        yield Problem("split_missing_values", "split_key", message, fix)
    elif n_query in (0, len(values)):
        found = listed(sorted(set(values.astype(str))), 5)
        message = f"split_key={split_key!r} calls {n_query} of {len(values)} cells {_keys.QUERY!r}; it has {found}."
        yield Problem("split_one_sided", "split_key", message, fix)

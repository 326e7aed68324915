"""Slots that scssl wrote into an object: our own results may be replaced, those of the user only if asked for.

Columns are people's to correct by hand, so their content is remembered too: a column that was edited since is the user's.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _keys
from scssl._validate.arguments import switch
from scssl._validate.names import taken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl._types import Data
    from scssl._validate import Problem

COLUMNS = ("obs", "var")


def put(data: object, where: str, name: str, values: object) -> None:
    """Write `values` into the slot `name` of ``data.<where>`` (``obs``, ``var``, ``obsm``, ``layers``) and remember it."""
    with warnings.catch_warnings():
        # a view becomes an object of its own, as in scanpy; the columns or matrices are ours
        warnings.filterwarnings("ignore", "Trying to modify attribute|Setting element", UserWarning)
        getattr(data, where)[name] = values
    ours = _keys.shelf(data, _keys.WRITTEN)
    ours[where] = {**ours.get(where, {}), name: _content(data, where, name)}


def free(
    data: Data, where: str, names: list[str], value: object, *, overwrite: bool, parameter: str = "key_added"
) -> Iterator[Problem]:
    """Slots that are to be written hold nothing that is not ours, or the user gave them up."""
    yield from switch(overwrite, "overwrite")
    there = [name for name in names if name in getattr(data, where) and not overwrite]
    others = [name for name in there if not _ours(data, where, name)]
    if others:
        edited = others[0] in _keys.peek(data).get(_keys.WRITTEN, {}).get(where, {})
        yield taken(f"{where}[{others[0]!r}]", value, parameter=parameter, edited=edited, overwrite=True)


def _ours(data: object, where: str, name: str) -> bool:
    content = _keys.peek(data).get(_keys.WRITTEN, {}).get(where, {}).get(name)
    if content is None:
        return False
    length = content.partition(":")[0]
    # some of the cells or genes: what is left of our result is still ours
    return where not in COLUMNS or length != str(len(getattr(data, where))) or content == _content(data, where, name)


def _content(data: Data, where: str, name: str) -> str:
    """Number of rows, and of a column a hash of its values by the names of the rows, in any order."""
    if where not in COLUMNS:
        return str(data.n_obs)
    column = getattr(data, where)[name]
    rows = [f"{row}={value}" for row, value in zip(column.index, column.astype(object), strict=True)]
    total = pd.util.hash_array(np.asarray(rows, dtype=object)).sum(dtype=np.uint64)
    return f"{len(rows)}:{int(total):016x}"

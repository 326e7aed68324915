"""Which of the stored scores describe an object as it is now; without torch.

Hashing all values at every look would take seconds for a large object. Beside the scores stand hashes of what they depend
on and what is read quickly (0.5 s for 100,000 cells): all names of cells and genes, all entries of the columns, and the
values of 512 cells, those whose names have the smallest hashes. A change of a few values in other cells goes unseen; a
filter, a corrected label, a normalisation does not. The order of the cells has no part in it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _files, _keys, _random, _results
from scssl._errors import InputError, KeyNotFoundError, warn
from scssl._parts import parts
from scssl.data.columns import as_text, column
from scssl.data.matrix import some_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from scssl._types import Data, Json

SAMPLE = 512
"""Cells whose values are looked at: a change of one cell in a hundred hits one of them with 99.4 % probability."""
_SALT = _random.derive(0, "scored") >> 1
_ALL = f"uns[{_keys.UNS!r}][{_keys.SCORES!r}]"


def keep(data: object, table: pd.DataFrame, *, columns: Sequence[str | None] = (), layer: str | None = None) -> None:
    """Store scores in an object, with what they describe.

    Parameters
    ----------
    data
        AnnData or MuData.
    table
        Result rows of this object.
    columns
        Columns of ``obs`` that the scores depend on; ``None`` among them is skipped.
    layer
        Layer whose values were read.
    """
    _results.keep(data, table)
    now = _files.canonical(content(data, columns=[name for name in columns if name is not None], layer=layer))
    _keys.shelf(data, _keys.SCORED).update({data_id: now for data_id in table["data_id"].unique() if data_id})


def read(data: object) -> pd.DataFrame:
    """As :func:`scssl._results.read`; of an object only scores of its present content, and a warning counts the others.

    Raises
    ------
    InputError
        If there are none, or all are of other content.
    """
    table = _results.read(data)
    if not hasattr(data, "uns") or table.empty:
        return table
    sizes = table.groupby("data_id", sort=False)["n_obs"].max()
    reasons = table["data_id"].map({data_id: _other(data, str(data_id), int(n)) for data_id, n in sizes.items()})
    stale = reasons[reasons != ""]
    if stale.empty:
        return table
    which = "; ".join(f"{n} of {reason}" for reason, n in stale.value_counts(sort=False).items())
    if len(stale) == len(table):
        msg = f"None of the {len(table)} stored scores describes the object as it is now: {which}."
        fix = f"Score it again with tl.evaluate or tl.benchmark; the old scores are in {_ALL}."
        raise InputError(msg, code="stale_scores", parameter="data", fix=fix)
    warn(
        f"{len(stale)} of {len(table)} stored scores do not describe the object as it is now and are left out: {which}. "
        f"All are in {_ALL}."
    )
    return table[reasons == ""].reset_index(drop=True)


def content(data: Data, *, columns: Sequence[str], layer: str | None) -> Json:
    """Hashes of names, columns and a sample of the values, by what they are of."""
    names = _hashed(data.obs_names)
    return {
        "layer": layer,
        "cells": _unordered(names),
        "columns": {name: _of_column(data, names, name) for name in columns},
        "genes": {name: _files.fingerprint(list(map(str, part.var_names))) for name, part in parts(data).items()},
        "values": {name: _of_values(part, layer) for name, part in parts(data).items()},
    }


def _other(data: Data, data_id: str, n_obs: int) -> str:
    """What differs between the content that was scored and that of the object, or an empty string."""
    kept = _keys.peek(data).get(_keys.SCORED, {}).get(data_id)
    if kept is None:  # rows of an older version, or put there by somebody: nothing speaks against them
        return ""
    then = json.loads(kept)
    now = content(data, columns=list(then["columns"]), layer=then["layer"])
    if now["cells"] != then["cells"]:
        return f"other cells ({n_obs:,}, not {data.n_obs:,})" if n_obs != data.n_obs else "other cells"
    changed = [f"obs[{name!r}]" for name, hashed in then["columns"].items() if now["columns"][name] != hashed]
    changed += ["genes"] if now["genes"] != then["genes"] else []
    changed += [then["layer"] or "X"] if not changed and now["values"] != then["values"] else []
    return f"other {' and '.join(changed)}" if changed else ""


def _hashed(entries: object) -> np.ndarray:
    return pd.util.hash_array(np.asarray(entries, dtype=object))


def _unordered(hashes: np.ndarray) -> str:
    """One hash of a set of hashes, whatever their order."""
    return f"{len(hashes)}:{int(_random.mix(hashes, _SALT).sum(dtype=np.uint64)):x}"


def _of_column(data: object, names: np.ndarray, name: str) -> str:
    try:
        entries = column(data, name, parameter=name)
    except KeyNotFoundError:
        return "absent"
    codes, known = pd.factorize(as_text(entries))
    return _unordered(names ^ _random.mix(_hashed(known), _SALT)[codes])


def _of_values(part: AnnData, layer: str | None) -> str:
    if (part.X is None) if layer is None else (layer not in part.layers):
        return "absent"
    names = _hashed(part.obs_names)
    place = np.sort(np.argsort(_random.mix(names, _SALT), kind="stable")[:SAMPLE])
    block = some_rows(part, place, layer)
    entries = block.data.view(np.uint32).astype(np.uint64) | (block.indices.astype(np.uint64) << np.uint64(32))
    return _unordered(entries ^ np.repeat(_random.mix(names[place], _SALT), np.diff(block.indptr)))

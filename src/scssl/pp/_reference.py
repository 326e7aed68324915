from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _keys
from scssl._errors import InputError, KeyNotFoundError
from scssl._words import listed
from scssl.data.columns import column

if TYPE_CHECKING:
    from scssl._types import Data


def reference_mask(data: Data, reference: Data) -> pd.Series | None:
    """Mask of the reference cells by name, or ``None`` for all; `reference` is a mask or the name of a column."""
    if reference is None:
        return None
    if isinstance(reference, str):
        mask, words = _from_column(data, reference), f"reference={reference!r}"
    else:
        mask, words = _from_mask(data, reference), "reference"
    if not mask.any():
        msg = f"{words} marks none of the {len(mask)} cells."
        raise InputError(msg, code="no_reference", parameter="reference", fix="Mark the cells to choose genes on.")
    return pd.Series(mask, index=data.obs_names)


def _from_column(data: object, name: str) -> np.ndarray:
    found = column(data, name, parameter="reference")
    if pd.api.types.is_bool_dtype(found):
        return found.to_numpy(dtype=bool)
    if set(found.dropna().unique()) <= {_keys.REFERENCE, _keys.QUERY}:
        return (found == _keys.REFERENCE).to_numpy(dtype=bool)
    some = listed([str(value) for value in found.unique()], 5)
    msg = f"reference={name!r} is a column that holds {some}, expected True and False, or 'reference' and 'query'."
    fix = f"Pass a mask, e.g. reference=adata.obs[{name!r}] == {str(found.iloc[0])!r}, or make the column with ssl.pp.split."
    raise InputError(msg, code="bad_reference", parameter="reference", fix=fix)


def _from_mask(data: Data, reference: Data) -> np.ndarray:
    if isinstance(reference, pd.Series) and not reference.index.equals(data.obs_names):
        absent = int((~data.obs_names.isin(reference.index)).sum())
        if absent or not reference.index.is_unique:
            msg = f"reference lacks {absent} of the {data.n_obs} cells."
            raise KeyNotFoundError(msg, code="bad_reference", parameter="reference", fix="Make it from adata.obs.")
        reference = reference.reindex(data.obs_names)
    mask = np.asarray(reference)
    if mask.dtype != bool or mask.shape != (data.n_obs,):
        msg = f"reference has dtype {mask.dtype} and shape {mask.shape}, expected bool and ({data.n_obs},)."
        fix = "Pass a mask, e.g. reference=(adata.obs['batch'] != 'batch3')."
        raise InputError(msg, code="bad_reference", parameter="reference", fix=fix)
    return mask

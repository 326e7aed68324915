"""Entries of ``obsm``: found by name and read as an array, whatever they are stored as; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _keys
from scssl._errors import InputError
from scssl.data.matrix import native

if TYPE_CHECKING:
    from scssl._types import Data


def slot(data: Data, name: str) -> str:
    """The ``obsm`` slot of an embedding, named with or without ``X_``."""
    return name if name in data.obsm else _keys.embedding(name)


def dense(stored: object) -> np.ndarray:
    """An entry of ``obsm`` as an array: it may be a frame, sparse, on disk or of dask.

    Raises
    ------
    InputError
        If it holds anything but real numbers.
    """
    for load in ("to_memory", "compute", "toarray"):
        stored = getattr(stored, load)() if hasattr(stored, load) else stored
    array = np.asarray(stored)
    if array.dtype.kind not in "biuf":
        msg = f"The embedding has dtype {array.dtype}, expected real numbers."
        raise InputError(msg, code="unsuitable_dtype", parameter="use_rep", fix="Keep the columns that hold numbers.")
    return native(array)

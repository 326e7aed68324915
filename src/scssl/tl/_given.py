"""Cells that are given in memory or as a file, and the table that is handed back of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl.data.open import SUFFIXES, opened

if TYPE_CHECKING:
    from contextlib import ExitStack

    from scssl._types import Data


def is_file(data: object) -> bool:
    """Whether cells are given as the path of a file; a folder of another name is that of a model."""
    return isinstance(data, str | os.PathLike) and Path(data).suffix.lower() in SUFFIXES


def cells_of(data: Data, until: ExitStack) -> Data:
    """The cells, of a file as long as it is open."""
    return until.enter_context(opened(Path(data))) if is_file(data) else data


def table(values: np.ndarray, cells: pd.Index, features: object) -> pd.DataFrame:
    """Values with the names of the cells and of the features."""
    return pd.DataFrame(values, index=cells, columns=np.asarray(features, dtype=str).astype(object))

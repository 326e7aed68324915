"""Data sets: functions that return AnnData or MuData with raw counts in ``X``.

A data set is one file of this folder with one function of the same name, marked with ``@DATASETS.register``. Those of
plug-ins are found by entry points and resolved when they are used.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from scssl._errors import KeyNotFoundError
from scssl._registry import DATASETS

if TYPE_CHECKING:
    import pandas as pd

# The functions are set now, although that imports their (light) files: a submodule that is imported later would be
# set as the attribute by the import system, and `datasets.pbmc68k` would be a module that cannot be called.
_OURS = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
for _name in _OURS:
    globals()[_name] = getattr(importlib.import_module(f"{__name__}.{_name}"), _name)


def table(pattern: str = "*") -> pd.DataFrame:
    """All data sets, ours and those of installed plug-ins, without loading any.

    Parameters
    ----------
    pattern
        Wildcard pattern for names, e.g. ``"pbmc*"``.

    Returns
    -------
    pandas.DataFrame
        One row a data set: title, cells, features, modalities, licence, reference, where it comes from.

    Examples
    --------
    >>> import scssl as ssl
    >>> int(ssl.datasets.table().loc["pbmc68k", "n_obs"])
    700
    """
    return DATASETS.table(pattern)


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        try:
            return DATASETS.get(name)
        except KeyNotFoundError as error:
            msg = f"scssl.datasets has no {name!r}. {error.message} {error.fix}".strip()
            raise AttributeError(msg) from None
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*DATASETS.names(), "pretrained", "table"})

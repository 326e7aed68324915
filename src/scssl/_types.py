"""Names of types that many signatures share; for type checkers, nothing is imported when scssl runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from mudata import MuData

    Data: TypeAlias = AnnData | MuData
    """Cells in memory or backed by a file."""
    FilePath: TypeAlias = str | os.PathLike[str]

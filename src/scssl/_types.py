"""Names of types that many signatures share; for type checkers, nothing is imported when scssl runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from mudata import MuData

    Data: TypeAlias = AnnData | MuData
    """Cells in memory or backed by a file."""
    Json: TypeAlias = dict[str, Any]
    """Plain values by name: text, numbers, lists, as files and ``uns`` hold them."""
    Facts: TypeAlias = Mapping[str, Any]
    """As `Json`, and only read."""

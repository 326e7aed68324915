"""Extras of the package: which libraries they bring, and whether these are installed."""

from __future__ import annotations

import importlib.util

EXTRAS = {
    "scvi": ("scvi",),
    "mofa": ("mofapy2", "muon"),
    "scib": ("scib_metrics",),
    "dask": ("dask", "distributed"),
    "pretrained": ("pyarrow",),
}
"""Import names of the libraries of each extra of pyproject.toml."""


def missing(extra: str) -> tuple[str, ...]:
    """Libraries of an extra that are not installed; none for a method without an extra.

    An extra of another package is its own business: it is taken to be there.
    """
    return tuple(name for name in EXTRAS.get(extra, ()) if importlib.util.find_spec(name) is None)


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'scssl[{extra}]'"

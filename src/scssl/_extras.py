"""Extras of the package: which libraries they bring, and whether these are installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util

EXTRAS = {
    "scvi": {"scvi": "scvi-tools"},
    "mofa": {"mofapy2": "mofapy2", "muon": "muon"},
    "scib": {"scib_metrics": "scib-metrics"},
    "dask": {"dask": "dask", "distributed": "distributed"},
    "pretrained": {"pyarrow": "pyarrow"},
}
"""Import names of the libraries of each extra of pyproject.toml, and what they are called at PyPI."""


def missing(extra: str) -> list[str]:
    """Libraries of an extra that are not installed, or too old; none for a method without an extra.

    Parameters
    ----------
    extra
        Name of an extra, or with a least version of its library: ``"scvi>=1.5"``. An extra of another package is its own
        business: it is taken to be there.
    """
    name, _, least = extra.partition(">=")
    libraries = EXTRAS.get(name, {})
    absent = [called for imported, called in libraries.items() if importlib.util.find_spec(imported) is None]
    if absent or not least:
        return absent
    return [f"{called}>={least}" for called in libraries.values() if _version(called) < _numbers(least)]


def install(extra: str) -> str:
    """The command that installs an extra."""
    name, _, least = extra.partition(">=")
    more = "".join(f" '{called}>={least}'" for called in EXTRAS[name].values()) if least else ""
    return f"pip install 'scssl[{name}]'{more}"


def _version(distribution: str) -> tuple[int, ...]:
    return _numbers(importlib.metadata.version(distribution))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])

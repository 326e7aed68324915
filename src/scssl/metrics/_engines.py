"""Who computes a score: we, or the reference implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scssl import _extras
from scssl._registry import METRICS
from scssl._results import OWN_ENGINE
from scssl._validate import Problem
from scssl.metrics import _reference
from scssl.metrics._base import Measured, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scssl.metrics._base import Inputs

ENGINES = (OWN_ENGINE, _reference.PACKAGE)
_MEASURES: dict[str, Callable[[str, Inputs], Measured]] = {
    OWN_ENGINE: measure,
    _reference.PACKAGE: _reference.reference,
}


def obstacles(engine: str) -> Iterator[Problem]:
    """A missing library of an engine."""
    if engine != OWN_ENGINE and _extras.missing("scib"):
        msg = f"engine={engine!r} needs {_reference.PACKAGE}, which is not installed here."
        yield Problem("missing_extra", "engine", msg, f"Install it: {_extras.install('scib')}.")


def measure_by(engine: str) -> Callable[[str, Inputs], Measured]:
    """The function that computes a metric by its name."""
    return _MEASURES[engine]


def identity(engine: str) -> str:
    """Name of an engine for the record; of the reference with its version, which decides a score."""
    return OWN_ENGINE if engine == OWN_ENGINE else _reference.version()


def lacking(metric: str, engine: str) -> str:
    """Why an engine does not compute a metric, or an empty string."""
    if engine == OWN_ENGINE or METRICS.describe(metric).scib:
        return ""
    return f"{engine} does not have this metric; engine={OWN_ENGINE!r} computes it"

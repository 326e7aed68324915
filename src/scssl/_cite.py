"""The literature behind a result, as BibTeX."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from scssl._registry import DATASETS, METHODS, METRICS, TASKS, VIEWS
from scssl._words import unknown

__all__ = ["cite"]

_REGISTRIES = (METHODS, METRICS, TASKS, VIEWS, DATASETS)
_ALWAYS = ("ovcharenko2025scssl", "virshup2023scverse")


def cite(*names: str) -> str:
    """BibTeX entries of methods, metrics, tasks, views and data sets.

    Parameters
    ----------
    *names
        Names as in :func:`scssl.tl.methods`, :func:`scssl.tl.metrics`, :func:`scssl.tl.tasks` and
        :func:`scssl.datasets.table`, or keys of the bibliography. Without names: the benchmark on which this package
        builds, and scverse.

    Returns
    -------
    The entries, each once, as text to be pasted into a ``.bib`` file; empty for names that have no publication
    (``"random"``).

    Raises
    ------
    KeyNotFoundError
        If a name is known to none of them; the message names the nearest one.

    Examples
    --------
    >>> import scssl as ssl
    >>> print(ssl.cite("simclr").splitlines()[0])
    @inproceedings{chen2020simclr,
    """
    entries = bibliography()
    keys = [key for name in names for key in references(name)] if names else list(_ALWAYS)
    # a plug-in may name a publication that only its own bibliography has
    return "\n\n".join(entries.get(key, f"% {key}: not in the bibliography of scssl") for key in dict.fromkeys(keys))


def references(name: str) -> list[str]:
    """Keys of the publications behind a name, in any registry or in the bibliography."""
    entries = bibliography()
    if name in entries:
        return [name]
    found = [registry.describe(name).reference for registry in _REGISTRIES if name in registry]
    if not found:
        known = sorted({n for registry in _REGISTRIES for n in registry} | set(entries))
        raise unknown(kind="citation", name=name, known=known, parameter="names")
    keys = [key.strip() for reference in found for key in reference.split(",")]
    return [key for key in keys if key]


@cache
def bibliography() -> dict[str, str]:
    """All entries of ``references.bib`` by key."""
    text = files("scssl").joinpath("references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{([^,\s]+),.*?^\}", text, flags=re.M | re.S)
    bodies = re.findall(r"^@\w+\{[^,\s]+,.*?^\}", text, flags=re.M | re.S)
    return dict(zip(entries, bodies, strict=True))

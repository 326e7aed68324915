"""Words of messages: the nearest name, lists of names, the sentence about a name that does not exist."""

from __future__ import annotations

import difflib

from scssl._errors import KeyNotFoundError


def nearest(name: object, known: list[str]) -> str:
    """`` Did you mean 'x'?`` if something similar exists, else an empty string."""
    close = difflib.get_close_matches(str(name).lower(), [str(k) for k in known], n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


def listed(names: list[str], limit: int = 30) -> str:
    """Names for a message, shortened if there are many."""
    shown = ", ".join(repr(n) for n in names[:limit]) or "none"
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def unknown(kind: str, name: object, known: list[str], *, parameter: str = "") -> KeyNotFoundError:
    """The error for a name that does not exist: nearest name, then all of them."""
    message = f"There is no {kind} {name!r}. Known: {listed(known)}."
    return KeyNotFoundError(
        message, code=f"unknown_{kind.replace(' ', '_')}", parameter=parameter or kind, fix=nearest(name, known)
    )

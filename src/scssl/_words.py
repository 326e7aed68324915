"""Words of messages: the nearest name, lists of names, the sentence about a name that does not exist."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from scssl._errors import KeyNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence


def nearest(name: object, known: list[str]) -> str:
    """`` Did you mean 'x'?`` if something similar exists, else an empty string."""
    close = difflib.get_close_matches(str(name).lower(), [str(k) for k in known], n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


def canonical(name: str) -> str:
    """One spelling of a name: whole numbers without a point, text without case and with single spaces."""
    text = " ".join(name.split()).casefold()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else repr(number)


def spelled_as(known: list[str], names: Sequence[str], *, parameter: str) -> tuple[list[str], str]:
    """Names as they are known, where they mean the same in another spelling, and a sentence on what was found.

    Numbers that are equal are the same name (``1``, ``1.0``), about which nothing is said.
    """
    by_spelling: dict[str, list[str]] = {}
    for name in known:
        by_spelling.setdefault(canonical(name), []).append(name)
    taken = set(names) & set(known)
    made, changed, new = [], [], []
    for name in names:
        alike = [other for other in by_spelling.get(canonical(name), []) if other not in taken]
        if name not in known and len(alike) == 1:
            taken.add(alike[0])
            made.append(alike[0])
            changed += [] if _numeric(name) else [f"{name!r} as {alike[0]!r}"]
        else:
            made.append(name)
            new += [] if name in known else [name]
    said = [f"{parameter}: read {', '.join(changed[:5])}, which differ by case or spaces."] if changed else []
    if new:
        which = "None" if len(new) == len(names) else f"{len(new)} of {len(names)}"
        hint = next((f" {hint}" for hint in (nearest(name, known) for name in new) if hint), "")
        said.append(
            f"{parameter}: {which} of the batches {'is' if which == 'None' else 'are not'} known to the model "
            f"({listed(new, 5)}; it knows {listed(known, 5)}).{hint}"
        )
    return made, " ".join(said)


def _numeric(name: str) -> bool:
    return canonical(name).lstrip("-").replace(".", "", 1).isdigit()


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

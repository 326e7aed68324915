"""*Returns* sections that are a sentence or a list instead of a type with a description.

Napoleon takes the first line of such a section for the name of a type. Here the section becomes the description of a type
without a name before napoleon sees it; the type comes from the signature anyway.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _is_type(section: list[str]) -> bool:
    """Whether a section has the form of a type followed by an indented description, or is a bare type."""
    text = [line for line in section if line.strip()]
    bare = len(text) == 1 and re.fullmatch(r"[\w.\[\], |]+", text[0]) and " " not in text[0].replace(" | ", "|")
    return bool(text) and (bool(bare) or (len(text) > 1 and text[1].startswith(" ")))


def _end(lines: list[str], start: int) -> int:
    """Where the section that starts at a line ends: at the next underlined heading."""
    headings = (i for i in range(start, len(lines) - 1) if lines[i].strip() and re.fullmatch(r"-{3,}", lines[i + 1]))
    return next(headings, len(lines))


def rewrite(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Indent the text of a *Returns* section in prose below a type without a name, in place."""
    starts = [i for i in range(len(lines) - 1) if lines[i] == "Returns" and re.fullmatch(r"-{3,}", lines[i + 1])]
    for start in starts:
        end = _end(lines, start + 2)
        section = lines[start + 2 : end]
        if not _is_type(section):
            body = [f"    {line}" if line.strip() else "" for line in section]
            lines[start + 2 : end] = [":", *body]


def setup(app: Sphinx) -> dict[str, Any]:
    """Run before napoleon."""
    app.connect("autodoc-process-docstring", rewrite, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

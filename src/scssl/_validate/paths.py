"""Checks of files and folders, before any work is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scssl._validate._problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 60  # characters of a path in a message


def usable(path: object, *, parameter: str = "path") -> Iterator[Problem]:
    """A path that the operating system can ask for at all: neither too long, nor with characters that none may have."""
    if not isinstance(path, str | os.PathLike):
        message = f"{parameter}={path!r} is of type {type(path).__name__}, expected a path."
        yield Problem("bad_path", parameter, message, "Pass text or a pathlib.Path.")
        return
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        shown = str(path) if len(str(path)) <= _SHOWN else f"{str(path)[:_SHOWN]}... ({len(str(path))} characters)"
        reason = error.strerror if isinstance(error, OSError) else error
        yield Problem("bad_path", parameter, f"{parameter}={shown!r} cannot be used: {reason}.", "Choose another path.")


def target(path: str | os.PathLike[str], *, overwrite: bool = True, parameter: str = "path") -> Iterator[Problem]:
    """A place to write to: its folder exists or can be made, may be written to, and holds nothing to be kept."""
    wrong = list(usable(path, parameter=parameter))
    if wrong:
        yield from wrong
        return
    place = Path(path)
    if not overwrite and place.exists():
        yield Problem(
            "path_exists",
            parameter,
            f"{parameter}={str(path)!r} exists already.",
            "Pass overwrite=True or another path.",
        )
    above = next(folder for folder in place.absolute().parents if folder.exists())
    if not above.is_dir():
        message = f"{parameter}={str(path)!r} cannot be made: {str(above)!r} is a file, not a folder."
        yield Problem("not_a_folder", parameter, message, "Choose another path.")
    elif not os.access(above, os.W_OK | os.X_OK):
        message = f"{parameter}={str(path)!r} cannot be made: the folder {str(above)!r} may not be written to."
        yield Problem("not_writable", parameter, message, "Choose a folder of your own, or change its permissions.")

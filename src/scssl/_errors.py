"""The exceptions of scssl: every one says what was given, what is wrong, what exists and what to call."""

from __future__ import annotations

import sys
import warnings

UNCHANGED = "Nothing was changed."


class ScsslError(Exception):
    """Base class of every error that scssl raises on purpose.

    Parameters
    ----------
    message
        What was given and what is wrong with it, with numbers, and what exists instead.
    code
        Stable identifier of the problem, the same that :func:`scssl.pp.check` lists.
    parameter
        Name of the argument at fault.
    fix
        What to do about it, if possible as a line of code.
    """

    def __init__(self, message: str, *, code: str = "", parameter: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.parameter, self.fix = message, code, parameter, fix

    def __str__(self) -> str:
        head = f"[{self.code}] {self.message}" if self.code else self.message
        return " ".join(part for part in (head, self.fix, UNCHANGED) if part)


class InputError(ScsslError, ValueError):
    """An argument or the data handed over cannot be used."""


class KeyNotFoundError(InputError, KeyError):
    """A name was given that does not exist: a column, a slot, a method, a metric."""

    # KeyError would print the repr of the sentence
    __str__ = ScsslError.__str__


class NotFittedError(InputError):
    """A model was asked for something before it was trained."""


class TrainingError(ScsslError, RuntimeError):
    """Training stopped: the loss or a gradient is not finite, or nothing was trained."""


class CheckpointError(ScsslError, OSError):
    """A file of a model cannot be trusted or read: damaged, unknown format, another method."""


class DownloadError(ScsslError, OSError):
    """A download failed or its content is not what was promised."""


class ScsslWarning(UserWarning):
    """Something a user should know and may act on; work goes on."""


_INSIDE = ("scssl", "contextlib")  # our frames, and those that our context managers put between


def warn(message: str) -> None:
    """Warn at the line of the caller outside of scssl."""
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        frame, level = frame.f_back, level + 1  # type: ignore[assignment]
    warnings.warn(message, ScsslWarning, stacklevel=level)


def told(*sentences: str) -> list[str]:
    """Warn of each of some sentences, if there is any in it, and return them for the record."""
    said = [sentence for sentence in sentences if sentence]
    for sentence in said:
        warn(sentence)
    return said

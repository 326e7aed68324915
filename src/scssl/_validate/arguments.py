"""Checks of arguments that stand outside of a configuration: names, whole numbers, switches."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from scssl._validate._problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def named(value: object, parameter: str, *, example: str = "", different: bool = False) -> Iterator[Problem]:
    """One name, or a list of some (`different`: each once); ``None`` where nothing was asked for."""
    fix = (
        f"Pass e.g. {parameter}={[example]!r}, or leave it out."
        if example
        else f"Pass {parameter}= as a list of names."
    )
    if value is None or isinstance(value, str):
        return
    if isinstance(value, bytes) or not hasattr(value, "__iter__"):
        message = f"{parameter}={value!r} is of type {type(value).__name__}, expected names."
        yield Problem("wrong_type", parameter, message, fix)
        return
    names = list(value)
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        message = f"{parameter}={names!r} holds {wrong[0]!r} of type {type(wrong[0]).__name__}, expected names."
        yield Problem("wrong_type", parameter, message, fix)
    elif not names:
        yield Problem(f"no_{parameter}", parameter, f"{parameter}={value!r} names none.", fix)
    elif different and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        yield Problem(f"duplicated_{parameter}", parameter, f"{parameter}={names!r} names {twice!r} twice.", fix)


def text(value: object, parameter: str) -> Iterator[Problem]:
    """One name, or ``None``."""
    if value is not None and not isinstance(value, str):
        message = f"{parameter}={value!r} is of type {type(value).__name__}, expected text."
        yield Problem("wrong_type", parameter, message, "Pass one name, as text.")


def whole(value: object, parameter: str, *, example: int) -> Iterator[Problem]:
    """A whole number of at least 1, or ``None``."""
    if value is None:
        return
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral) or value < 1:
        message = f"{parameter}={value!r} is not a whole number of at least 1."
        yield Problem("out_of_range", parameter, message, f"Pass e.g. {parameter}={example}.")


def positive(value: Any, parameter: str, *, code: str, example: float) -> Iterator[Problem]:
    """A number above 0, or ``None``."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if value is not None and not (number and value > 0 and not math.isnan(value)):
        message = f"{parameter}={value!r} is not a number above 0."
        yield Problem(code, parameter, message, f"Pass e.g. {parameter}={example:g}.")


def switch(value: object, parameter: str) -> Iterator[Problem]:
    """True or False: other values that count as true, such as ``"no"``, are mistakes."""
    if not isinstance(value, bool | np.bool_):
        message = f"{parameter}={value!r} is neither True nor False."
        yield Problem("wrong_type", parameter, message, f"Pass {parameter}=True or leave it out.")


def one_of(value: object, parameter: str, known: Sequence[str]) -> Iterator[Problem]:
    """One of some words."""
    if value not in list(known):
        message = f"{parameter}={value!r} is not one of {', '.join(map(repr, known))}."
        yield Problem(f"unknown_{parameter}", parameter, message, f"Pass e.g. {parameter}={known[0]!r}.")

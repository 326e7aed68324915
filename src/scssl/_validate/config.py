"""Checks of parameters: names, types and ranges of a dataclass, seeds."""

from __future__ import annotations

import math
import numbers
import types
import typing
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, Union

import numpy as np

from scssl._validate._problem import Problem
from scssl._words import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl._types import Facts

_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text", type(None): "None"}
_MANY = {int: "whole numbers", float: "numbers", str: "names"}
SYNONYMS = {
    "learning_rate": ("lr", "step_size", "stepsize"),
    "max_epochs": ("epochs", "n_epochs", "num_epochs", "train_epochs"),
    "batch_size": ("bs", "minibatch_size", "train_batch_size"),
    "width": (
        "n_latent",
        "latent_dim",
        "n_dims",
        "embedding_dim",
        "emb_dim",
        "out_dim",
        "dim",
        "n_components",
        "n_comps",
    ),
    "hidden": ("n_hidden", "hidden_dim", "hidden_dims", "hidden_size", "n_layers", "layers"),
    "weight_decay": ("wd", "l2"),
    "rate": ("mask_rate", "masking_rate", "mask_ratio", "masking_ratio"),
    "mask": ("masking", "masking_strategy", "mask_strategy"),
    "output": ("gene_likelihood", "likelihood", "reconstruction_loss"),
    "temperature": ("tau", "temp"),
    "views": ("augmentation", "augmentations", "transform", "transforms"),
    "patience": ("early_stopping", "early_stopping_patience"),
    "seed": ("random_state", "random_seed"),
    "accelerator": ("device", "use_gpu", "gpu"),
    "batch_key": ("batch", "batch_col", "batch_column"),
    "key_added": ("key", "added_key"),
}
"""What arguments are called elsewhere; the last ones are arguments of the calls, not fields of a configuration."""
_ARGUMENTS = ("seed", "accelerator", "batch_key", "key_added")

_LIMITS = {
    "above": ("greater than", lambda value, limit: value > limit),
    "at_least": ("at least", lambda value, limit: value >= limit),
    "below": ("less than", lambda value, limit: value < limit),
    "at_most": ("at most", lambda value, limit: value <= limit),
}


def config(cls: type, values: Facts) -> Iterator[Problem]:
    """Check `values` against the fields of a dataclass.

    Parameters
    ----------
    cls
        A dataclass. Ranges are declared by ``field(metadata={"above": 0, "below": 1})``, with the words ``above``,
        ``at_least``, ``below``, ``at_most`` and ``choices``. Annotations must be importable at run time.
    values
        Names and values as a user gave them.

    Yields
    ------
    Problem
        Unknown names (with the nearest one and all of them), wrong types, values that are not finite or out of range.
    """
    known = {f.name: f for f in fields(cls)}
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        if name not in known:
            message = f"There is no parameter {name!r}. Known: {listed(sorted(known))}."
            yield Problem("unknown_parameter", name, message, _meant(name, sorted(known)), missing=True)
        elif not fits(value, hints[name]):
            message = f"{name}={value!r} is of type {type(value).__name__}, expected {in_words(hints[name])}."
            yield Problem("wrong_type", name, message, _type_fix(name, value))
        else:
            yield from _range(name, value, known[name].metadata)


def _meant(name: str, known: list[str]) -> str:
    """The parameter that is called like this elsewhere, else the one that is spelled alike."""
    word = name.lower()
    other = next((own for own, words in SYNONYMS.items() if word in words), "")
    return f"Did you mean {other!r}?" if other in (*known, *_ARGUMENTS) else nearest(name, known)


def seed(value: object, *, parameter: str = "seed") -> Iterator[Problem]:
    """A seed is a whole number of at least 0: it identifies a run, so it is never drawn for the user."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral) or value < 0:
        message = f"{parameter}={value!r} is not a whole number of at least 0."
        yield Problem("bad_seed", parameter, message, f"Pass e.g. {parameter}=0.")


def fits(value: object, hint: Any) -> bool:
    """Whether a value may stand where `hint` is annotated. An int may be a float, a list a tuple; a bool is no int."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, option) for option in inner)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in inner)
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint in (int, float):
        kind = numbers.Integral if hint is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool | np.bool_)
    if origin in (tuple, list, Sequence):
        return _fits_items(value, origin, inner)
    if origin is not None:
        return isinstance(value, origin)
    return value is None if hint in (None, type(None)) else isinstance(value, hint)


def _fits_items(value: object, origin: object, inner: tuple[object, ...]) -> bool:
    if not isinstance(value, list | tuple):
        return False
    if origin is tuple and inner[-1:] != (Ellipsis,):
        return len(value) == len(inner) and all(fits(v, t) for v, t in zip(value, inner, strict=True))
    return all(fits(v, inner[0]) for v in value)


def in_words(hint: Any) -> str:
    """A type annotation as a phrase."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(in_words(option) for option in inner)
    if origin is Literal:
        return f"one of {listed(list(inner))}"
    if origin in (tuple, list, Sequence):
        if origin is tuple and inner[-1:] != (Ellipsis,):
            return f"({', '.join(in_words(t) for t in inner)})"
        return f"a {'list' if origin is list else 'tuple'} of {_MANY.get(inner[0], in_words(inner[0]))}"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _type_fix(name: str, value: object) -> str:
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return ""
        return f"Pass {name}={number:g}, without quotes."
    return ""


def _range(name: str, value: object, limits: Facts) -> Iterator[Problem]:
    for item in value if isinstance(value, list | tuple) else (value,):
        if item is None:
            continue
        if isinstance(item, numbers.Real) and not math.isfinite(item):
            yield Problem("not_finite", name, f"{name}={value!r} is not finite.", _limit_fix(name, limits))
            return
        for word, (phrase, holds) in _LIMITS.items():
            if word in limits and not holds(item, limits[word]):
                message = f"{name}={value!r} must be {phrase} {limits[word]:g}."
                yield Problem("out_of_range", name, message, _limit_fix(name, limits))
                return
        if "choices" in limits and item not in limits["choices"]:
            choices = [str(choice) for choice in limits["choices"]]
            message = f"{name}={value!r} is not one of {listed(choices)}."
            yield Problem("unknown_choice", name, message, nearest(item, choices))
            return


def _limit_fix(name: str, limits: Facts) -> str:
    """All limits of a parameter, so that the next try is in range."""
    said = [f"{phrase} {limits[word]:g}" for word, (phrase, _) in _LIMITS.items() if word in limits]
    return f"Pass {name} {' and '.join(said)}." if said else f"Pass a finite {name}."

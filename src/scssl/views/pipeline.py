"""Pipelines: views one after the other, by name or as a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from scssl import _random
from scssl._errors import InputError
from scssl._registry import VIEWS
from scssl._words import listed, nearest, unknown
from scssl.views._base import Context, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from scssl._types import Json
    from scssl.train.batches import Batch, Batches

CLEAR, MIXING = "clear", "mixing"  # the defaults: of one batch, and of several
# the four corruptions of CLEAR at the strength of scSSL-Bench; every default of theirs is that of the views
_CLEAR = ("mask:0.2", "gaussian:0.8", "inner_swap:0.1", "crossover:0.25")
PIPELINES: dict[str, tuple[str | dict[str, Any], ...]] = {
    CLEAR: _CLEAR,
    # cells first move towards the same kind of cell in another batch and in their own
    MIXING: (
        {"view": "mnn", "alpha": 0.0, "k": 5, "drawn": True},
        {"view": "knn", "alpha": 0.5, "k": 5, "drawn": True},
        *_CLEAR,
    ),
    "mask": ("mask:0.5",),
    # the same cell, measured once more and less deeply
    "counts": ({"view": "nb_noise", "p": 1.0}, {"view": "thin", "p": 1.0}),
    # the four that scSSL-Bench chose by search
    "tuned": ("mnn:0.5", "gaussian:0.3", "inner_swap:0.3", "mask:0.5"),
    "none": (),
}


def resolve(views: object) -> tuple[View, ...]:
    """The views that a pipeline name, a list of names (``"mask:0.5"``), descriptions or views stands for.

    Raises
    ------
    KeyNotFoundError
        For a name that is neither a pipeline nor a view.
    InputError
        For a parameter that the view does not have, or a value out of range.
    """
    if isinstance(views, str) and views in PIPELINES:
        views = PIPELINES[views]
    parts = (views,) if isinstance(views, str | View | Mapping) else views
    if not isinstance(parts, list | tuple):
        raise _not_a_view(views, "is")
    return tuple(view for part in parts for view in _views(part))


def describe(views: Sequence[View]) -> list[Json]:
    """Names and parameters of the views as plain values, which :func:`resolve` turns back into views."""
    return [view.describe() for view in views]


def _views(part: object) -> tuple[View, ...]:
    """What one entry of a list stands for: a view, or all views of a pipeline whose name is not that of a view too."""
    if isinstance(part, View):
        return (part,)
    if isinstance(part, Mapping):
        values = dict(part)
        return (_made(_kind(values.pop("view", "")), values),)
    if not isinstance(part, str):
        raise _not_a_view(part, "holds")
    if part in PIPELINES and part not in VIEWS:
        return resolve(part)
    name, _, strength = part.partition(":")
    kind = _kind(name)
    return (_made(kind, {kind.main: _number(part, strength)} if strength else {}),)


def _not_a_view(given: object, verb: str) -> InputError:
    what = f"the class {given.__name__}" if isinstance(given, type) else f"{given!r} of type {type(given).__name__}"
    fix = f"Pass {given.__name__}()." if isinstance(given, type) else "For example views=['mask:0.5'], or 'clear'."
    msg = f"views {verb} {what}, expected a name, a description or a view, or a list of them."
    return InputError(msg, code="bad_view", parameter="views", fix=fix)


def _number(part: str, strength: str) -> float:
    try:
        return float(strength)
    except ValueError:
        msg = f"views holds {part!r}: {strength!r} is not a number."
        raise InputError(msg, code="bad_view", parameter="views", fix="Write for example 'mask:0.5'.") from None


def _kind(name: object) -> type[View]:
    if name not in VIEWS.names():
        known = list(dict.fromkeys([*PIPELINES, *VIEWS.names()]))
        raise unknown("view", name, known, parameter="views")  # noqa: EM101 - a word, not the sentence
    return VIEWS.get(name)


def _made(kind: type[View], values: Json) -> View:
    known = [f.name for f in fields(kind)]
    for key in values:
        if key not in known:
            msg = f"View {kind.spec.name!r} has no parameter {key!r}. It has {listed(known)}."
            raise InputError(msg, code="bad_view", parameter="views", fix=nearest(key, known))
    return kind(**values)


def augment(
    batch: Batch, views: Sequence[View], batches: Batches, index: np.ndarray, *, seed: int, counters: tuple[int, ...]
) -> Batch:
    """One view of every cell of a batch, each modality changed on its own.

    The stream of random numbers depends on the seed, the name of the modality and the counters (epoch, step, view) alone.
    """
    changed = {}
    for name, x in batch.x.items():
        generator = torch.Generator(x.device).manual_seed(_random.derive(seed, f"views/{name}", *counters))
        values = partial(batches.others, name, near=index)
        context = Context(index, values, batches.cells.n_obs, modality=name, known=batches.cells.known)
        changed[name] = x.clone()
        for view in views:
            view.apply_(changed[name], context, generator)
    return batch.with_x(changed)

"""Ablations as lines of a benchmark: every combination of a grid under a name that says what it is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scssl import _results
from scssl._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scssl._types import Facts, Json
    from scssl.views import View

_METHOD, _VIEWS = "method", "views"


def lines(method: str, grid: Mapping[str, Sequence[object]], config: Facts) -> dict[str, Json]:
    """Lines of the table, one for every combination of the values in `grid`.

    Raises
    ------
    InputError
        If the grid is empty, an axis is no list, or two of its values would have the same name.
    """
    if not isinstance(grid, Mapping) or not grid:
        msg = f"grid={grid!r} names no axis."
        raise _bad(msg)
    named = {axis: _named(axis, values, fixed=axis in config) for axis, values in grid.items()}
    made = {}
    for chosen in itertools.product(*(values.items() for values in named.values())):
        texts = {axis: text for axis, (text, _) in zip(named, chosen, strict=True)}
        values = {axis: value for axis, (_, value) in zip(named, chosen, strict=True)}
        options = {_METHOD: method, **config, **values}
        key = _results.line_key(str(options[_METHOD]), {k: v for k, v in texts.items() if k != _METHOD} or texts)
        made[key] = options
    return made


def _named(axis: str, values: Sequence[object], *, fixed: bool) -> Json:
    """The values of an axis under short names."""
    if fixed:
        msg = f"{axis!r} is an axis of the grid and was given a value of its own as well."
        raise _bad(msg)
    if isinstance(values, str) or not hasattr(values, "__len__") or not len(values):
        msg = f"grid[{axis!r}]={values!r} is not a list of values."
        raise _bad(msg)
    named = [(_views(value) if axis == _VIEWS else text(value), value) for value in values]
    names = [name for name, _ in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"grid[{axis!r}] has {', '.join(twice)} more than once."
        raise _bad(msg)
    return dict(named)


def _bad(message: str) -> InputError:
    fix = 'For example grid={"temperature": [0.1, 0.5], "views": ["mask:0.2", "mask:0.5"]}.'
    return InputError(message, code="bad_grid", parameter="grid", fix=fix)


def text(value: object) -> str:
    """A value as it stands in the name of a line: short, without ``", "``."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return "x".join(map(text, value)) or "none"
    return "none" if value is None else json.dumps(value, default=str).replace(", ", ",")


def _views(value: object) -> str:
    """Views as people write them: ``"mask:0.2+gaussian:0.8"``; only what is not the default is said."""
    from scssl.views.pipeline import PIPELINES, resolve

    if isinstance(value, str) and value in PIPELINES:
        return value
    return "+".join(map(_view, resolve(value))) or "none"


def _view(view: View) -> str:
    plain = type(view)()
    described, usual = view.describe(), plain.describe()
    said = {name: text(v) for name, v in described.items() if name != "view" and v != usual[name]}
    name = described["view"]
    main = said.pop("fraction", "")
    rest = ",".join(f"{k}:{v}" for k, v in said.items())
    return name + (f":{main}" if main else "") + (f"({rest})" if rest else "")

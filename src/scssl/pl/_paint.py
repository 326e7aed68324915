"""Colours of cells, and the legend or colour bar that explains them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from scssl._errors import InputError
from scssl.pl._style import CATEGORIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MISSING = "#D9D9D9"
_LARGEST = 1e300  # the range of a colour map, and some room around it, has to be finite
_LEGEND_ROWS = 12


class Paint:
    """Colours of the cells and what they mean."""

    def __init__(self, colors: np.ndarray, meaning: dict[str, str] | mpl.cm.ScalarMappable | None) -> None:
        self.colors, self.meaning = colors, meaning

    @classmethod
    def of(cls, values: pd.Series | None, palette: object, cmap: str) -> Paint:
        if values is None:
            return cls(np.array(["#8794A8"]), None)
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            return cls._numbers(values.astype(float).to_numpy(), cmap)
        return cls._categories(values.astype("category"), palette)

    @classmethod
    def _numbers(cls, numbers: np.ndarray, cmap: str) -> Paint:
        """A colour map over the finite values; the others are as if missing."""
        known = np.isfinite(numbers)
        low, high = (numbers[known].min(), numbers[known].max()) if known.any() else (0.0, 1.0)
        if not max(-low, high) < _LARGEST:
            msg = f"color: values from {low:.4g} to {high:.4g} are too large to be drawn."
            raise InputError(msg, code="values_too_large", parameter="color", fix="Draw their logarithms.")
        scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(low, high), cmap)
        shades = scale.to_rgba(np.where(known, numbers, low))
        return cls(np.where(known[:, None], shades, mpl.colors.to_rgba(_MISSING)), scale)

    @classmethod
    def _categories(cls, values: pd.Series, palette: object) -> Paint:
        names = [str(c) for c in values.cat.categories]
        chosen = [mpl.colors.to_hex(color) for color in _chosen(values, palette)]
        codes = values.cat.codes.to_numpy()
        colors = np.array([*chosen, _MISSING])[codes]
        meaning = dict(zip(names, chosen, strict=True))
        return cls(colors, {**meaning, "missing": _MISSING} if (codes < 0).any() else meaning)

    def explain(self, ax: Axes, title: str, *, beside: bool) -> None:
        """The legend or the colour bar: in an axes of its own, or beside the only panel."""
        if isinstance(self.meaning, mpl.cm.ScalarMappable):
            place: dict[str, Any] = {"ax": ax} if beside else {"cax": ax.inset_axes((0.02, 0.15, 0.07, 0.7))}
            bar = ax.figure.colorbar(self.meaning, **place)
            bar.outline.set_visible(False)
            bar.ax.set_title(title, fontsize=9, loc="left")
        elif self.meaning:
            marks = [_mark(color) for color in self.meaning.values()]
            anchor = (1.02, 1.0) if beside else (0.0, 1.0)
            columns = -(-len(marks) // _LEGEND_ROWS)
            size = 8 if columns == 1 else 7
            legend = ax.legend(
                handles=marks, title=title, loc="upper left", bbox_to_anchor=anchor, frameon=False, fontsize=size,
                ncols=columns, handletextpad=0.1, labelspacing=0.3, columnspacing=0.8, borderaxespad=0, alignment="left",
            )  # fmt: skip
            for text, name in zip(legend.get_texts(), self.meaning, strict=True):
                text.set_text(name)  # not as a label: matplotlib drops those that begin with "_"
            legend.get_title().set(fontsize=9, fontweight="bold")


def _mark(color: str) -> Line2D:
    return Line2D([], [], marker="o", linestyle="", color=color, markersize=5.5, label="name")


def _chosen(values: pd.Series, palette: Any) -> list[Any]:
    """A colour for each category: those that the object has for it, in order or by name, else ours."""
    names = list(values.cat.categories)
    ours = _palette(len(names))
    if palette is None:
        return ours
    if isinstance(palette, Mapping):
        chosen = [palette.get(name, palette.get(str(name), own)) for name, own in zip(names, ours, strict=True)]
    else:
        chosen = list(palette)[: len(names)] if len(palette) >= len(names) else ours
    wrong = [color for color in chosen if not mpl.colors.is_color_like(color)]
    if wrong:
        slot = f"uns['{values.name}_colors']"
        msg = f"{slot} holds {wrong[0]!r}, which is no colour of matplotlib."
        raise InputError(
            msg, code="unknown_color", parameter="color", fix=f"Correct it, or remove it: del adata.{slot}."
        )
    return chosen


def _palette(n: int) -> list[Any]:
    if n <= len(CATEGORIES):
        return list(CATEGORIES[:n])
    if n <= 20:
        # dark and light of the same hue are far apart in the list, so that neighbours differ
        pairs = [mpl.colormaps["tab20"](i) for i in range(20)]
        return [*CATEGORIES, *(c for i in (1, 0) for c in pairs[i::2])][:n]
    return [mpl.colormaps["turbo"](i / (n - 1)) for i in range(n)]

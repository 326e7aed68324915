"""What all figures share: fonts, colours, and the way a figure is shown, saved and handed back."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from scssl._errors import InputError
from scssl._files import atomic
from scssl._settings import settings
from scssl._validate import enforce
from scssl._validate.paths import target
from scssl._words import listed, unknown

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

INK, MUTED, FAINT, RULE = "#1a1a1a", "#6b6b6b", "#ececec", "#b9b9b9"
SAVED_DPI = 200
# Okabe and Ito's colours for colour-blind readers, without black; yellow last because it is faint on white
CATEGORIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#B5A900")

PLAIN: Any = {"parse_math": False, "usetex": False}
"""For names in axes that the user made: a ``$`` in them starts no formula, a ``_`` no index."""

_RC: Any = {
    "text.parse_math": False,  # names of cells and labels are shown as they are
    "text.usetex": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.fonttype": "none",  # text stays text: it can be edited and searched
    "pdf.fonttype": 42,
}


def check_figure(*, ax: object = None, figsize: Any = None, save: Any = None, cmap: object = None) -> None:
    """The arguments that all figures share, before anything is computed.

    Raises
    ------
    InputError
        If one of them cannot be used.
    """
    if ax is not None and not isinstance(ax, Axes):
        msg = f"ax is of type {type(ax).__name__}, expected axes of matplotlib."
        raise InputError(
            msg, code="wrong_type", parameter="ax", fix="Pass what plt.subplots returned, or leave it out."
        )
    sides = figsize if isinstance(figsize, tuple | list) else ()
    if figsize is not None and (
        len(sides) != 2 or not all(isinstance(s, int | float | np.number) and 0 < float(s) < np.inf for s in sides)
    ):
        msg = f"figsize={figsize!r} is not a width and a height in inches."
        raise InputError(msg, code="bad_figsize", parameter="figsize", fix="Pass e.g. figsize=(6, 4).")
    if save is not None:
        enforce(target(save, parameter="save"))
    if cmap is not None and not isinstance(cmap, mpl.colors.Colormap) and cmap not in list(mpl.colormaps):
        raise unknown(kind="cmap", name=cmap, known=list(mpl.colormaps), parameter="cmap")


@contextmanager
def style() -> Iterator[None]:
    """Our settings of matplotlib for the time of one figure; the user's stay as they are."""
    with mpl.rc_context(_RC):
        yield


def finish(ax: Axes, *, show: bool | None, save: str | os.PathLike[str] | None) -> Axes | None:
    """Save and show the figure of `ax`; hand `ax` back if it is not shown."""
    if save is not None:
        _save(ax, save)
    if show if show is not None else _autoshow():
        plt.show()
        return None
    return ax


def _autoshow() -> bool:
    """What scanpy was told, without importing it."""
    scanpy = sys.modules.get("scanpy")
    return bool(scanpy.settings.autoshow) if scanpy is not None else True


def _save(ax: Axes, save: str | os.PathLike[str]) -> None:
    """Write the figure atomically; a bare name goes to ``settings.figdir``, a name without an ending becomes PNG."""
    path = Path(save)
    if path.parent == Path() and not str(save).startswith("."):
        path = settings.figdir / path
    path = path if path.suffix else path.with_suffix(".png")
    figure: Any = ax.figure
    known = sorted(figure.canvas.get_supported_filetypes())
    kind = path.suffix.removeprefix(".").lower()
    if kind not in known:
        msg = f"save={str(save)!r} ends in {path.suffix!r}; figures can be written as {listed(known)}."
        raise InputError(msg, code="unknown_file_type", parameter="save", fix="Choose for example .png, .svg or .pdf.")
    # file formats that carry the date would differ from run to run
    undated: Any = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with style(), atomic(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=SAVED_DPI, bbox_inches="tight", facecolor="white", metadata=undated)

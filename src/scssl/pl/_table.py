"""Drawing a :class:`~scssl.table.board.Board`: one axes, measured in inches, so that it fits any size by one factor."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyBboxPatch, Rectangle

from scssl import _results
from scssl.pl._style import FAINT, INK, MUTED, RULE
from scssl.table.lines import GROUP_TITLES, REASONS
from scssl.table.ranks import tied
from scssl.table.statistics import CONTROLS, TOTAL, TOTALS
from scssl.table.units import duration, number

if TYPE_CHECKING:
    from typing import Any

    import pandas as pd
    from matplotlib.axes import Axes

    from scssl.table.board import Board

# all lengths in inches
MARGIN, ROW, PILL, BAR, GAP, SECONDS = 0.22, 0.40, 0.55, 1.22, 0.20, 0.68
TRACK = 0.72
HEADER, NOTE = 1.58, 0.165
CHARACTERS_PER_INCH = 17.5  # of the small print
NAME = 36  # characters of a name in one line
GROUP_COLORS = {TOTALS: "#1F3B73", "typing": "#0B7A75", "prediction": "#7A4B94", "reconstruction": "#9C5A1A"}
OTHER_COLOR = "#4C6FA5"


@dataclass(frozen=True)
class Column:
    """Where a column stands and how it is drawn."""

    name: str
    group: str
    left: float
    width: float
    bar: bool

    @property
    def center(self) -> float:
        return self.left + self.width / 2


@dataclass
class Table:
    """The drawing of a board.

    Parameters
    ----------
    board
        What is drawn.
    title
        Head line.
    small_print
        Lines below the table.
    cmap
        Sequential map of the cells: pale for 0, dark for 1.
    """

    board: Board
    title: str
    small_print: list[str]
    cmap: str

    @cached_property
    def tied(self) -> set[tuple[str, str]]:
        """Columns and methods that cannot be told from the best in it; empty if everything was measured once."""
        return tied(self.board)

    @cached_property
    def name_width(self) -> float:
        lines = [line for label in self.board.lines.index for line in _wrapped(str(label))]
        return max(1.15, 0.085 * max(map(len, lines), default=10) + 0.25)

    @cached_property
    def columns(self) -> list[Column]:
        left, group, placed = MARGIN + self.name_width, None, []
        for name, about in self.board.columns.iterrows():
            left += GAP if group not in (None, about["block"]) else 0.0
            bar = bool(about["main"]) or about["group"] == TOTALS
            placed.append(Column(str(name), about["group"], left, BAR if bar else PILL, bar))
            left, group = left + placed[-1].width, about["block"]
        return placed

    @property
    def right(self) -> float:
        return self.columns[-1].left + self.columns[-1].width if self.columns else MARGIN + self.name_width + 4.0

    @property
    def width(self) -> float:
        return self.right + SECONDS + MARGIN

    @property
    def header(self) -> float:
        return HEADER if self.columns else 0.55

    @cached_property
    def text_below(self) -> list[str]:
        """Numbered notes and the small print, wrapped to the width."""
        room = int((self.width - 2 * MARGIN) * CHARACTERS_PER_INCH)
        lines = []
        for mark, note in enumerate(self.board.notes, 1):
            lines += textwrap.wrap(f"{mark}  {note}", room, subsequent_indent="    ", max_lines=3, placeholder=" …")
        for line in self.small_print:
            lines += textwrap.wrap(line, room)
        return lines

    @property
    def height(self) -> float:
        rule = 0.14 if self.board.lines["control"].any() else 0.0
        rows = max(len(self.board.lines), 1) * ROW
        return self.header + rows + rule + 0.22 + NOTE * len(self.text_below) + 0.1

    def draw(self, ax: Axes) -> None:
        """Fill `ax`."""
        box = ax.get_window_extent()
        dpi = ax.figure.dpi
        wide, high = box.width / dpi, box.height / dpi
        self.ax, self.scale = ax, min(wide / self.width, high / self.height)
        ax.set(xlim=(0, wide / self.scale), ylim=(high / self.scale, 0))
        ax.set_axis_off()
        self._text(MARGIN, 0.24, self.title, size=12, weight="bold", ha="left")
        if self.columns:
            self._head()
        bottom = self._rows()
        if not len(self.board.lines):
            self._text(MARGIN, self.header + ROW / 2, "Nothing was scored: the table has no rows.", size=9, ha="left")
        self._foot(bottom + 0.22)

    def _text(self, x: float, y: float, text: str, *, size: float, **style: Any) -> None:
        style = {"ha": "center", "va": "center", "color": INK, **style}
        self.ax.text(x, y, text, fontsize=size * self.scale, **style)

    def _line(self, x: tuple[float, float], y: tuple[float, float], *, width: float = 0.8, **style: Any) -> None:
        self.ax.plot(x, y, linewidth=width * self.scale, **{"color": RULE, "solid_capstyle": "butt", **style})

    def _head(self) -> None:
        groups: dict[str, list[Column]] = {}
        for column in self.columns:
            groups.setdefault(self.board.columns["block"][column.name], []).append(column)
        for members in groups.values():
            group = members[0].group
            left, right = members[0].left, members[-1].left + members[-1].width
            title = GROUP_TITLES.get(group, group.replace("_", " ").capitalize())
            self._text(left + 0.03, 0.52, title, size=8, color=MUTED, weight="bold", ha="left")
            self._line((left + 0.03, right - 0.05), (0.62, 0.62))
        for column in self.columns:
            about = self.board.columns.loc[column.name]
            arrow = "↑" if about["better"] == "higher" else "↓"
            label, x = f"{about['title']} {arrow}", column.left + 0.03 if column.bar else column.center - 0.09
            style = {"rotation": 0} if column.bar else {"rotation": 42, "rotation_mode": "anchor"}
            self._text(x, self.header - 0.1, label, size=8 if column.bar else 7, ha="left", va="bottom", **style)
        self._text(self.right + SECONDS, self.header - 0.1, "Time", size=8, ha="right", va="bottom")

    def _rows(self) -> float:
        lines, top = self.board.lines, self.header
        for column in self.columns:
            if column.bar:
                self._band(column, top, top + ROW * len(self.board.methods))
        ruled = False
        for label, line in lines.iterrows():
            if line["control"] and not ruled:
                self._line((MARGIN, self.right + SECONDS), (top + 0.07, top + 0.07), color=MUTED)
                top, ruled = top + 0.14, True
            elif label != lines.index[0]:
                self._line((MARGIN, self.right + SECONDS), (top, top), width=0.5, color=FAINT)
            self._row(str(label), line, top + ROW / 2)
            top += ROW
        return top

    def _row(self, label: str, line: pd.Series, y: float) -> None:
        control = bool(line["control"])
        caption = "control" if control else line["family"]
        name = _wrapped(label)
        style: dict[str, Any] = {"size": 9.5 if len(name) == 1 else 7, "linespacing": 1.05}
        above = 0.06 if caption else 0
        self._text(MARGIN, y - above, "\n".join(name), ha="left", color=MUTED if control else INK, **style)
        if caption:
            self._text(MARGIN, y + 0.11, caption, size=6.2, ha="left", color=MUTED)
        if line["mark"]:
            x = MARGIN + self.name_width - 0.12
            self._text(x, y - 0.06, f"{line['mark']}", size=7.5, ha="right", color="#B3261E", weight="bold")
        for column in self.columns:
            value, wide = float(self.board.mean[column.name][label]), self.board.half_width(label, column.name)
            status = str(self.board.status[column.name][label])
            if math.isnan(value):
                if not control:  # which answers one task only
                    self._gap(column, status, y)
            elif column.bar:
                self._bar(column, label, value, wide, y, control=control, sound=status != _results.COLLAPSED)
            else:
                self._pill(column, value, wide, y, control=control, sound=status != _results.COLLAPSED)
        if not self.columns:
            self._text(MARGIN + self.name_width, y, REASONS.get(line["status"], ""), size=8.5, ha="left", color=MUTED)
        if not control:
            self._text(self.right + SECONDS, y, duration(line["seconds"]), size=8, ha="right")

    def _gap(self, column: Column, status: str, y: float) -> None:
        """A number that is missing: a cross if something went wrong, a dash if there is nothing to score."""
        wrong = status in (_results.FAILED, _results.TIMEOUT)
        x = column.left + 0.12 if column.bar else column.center
        self._text(x, y, "×" if wrong else "–", size=10, color="#B3261E" if wrong else MUTED)

    def _band(self, column: Column, top: float, bottom: float) -> None:
        """The range from the random to the oracle control, behind the bars."""
        low, high = (self.board.control(column.name, name) for name in CONTROLS)
        left = column.left + 0.03
        if not math.isnan(low + high):
            ends = sorted(TRACK * self.board.share(column.name, value) for value in (low, high))
            self.ax.add_patch(
                Rectangle((left + ends[0], top), ends[1] - ends[0], bottom - top, facecolor="#F0F1F4", zorder=0)
            )
        self._line((left, left), (top + 0.03, bottom - 0.03), width=0.6)

    def _bar(
        self, column: Column, label: str, value: float, wide: float, y: float, *, control: bool, sound: bool
    ) -> None:
        left, color = column.left + 0.03, GROUP_COLORS.get(column.group, OTHER_COLOR)
        if column.group == TOTALS and column.name != TOTAL:
            color = OTHER_COLOR
        color = "#A9A9A9" if control else color
        fill: dict[str, Any] = {"facecolor": color, "edgecolor": color}
        if not sound:
            fill |= {"facecolor": "white", "hatch": "////"}
        length = TRACK * self.board.share(column.name, value)
        width = 0 if sound else 0.7 * self.scale
        self.ax.add_patch(Rectangle((left, y - 0.085), length, 0.17, linewidth=width, zorder=2, **fill))
        if wide > 0:
            ends = [left + TRACK * self.board.share(column.name, value + side * wide) for side in (-1, 1)]
            for width, tone in ((3.0, "white"), (1.3, INK)):  # the halo keeps the line visible on the bar
                self._line((ends[0], ends[1]), (y, y), width=width, color=tone, zorder=3)
        tone = INK if sound and not control else MUTED
        weight = "bold" if (column.name, label) in self.tied else "normal"
        self._text(left + TRACK + 0.08, y, number(value), size=8.5, ha="left", weight=weight, color=tone)

    def _pill(self, column: Column, value: float, wide: float, y: float, *, control: bool, sound: bool) -> None:
        share = self.board.share(column.name, value)
        fill = _grey(share) if control else self._map(share)
        ink = "white" if _dark(fill) else INK
        style: dict[str, Any] = {"facecolor": fill, "edgecolor": "none"}
        if not sound:
            style, ink = {"facecolor": "white", "edgecolor": MUTED, "linestyle": (0, (2, 1.5))}, MUTED
        shape = FancyBboxPatch(
            (column.left + 0.045, y - 0.15), PILL - 0.09, 0.30, boxstyle="round,pad=0,rounding_size=0.09",
            linewidth=0.8 * self.scale, zorder=2, **style,
        )  # fmt: skip
        self.ax.add_patch(shape)
        spread = wide > 0 and not control
        self._text(column.center, y - (0.045 if spread else 0), number(value), size=7.8, color=ink)
        if spread:
            self._text(column.center, y + 0.085, f"± {wide:.2f}".replace(" 0.", " ."), size=5, color=ink)

    @cached_property
    def _map(self) -> LinearSegmentedColormap:
        whole = mpl.colormaps[self.cmap]
        return LinearSegmentedColormap.from_list("part", [whole(0.06 + 0.86 * i / 63) for i in range(64)])

    def _foot(self, y: float) -> None:
        for line in self.text_below:
            self._text(MARGIN, y, line, size=7, ha="left", color=MUTED)
            y += NOTE


def _wrapped(label: str) -> list[str]:
    """A name in one line or two of equal length, whole: names of a grid differ at their end."""
    if len(label) <= NAME:
        return [label]
    half = -(-len(label) // 2)
    lines = textwrap.wrap(label, max(NAME, half + half // 3), break_on_hyphens=False)
    return lines if len(lines) <= 2 else [label[:half], label[half:]]


def _grey(share: float) -> tuple[float, float, float]:
    return (0.95 - 0.35 * share,) * 3


def _dark(color: str | tuple[float, float, float] | tuple[float, float, float, float]) -> bool:
    red, green, blue = mpl.colors.to_rgb(color)
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.56

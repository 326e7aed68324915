"""Names beside points, placed so that they cover neither each other nor a point."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.transforms import Bbox

from scssl.pl._style import INK, MUTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

_REACH = (1.0, 1.8, 2.8, 4.0, 5.5)
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))


def place_labels(
    ax: Axes,
    points: np.ndarray,
    names: Sequence[str],
    *,
    strong: Sequence[bool],
    lines: Sequence[np.ndarray] = (),
    fontsize: float = 8.5,
) -> None:
    """Write a name beside each point; far names get a thin line to their point.

    Limits and scales of `ax` must be final. Points with few others around them choose first.

    Parameters
    ----------
    points
        Data coordinates, shape ``(n, 2)``.
    names
        What to write.
    strong
        Whether a name is dark or grey.
    lines
        Corners of horizontal and vertical lines that names had better not cross, each of shape ``(k, 2)``.
    fontsize
        In points.
    """
    figure = ax.figure
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    room, scale = ax.get_window_extent(renderer), figure.dpi / 72
    at = ax.transData.transform(points)
    taken = [Bbox.from_bounds(x - 4 * scale, y - 4 * scale, 8 * scale, 8 * scale) for x, y in at]
    drawn = [_thin(ax.transData.transform(line), scale) for line in lines if len(line) > 1]
    taken += [box for boxes in drawn for box in boxes]
    # not a halo: path effects would turn the text of an SVG into outlines
    ground = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.3}
    for i in _loneliest_first(at):
        x, y = map(float, points[i])
        text = ax.text(
            x, y, names[i], fontsize=fontsize, color=INK if strong[i] else MUTED, zorder=3,
            bbox=ground,
        )  # fmt: skip
        size = text.get_window_extent(renderer)
        best = min(_candidates(at[i], size, scale), key=lambda c: (_cost(c[1], taken, room), c[0]))
        reach, box = best
        left, bottom = ax.transData.inverted().transform((box.x0, box.y0))
        text.set_position((float(left), float(bottom)))
        text.set_verticalalignment("bottom")
        taken.append(box)
        if reach > _REACH[1]:
            end = ax.transData.inverted().transform(_edge(box, at[i]))
            ax.plot([x, end[0]], [y, end[1]], color=MUTED, linewidth=0.5, zorder=1)


def _thin(corners: np.ndarray, scale: float) -> list[Bbox]:
    """The pieces of a line as boxes."""
    ends = itertools.pairwise(corners)
    return [Bbox([np.minimum(a, b) - scale, np.maximum(a, b) + scale]) for a, b in ends]


def _loneliest_first(at: np.ndarray) -> np.ndarray:
    gaps = np.linalg.norm(at[:, None] - at[None], axis=-1)
    np.fill_diagonal(gaps, np.inf)
    return np.argsort(-gaps.min(axis=1), kind="stable") if len(at) > 1 else np.arange(len(at))


def _candidates(point: np.ndarray, size: Bbox, scale: float) -> Iterator[tuple[float, Bbox]]:
    """Boxes around a point, the nearest first."""
    for reach in _REACH:
        for right, up in _SIDES:
            gap = 6.0 * reach * scale
            x = point[0] + right * gap - (0.5 - 0.5 * right) * size.width
            y = point[1] + up * gap - (0.5 - 0.5 * up) * size.height
            yield reach, Bbox.from_bounds(x, y, size.width, size.height)


def _cost(box: Bbox, taken: list[Bbox], room: Bbox) -> float:
    """Covered area, that outside of the axes counted double."""
    covered = sum(_area(Bbox.intersection(box, other)) for other in taken)
    inside = _area(Bbox.intersection(box, room))
    return round(covered + 2 * (box.width * box.height - inside), 3)


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else box.width * box.height


def _edge(box: Bbox, point: np.ndarray) -> tuple[float, float]:
    """The place on a box that is nearest to a point."""
    return float(np.clip(point[0], box.x0, box.x1)), float(np.clip(point[1], box.y0, box.y1))

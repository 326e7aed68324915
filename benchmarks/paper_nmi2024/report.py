"""Tables and figures of the claims: means over seeds with Student's 95 % intervals, and differences seed by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from scssl.pl._style import CATEGORIES, style
from scssl.table.inference import difference, half_width

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MARKS = "osD^v"


def over_seeds(rows: pd.DataFrame, by: Sequence[str], value: str = "macro_f1") -> pd.DataFrame:
    """Mean, half width of its interval, and number of seeds of each place."""
    found = rows.groupby(list(by), sort=False)[value].agg(["mean", "std", "count"])
    return found.assign(half=half_width(found["std"].to_numpy(), found["count"].to_numpy())).drop(columns="std")


def table(rows: pd.DataFrame, by: Sequence[str], columns: str, *, value: str = "macro_f1") -> str:
    """Markdown: one row for each place, one column for each value of `columns`, in the order in which they occur."""
    found = over_seeds(rows, [*by, columns], value)
    text = [_text(*line) for line in found[["mean", "half"]].itertuples(index=False)]
    told = found.assign(text=text).reset_index()
    wide = told.pivot_table("text", list(by), columns, aggfunc="first", sort=False)
    return markdown(wide[list(dict.fromkeys(rows[columns]))].fillna("").reset_index())


def gains(rows: pd.DataFrame, over: dict[str, object], by: Sequence[str]) -> str:
    """Markdown: differences in macro-F1 to one line of the table, paired by seed, which decides the donors too."""
    base = rows[np.logical_and.reduce([rows[c] == v for c, v in over.items()])].set_index("seed")["macro_f1"]
    found = []
    for place, part in rows.groupby(list(by), sort=False):
        mine = part.set_index("seed")["macro_f1"].reindex(base.index)
        if mine.equals(base):
            continue
        d = difference(mine.to_numpy(), base.to_numpy(), paired=True)
        names = place if isinstance(place, tuple) else (place,)
        interval = f"{float(d.low):+.3f} to {float(d.high):+.3f}"
        found.append([*names, f"{float(d.value):+.3f}", interval])
    return markdown(pd.DataFrame(found, columns=[*by, "difference", "95 % interval"]))


def compared(rows: pd.DataFrame, title: str, *, by: str, to: str) -> str:
    """Markdown: the table of some lines, and for each read-out what they are above one of them."""
    parts = [f"\n**{title}**", table(rows, [by], "way")]
    parts += [f"{way}, to {to}\n\n{gains(part, {by: to}, [by])}" for way, part in rows.groupby("way", sort=False)]
    return "\n\n".join(parts) + "\n"


def markdown(frame: pd.DataFrame) -> str:
    """A frame of texts as Markdown."""
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * frame.shape[1]]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in frame.itertuples(index=False))])


def dots(rows: pd.DataFrame, path: Path, *, y: str, color: str, panel: str | None = None) -> None:
    """Seeds as faint dots, means with intervals as marks: one line for each `y`, side by side for each `panel`."""
    panels = list(dict.fromkeys(rows[panel])) if panel else [""]
    names, hues = (list(dict.fromkeys(rows[c])) for c in (y, color))
    with style():
        width, height = 3.4 * len(panels) + 1.4, 0.42 * len(names) + 1.1
        figure, axes = plt.subplots(
            1, len(panels), figsize=(width, height), sharex=True, sharey=True, squeeze=False, layout="constrained"
        )
        for ax, title in zip(axes[0], panels, strict=True):
            part = rows[rows[panel] == title] if panel else rows
            for i, hue in enumerate(hues):
                shift = (i - (len(hues) - 1) / 2) * 0.22
                _points(ax, part[part[color] == hue], names, y, (shift, CATEGORIES[i], MARKS[i], hue))
            ax.set(title=title, xlabel="macro-F1, held out", yticks=range(len(names)), ylim=(len(names) - 0.4, -0.6))
            ax.set_yticklabels(names)
            ax.grid(axis="x", color="#ececec")
        if axes[0][0].get_xlim()[1] > 1:  # of an interval; no score is there
            axes[0][0].set_xlim(right=1.0)
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper left", ncols=len(hues), frameon=False)
        _save(figure, path)


def _points(ax: plt.Axes, part: pd.DataFrame, names: list[str], y: str, look: tuple[float, str, str, str]) -> None:
    shift, color, mark, label = look
    found = over_seeds(part, [y])
    at = [names.index(name) + shift for name in found.index]
    ax.scatter(part["macro_f1"], [names.index(n) + shift for n in part[y]], s=12, color=color, alpha=0.55, linewidths=0)
    half = found["half"].fillna(0)
    ax.errorbar(found["mean"], at, xerr=half, fmt=mark, ms=5, color=color, lw=1, label=label)


def curves(rows: pd.DataFrame, path: Path, *, x: str, line: str, labels: dict[str, str]) -> None:
    """A mean with its interval for every value of `x` (logarithmic), one line for each `line`."""
    with style():
        figure, ax = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
        for i, name in enumerate(dict.fromkeys(rows[line])):
            found = over_seeds(rows[rows[line] == name], [x]).sort_index()
            at = found.index.to_numpy(float) * (1 + 0.03 * i)  # intervals beside each other
            ax.errorbar(at, found["mean"], yerr=found["half"].fillna(0), fmt=f"{MARKS[i]}-", ms=4.5, lw=1.2,
                        elinewidth=0.8, color=CATEGORIES[i], label=name)  # fmt: skip
        ax.set(xscale="log", **labels)
        ax.set_xticks(sorted(set(rows[x])), [f"{v:,}" for v in sorted(set(rows[x]))])
        ax.minorticks_off()
        ax.grid(axis="y", color="#ececec")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False)
        _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def _text(mean: float, half: float) -> str:
    return f"{mean:.3f}" + ("" if np.isnan(half) else f" ± {half:.3f}")

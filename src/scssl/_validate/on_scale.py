"""What is wrong with the scale of values: by themselves, between batches, and beside what a model was trained on."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scssl import _keys
from scssl._validate._problem import WARNING, Problem
from scssl._validate.scale import (
    COUNTS,
    HIGHEST_LOG,
    LOG,
    NORMALISED,
    TWICE,
    Scale,
    measured,
    same,
    united,
)
from scssl._words import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    from scssl._types import Data
    from scssl._validate._scan import Scan

RECIPE = "ssl.pp.recipe(adata)"
MODALITIES = "ssl.pp.recipe(mdata)"
_EXACT = 2.0**24  # whole numbers above this are not exact in float32


@dataclass(frozen=True)
class Place:
    """Where values stand, for messages.

    Parameters
    ----------
    name
        ``"X"``, or the layer.
    parameter
        Argument of the call that named it.
    counts
        Layer of the same object that holds counts; empty if there is none.
    kind
        Of the modality: ``"rna"``, ``"protein"``, ``"atac"``, or empty if it is not known.
    """

    name: str
    parameter: str
    counts: str = ""
    kind: str = "rna"

    def recipe(self, like: str = "") -> str:
        """The call that makes values of the right scale from counts."""
        arguments = [
            "mdata" if self.kind not in ("rna", "") else "adata",
            like,
            f"layer={self.counts!r}" if self.counts else "",
        ]
        return f"ssl.pp.recipe({', '.join(a for a in arguments if a)})"


@dataclass(frozen=True, eq=False)
class Look:
    """Scale of some cells of every batch.

    Parameters
    ----------
    batches
        Scale of each batch that has some values; one without a name where no batches are known.
    n_whole
        For each of them the cells that hold whole numbers only, not all of them 1.
    n_cells
        For each of them the cells that were looked at.
    """

    batches: dict[str, Scale]
    n_whole: dict[str, int]
    n_cells: dict[str, int]
    detected: np.ndarray
    """For each gene of the object the number of cells that have it, of all cells."""
    n_obs: int
    """Number of all cells."""

    recorded: float | None = None
    """Total per cell that the record of the recipe names."""

    @property
    def scale(self) -> Scale:
        """Scale of all of them; a total that can no longer be measured is taken from the record."""
        scale, total = united(self.batches.values()), self.recorded
        if total is None or scale.kind != LOG or scale.totals or scale.own_median or scale.sums[1] > 1.02 * total:
            return scale
        return replace(scale, totals=(total, total), source="recorded")


def look(adata: AnnData, found: Scan, batches: pd.Series | None, summed: np.ndarray, picked: np.ndarray) -> Look:
    """Measure the scale of the cells that were picked, for each batch; `summed`: the genes of the model."""
    recorded = recorded_base(adata)
    names = np.full(len(picked), "") if batches is None else batches.to_numpy(dtype=str)[picked]
    whole = _whole_cells(found.some)
    groups = {str(name): np.flatnonzero(names == name) for name in np.unique(names)}
    return Look(
        {name: measured(found.some[rows], summed, recorded=recorded) for name, rows in groups.items()},
        {name: int(whole[rows].sum()) for name, rows in groups.items()},
        {name: len(rows) for name, rows in groups.items()},
        found.n_cells.sum(axis=0),
        len(found.cells),
        _recorded_total(adata),
    )


def _whole_cells(rows: sp.csr_array) -> np.ndarray:
    """Cells that hold whole numbers only, and not only 1."""
    there = np.diff(rows.indptr) > 0
    whole = np.zeros(rows.shape[0], dtype=bool)
    if there.any():
        starts = rows.indptr[:-1][there]
        fractions = np.logical_or.reduceat(rows.data != np.rint(rows.data), starts)
        whole[there] = ~fractions & (np.maximum.reduceat(rows.data, starts) > 1)
    return whole


def counts(found: Scan, seen: Look, place: Place, other: str) -> Iterator[Problem]:
    """Whether values are counts, in every batch."""
    share = f"{found.fractions:.0%} of the values above zero are not whole numbers, the largest is {found.high:.4g}"
    odd = {name: scale for name, scale in seen.batches.items() if scale.sums and scale.kind != COUNTS}
    fix = other or "If there are no counts, use a method that takes log-normalised values."
    if log_normalised(found):
        yield Problem("looks_log_normalised", place.parameter, f"{place.name} looks log-normalised: {share}.", fix)
    elif len(odd) < len(seen.batches) and any(scale.base for scale in odd.values()):
        logged = [name for name, scale in odd.items() if scale.base]
        message = f"{place.name} holds logarithms in {_of(logged, seen)} and counts in the others."
        yield Problem("looks_log_normalised", place.parameter, message, fix)
    elif odd and "" not in odd:
        which = ", ".join(f"{name!r} ({_looks(scale)})" for name, scale in list(odd.items())[:5])
        more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        message = f"{place.name} is taken for counts, but is not whole numbers in {len(odd)} of {len(seen.batches)} batches: {which}{more}."
        fix = "Corrected counts are fine, rounding is not needed; of TPM and the like read the counts of the study instead."
        yield Problem("fractional_counts", place.parameter, message, fix, WARNING)
    elif found.fractions > 0:
        looks = (
            f" All cells sum to {odd[''].totals[0]:.6g}: normalised."
            if "" in odd and odd[""].kind == NORMALISED and odd[""].totals
            else ""
        )
        message = f"{place.name} is taken for counts, but {share}.{looks}"
        fix = "Corrected counts are fine, rounding is not needed."
        yield Problem("fractional_counts", place.parameter, message, fix, WARNING)
    if found.high > _EXACT:
        message = f"{place.name} holds counts up to {found.high:.4g}; above 16,777,216 they are not exact in float32."
        yield Problem("counts_not_exact", place.parameter, message, severity=WARNING)


def log_normalised(found: Scan) -> bool:
    """Whether values look like logarithms: mostly fractions, none negative, none large."""
    return found.fractions > 0.5 and found.low >= 0 and found.high < HIGHEST_LOG


def logarithms(found: Scan, seen: Look, place: Place) -> Iterator[Problem]:
    """Whether values are log-normalised, in every batch alike."""
    if found.fractions == 0 and found.high > 1:
        yield _looks_like_counts(found.high, place)
    elif sum(seen.n_whole.values()) and seen.scale.kind != NORMALISED:  # of which some cells are whole by chance
        yield _partly_counts(seen, place)
    elif place.kind != "rna":
        return
    elif found.high > 2 * HIGHEST_LOG:
        message = f"{place.name} holds values up to {found.high:.4g}, too large for logarithms: it looks normalised, not logged."
        yield Problem("looks_not_logged", place.parameter, message, _again(place))
    else:
        yield from _not_logged_once(seen, place)
        yield from _other_totals(seen, place)


def _looks_like_counts(high: float, place: Place) -> Problem:
    message = f"{place.name} looks like counts: whole numbers up to {high:.4g}. Log-normalised values are needed."
    fix = "Run ssl.pp.recipe(adata) first, which keeps the counts in a layer and log-normalises."
    if place.kind == "":
        fix = "Give the modality a name that ssl.pp.recipe knows (rna, prot, atac) and run ssl.pp.recipe(mdata), or put it on such a scale."
        return Problem("looks_like_counts", place.parameter, message, fix, WARNING)
    if place.kind != "rna":
        message = message.replace("Log-normalised values are needed", f"{_WANTED[place.kind]} are needed")
        fix = f"Run {MODALITIES} first, which keeps the counts of every modality in a layer."
    return Problem("looks_like_counts", place.parameter, message, fix)


_WANTED = {"protein": "Values on a log scale, e.g. centred log ratios,", "atac": "Values on a log scale, e.g. TF-IDF,"}


def _partly_counts(seen: Look, place: Place) -> Problem:
    """Some cells hold counts, others fractions."""
    n, total = sum(seen.n_whole.values()), sum(seen.n_cells.values())
    names = [name for name, whole in seen.n_whole.items() if whole]
    message = (
        f"{place.name} holds whole numbers in {n} of {total} cells that were looked at and fractions in the others"
    )
    where = "" if names == [""] else f": counts in {_of(names, seen)}"
    fix = f"Bring all of them to one scale, from counts: {place.recipe()}."
    if place.kind == "":
        return Problem("scales_mixed", place.parameter, f"{message}{where}.", fix, WARNING)
    return Problem("scales_mixed", place.parameter, f"{message}{where}.", fix)


def _not_logged_once(seen: Look, place: Place) -> Iterator[Problem]:
    """Batches that were normalised and not logged, or logged twice."""
    kinds = {NORMALISED: "looks_not_logged", TWICE: "looks_logged_twice"}
    for what, code in kinds.items():
        those = {name: scale for name, scale in seen.batches.items() if what in (scale.kind, scale.base)}
        if not those:
            continue
        scale = next(iter(those.values()))
        proof = (
            f"all cells sum to {scale.totals[0]:.6g}"
            if scale.totals and what == NORMALISED
            else "the values of a cell are multiples of its smallest one"
            if what == NORMALISED
            else "the logarithm has to be undone twice to find them on one scale"
        )
        where = "" if set(those) == {""} or len(those) == len(seen.batches) else f" in {_of(list(those), seen)}"
        is_ = "normalised and not logged" if what == NORMALISED else "logged twice"
        fix = "sc.pp.log1p(adata) takes the logarithm." if what == NORMALISED and not place.counts else _again(place)
        yield Problem(code, place.parameter, f"{place.name} is {is_}{where}: {proof}.", fix)


def _other_totals(seen: Look, place: Place) -> Iterator[Problem]:
    """Batches of logarithms that were scaled to totals, or by bases, of their own."""
    bases = {name: scale.base for name, scale in seen.batches.items() if scale.base}
    totals = {name: scale.totals[0] for name, scale in seen.batches.items() if scale.totals}
    if len(set(bases.values())) > 1:
        which = ", ".join(f"{name!r}: {base}" for name, base in list(bases.items())[:5])
        message = f"{place.name} holds logarithms of several bases ({which})."
        yield Problem(
            "scales_mixed", place.parameter, message, f"Bring all of them to one scale, from counts: {place.recipe()}."
        )
    elif totals and not same(min(totals.values()), max(totals.values())):
        low, high = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
        message = (
            f"Batches were scaled to totals of their own before the logarithm: cells of {low!r} sum to {totals[low]:.6g}, "
            f"cells of {high!r} to {totals[high]:.6g}. The difference is one between batches that is not of the cells."
        )
        yield Problem(
            "batches_of_other_totals", place.parameter, message, f"Scale all to one: {place.recipe()}.", WARNING
        )


def _again(place: Place) -> str:
    if place.counts:
        return f"Start again from the counts: {place.recipe()}."
    return "Run ssl.pp.recipe(adata) on counts, which keeps them in a layer and log-normalises."


def _of(names: list[str], seen: Look) -> str:
    return f"{len(names)} of {len(seen.batches)} batches ({listed(names, 5)})" if names != [""] else "some cells"


def _looks(scale: Scale) -> str:
    if scale.kind == NORMALISED:
        return f"all cells sum to {scale.totals[0]:.6g}" if scale.totals else "normalised"
    return f"fractions up to {scale.highest:.4g}"


def recorded_base(data: Data) -> str:
    """Base of the logarithm as scanpy records it; empty where there is no record, or of another base."""
    written = data.uns.get("log1p", {}) if hasattr(data.uns, "get") else {}
    base = written.get("base") if hasattr(written, "get") else None
    if not isinstance(base, int | float | np.number):
        return ""
    natural = "e" if abs(float(base) - math.e) < 1e-6 else ""
    return {2.0: "2", 10.0: "10"}.get(float(base), natural)


def _recorded_total(adata: AnnData) -> float | None:
    """Total per cell before the logarithm, as the recipe records it."""
    made = json.loads(_keys.peek(adata).get(_keys.RECIPE, "{}"))
    total = made.get("total", made.get("target_sum")) if made.get("kind") == "rna" else None
    return float(total) if total else None


def counts_of(adata: AnnData, name: str) -> str:
    """The layer ``counts`` if there is one beside the values that are looked at."""
    kept = _keys.COUNTS_LAYER
    return kept if kept in adata.layers and name != f"layers[{kept!r}]" else ""

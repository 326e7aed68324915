"""Values beside those that a model was trained on: whether they are on its scale, and what to call if not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scssl._validate._problem import ERROR, WARNING, Problem
from scssl._validate.scale import (
    COUNTS,
    LOG,
    NORMALISED,
    OTHER,
    TWICE,
    Scale,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl._validate.on_scale import Place


FAR = 1.5  # how far sums over the genes of a model may lie outside those of its cells; unseen batches of real sets: 1.3
TOO_FAR = 4.0  # no kind of cell explains this
ALL_GENES = 0.98  # share of the total in the genes of the model from which they are taken for all genes
SOME_GENES = 0.9
_COMPARABLE = 0.5  # share of the genes of a model over which sums are compared


def against(
    known: Scale, found: Scale, place: Place, *, coverage: float = 1.0, like: str = "like=model"
) -> Iterator[Problem]:
    """Whether values are on the scale that a model was trained on.

    Parameters
    ----------
    known
        Scale of the cells that the model was trained on, sums over its genes.
    found
        Scale of the cells in question, sums over the genes of the model.
    place
        Where the values stand.
    coverage
        Share of the model's genes that were found. Sums over less than half of them are not compared.
    like
        Argument that names the model in the fix.
    """
    reason, severity = _reason(known, found, coverage)
    if reason:
        fix = f"Bring them to its scale, from counts: {place.recipe(like)}."
        rescaled = _rescaled(known, found) if not place.counts else ""
        yield Problem("other_scale", place.parameter, f"{place.name}: {reason}", f"{fix}{rescaled}", severity)


def _reason(known: Scale, found: Scale, coverage: float) -> tuple[str, str]:
    """The sentence that says how two scales differ, and how bad that is; empty if nothing speaks against them."""
    other = _other_kind(known, found)
    if other:
        return other, ERROR
    if not (known.sums and found.sums) or {known.kind, found.kind} != {LOG}:
        return "", ""
    told = "before the logarithm, and the model was trained on cells that sum to"
    if known.totals and found.totals and not _inside(found.totals, known.totals):
        return f"Cells sum to {_range(found.totals)} {told} {_range(known.totals)}.", ERROR
    if coverage < _COMPARABLE:
        return "", ""
    middle, total = found.sums[1], known.total
    if total and middle > 1.02 * total:
        return f"Cells sum to {middle:.6g} in the genes of the model alone {told} {total:.6g} over all genes.", ERROR
    within = f"{known.sums[0]:.5g} to {known.sums[2]:.5g} in its genes"
    if total and found.total and middle > ALL_GENES * total > 0 and known.sums[2] < SOME_GENES * total:
        message = (
            f"Cells were scaled to {found.total:.6g} over the genes of the model alone: before the logarithm they sum to that "
            f"number there, and the cells that the model was trained on to {within}. Scale them before genes are left out."
        )
        return message, ERROR
    if known.totals and found.totals:
        return "", ""
    return _far(known, found, coverage, within)


def _other_kind(known: Scale, found: Scale) -> str:
    """A sentence if values are of another kind, or logarithms of another base."""
    if known.kind == LOG and known.base and found.base and known.base != found.base:
        return f"The model was trained on {_logs(known.base)}, these are {_logs(found.base)}."
    if found.negative and not known.negative:
        return "The model was trained on values of which none is negative, and some of these are."
    kinds = {known.kind, found.kind}
    if found.sums and known.sums and len(kinds) > 1 and kinds & {COUNTS, NORMALISED}:
        return f"The model was trained on {_KINDS[known.kind]}, these are {_KINDS[found.kind]}."
    return ""


_KINDS = {
    COUNTS: "whole numbers",
    LOG: "logarithms",
    NORMALISED: "values that are normalised and not logged",
    OTHER: "values on no known scale",
}


def _inside(totals: tuple[float, ...], known: tuple[float, ...]) -> bool:
    low, high = min(known[0], totals[0]), max(known[-1], totals[-1])
    return same(low, known[0]) and same(high, known[-1])


def _range(totals: tuple[float, ...]) -> str:
    if same(totals[0], totals[-1]):
        return f"{totals[0]:.6g}"
    return f"{totals[0]:.6g} to {totals[-1]:.6g}, by batch,"


def _far(known: Scale, found: Scale, coverage: float, within: str) -> tuple[str, str]:
    """Sums over the genes of the model that lie outside those it has seen; totals over all genes are not known."""
    middle = found.sums[1]
    far = max(known.sums[0] * min(coverage, 1) / middle, middle / known.sums[2])
    message = f"Cells sum to {middle:.4g} before the logarithm in the genes of the model (median), those it was trained on to {within}"
    if found.own_median and not known.own_median and far > 1:
        return f"{message}: they were scaled to the median of their own totals.", ERROR
    if far > TOO_FAR:
        return f"{message}: they were scaled to another total.", ERROR
    if far > FAR:
        return f"{message}: they may have been scaled to another total.", WARNING
    return "", ""


def _logs(base: str) -> str:
    return {"e": "natural logarithms", TWICE: "values that were logged twice"}.get(base, f"logarithms of base {base}")


def _rescaled(known: Scale, found: Scale) -> str:
    """The line that brings logarithms of a known total and base to another one, where there are no counts."""
    bases = {"e": "", "2": " * np.log(2)", "10": " * np.log(10)"}
    if known.base != "e" or found.base not in bases or not (known.total and found.total):
        return ""
    times = "" if same(known.total, found.total) else f" * ({known.total:.6g} / {found.total:.6g})"
    return f" Without counts: adata.X = (adata.X{bases[found.base]}).expm1(){times}, then adata.X = adata.X.log1p(), of a sparse X."

"""The scale of values, measured from the values themselves: counts or logarithms, of which base, of which total per cell.

Values that were made as ``log(1 + count * factor of the cell)`` give themselves away twice. Undone by the right transform, all
genes of a cell sum to one number for every cell; and, where genes were left out since, they are whole multiples of the smallest
one of the cell. Both are asked of some cells of every batch, of all transforms that occur in practice. Values that show neither
(corrected, imputed, of full-length protocols and cut to some genes) are of unknown scale, which is no fault.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scssl import _sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import scipy.sparse as sp

COUNTS, LOG, NORMALISED, OTHER = "counts", "log", "normalised", "other"
NATURAL, RAW, TWICE = "e", "raw", "twice"
HIGHEST_LOG = 16.0  # log1p of ten million is 16.1: logarithms of normalised counts stay below

CONSTANT = 0.01  # relative spread of totals that are one number: float32 gives 1e-6, genes dropped since some 1e-3
EXACT = 1e-5  # spread that rounding alone explains
LEAST_CELLS = 8  # below, equal totals may be chance
LEAST_MULTIPLES = 30
WHOLE = 0.01  # distance to a whole number that counts as none; 2 % of arbitrary numbers are as near
AGREE = 0.9  # share of multiples that are whole
OWN_MEDIAN = 0.1  # distance of the factor of the median cell from 1

_UNDO: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    NATURAL: np.expm1,
    RAW: np.asarray,
    "2": lambda x: np.expm1(x * np.log(2)),
    "10": lambda x: np.expm1(x * np.log(10)),
    TWICE: lambda x: np.expm1(np.expm1(x)),
}


@dataclass(frozen=True)
class Scale:
    """Scale of the values of some cells.

    Parameters
    ----------
    kind
        ``"counts"`` (whole numbers), ``"log"``, ``"normalised"`` (equal totals, no logarithm) or ``"other"``.
    base
        Of the logarithm: ``"e"``, ``"2"``, ``"10"``, ``"twice"`` (of a logarithm); empty if it is not known.
    totals
        Smallest and largest total of a batch before the logarithm, over all genes; empty where the cells of a batch do not
        agree, as after genes were left out or values corrected.
    sums
        5 %, 50 % and 95 % of the totals before the logarithm over the genes that are used (the lowest, the median and the
        highest of all batches).
    highest
        Largest value.
    own_median
        Whether the median cell was left unscaled, as when cells are scaled to the median of their totals.
    negative
        Whether some values are below zero.
    source
        ``"measured"``, or ``"recorded"`` for a total that a record of the recipe names.
    """

    kind: str
    base: str = ""
    totals: tuple[float, ...] = ()
    sums: tuple[float, ...] = ()
    highest: float = 0.0
    own_median: bool = False
    negative: bool = False
    source: str = "measured"

    @property
    def total(self) -> float | None:
        """Total of every cell before the logarithm, if all batches agree on one."""
        return self.totals[0] if self.totals and same(*self.totals) else None


def same(one: float, other: float, *, within: float = 0.05) -> bool:
    """Whether two totals are one number; a factor of 1.05 moves a logarithm by at most 0.05."""
    return abs(np.log(one / other)) <= np.log1p(within)


def measured(rows: sp.csr_array, used: np.ndarray, *, recorded: str = "") -> Scale:
    """Scale of some cells.

    Parameters
    ----------
    rows
        Cells x genes, all genes.
    used
        Positions or mask of the genes that are used.
    recorded
        Base of the logarithm that the object records, believed where the values do not tell.
    """
    values = rows.data.astype(np.float64)
    high = float(values.max(initial=0.0))
    if not len(values) or values.min() < 0:
        return Scale(OTHER, highest=high, negative=bool(len(values)))
    if (values == np.rint(values)).all():
        return Scale(COUNTS, sums=_quantiles(_sums(rows, values, used)), highest=high)
    how, total = _constant(rows, values)
    smallest = np.empty(0)
    if not how or how in (NATURAL, "2", "10"):
        multiples, smallest = _multiples(rows, values, (how,) if how else tuple(_UNDO))
        how = how or multiples
    if not how and recorded and high < HIGHEST_LOG:
        how = recorded
    kind = _kind(how, high)
    undo = _UNDO[how or (NATURAL if kind == LOG else RAW)]
    return Scale(
        kind,
        how if kind == LOG else "",
        (total, total) if total is not None else (),
        _quantiles(_sums(rows, undo(values), used)),
        high,
        own_median=len(smallest) >= LEAST_CELLS and abs(float(np.median(smallest)) - 1) < OWN_MEDIAN,
    )


def united(scales: Iterable[Scale]) -> Scale:
    """Scale of several batches together."""
    every = list(scales)
    each = [scale for scale in every if scale.sums] or [Scale(OTHER)]
    kinds, bases = ({getattr(scale, name) for scale in each} for name in ("kind", "base"))
    totals = [total for scale in each for total in scale.totals] if all(scale.totals for scale in each) else []
    sums = list(zip(*(scale.sums for scale in each), strict=True))
    return Scale(
        kinds.pop() if len(kinds) == 1 else OTHER,
        bases.pop() if len(bases) == 1 else "",
        (min(totals), max(totals)) if totals else (),
        (min(sums[0]), float(np.median(sums[1])), max(sums[2])) if sums else (),
        max((scale.highest for scale in every), default=0.0),
        all(scale.own_median for scale in each),
        any(scale.negative for scale in every),
    )


def as_text(scales: Mapping[str, Scale]) -> str:
    """Scales of modalities as JSON."""
    plain = {name: asdict(scale) for name, scale in scales.items()}
    for scale in plain.values():
        scale |= {part: [float(f"{x:.7g}") for x in scale[part]] for part in ("totals", "sums")}
    return json.dumps(plain, sort_keys=True)


def from_text(text: str) -> dict[str, Scale]:
    """Scales that :func:`as_text` wrote; none of an empty text."""
    plain: dict[str, dict[str, Any]] = json.loads(text or "{}")
    return {
        name: Scale(**{**of, "totals": tuple(of["totals"]), "sums": tuple(of["sums"])}) for name, of in plain.items()
    }


def _kind(how: str, high: float) -> str:
    if how == RAW:
        return NORMALISED
    return LOG if how or high < HIGHEST_LOG else OTHER


def _constant(rows: sp.csr_array, values: np.ndarray) -> tuple[str, float | None]:
    """The transform after which all cells have one total, and that total."""
    found, least = "", CONSTANT
    if rows.shape[0] < LEAST_CELLS:
        return found, None
    total = None
    for how, undo in _UNDO.items():
        if how != RAW and values.max() >= 2 * HIGHEST_LOG:
            continue
        with np.errstate(over="ignore"):
            sums = _sums(rows, undo(values))
        sums = sums[sums > 0]
        if not len(sums) or not np.isfinite(sums).all():
            continue
        low, middle, high = np.quantile(sums, [0.1, 0.5, 0.9])
        spread = (high - low) / (2 * middle)
        if spread < least:
            found, least, total = how, spread, float(middle)
        if how == NATURAL and spread < EXACT:
            break
    return found, total


def _multiples(rows: sp.csr_array, values: np.ndarray, candidates: tuple[str, ...]) -> tuple[str, np.ndarray]:
    """The transform after which the values of a cell are whole multiples of its smallest one, and the smallest ones."""
    found, least, units = "", np.inf, np.empty(0)
    lengths = np.diff(rows.indptr)
    there = lengths > 0
    starts = rows.indptr[:-1][there]
    for how in candidates:
        if how != RAW and values.max() >= 2 * HIGHEST_LOG:
            continue
        with np.errstate(over="ignore"):
            undone = _UNDO[how](values)
        if not np.isfinite(undone).all():
            continue
        smallest = np.minimum.reduceat(undone, starts)
        times = undone / np.repeat(smallest, lengths[there])
        times = times[(times > 1.5) & (times < 50)]
        if len(times) < LEAST_MULTIPLES:
            continue
        off = np.abs(times - np.rint(times))
        if (off < WHOLE).mean() >= AGREE and off.mean() < least:
            found, least, units = how, float(off.mean()), smallest
    return found, units


def _sums(rows: sp.csr_array, values: np.ndarray, used: np.ndarray | None = None) -> np.ndarray:
    """Totals of the cells with other values in the same places, over the genes that are used."""
    own = _sparse.from_rows(values, rows.indices, rows.indptr, shape=rows.shape)
    weights = np.ones(rows.shape[1]) if used is None else np.zeros(rows.shape[1])
    weights[slice(None) if used is None else used] = 1
    return own @ weights


def _quantiles(sums: np.ndarray) -> tuple[float, ...]:
    sums = sums[sums > 0]
    return tuple(float(x) for x in np.quantile(sums, [0.05, 0.5, 0.95])) if len(sums) else ()

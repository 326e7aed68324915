"""One pass over a matrix by blocks, whatever it is stored as: what there is to know about its values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK_VALUES = 2**22  # values in memory at a time
SAMPLE = 2**20  # values above zero that are looked at for fractions
CELLS = 256  # cells whose scale is measured; their totals agree or do not, however many there are
CELLS_OF_BATCH = (8, 32)  # of each batch, fewer where there are many batches
CELLS_OF_BATCHES = 2048


@dataclass
class Scan:
    """What was found; arrays have one entry a cell or a gene."""

    used: np.ndarray
    """Genes that will be used."""
    cells: np.ndarray
    """Cells with a value other than zero."""
    cells_used: np.ndarray
    """The same, in the genes that will be used."""
    n_cells: np.ndarray
    """Batches x genes: the number of cells with a value other than zero; one row if no batches are told apart."""
    totals: np.ndarray
    """Sum of each cell."""
    batches: np.ndarray | None = field(default=None, repr=False)
    low: float = 0.0
    high: float = 0.0
    n_nan: int = 0
    n_bad: int = 0
    first_bad: tuple[int, int] = (-1, -1)
    n_negative: int = 0
    first_negative: tuple[int, int] = (-1, -1)
    identical: bool = False
    some: sp.csr_array = field(default_factory=lambda: sp.csr_array((0, 0)), repr=False)
    """All values of some cells, those that were asked for."""
    seen: int = field(default=0, repr=False)
    fractional: int = field(default=0, repr=False)

    @property
    def genes(self) -> np.ndarray:
        """Genes with a value other than zero."""
        return self.n_cells.sum(axis=0) > 0

    @property
    def fractions(self) -> float:
        """Share of the values other than zero that are not whole numbers."""
        return self.fractional / self.seen if self.seen else 0.0


def some_of(n_obs: int, batches: np.ndarray | None = None) -> np.ndarray:
    """Positions of cells to look at more closely: from all over the object, and some of every batch."""
    chosen = [_spread_over(np.arange(n_obs), CELLS)]
    if batches is not None and n_obs:
        order = np.argsort(batches, kind="stable")
        each = np.split(order, np.flatnonzero(np.diff(batches[order])) + 1)
        least, most = CELLS_OF_BATCH
        chosen += [_spread_over(of, int(np.clip(CELLS_OF_BATCHES // len(each), least, most))) for of in each]
    return np.unique(np.concatenate(chosen))


def _spread_over(positions: np.ndarray, n: int) -> np.ndarray:
    return positions[np.linspace(0, len(positions) - 1, min(n, len(positions))).astype(np.int64)]


def scan(stored: Any, used: np.ndarray, picked: np.ndarray | None = None, batches: np.ndarray | None = None) -> Scan:
    """Look at every value once, and keep those of the cells at the positions `picked`.

    `batches`: code of the batch of each cell, where genes are to be counted in each of them.
    """
    n_obs, n_vars = stored.shape
    found = Scan(
        used=used,
        cells=np.zeros(n_obs, dtype=bool),
        cells_used=np.zeros(n_obs, dtype=bool),
        n_cells=np.zeros((1 if batches is None or not n_obs else int(batches.max()) + 1, n_vars), dtype=np.int64),
        batches=batches,
        totals=np.zeros(n_obs),
    )
    kept = []
    for row, column, block in blocks(stored):
        if picked is not None:
            kept.append(_picked(block, row, picked))
        if hasattr(block, "tocsr"):
            _sparse(found, block, row, column)
        else:
            _dense(found, block, row)
    if kept:
        found.some = _stacked(kept, by_column=getattr(stored, "format", "") == "csc")
    if n_obs > 1 and found.n_bad == 0 and np.ptp(found.totals) == 0 and found.cells.any():
        found.identical = _identical(stored)
    return found


def blocks(stored: Any) -> Iterator[tuple[int, int, Any]]:
    """``(first row, first column, block)``: rows together, or columns of a matrix stored by columns."""
    by_column = getattr(stored, "format", "") == "csc"
    n_major, n_minor = stored.shape[::-1] if by_column else stored.shape
    step = max(1, BLOCK_VALUES // max(n_minor, 1))
    for start in range(0, n_major, step):
        part = stored[:, start : start + step] if by_column else stored[start : start + step]
        if hasattr(part, "compute"):
            part = part.compute()
        part = part if part.dtype.isnative else part.astype(part.dtype.newbyteorder("="))
        yield (0, start, part) if by_column else (start, 0, part)


def _picked(block: Any, row: int, picked: np.ndarray) -> sp.csr_array:
    """The cells at some positions, as far as they are in the block."""
    inside = picked[(picked >= row) & (picked < row + block.shape[0])] - row
    rows = block[inside]
    half = rows.dtype == np.float16  # which scipy does not know
    return sp.csr_array(rows.astype(np.float32) if half else rows)


def _stacked(parts: list[sp.csr_array], *, by_column: bool) -> sp.csr_array:
    whole = sp.csr_array(sp.hstack(parts) if by_column else sp.vstack(parts))
    whole.eliminate_zeros()
    return whole


def _sparse(found: Scan, block: Any, row: int, column: int) -> None:
    major = np.repeat(np.arange(len(block.indptr) - 1, dtype=np.int64), np.diff(block.indptr))
    rows, columns = (block.indices, major) if block.format == "csc" else (major, block.indices)
    values = block.data
    _extremes(found, values, lambda i: (int(rows[i]) + row, int(columns[i]) + column))
    there = values != 0
    if not there.all():
        rows, columns, values = rows[there], columns[there], values[there]
    cells, genes = (slice(first, first + n) for first, n in zip((row, column), block.shape, strict=True))
    found.cells[cells][rows] = True
    found.n_cells[:, genes] += _counted(found, rows, columns, cells, block.shape[1])
    found.cells_used[cells][rows[found.used[genes][columns]]] = True
    found.totals[cells] += np.bincount(rows, weights=values, minlength=block.shape[0])
    _fractions(found, values)


def _counted(found: Scan, rows: np.ndarray, columns: np.ndarray, cells: slice, width: int) -> np.ndarray:
    """Cells of each batch that have each gene of a block."""
    if found.batches is None:
        return np.bincount(columns, minlength=width)
    n = len(found.n_cells)
    return np.bincount(found.batches[cells][rows] * width + columns, minlength=n * width).reshape(n, width)


def _dense(found: Scan, block: object, row: int) -> None:
    block = np.asarray(block)
    width = block.shape[1]
    _extremes(found, block, lambda i: (int(i // width) + row, int(i % width)))
    there = block != 0
    cells = slice(row, row + len(block))
    found.cells[cells] = there.any(axis=1)
    found.cells_used[cells] = there[:, found.used].any(axis=1)
    if found.batches is None:
        found.n_cells += there.sum(axis=0)
    else:
        codes = found.batches[cells]
        for code in np.unique(codes):
            found.n_cells[code] += there[codes == code].sum(axis=0)
    found.totals[cells] = block.sum(axis=1, dtype=np.float64)
    if found.seen < SAMPLE:
        _fractions(found, block[there])


def _extremes(found: Scan, values: np.ndarray, where: Callable[..., tuple[int, int]]) -> None:
    """Range, values that are no numbers, negative values. NaN passes through min and max, so two passes do."""
    if values.size == 0:
        return
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = np.flatnonzero(~np.isfinite(values))
        if found.n_bad == 0:
            found.first_bad = where(bad[0])
        found.n_bad += len(bad)
        found.n_nan += int(np.isnan(values).sum())
        return
    found.low, found.high = min(found.low, low), max(found.high, high)
    if low < 0:
        negative = np.flatnonzero(values < 0)
        if found.n_negative == 0:
            found.first_negative = where(negative[0])
        found.n_negative += len(negative)


def _fractions(found: Scan, values: np.ndarray) -> None:
    """Count fractions among the first values; those of float matrices only."""
    some = values[: max(SAMPLE - found.seen, 0)]
    found.seen += len(some)
    if some.dtype.kind == "f":
        found.fractional += int((some != np.rint(some)).sum())


def _identical(stored: object) -> bool:
    """Whether all cells equal the first one; asked only if their totals are equal."""
    first = None
    for _, _, part in blocks(stored):
        block = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
        if getattr(part, "format", "") == "csc":
            first = None  # a block holds all cells of some genes
        first = block[:1] if first is None else first
        if not (block == first).all():
            return False
    return True

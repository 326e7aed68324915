"""Rows that stay on disk: read in shuffled blocks, some ahead of the training, never all at once."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from scssl import _sparse
from scssl._settings import settings
from scssl.data.matrix import canonical, csr, placed, selected, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import anndata as ad

BLOCK = 64  # rows that are read together at least, so that a mini-batch meets cells from all over the file
LARGEST_BLOCK = 4096
_NEAR = 16  # rows between two that are wanted which are read rather than jumped over


def streamed(adata: ad.AnnData, layer: str | None = None) -> bool:
    """Whether a matrix is on disk, by rows, and larger than ``settings.in_memory_mb`` as CSR."""
    stored = values(adata, layer)
    if sp.issparse(stored) or isinstance(stored, np.ndarray) or hasattr(stored, "compute"):
        return False
    if getattr(stored, "format", "csr") != "csr":
        return False
    n_values = stored.group["data"].shape[0] if hasattr(stored, "group") else int(np.prod(stored.shape))
    return 8 * n_values > settings.in_memory_mb * 1e6


class Stream:
    """Stands for a CSR matrix in :class:`~scssl.data.cells.Cells`: the rows that are asked for are read when they are.

    Parameters
    ----------
    adata
        AnnData whose matrix is on disk.
    layer
        The layer, ``X`` by default.
    genes
        Columns to take.
    positions
        Instead of `genes`: for each column its place in the file, -1 where it has none.
    """

    def __init__(
        self,
        adata: ad.AnnData,
        layer: str | None = None,
        *,
        genes: np.ndarray | None = None,
        positions: np.ndarray | None = None,
    ) -> None:
        stored = values(adata, layer)
        n_obs, n_vars = stored.shape
        self._n_vars, self._genes, self._positions = n_vars, genes, positions
        width = n_vars if genes is None else len(genes)
        self.shape = (n_obs, width if positions is None else len(positions))
        self._read: Callable[[int, int], sp.csr_array]
        if hasattr(stored, "group"):
            group = stored.group
            self._data, self._indices = group["data"], group["indices"]
            self._indptr = np.asarray(group["indptr"][:], dtype=np.int64)
            self._read = self._sparse_rows
            chunk = (self._data.chunks or (0,))[0] / max(self._data.shape[0] / max(n_obs, 1), 1)
        else:
            self._dense = stored
            self._read = self._dense_rows
            chunk = (stored.chunks or (0,))[0]
        self.block = int(np.clip(-(-chunk // 1), BLOCK, LARGEST_BLOCK))
        self._plan: list[np.ndarray] = []
        self._held: tuple[np.ndarray, sp.csr_array] | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._ahead: Future[sp.csr_array] | None = None

    def __getitem__(self, index: np.ndarray) -> sp.csr_array:
        """The rows at some positions, in this order: of what is held, else of the next buffer, else from disk."""
        while not self._holds(index) and self._plan:
            self._advance()
        if self._held is not None and self._holds(index):
            cells, matrix = self._held
            return matrix[np.searchsorted(cells, index)]
        wanted, back = np.unique(index, return_inverse=True)
        return self.read(wanted)[back]

    def blocks(self) -> Iterator[sp.csr_matrix]:
        """All rows in their order, some at a time."""
        for start in range(0, self.shape[0], LARGEST_BLOCK):
            yield self.read(np.arange(start, min(start + LARGEST_BLOCK, self.shape[0])))

    def near(self, index: np.ndarray) -> np.ndarray:
        """Cells that are in memory together with those at `index`."""
        return self._held[0] if self._held is not None and self._holds(index) else index

    @contextmanager
    def following(self, buffers: Sequence[np.ndarray]) -> Iterator[None]:
        """Inside the block one buffer after the other is held in memory, and the next one is read by a second thread.

        Parameters
        ----------
        buffers
            Positions of the cells of each buffer, sorted. Which rows are asked for decides when the next one follows; how
            fast they were read does not.
        """
        with ThreadPoolExecutor(1) as self._reader:
            self._plan = list(buffers)
            self._look_ahead()
            try:
                yield
            finally:
                self._plan, self._held, self._ahead = [], None, None
        self._reader = None

    def read(self, cells: np.ndarray) -> sp.csr_array:
        """Rows at sorted positions, read from disk in runs."""
        breaks = np.flatnonzero(np.diff(cells) > _NEAR) + 1
        runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(cells, breaks)] if len(cells) else []
        parts = [self._read(start, stop) for start, stop in runs]
        n_read = sum(stop - start for start, stop in runs)
        matrix = _stacked(parts, self._n_vars)
        if n_read > len(cells):
            matrix = matrix[np.searchsorted(np.concatenate([np.arange(*run) for run in runs]), cells)]
        matrix = selected(matrix, self._genes) if self._positions is None else placed(matrix, self._positions)
        return canonical(matrix)

    def _holds(self, index: np.ndarray) -> bool:
        if self._held is None or not len(index):
            return False
        cells = self._held[0]
        return bool((cells[np.minimum(np.searchsorted(cells, index), len(cells) - 1)] == index).all())

    def _look_ahead(self) -> None:
        if self._plan and self._reader is not None:
            self._ahead = self._reader.submit(self.read, self._plan[0])

    def _advance(self) -> None:
        """The next buffer takes the place of the one that is held."""
        cells, ahead = self._plan.pop(0), self._ahead
        self._held = None  # before the next one is there: two in memory, not three
        self._held = (cells, ahead.result() if ahead is not None else self.read(cells))
        self._look_ahead()

    def _sparse_rows(self, start: int, stop: int) -> sp.csr_array:
        low, high = self._indptr[start], self._indptr[stop]
        parts = (self._data[low:high], self._indices[low:high], self._indptr[start : stop + 1] - low)
        return _sparse.from_rows(*parts, shape=(stop - start, self._n_vars))

    def _dense_rows(self, start: int, stop: int) -> sp.csr_array:
        return sp.csr_array(np.asarray(self._dense[start:stop]).astype(np.float32, copy=False))


def matrix_of(
    adata: ad.AnnData,
    *,
    layer: str | None = None,
    genes: np.ndarray | None = None,
    positions: np.ndarray | None = None,
    stream: bool = False,
) -> sp.csr_array | Stream:
    """Values of an AnnData in memory; or left on disk, if `stream` allows it and they are large."""
    if stream and streamed(adata, layer):
        return Stream(adata, layer, genes=genes, positions=positions)
    own = csr(adata, layer=layer, genes=genes)
    return own if positions is None else placed(own, positions)


def _stacked(parts: list[sp.csr_array], width: int) -> sp.csr_array:
    """Rows one below the other; scipy's own way checks and copies more."""
    if not parts:
        return sp.csr_array((0, width), dtype=np.float32)
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
    return _sparse.from_rows(data, indices, indptr, shape=(len(lengths), width))

"""Values of an AnnData as CSR, whatever they are stored as; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from scssl import _sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anndata as ad

BLOCK = 4096  # rows that are dense at a time


def values(adata: ad.AnnData, layer: str | None = None) -> Any:
    """The matrix as it is stored: ``X``, or a layer."""
    return adata.X if layer is None else adata.layers[layer]


def genes_of(adata: ad.AnnData, mask_by: str | None) -> np.ndarray:
    """Positions of the genes marked in ``var[mask_by]``, all genes if `mask_by` is ``None``."""
    if mask_by is None:
        return np.arange(adata.n_vars)
    return np.flatnonzero(adata.var[mask_by].to_numpy().astype(bool))


def rows(adata: ad.AnnData, start: int, stop: int, layer: str | None = None) -> Any:
    """A block of consecutive cells, read from disk if the object is backed."""
    return _loaded(values(adata, layer)[start:stop])


def _loaded(part: object) -> Any:
    for load in ("to_memory", "compute"):  # anndata's backed sparse matrices, dask arrays
        part = getattr(part, load)() if hasattr(part, load) else part
    return part


def some_rows(adata: ad.AnnData, positions: np.ndarray, layer: str | None = None) -> sp.csr_array:
    """Some cells, all genes, as :func:`csr` gives them; `positions` rise."""
    return canonical(_by_rows(_loaded(values(adata, layer)[positions])))


def csr(adata: ad.AnnData, *, layer: str | None = None, genes: np.ndarray | None = None) -> sp.csr_array:
    """All cells, selected genes, as a float32 CSR matrix of our own: sorted, without duplicates and explicit zeros.

    Dense and backed matrices are read by blocks of rows, so nothing of the full size is ever dense.
    """
    matrix = values(adata, layer)
    if sp.issparse(matrix):
        blocks = [matrix]
    else:
        blocks = [rows(adata, i, min(i + BLOCK, adata.n_obs), layer) for i in range(0, max(adata.n_obs, 1), BLOCK)]
    parts = [selected(_by_rows(block), genes) for block in blocks]
    return canonical(sp.vstack(parts, format="csr") if len(parts) > 1 else parts[0])


def canonical(matrix: sp.csr_array) -> sp.csr_array:
    """A copy as float32: indices sorted and once each, no explicit zeros."""
    own = _sparse.from_rows(
        matrix.data.astype(np.float32), matrix.indices, matrix.indptr, shape=matrix.shape, copy=True
    )
    own.sum_duplicates()
    own.eliminate_zeros()
    return own


def by_blocks(adata: ad.AnnData, layer: str | None = None) -> Iterator[sp.csr_array]:
    """The same as :func:`csr` of all genes, some rows at a time."""
    for start in range(0, adata.n_obs, BLOCK):
        yield canonical(_by_rows(rows(adata, start, min(start + BLOCK, adata.n_obs), layer)))


def placed(matrix: sp.csr_array, positions: np.ndarray) -> sp.csr_array:
    """Columns in another order: ``positions[j]`` is the column that becomes the j-th, -1 where there is none."""
    found = np.flatnonzero(positions >= 0)
    own = matrix[:, positions[found]]
    return _sparse.from_rows(own.data, found[own.indices], own.indptr, shape=(matrix.shape[0], len(positions)))


def native(values: Any) -> Any:
    """The values in the byte order of this machine, the only one that scipy and pandas compute with."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _by_rows(block: np.ndarray | sp.csr_array) -> sp.csr_array:
    half = block.dtype == np.float16  # which scipy does not know
    return sp.csr_array(block.astype(np.float32) if half else native(block))


def handed_out(matrix: sp.csr_array) -> sp.csr_matrix:
    """The matrix for an AnnData, of the class that anndata itself reads from a file.

    Scanpy 1.11 and scvi-tools 1.5 cannot do with the sparse arrays that we compute with.
    """
    return sp.csr_matrix(matrix)


def selected(block: sp.csr_array, genes: np.ndarray | None) -> sp.csr_array:
    """Some columns; all if `genes` is ``None``."""
    everything = genes is None or (len(genes) == block.shape[1] and bool((genes == np.arange(len(genes))).all()))
    return block if everything else block[:, genes]

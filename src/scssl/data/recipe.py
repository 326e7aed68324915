"""From counts to the values that methods are made for: pure functions on CSR matrices, without torch."""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _sparse
from scssl._errors import InputError
from scssl.data.matrix import handed_out

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import ArrayLike

TARGET_SUM = 1e4
LOG_FLAVORS = ("seurat", "cell_ranger")
COUNT_FLAVORS = ("seurat_v3", "seurat_v3_paper")
FLAVORS = (*LOG_FLAVORS, *COUNT_FLAVORS)
SMALLEST_BATCH = 3  # cells; the spread of a gene within fewer says nothing


def normalize(counts: sp.csr_array, target_sum: float | None = TARGET_SUM) -> sp.csr_array:
    """``log(1 + counts scaled to target_sum per cell)``.

    Parameters
    ----------
    counts
        Cells x genes. Cells without counts stay zero.
    target_sum
        Total of every cell before the logarithm; ``None``: the median of the totals.

    Returns
    -------
    scipy.sparse.csr_array
        New matrix, float32.
    """
    totals = _sums(counts, axis=1)
    if target_sum is None:
        target_sum = float(np.median(totals[totals > 0])) if (totals > 0).any() else 1.0
    scaled = _scaled_rows(counts, np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0))
    np.log1p(scaled.data, out=scaled.data)
    return scaled


# muon has both of the next, and importing it takes seconds on top of scanpy: its CLR is this one to the rounding of float32, its
# TF-IDF is this one for 0 and 1 alone (it divides by the counts of a peak, not by its cells) and takes no reference cells.
def clr(counts: sp.csr_array) -> sp.csr_array:
    """Centred log ratio of each cell, in the variant that keeps zeros: ``log(1 + x / g)``.

    ``g = exp(mean(log(1 + x)))`` over all features of the cell. This is the per-cell transform that Seurat applies to
    antibody counts :cite:p:`stoeckius2017simultaneous`; it is never negative.

    Returns
    -------
    scipy.sparse.csr_array
        New matrix, float32.
    """
    logged = counts.astype(np.float64).log1p()
    scaled = _scaled_rows(counts, np.exp(-_sums(logged, axis=1) / max(counts.shape[1], 1)))
    np.log1p(scaled.data, out=scaled.data)
    return scaled


def tf_idf(counts: sp.csr_array, *, reference: np.ndarray | None = None, scale: float = 1e4) -> sp.csr_array:
    """Term frequency times inverse document frequency, logged: ``log(1 + scale * tf * idf)``.

    ``tf`` is the share of a peak in the total of its cell, ``idf`` the number of cells divided by the number of those
    that have the peak :cite:p:`stuart2021single`.

    Parameters
    ----------
    counts
        Cells x peaks.
    reference
        Boolean mask of the cells that ``idf`` is taken from; all by default. Peaks that none of them has become zero.
    scale
        Factor before the logarithm.

    Returns
    -------
    scipy.sparse.csr_array
        New matrix, float32.
    """
    known = counts if reference is None else counts[np.flatnonzero(reference)]
    cells = np.bincount(known.indices[known.data > 0], minlength=counts.shape[1])
    weights = np.divide(known.shape[0], cells, out=np.zeros(counts.shape[1]), where=cells > 0)
    totals = _sums(counts, axis=1)
    scaled = _scaled_rows(counts, np.divide(scale, totals, out=np.zeros_like(totals), where=totals > 0))
    scaled.data = np.log1p(scaled.data * weights[scaled.indices]).astype(np.float32)
    scaled.eliminate_zeros()
    return scaled


def select_genes(
    matrix: sp.csr_array,
    n_top: int | None,
    *,
    batch: ArrayLike | None = None,
    flavor: str = "seurat",
    reference: np.ndarray | None = None,
) -> np.ndarray:
    """Mark the most variable genes, as :func:`scanpy.pp.highly_variable_genes` finds them.

    Parameters
    ----------
    matrix
        Cells x genes: log-normalised values for ``"seurat"`` and ``"cell_ranger"``, counts for ``"seurat_v3"``.
    n_top
        Number of genes. All genes if there are no more than that, or if it is ``None``.
    batch
        Batch of each cell. Genes are then ranked within the batches, and those that are variable in most of them are
        taken. Batches with fewer than 3 cells have no say.
    flavor
        ``"seurat"`` :cite:p:`satija2015spatial`, ``"cell_ranger"`` :cite:p:`zheng2017massively`, ``"seurat_v3"``
        :cite:p:`stuart2019comprehensive`.
    reference
        Boolean mask of the cells to look at; all by default. The others cannot change the result.

    Returns
    -------
    numpy.ndarray
        Boolean mask of shape ``(n_genes,)``.

    Raises
    ------
    InputError
        For an unknown flavor, or one whose package is not installed.
    """
    _check_flavor(flavor)
    if n_top is None or n_top >= matrix.shape[1]:
        return np.ones(matrix.shape[1], dtype=bool)
    rows = np.arange(matrix.shape[0]) if reference is None else np.flatnonzero(reference)
    codes = _batches(batch, rows)
    if codes is not None:
        rows, codes = rows[codes >= 0], codes[codes >= 0]
    part = matrix[rows]
    expressed = np.flatnonzero(np.bincount(part.indices[part.data != 0], minlength=part.shape[1]))
    mask = np.zeros(matrix.shape[1], dtype=bool)
    if len(expressed) <= n_top:
        mask[expressed] = True
    else:
        mask[expressed] = _scanpy(part[:, expressed], codes, n_top=int(n_top), flavor=flavor)
    return mask


def most_frequent(counts: sp.csr_array, n_top: int | None, *, reference: np.ndarray | None = None) -> np.ndarray:
    """Mark the features found in most cells, as is usual for peaks :cite:p:`stuart2021single`."""
    if n_top is None or n_top >= counts.shape[1]:
        return np.ones(counts.shape[1], dtype=bool)
    known = counts if reference is None else counts[np.flatnonzero(reference)]
    cells = np.bincount(known.indices[known.data > 0], minlength=counts.shape[1])
    mask = np.zeros(counts.shape[1], dtype=bool)
    mask[np.argsort(-cells, kind="stable")[:n_top]] = True
    return mask


def _check_flavor(flavor: str) -> None:
    if flavor not in FLAVORS:
        msg = f"flavor={flavor!r} is not one of {', '.join(map(repr, FLAVORS))}."
        raise InputError(msg, code="unknown_flavor", parameter="flavor", fix="Pass flavor='seurat'.")
    if flavor in COUNT_FLAVORS and importlib.util.find_spec("skmisc") is None:
        msg = f"flavor={flavor!r} needs the package scikit-misc, which is not installed."
        raise InputError(msg, code="not_installed", parameter="flavor", fix="pip install scikit-misc")


def _batches(batch: ArrayLike | None, rows: np.ndarray) -> np.ndarray | None:
    """Codes of the batches that are large enough, -1 for the others; ``None`` where there are not two."""
    if batch is None:
        return None
    codes, _ = pd.factorize(np.asarray(batch)[rows])
    small = np.bincount(codes) < SMALLEST_BATCH
    if (~small).sum() < 2:
        return None
    return np.where(small[codes], -1, codes)


def _scanpy(part: sp.csr_array, codes: np.ndarray | None, *, n_top: int, flavor: str) -> np.ndarray:
    """The verdict of scanpy on a private object."""
    import anndata as ad

    obs = pd.DataFrame(index=[str(i) for i in range(part.shape[0])])
    key = None
    if codes is not None:
        key, obs["batch"] = "batch", pd.Categorical(codes)
    private = ad.AnnData(handed_out(part), obs=obs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about bins with a single gene and the like, in every small data set
        import scanpy as sc

        found: Any = sc.pp.highly_variable_genes(
            private, n_top_genes=n_top, flavor=flavor, batch_key=key, inplace=False
        )
    return found["highly_variable"].to_numpy(dtype=bool)


def _sums(matrix: sp.csr_array, *, axis: int) -> np.ndarray:
    return np.asarray(matrix.sum(axis=axis, dtype=np.float64)).ravel()


def _scaled_rows(matrix: sp.csr_array, factors: np.ndarray) -> sp.csr_array:
    data = matrix.data * np.repeat(factors, np.diff(matrix.indptr))
    return _sparse.from_rows(data.astype(np.float32), matrix.indices, matrix.indptr, shape=matrix.shape, copy=True)

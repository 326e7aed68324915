"""Real cells without a network: they are part of scanpy's own files."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scssl import _random
from scssl._registry import DATASETS
from scssl.data.matrix import handed_out
from scssl.datasets._base import SIMULATION, BatchEffect, record, stratified, whole

if TYPE_CHECKING:
    from anndata import AnnData

MAX_BATCHES = 20


@DATASETS.register(
    "pbmc68k",
    title="PBMC, 10 cell types",
    n_obs=700,
    n_vars=765,
    licence="CC BY 4.0 (10x Genomics); distributed by scanpy (BSD-3-Clause)",
    reference="zheng2017massively",
    source="bundled",
    summary="700 blood cells of one donor that scanpy ships, counts restored; batches can be simulated",
)
def pbmc68k(batches: int | None = None, *, seed: int = 0) -> AnnData:
    """700 real blood cells of 10 types with raw counts; no network.

    The cells are a part of the 68,000 PBMC of :cite:p:`zheng2017massively` that scanpy :cite:p:`wolf2018scanpy` ships
    log-normalised, with 765 genes. Their counts are restored from the stored totals; every value lies within 0.09 of
    a whole number and is rounded to it.

    Parameters
    ----------
    batches
        Number of batches to simulate (2 to 20). The cells are real, the batches are not: cells are assigned at random
        within each cell type, then the counts of each batch are changed by binomial thinning (depths from 1 down to
        0.5), log-normal factors per gene (standard deviation 0.5) and ambient RNA (0 up to 10 % of a cell's total).
        ``None``: the cells as they were measured, one batch.
    seed
        Of the simulation.

    Returns
    -------
    anndata.AnnData
        700 cells x 765 genes.

        - ``.X``: counts, CSR, float32
        - ``.obs["cell_type"]``: labels of the study, by similarity to sorted populations
        - ``.obs["batch"]``: with `batches`
        - ``.uns["simulation"]``: with `batches`; JSON text with what was simulated and all its parameters
        - ``.uns["source"]``: where the cells come from

    Raises
    ------
    InputError
        If `batches` is not a whole number from 2 to 20.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> adata.shape, adata.obs["batch"].nunique()
    ((700, 765), 3)
    """
    from anndata import AnnData

    if batches is not None:
        batches = whole(batches, parameter="batches", low=2, high=MAX_BATCHES)
    counts, cell_type, genes = _restored()
    adata = AnnData(handed_out(counts), obs=pd.DataFrame({"cell_type": cell_type}), var=pd.DataFrame(index=genes))
    adata.uns["source"] = "scanpy.datasets.pbmc68k_reduced(); Zheng et al. 2017, 10x Genomics fresh PBMC 68k (donor A)"
    if batches is not None:
        code = stratified(cell_type.to_numpy().astype(str), batches, _random.generator(seed, "pbmc68k batches"))
        effect = BatchEffect()
        adata.X = handed_out(effect.apply(counts, code, seed=seed))
        adata.obs["batch"] = pd.Categorical([f"batch{c + 1}" for c in code])
        about = {"n_batches": batches, "seed": int(seed), **effect.parameters(batches)}
        adata.uns[SIMULATION] = record("simulated batches", **about)
    return adata


def _restored() -> tuple[sp.csr_array, pd.Series, pd.Index]:
    """Counts, cell types and genes out of scanpy's log-normalised file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the age of the file, which is not the user's
        import scanpy as sc

        stored = sc.datasets.pbmc68k_reduced()
    logged = sp.csr_array(stored.raw.X, dtype=np.float64)
    totals = stored.obs["n_counts"].to_numpy(dtype=np.float64)
    counts = sp.diags_array(totals / 1e4) @ logged.expm1()
    counts.data = np.round(counts.data)
    counts.eliminate_zeros()
    counts.sort_indices()
    cell_type = stored.obs["bulk_labels"].rename("cell_type").rename_axis(None)
    return counts.astype(np.float32), cell_type, stored.raw.var_names.rename(None)

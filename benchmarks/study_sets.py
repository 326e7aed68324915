"""The sets of the study of batches: real sets with several batches, and hard variants made from them.

Shared by ``within_batch.py`` and ``methods.py``. Needs the development data (SCSSL_SHARED_DATA).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import scssl as ssl

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from mudata import MuData

DATA = Path(os.environ.get("SCSSL_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
UNLABELLED = ("undefined", "nan")
LARGEST = 2000  # cells of a set that is used; larger ones are sampled

FILES = {
    "pancreas": "rna_pancreas_5technologies.h5ad",
    "pbmc": "rna_pbmc_3chemistries.h5ad",
    "cellbench": "rna_cellbench_3lines_10x_celseq2_dropseq.h5ad",
    "kang": "rna_kang_2donors_ctrl_stim.h5ad",
    "kang_8donors": "rna_kang_ctrl_8donors.h5ad",
    "cite_rna": "cite_pbmc10k_pbmc5k.h5mu",
    "mesc": "rna_mesc_2batches_readcounts.h5ad",
    "simulated": "rna_simulated_tran2020_sim1.h5ad",
    "villani": "rna_villani_dc_2batches_lognorm.h5ad",
}
REAL = ("pancreas", "pbmc", "cellbench", "kang", "cite_rna", "mesc")
"""Sets with a batch effect and the same types in (nearly) all batches."""


def _without(name: str, label: str, batches: tuple[str, ...]) -> Callable[[], AnnData]:
    def make() -> AnnData:
        adata = _read(name)
        gone = (adata.obs["cell_type"].astype(str) == label) & adata.obs["batch"].astype(str).isin(batches)
        return adata[~gone].copy()

    return make


def _fewer(name: str, batch: str, keep: int) -> Callable[[], AnnData]:
    def make() -> AnnData:
        adata = _read(name)
        of_batch = np.flatnonzero((adata.obs["batch"].astype(str) == batch).to_numpy())
        gone = np.random.default_rng(0).permutation(of_batch)[keep:]
        return adata[np.setdiff1d(np.arange(adata.n_obs), gone)].copy()

    return make


def _read(name: str) -> AnnData:
    import anndata as ad

    path = DATA / FILES[name]
    if path.suffix == ".h5mu":
        import mudata

        mdata = mudata.read_h5mu(path)
        adata = mdata["rna"].copy()
        for column in ("batch", "cell_type"):
            if column not in adata.obs:
                adata.obs[column] = mdata.obs[column].loc[adata.obs_names].to_numpy()
    else:
        adata = ad.read_h5ad(path)
    adata = adata[~adata.obs["cell_type"].astype(str).isin(UNLABELLED)].copy()
    if adata.n_obs > LARGEST:
        chosen = np.sort(np.random.default_rng(0).permutation(adata.n_obs)[:LARGEST])
        adata = adata[chosen].copy()
    for column in ("batch", "cell_type"):
        adata.obs[column] = adata.obs[column].astype(str).astype("category")
    return adata


HARD: dict[str, Callable[[], AnnData]] = {
    "pancreas, no beta in 2 of 5": _without("pancreas", "beta", ("celseq2", "fluidigmc1")),
    "pbmc, no B in 1 of 3": _without("pbmc", "B", ("3pv1",)),
    "pbmc, no CD14 in 1 of 3": _without("pbmc", "Mono_CD14", ("5p",)),
    "pbmc, one batch of 40": _fewer("pbmc", "3pv1", 40),
    "kang, no CD14 in 2 of 4": _without("kang", "CD14+ Monocytes", ("stim101", "stim107")),
    "kang, one batch of 40": _fewer("kang", "stim101", 40),
    "cellbench, no H1975 in 1 of 3": _without("cellbench", "H1975", ("10x",)),
}
"""Variants in which a method that mixes batches by force puts different types together."""
MIXED = (*HARD, "kang_8donors", "villani")
"""Where over-mixing is looked for."""


def cite() -> MuData:
    """RNA and proteins of two runs: the 200 cells of one that have proteins, 1,000 labelled cells of the other."""
    import mudata

    whole = mudata.read_h5mu(DATA / FILES["cite_rna"])
    both = whole["rna"].obs_names.intersection(whole["protein"].obs_names)
    obs = whole.obs.loc[both]
    both = both[~obs["cell_type"].astype(str).isin(UNLABELLED)]
    large = np.flatnonzero((whole.obs.loc[both, "batch"].astype(str) == "pbmc10k").to_numpy())
    gone = np.random.default_rng(0).permutation(large)[1000:]
    both = both[np.setdiff1d(np.arange(len(both)), gone)]
    made = mudata.MuData({name: whole[name][both].copy() for name in ("rna", "protein")})
    for column in ("batch", "cell_type"):
        made.obs[column] = whole.obs.loc[both, column].astype(str).astype("category")
    return made


def cells(name: str) -> AnnData | MuData:
    """A set or a hard variant, with the recipe run on it."""
    if name == "cite":
        mdata = cite()
        ssl.pp.recipe(mdata, batch_key="batch")
        return mdata
    adata = HARD[name]() if name in HARD else _read(name)
    if name == "villani":  # log-normalised at the source, 859 genes
        adata.var["highly_variable"] = True
    else:
        ssl.pp.recipe(adata, batch_key="batch")
    return adata

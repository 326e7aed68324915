"""Training speed: cells per second, on data of a fixed size.

    python benchmarks/training.py [--cells 10000] [--epochs 8] [--methods simclr vicreg]

10,000 x 2,000 cells, 10 % density, batches of 256, 2 threads, with the ``clear`` views and with the default for several
batches. An epoch is what a user waits for:
gathering rows, two views, forward, backward, step, the check of rank and spread.
"""

from __future__ import annotations

import argparse
import platform
import statistics

import numpy as np
import scipy.sparse as sp
import torch

import scssl as ssl

REFERENCE = 5_800  # cells/s of the authors' pipeline on such a machine, measured as shared/spec/performance.md says


def cells(n_obs: int, n_vars: int = 2000, density: float = 0.10) -> ssl.datasets:
    """Log-normalised values of the wanted density."""
    import anndata as ad

    rng = np.random.default_rng(0)
    matrix = sp.random(n_obs, n_vars, density=density, format="csr", dtype=np.float32, random_state=rng)
    matrix.data = np.log1p(rng.gamma(2.0, 2.0, size=matrix.nnz)).astype(np.float32)
    adata = ad.AnnData(matrix)
    adata.obs["batch"] = np.asarray([f"b{i}" for i in rng.integers(0, 5, n_obs)])
    return adata


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    trained = list(ssl.tl.methods(full=True).query("trains").index)
    parser.add_argument("--methods", nargs="+", default=trained)
    parser.add_argument("--precisions", nargs="+", default=["auto", "fp32", "bf16"])
    parser.add_argument("--views", nargs="+", default=["clear", "mixing"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ssl.settings.verbosity, ssl.settings.progress = "warning", False
    adata = cells(options.cells)
    print(f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, {adata.shape}, batch 256\n")
    print("| method | views | precision | cells/s, median epoch | best epoch | times the authors' SimCLR (5,800) |")
    print("|---|---|---|---|---|---|")
    reconstructing = set(ssl.tl.methods(full=True).query("decodes").index)
    for method in options.methods:
        for views in ["none"] if method in reconstructing else options.views:
            for precision in options.precisions:
                model = ssl.tl.fit(
                    adata, method, batch_key="batch", views=views, max_epochs=options.epochs, precision=precision
                )
                seconds = model.history["seconds"].tolist()[1:]  # the first epoch warms up
                median, best = options.cells / statistics.median(seconds), options.cells / min(seconds)
                rates = f"{median:,.0f} | {best:,.0f} | {median / REFERENCE:.1f}"
                print(f"| {method} | {views} | {precision} | {rates} |", flush=True)


if __name__ == "__main__":
    main()

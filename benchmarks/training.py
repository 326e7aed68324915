"""Training speed: cells per second, on data of a fixed size.

    python benchmarks/training.py [--cells 10000] [--epochs 8] [--methods simclr vicreg]

10,000 x 2,000 cells, 10 % density, batches of 256, 2 threads, with the ``clear`` views and with the default for several
batches; methods that decode without views, in batches of 256 and 2,048. An epoch is what a user waits for: gathering rows,
two views, forward, backward, step, the check of rank and spread. The last column is the arithmetic of the linear layers, as
a share of what this machine does in one product of that precision, measured in the same run.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch

import scssl as ssl
from scssl.train.device import precision as using

if TYPE_CHECKING:
    from collections.abc import Callable

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


def product_limit(precision: str) -> float:
    """Floating-point operations a second of one large product."""
    device = torch.device("cpu")
    with using(precision, device):
        a, b = torch.randn(2048, 2000), torch.randn(2000, 512)
        a, b = (x.bfloat16() if precision == "bf16" else x for x in (a, b))
        best = min(_seconds(lambda: a @ b) for _ in range(30))
    return 2 * 2048 * 2000 * 512 / best


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def operations(model: ssl.Model) -> int:
    """Floating-point operations for one cell of one view: forward, and backward but for the gradient of the input."""
    layers = [m.weight.numel() for m in model.module.modules() if isinstance(m, torch.nn.Linear)]
    return 6 * sum(layers) - 2 * layers[0]


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
    limits = {precision: product_limit(precision) for precision in options.precisions}
    print("; ".join(f"{name}: {limit / 1e9:,.0f} GFLOP/s" for name, limit in limits.items()), "in one product\n")
    print(
        "| method | views | batch | precision | cells/s, median epoch | best epoch | times the authors' SimCLR (5,800) | share of the product |"
    )
    print("|---|---|---|---|---|---|---|---|")
    reconstructing = set(ssl.tl.methods(full=True).query("decodes").index)
    for method in options.methods:
        alone = method in reconstructing
        for views, batch_size in [("none", 256), ("none", 2048)] if alone else [(v, 256) for v in options.views]:
            for precision in options.precisions:
                model = ssl.tl.fit(
                    adata, method, batch_key="batch", views=views, batch_size=batch_size, max_epochs=options.epochs,
                    precision=precision, **({"held_out": 0.0} if alone else {}),
                )  # fmt: skip
                seconds = model.history["seconds"].tolist()[1:]  # the first epoch warms up
                median, best = options.cells / statistics.median(seconds), options.cells / min(seconds)
                share = median * operations(model) * (1 if alone else 2) / limits[precision]
                rates = f"{median:,.0f} | {best:,.0f} | {median / REFERENCE:.1f} | {share:.0%}"
                print(f"| {method} | {views} | {batch_size:,} | {precision} | {rates} |", flush=True)


if __name__ == "__main__":
    main()

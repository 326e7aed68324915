"""Training from a file that stays on disk, beside training in memory: cells per second and peak memory.

    python benchmarks/streaming.py [--cells 200000] [--genes 2000] [--methods mae simclr]

Makes an uncompressed h5ad file with 10 % of its values not zero, and trains on its path, each way in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

CHUNK = 1000


def make(path: Path, cells: int, genes: int) -> None:
    """Write the file: the same number of values in every row, at random genes."""
    import anndata as ad

    rng, each = np.random.default_rng(0), genes // 10
    indices = np.empty((cells, each), dtype=np.int32)
    for start in range(0, cells, CHUNK):
        part = indices[start : start + CHUNK]
        part[:] = np.sort(rng.random((len(part), genes)).argsort(axis=1)[:, :each], axis=1)
    data = np.log1p(rng.gamma(2.0, 2.0, size=cells * each)).astype(np.float32)
    matrix = sp.csr_matrix((data, indices.ravel(), np.arange(0, cells * each + 1, each)), shape=(cells, genes))
    ad.AnnData(matrix).write_h5ad(path)


def peak_mb() -> float:
    """Largest resident memory of this process since it was started, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def train(path: str, method: str, on_disk: bool, epochs: int) -> dict[str, float]:
    """Train in this process; the first epoch warms up."""
    import torch

    import scssl as ssl

    torch.set_num_threads(2)
    ssl.settings.verbosity, ssl.settings.progress = "error", False
    start = peak_mb()
    with ssl.settings.override(in_memory_mb=0 if on_disk else 1e6):
        choices = {"batch_size": 2048, "held_out": 0.0} if method == "mae" else {"batch_size": 256}
        model = ssl.tl.fit(path, method, max_epochs=epochs, **choices)
    seconds = model.history["seconds"].tolist()[1:]
    return {"seconds": float(np.median(seconds)), "peak_mb": peak_mb(), "start_mb": start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=["mae", "simclr"])
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        path, method, where = options.work
        print(json.dumps(train(path, method, where == "disk", options.epochs)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.h5ad"
        make(path, options.cells, options.genes)
        print(f"{options.cells:,} x {options.genes:,} cells, {path.stat().st_size / 1e6:,.0f} MB on disk\n")
        print("| method | matrix | cells/s | peak memory, MiB | of which before training |\n|---|---|---|---|---|")
        for method in options.methods:
            for where in ("memory", "disk"):
                command = [
                    sys.executable,
                    __file__,
                    "--epochs",
                    str(options.epochs),
                    "--work",
                    str(path),
                    method,
                    where,
                ]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                row = json.loads(done.stdout.splitlines()[-1])
                rate = options.cells / row["seconds"]
                print(
                    f"| {method} | {where} | {rate:,.0f} | {row['peak_mb']:,.0f} | {row['start_mb']:,.0f} |", flush=True
                )


if __name__ == "__main__":
    main()

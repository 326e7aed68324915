"""Seconds and peak memory of the ten integration scores, ours beside scib-metrics, each in a fresh process.

    python benchmarks/evaluation.py [--cells 10000] [--repeats 2]

prints a Markdown table. Times of the first call hold whatever is imported and compiled on the way, but not the import of
NumPy and pandas; both get the same embedding, labels, batches and the same representation from before integration.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

WIDTH, LABELS, BATCHES, COMPONENTS = 64, 10, 5, 50
PAIRS = {
    "isolated_labels": "isolated_labels",
    "leiden_nmi": "nmi_ari_cluster_labels_leiden_nmi",
    "leiden_ari": "nmi_ari_cluster_labels_leiden_ari",
    "silhouette_label": "silhouette_label",
    "clisi": "clisi_knn",
    "bras": "bras",
    "ilisi": "ilisi_knn",
    "kbet": "kbet_per_label",
    "graph_connectivity": "graph_connectivity",
    "pcr_comparison": "pcr_comparison",
}


def cells(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An embedding of ten types in five batches, and one in which batches are twice as far apart."""
    random = np.random.default_rng(0)
    label, batch = random.integers(0, LABELS, n), random.integers(0, BATCHES, n)
    types, shifts = random.normal(size=(LABELS, WIDTH)), 0.25 * random.normal(size=(BATCHES, WIDTH))
    noise = random.normal(size=(n, WIDTH))
    embedding = (types[label] + shifts[batch] + noise).astype(np.float32)
    before = (types[label] + 2 * shifts[batch] + noise)[:, :COMPONENTS].astype(np.float32)
    return embedding, before, np.char.add("type ", label.astype(str)), np.char.add("batch ", batch.astype(str))


class Peak(threading.Thread):
    """Largest resident memory while it runs, above what there was at its start, in MiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.done, self.start_mb, self.peak_mb = threading.Event(), _resident_mb(), 0.0

    def run(self) -> None:
        while not self.done.wait(0.005):
            self.peak_mb = max(self.peak_mb, _resident_mb())

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def ours(n: int) -> dict[str, float]:
    from scssl.metrics import Inputs, measure

    embedding, before, labels, batch = cells(n)
    inputs = Inputs({"embedding": embedding, "labels": labels, "batch": batch, "before": before})
    return {name: measure(name, inputs).value for name in PAIRS}


def theirs(n: int) -> dict[str, float]:
    import warnings

    warnings.filterwarnings("ignore")
    import anndata
    from scib_metrics.benchmark import Benchmarker, BioConservation

    embedding, before, labels, batch = cells(n)
    adata = anndata.AnnData(np.zeros((n, 1), dtype=np.float32), obsm={"embedding": embedding, "before": before})
    adata.obs["label"], adata.obs["batch"] = labels, batch
    run = Benchmarker(
        adata,
        "batch",
        "label",
        ["embedding"],
        bio_conservation_metrics=BioConservation(
            nmi_ari_cluster_labels_leiden=True, nmi_ari_cluster_labels_kmeans=False
        ),
        pre_integrated_embedding_obsm_key="before",
        n_jobs=2,
        progress_bar=False,
    )
    run.benchmark()
    found = run.get_results(clean_names=False).loc["embedding"]
    return {name: float(found[other]) for name, other in PAIRS.items()}


def worker(which: str, n: int, repeats: int) -> None:
    """Runs in a process of its own; the last line is the result."""
    import pandas as pd  # noqa: F401 - both sides need it

    calls = []
    for _ in range(repeats):
        with Peak() as memory:
            start = time.perf_counter()
            values = {"ours": ours, "theirs": theirs}[which](n)
            seconds = time.perf_counter() - start
        calls.append({"seconds": seconds, "extra_mb": memory.peak_mb - memory.start_mb, "peak_mb": memory.peak_mb})
    sys.stdout.write("\n" + json.dumps({"calls": calls, "values": values}) + "\n")


def measured(which: str, n: int, repeats: int) -> dict:
    command = [sys.executable, __file__, "--cells", str(n), "--repeats", str(repeats), "--worker", which]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(finished.stdout.strip().splitlines()[-1])


def table(n: int, mine: dict, other: dict) -> str:
    lines = [
        f"Ten scores of one embedding, {n:,} x {WIDTH}, {LABELS} labels, {BATCHES} batches:",
        "",
        "| | scssl | scib-metrics | ratio |",
        "|---|---|---|---|",
    ]
    for number, (a, b) in enumerate(zip(mine["calls"], other["calls"], strict=True), 1):
        for what, key in (("seconds", "seconds"), ("memory added, MiB", "extra_mb"), ("memory in all, MiB", "peak_mb")):
            ratio = f"{b[key] / a[key]:.1f}x" if a[key] > 1e-3 else ""
            lines.append(f"| call {number}: {what} | {a[key]:.1f} | {b[key]:.1f} | {ratio} |")
    lines += ["", "| score | scssl | scib-metrics | difference |", "|---|---|---|---|"]
    for name in PAIRS:
        a, b = mine["values"][name], other["values"][name]
        lines.append(f"| {name} | {a:.6f} | {b:.6f} | {a - b:+.1e} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--worker", choices=("ours", "theirs"))
    given = parser.parse_args()
    if given.worker:
        worker(given.worker, given.cells, given.repeats)
    else:
        results = [measured(which, given.cells, given.repeats) for which in ("ours", "theirs")]
        sys.stdout.write(table(given.cells, *results) + "\n")


if __name__ == "__main__":
    main()

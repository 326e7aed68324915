"""Seconds and peak memory of the integration scores, ours beside scib-metrics, each in a fresh process.

    python benchmarks/evaluation.py [--cells 10000 30000] [--repeats 2] [--only ours]

prints a Markdown table for each number of cells. Ours are all scores that are computed by default: the ten of scIB, which
scib-metrics has too, and those beyond. Times of the first call hold whatever is imported and compiled on the way, but not the import of
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
COLUMNS = {
    "seconds": "seconds",
    "processor seconds, of all threads": "busy",
    "memory added, MiB": "extra_mb",
    "memory in all, MiB": "peak_mb",
}
BEYOND = ("cilisi", "isolated_labels_f1", "knn_purity")


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
    return {name: measure(name, inputs).value for name in (*PAIRS, *BEYOND)}


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
            start, busy = time.perf_counter(), time.process_time()
            values = {"ours": ours, "theirs": theirs}[which](n)
            seconds, busy = time.perf_counter() - start, time.process_time() - busy
        calls.append(
            {"seconds": seconds, "busy": busy, "extra_mb": memory.peak_mb - memory.start_mb, "peak_mb": memory.peak_mb}
        )
    sys.stdout.write("\n" + json.dumps({"calls": calls, "values": values}) + "\n")


def measured(which: str, n: int, repeats: int) -> dict:
    command = [sys.executable, __file__, "--cells", str(n), "--repeats", str(repeats), "--worker", which]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(finished.stdout.strip().splitlines()[-1])


def table(n: int, results: dict[str, dict]) -> str:
    """Calls and scores of one or both sides, with the ratio of the times and the difference of the values."""
    both = len(results) == 2
    head = [*results, *(["ratio"] if both else [])]
    lines = [
        f"Scores of one embedding, {n:,} x {WIDTH}, {LABELS} labels, {BATCHES} batches:",
        "",
        f"| | {' | '.join(head)} |",
        "|---" * (len(head) + 1) + "|",
    ]
    sides = list(results.values())
    for number, calls in enumerate(zip(*(side["calls"] for side in sides), strict=True), 1):
        for what, key in COLUMNS.items():
            shown = [f"{call[key]:.1f}" for call in calls]
            if both:
                shown.append(f"{calls[1][key] / calls[0][key]:.1f}x" if calls[0][key] > 1e-3 else "")
            lines.append(f"| call {number}: {what} | {' | '.join(shown)} |")
    head = [*results, *(["difference"] if both else [])]
    lines += ["", f"| score | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for name in sides[0]["values"]:
        found = [side["values"].get(name) for side in sides]
        shown = ["" if value is None else f"{value:.6f}" for value in found]
        if both:
            shown.append("" if None in found else f"{found[0] - found[1]:+.1e}")
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", choices=("ours", "theirs"))
    parser.add_argument("--worker", choices=("ours", "theirs"))
    given = parser.parse_args()
    if given.worker:
        worker(given.worker, given.cells[0], given.repeats)
        return
    sides = {"scssl": "ours", "scib-metrics": "theirs"}
    for n in given.cells:
        results = {name: measured(side, n, given.repeats) for name, side in sides.items() if given.only in (None, side)}
        sys.stdout.write(table(n, results) + "\n\n")


if __name__ == "__main__":
    main()

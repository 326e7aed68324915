"""A benchmark that is killed at random moments, completed, and compared with one that was left alone.

    python benchmarks/robustness.py [--methods pca untrained simclr vicreg byol] [--seeds 3] [--moments 20]

Needs the development data (SCSSL_SHARED_DATA). Another process does the benchmark and is killed with SIGKILL;
after every kill all records and embeddings are read. At the end: no file that cannot be read, no finished cell made again, and
the same table to the last bit. Prints a short report; exits with 1 if anything is lost.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

DATA = ("rna_pancreas_5technologies", "rna_cellbench_3lines_10x_celseq2_dropseq")
TASKS = ("batch_correction", "cell_typing", "reconstruction")
TIMES = ["fit_s", "embed_s", "score_s", "peak_mb", "created"]


def read(name: str, genes: int):
    import anndata

    import scssl as ssl

    folder = Path(os.environ.get("SCSSL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    adata = anndata.read_h5ad(folder / f"{name}.h5ad")
    ssl.pp.recipe(adata, batch_key="batch", n_top_genes=genes)
    return adata


def benchmark(sets: dict, cache: Path | None, options: argparse.Namespace, policy: str = "missing") -> pd.DataFrame:
    import scssl as ssl

    config = {} if options.max_epochs is None else {"max_epochs": options.max_epochs}
    trains = ssl.tl.methods(full=True)["trains"]
    methods = {name: config if trains[name] else {} for name in options.methods}
    tables = [
        ssl.tl.benchmark(
            adata, methods=methods, seeds=options.seeds, batch_key="batch", label_key="cell_type", tasks=TASKS,
            name=name, cache_dir=cache, policy=policy,
        )
        for name, adata in sets.items()
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def in_a_child(cache: Path, kill_after: float | None) -> tuple[int, float]:
    """Do the benchmark in another process, kill it; how it ended, and after how many seconds of work."""
    command = [sys.executable, *sys.argv, "--work", str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        child.stdout.readline()  # imports and data are there
        started = time.monotonic()
        try:
            code = child.wait(kill_after)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        return code, time.monotonic() - started


def inspect(cache: Path, committed: dict[Path, int]) -> list[str]:
    """What is wrong with a cache: files that cannot be read, records that were finished and made again."""
    from scssl.bench.cache import Cache

    store, wrong = Cache(cache), []
    for file in cache.glob("cells/[!.]*"):
        if store.read(file.stem) is None:
            wrong.append(f"{file.name} cannot be read")
        if committed.setdefault(file, file.stat().st_mtime_ns) != file.stat().st_mtime_ns:
            wrong.append(f"{file.name} was made twice")
    wrong += [f"{f.name} cannot be read" for f in cache.glob("models/[!.]*") if store.embedded(f.name) is None]
    return wrong + [f"{file.name} was lost" for file in committed if not file.exists()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["pca", "untrained", "simclr", "vicreg", "byol"])
    parser.add_argument("--data", nargs="+", default=list(DATA))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--random", type=int, default=0, help="seed of the moments")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()

    import scssl as ssl

    ssl.settings.verbosity, ssl.settings.progress = 1, False
    sets = {name: read(name, options.genes) for name in options.data}
    if options.work:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        benchmark(sets, options.work, options)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="robustness-"))
    code, alone = in_a_child(folder / "alone", None)
    if code:
        return 1
    draw = random.Random(options.random)
    wrong: list[str] = []
    killed, rounds, seconds = 0, 0, 0.0
    one = benchmark(sets, folder / "alone", options, policy="cached")
    same = True
    while killed < options.moments:  # a grid that was done before it was killed often enough is done once more
        cache, committed, code = folder / f"killed {rounds}", dict[Path, int](), -signal.SIGKILL
        while code == -signal.SIGKILL:
            # a share of what is left, so that the moments are spread over the whole grid
            moment = draw.uniform(0, 2 * alone / options.moments) if killed < options.moments else None
            code, took = in_a_child(cache, moment)
            killed, seconds = killed + (code == -signal.SIGKILL), seconds + took
            wrong += inspect(cache, committed)
        wrong += ["the last run failed"] if code else []
        other = benchmark(sets, cache, options, policy="cached")
        same, rounds = same and one.drop(columns=TIMES).equals(other.drop(columns=TIMES)), rounds + 1
    wrong += [] if one["value"].notna().any() else ["nothing was computed"]
    cells = one["cell_id"].nunique()
    lines = [
        f"{len(options.methods)} methods x {options.seeds} seeds x {len(sets)} data sets x {len(TASKS)} tasks",
        f"{cells} cells, {len(one)} rows, {one['status'].value_counts().to_dict()}",
        f"left alone: {alone:.0f} s; killed {killed} times until it was done {rounds} times: {seconds:.0f} s in all",
        f"files that cannot be read, finished cells lost or made again: {len(wrong)}",
        f"the same table, bit for bit: {'yes' if same else 'NO'}",
        *wrong[:20],
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    shutil.rmtree(folder)
    return int(bool(wrong) or not same)


if __name__ == "__main__":
    sys.exit(main())

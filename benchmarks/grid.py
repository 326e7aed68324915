"""The search behind the default presets: eight settings of every method, on the same sets, with the same budget.

    python benchmarks/grid.py run [--methods NAME ...] [--sets NAME ...]
    python benchmarks/grid.py table

One line changes one thing of the default. ``within_batch`` and the views are those of the default with batches. Settings are
chosen by the mean over the sets of total and typing accuracy, one seed; differences below 0.02 in both are noise and
change nothing. ``python benchmarks/within_batch.py prepare`` makes the files.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from typing import Any

import pandas as pd
from within_batch import FOLDER, markdown, scored

GRID: dict[str, dict[str, dict[str, Any]]] = {
    "simclr": {
        "temperature 0.1": {"temperature": 0.1},
        "temperature 0.2": {"temperature": 0.2},
        "temperature 0.3": {"temperature": 0.3},
        "temperature 0.5": {"temperature": 0.5},
        "projector 64": {"projector": (64,)},
        "batch_size 128": {"batch_size": 128},
        "learning_rate 3e-3": {"learning_rate": 3e-3},
        "hidden 256": {"hidden": (256,)},
    },
    "moco": {
        "momentum 0": {"momentum": 0.0},
        "momentum 0.5": {"momentum": 0.5},
        "momentum 0.9": {"momentum": 0.9},
        "momentum 0.99": {"momentum": 0.99},
        "temperature 0.3, momentum 0.5": {"temperature": 0.3, "momentum": 0.5},
        "queue 512, momentum 0.5": {"queue": 512, "momentum": 0.5},
        "batch_size 128, momentum 0.5": {"batch_size": 128, "momentum": 0.5},
        "learning_rate 3e-3, momentum 0.5": {"learning_rate": 3e-3, "momentum": 0.5},
    },
    "nnclr": {
        "temperature 0.2": {"temperature": 0.2},
        "temperature 0.3": {"temperature": 0.3},
        "temperature 0.5": {"temperature": 0.5},
        "neighbors own": {"neighbors": "own"},
        "neighbors other": {"neighbors": "other"},
        "bank 512": {"bank": 512},
        "batch_size 128": {"batch_size": 128},
        "learning_rate 3e-3": {"learning_rate": 3e-3},
    },
    "byol": {
        "momentum 0.5": {"momentum": 0.5},
        "momentum 0.9": {"momentum": 0.9},
        "momentum 0.99": {"momentum": 0.99},
        "predictor 64": {"predictor": (64,)},
        "projector 256 256": {"projector": (256, 256)},
        "learning_rate 3e-3": {"learning_rate": 3e-3},
        "learning_rate 3e-4": {"learning_rate": 3e-4},
        "batch_size 128": {"batch_size": 128},
    },
    "simsiam": {
        "default": {},
        "learning_rate 3e-3": {"learning_rate": 3e-3},
        "learning_rate 3e-4": {"learning_rate": 3e-4},
        "batch_size 128": {"batch_size": 128},
        "projector 64 64 64": {"projector": (64, 64, 64)},
        "projector 256 256 64": {"projector": (256, 256, 64)},
        "predictor 32": {"predictor": (32,)},
        "max_epochs 120": {"max_epochs": 120},
    },
    "vicreg": {
        "weights 5 5 1": {},
        "weights 1 1 1": {"invariance": 1.0, "variance": 1.0},
        "weights 10 10 1": {"invariance": 10.0, "variance": 10.0},
        "weights 25 25 1": {"invariance": 25.0, "variance": 25.0},
        "projector 256 256": {"projector": (256, 256)},
        "projector 64 64": {"projector": (64, 64)},
        "batch_size 128": {"batch_size": 128},
        "learning_rate 3e-3": {"learning_rate": 3e-3},
    },
    "barlow_twins": {
        "redundancy 0.001": {"redundancy": 1e-3},
        "redundancy 0.005": {"redundancy": 5e-3},
        "redundancy 0.02": {"redundancy": 0.02},
        "redundancy 0.1": {"redundancy": 0.1},
        "projector 64 256": {"projector": (64, 256)},
        "projector 256 64": {"projector": (256, 64)},
        "batch_size 128": {"batch_size": 128},
        "learning_rate 3e-3": {"learning_rate": 3e-3},
    },
}


def run(options: argparse.Namespace) -> None:
    """Train and score; what is there is not repeated."""
    for name in options.sets:
        for method in options.methods:
            for line, changes in GRID[method].items():
                record = FOLDER.parent / "grid" / f"{name}--{method}--{line.replace(' ', '_')}.json"
                if record.exists():
                    continue
                about = {"set": name, "method": method, "line": line}
                record.write_text(json.dumps(about | scored(name, method, changes, seed=0)))
                print(f"{name} | {method} | {line}", flush=True)


def table(options: argparse.Namespace) -> None:
    """Means over the sets, best first."""
    rows = pd.DataFrame([json.loads(path.read_text()) for path in (FOLDER.parent / "grid").glob("*.json")])
    scores = ["total", "bio", "batch", "accuracy", "macro_f1", "purity"]
    for method in options.methods:
        part = rows[rows["method"] == method].groupby("line")[scores].mean()
        part.insert(0, "chosen by", (part["total"] + part["accuracy"]) / 2)
        sys.stdout.write(f"\n**{method}**\n\n{markdown(part.sort_values('chosen by', ascending=False))}\n")


def main() -> None:
    steps = {"run": run, "table": table}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=steps)
    parser.add_argument("--methods", nargs="+", default=list(GRID))
    parser.add_argument("--sets", nargs="+", default=["pancreas", "kang"])
    options = parser.parse_args()
    (FOLDER.parent / "grid").mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    steps[options.step](options)


if __name__ == "__main__":
    main()

"""What choices are worth on one real set: mask rate, pairs of views, temperature, width, projector, domain batch norm.

    python benchmarks/ablations.py [--set pancreas] [--method simclr] [--seeds 3]

The figures of scSSL-Bench on augmentations, temperature, width, projector and domain batch norm, with true neighbours in
the neighbour views. Scores are kept in ``benchmarks/results/ablations`` (a run that was stopped continues); figures go to
``docs/_static``. Needs the development data (SCSSL_SHARED_DATA).
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import torch
from study_sets import cells

import scssl as ssl

HERE = Path(__file__).resolve().parent
FIGURES = HERE.parent / "docs" / "_static"
RESULTS = HERE / "results" / "ablations"

GRIDS: dict[str, dict[str, list[Any]]] = {
    "mask_rate": {"views": [[f"mask:{rate}"] for rate in (0.1, 0.3, 0.5, 0.7, 0.9)]},
    "view_pairs": {"views": ssl.tl.pairs("mask:0.5", "gaussian:0.8", "inner_swap:0.1", "crossover:0.25", "knn", "mnn")},
    "temperature": {"temperature": [0.1, 0.2, 0.3, 0.5, 1.0, 5.0]},
    "width": {"width": [8, 16, 32, 64, 128, 256]},
    "projector": {"keep_projector": [False, True], "batch_norm": ["shared", "domain"]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="pancreas")
    parser.add_argument("--method", default="simclr")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--grids", nargs="+", default=list(GRIDS), choices=list(GRIDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    ssl.settings.verbosity = "error"
    warnings.simplefilter("ignore", ssl.ScsslWarning)
    data = cells(options.set)
    for name in options.grids:
        scores = ssl.tl.ablate(
            data,
            method=options.method,
            grid=GRIDS[name],
            batch_key="batch",
            label_key="cell_type",
            tasks=["batch_correction"],
            seeds=options.seeds,
            name=options.set,
            cache_dir=RESULTS / options.set,
        )
        scores.to_csv(RESULTS / f"{options.set}-{options.method}-{name}.csv", index=False)
        measures = ["total", "bio", "batch"]
        ssl.pl.ablation(scores, metrics=measures, show=False, save=FIGURES / f"ablation_{name}.png")


if __name__ == "__main__":
    main()

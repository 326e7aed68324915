"""Quality of every method on real cells: the default preset of each, the same for all sets.

    python benchmarks/methods.py [--seeds 3] [--sets NAME ...] [--methods NAME ...] [--out benchmarks/results/methods.csv]
    python benchmarks/methods.py --table

Three RNA sets and a CITE-seq set (RNA and 14 proteins, both used) with 2 to 5 batches. ``total`` is 0.6 bio + 0.4 batch of
raw values. ``seconds`` are processor seconds of one training on one thread. ``kNN`` is the accuracy of 11 nearest neighbours for each batch in turn: ``all cells`` on the embedding of a
model that saw all cells (labels of the batch hidden from the classifier only), ``unseen batch`` with genes and weights
from the other batches alone, as is the macro-F1. Needs the development data (SCSSL_SHARED_DATA).
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import pandas as pd
import torch
from study_sets import cells

import scssl as ssl

HERE = Path(__file__).resolve().parent
CACHE = HERE / "results" / "methods"
SETS = ("pancreas", "kang", "mesc", "cite")
METHODS = ("simclr", "moco", "nnclr", "vicreg", "barlow_twins", "byol", "simsiam")
CONTROLS = ("pca", "untrained", "random")
KEYS = {"batch_key": "batch", "label_key": "cell_type"}


def scored(name: str, lines: list[str], seeds: int, unseen: int) -> pd.DataFrame:
    """All rows of one set; `unseen` seeds for the models that do not see a batch."""
    data = cells(name)
    slots, seconds = [], {}
    for line in lines:
        for seed in range(seeds):
            slots.append(f"{line} {seed}")
            started = time.process_time()
            ssl.tl.fit(data, line, batch_key="batch", seed=seed, key_added=slots[-1])
            seconds[slots[-1]] = time.process_time() - started
    together = ssl.tl.evaluate(data, use_rep=[f"X_{slot}" for slot in slots], **KEYS)
    own = together["key"].isin(slots)
    together["fit_s"] = together["key"].map(seconds)
    together.loc[own, "key"] = together.loc[own, "key"].str.rsplit(" ", n=1).str[0]
    together["protocol"] = "all cells"
    apart = ssl.tl.benchmark(data, methods=lines, tasks=["cell_typing"], seeds=unseen, cache_dir=CACHE, **KEYS)
    apart["protocol"] = "unseen batch"
    return pd.concat([together, apart]).assign(data=name)


def table(rows: pd.DataFrame) -> str:
    """The table as Markdown: mean over seeds and splits, standard deviation of the total over seeds."""
    found = []
    for (name, line), part in rows.groupby(["data", "key"], sort=False, observed=True):
        whole = part[part["task"] == "batch_correction"]
        groups = whole.pivot_table("value", "seed", "group", aggfunc="mean")
        total = 0.6 * groups["bio"] + 0.4 * groups["batch"]
        typing = part[part["metric"] == "accuracy"].groupby("protocol")["value"].mean()
        f1 = part[part["metric"] == "macro_f1"].groupby("protocol")["value"].mean()
        found.append(
            {
                "set": name,
                "method": line,
                "total": f"{total.mean():.3f}" + (f" ± {total.std():.3f}" if len(total) > 1 else ""),
                "bio": f"{groups['bio'].mean():.3f}",
                "batch": f"{groups['batch'].mean():.3f}",
                "kNN, all cells": f"{typing.get('all cells', float('nan')):.3f}",
                "macro-F1, all cells": f"{f1.get('all cells', float('nan')):.3f}",
                "kNN, unseen batch": f"{typing.get('unseen batch', float('nan')):.3f}",
                "macro-F1, unseen batch": f"{f1.get('unseen batch', float('nan')):.3f}",
                "seconds": f"{whole['fit_s'].median():.1f}",
                "order": -total.mean(),
            }
        )
    frame = pd.DataFrame(found)
    lines = []
    for name, part in frame.groupby("set", sort=False):
        shown = part.sort_values("order").drop(columns=["set", "order"])
        lines += [f"**{name}**", "", "| " + " | ".join(shown.columns) + " |", "|" + "---|" * shown.shape[1]]
        lines += ["| " + " | ".join(row) + " |" for row in shown.itertuples(index=False)]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--unseen-seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--methods", nargs="+", default=[*CONTROLS, *METHODS])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "methods.csv")
    parser.add_argument("--table", action="store_true", help="only print the table of the rows that are there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ssl.settings.verbosity = "error"
    warnings.simplefilter("ignore", ssl.ScsslWarning)
    known = pd.read_csv(options.out) if options.out.exists() else pd.DataFrame(columns=["data", "key"])
    if not options.table:
        options.out.parent.mkdir(exist_ok=True)
        for name in options.sets:
            rows = scored(name, options.methods, options.seeds, options.unseen_seeds)
            replaced = (known["data"] == name) & known["key"].isin(rows["key"])
            known = pd.concat([known[~replaced], rows], ignore_index=True)
            known.to_csv(options.out, index=False)
    known["data"] = pd.Categorical(known["data"], [s for s in SETS if s in set(known["data"])])
    print(table(known.sort_values("data", kind="stable")))


if __name__ == "__main__":
    main()

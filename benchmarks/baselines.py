"""Our defaults beside Harmony, scVI, scANVI, MOFA and totalVI, all by ``tl.benchmark`` in one environment.

    python benchmarks/baselines.py [--seeds 3] [--sets NAME ...] [--out benchmarks/results/baselines.csv]
    python benchmarks/baselines.py --table

Every line of a set is trained on all its cells and scored by the ten numbers of scIB (``total`` is 0.6 bio + 0.4 batch of raw
values), and, with ``--held-out``, once more without each batch in turn and asked to name its cells. Harmony cannot embed cells that it
was not fitted to: those numbers are absent, not bad. scANVI learns from the labels that it is scored on. ``seconds`` are processor
seconds of one training on one thread (``--seconds``). Results are kept (``benchmarks/results/baselines``), so that a second call computes what is missing.
Needs the development data (SCSSL_SHARED_DATA).
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
from scssl._registry import METHODS

HERE = Path(__file__).resolve().parent
CACHE = HERE / "results" / "baselines"
RNA = {
    "pca": {},
    "harmony": {},
    "harmony (as published)": {"method": "harmony", "preset": "paper"},
    "scvi": {},
    "scvi (2 layers, 30, NB)": {"method": "scvi", "preset": "tuned"},
    "scanvi": {},
    "simclr": {},
    "vicreg": {},
    "barlow_twins": {},
    "byol": {},
    "mae": {},
    "untrained": {},
}
CITE = {"mofa": {}, "totalvi": {}, "simclr": {}, "vicreg": {}, "barlow_twins": {}, "mae": {}, "pca": {}}
SETS = {"pancreas": RNA, "pbmc": RNA, "kang": RNA, "mesc": RNA, "cite": CITE}
KEYS = {"batch_key": "batch", "label_key": "cell_type"}


def scored(name: str, seeds: int, held_out: bool) -> pd.DataFrame:
    """All rows of one set."""
    data, lines = cells(name), SETS[name]
    asked = {**KEYS, "methods": lines, "cache_dir": CACHE, "name": name}
    rows = [ssl.tl.benchmark(data, tasks=["batch_correction"], seeds=seeds, **asked)]
    if held_out:
        rows.append(ssl.tl.benchmark(data, tasks=["cell_typing"], seeds=1, **asked))
    return pd.concat(rows)


def processor_seconds(name: str) -> dict[str, float]:
    """Processor seconds of one training of every line, which other programs on the machine change little."""
    data, found = cells(name), {}
    for key, options in SETS[name].items():
        own = {k: v for k, v in options.items() if k != "method"}
        if METHODS.describe(options.get("method", key)).needs == ("labels",):
            own["label_key"] = KEYS["label_key"]
        started = time.process_time()
        ssl.tl.fit(data, options.get("method", key), batch_key="batch", key_added="timed", progress=False, **own)
        found[key] = time.process_time() - started
    return found


def table(rows: pd.DataFrame) -> str:
    """The table as Markdown, best total first; mean over seeds with standard deviation of the total."""
    parts = []
    for name, of_set in rows.groupby("data", sort=False, observed=True):
        found = [_line(key, part) for key, part in of_set.groupby("key", sort=False)]
        shown = pd.DataFrame(found).sort_values("order").drop(columns="order")
        parts += [f"**{name}**", "", "| " + " | ".join(shown.columns) + " |", "|" + "---|" * shown.shape[1]]
        parts += ["| " + " | ".join(row) + " |" for row in shown.itertuples(index=False)]
        parts.append("")
    return "\n".join(parts)


def _line(key: str, part: pd.DataFrame) -> dict[str, object]:
    whole = part[part["task"] == "batch_correction"]
    groups = whole.pivot_table("value", "seed", "group", aggfunc="mean")
    total = 0.6 * groups["bio"] + 0.4 * groups["batch"]
    typing = part[(part["task"] == "cell_typing") & (part["status"] == "ok")].groupby("metric")["value"].mean()
    spread = f" ± {total.std():.3f}" if len(total) > 1 else ""
    return {
        "method": key + (" (sees the labels)" if key == "scanvi" else ""),
        "total": f"{total.mean():.3f}{spread}",
        "bio": f"{groups['bio'].mean():.3f}",
        "batch": f"{groups['batch'].mean():.3f}",
        "unseen batch, kNN": _number(typing.get("accuracy")),
        "unseen batch, linear": _number(typing.get("accuracy_linear")),
        "seconds": _number(whole["fit_s"].median(), digits=1),
        "order": -total.mean(),
    }


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--held-out", action="store_true", help="also name the cells of each batch, trained without it")
    parser.add_argument(
        "--seconds", action="store_true", help="train each line once more and note its processor seconds"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results" / "baselines.csv")
    parser.add_argument("--table", action="store_true", help="only print the table of the rows that are there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ssl.ScsslWarning)
    known = pd.read_csv(options.out) if options.out.exists() else pd.DataFrame(columns=["data", "key"])
    if not options.table:
        options.out.parent.mkdir(exist_ok=True)
        for name in options.sets:
            rows = scored(name, options.seeds, options.held_out)
            if options.seconds:
                rows["fit_s"] = rows["key"].map(processor_seconds(name))
            known = pd.concat([known[known["data"] != name], rows], ignore_index=True)
            known.to_csv(options.out, index=False)
    known["data"] = pd.Categorical(known["data"], [s for s in SETS if s in set(known["data"])])
    print(table(known.sort_values("data", kind="stable")))


if __name__ == "__main__":
    main()

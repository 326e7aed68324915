"""Made-up result rows in the shape that tl.evaluate writes."""

from __future__ import annotations

import numpy as np

from scssl import _results
from scssl._results import Row

GROUPS = {
    "bio": ("isolated_labels", "leiden_nmi", "leiden_ari", "silhouette_label", "clisi"),
    "batch": ("bras", "ilisi", "kbet", "graph_connectivity", "pcr_comparison"),
}
TYPING = ("macro_f1", "accuracy", "balanced_accuracy", "weighted_f1", "macro_f1_shared")
LEVELS = {"random": 0.08, "pca": 0.45, "untrained": 0.5, "vicreg": 0.68, "simclr": 0.74, "oracle": 0.98}


def run_rows(method, seed, level, *, data="pbmc68k", splits=("batch 0", "batch 1"), **fields):
    """All rows of one method with one seed."""
    draw = np.random.default_rng([seed, len(method), int(level * 1000)])
    shared = {
        "method": method, "key": method, "seed": seed, "data": data, "data_id": f"id-{data}", "n_obs": 700,
        "config_id": "" if method in ("random", "oracle") else f"cfg-{method}", "device": "cpu", "version": "0.1.0",
        "fit_s": 40 * level * (1 + seed / 9), "embed_s": 0.1, "created": "2026-11-21T07:00:00+00:00", **fields,
    }  # fmt: skip
    rows = []
    for group, metrics in GROUPS.items():
        for metric in metrics:
            value = float(np.clip(level + draw.normal(0, 0.06), 0, 1))
            rows.append(Row(**shared, task="batch_correction", metric=metric, group=group, value=value))
    for split in splits:
        for metric in TYPING:
            value = float(np.clip(level + 0.1 + draw.normal(0, 0.02), 0, 1))
            main = metric == "macro_f1"
            rows.append(
                Row(**shared, task="cell_typing", split=split, metric=metric, group="typing", value=value, main=main)
            )
    return rows


def scores(levels=LEVELS, *, seeds=2, **fields):
    """A complete table."""
    rows = [
        row
        for method, level in levels.items()
        for seed in range(seeds)
        for row in run_rows(method, seed, level, **fields)
    ]
    return _results.scale(_results.frame(rows))


def with_status(table, method, status, message, *, seed=None, metrics=None):
    """The same table, in which rows of a method have another status."""
    hit = table["method"] == method
    if seed is not None:
        hit &= table["seed"] == seed
    if metrics is not None:
        hit &= table["metric"].isin(metrics)
    table = table.copy()
    table.loc[hit, "status"], table.loc[hit, "message"] = status, message
    if status != _results.COLLAPSED:
        table.loc[hit, ["value", "scaled"]] = np.nan
    return table

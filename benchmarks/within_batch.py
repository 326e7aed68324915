"""How cells of different batches should meet: the study behind the defaults of ``within_batch``.

    python benchmarks/within_batch.py prepare                  # sets and hard variants as files
    python benchmarks/within_batch.py scvi                     # the reference; needs scvi-tools, see below
    python benchmarks/within_batch.py run [--lines NAME ...]   # train and score; resumes where it stopped
    python benchmarks/within_batch.py table                    # Markdown
    python benchmarks/within_batch.py summary
    python benchmarks/within_batch.py figure

Everything is kept in ``benchmarks/results/within_batch``. scVI may live in an environment of its own: the steps meet in
files only. Needs the development data (SCSSL_SHARED_DATA).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from study_sets import FILES, HARD, MIXED, REAL, cells

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "results" / "within_batch"
OFF, SAMPLE, MASK = ({"within_batch": word} for word in ("off", "sample", "mask"))
DOMAIN = {"batch_norm": "domain"}
COMPARING = ("simclr", "moco", "nnclr")  # cells with cells
STATISTICS = ("vicreg", "barlow_twins")
PAIRS = ("byol", "simsiam")  # nothing but the two views of a cell
BEST = dict.fromkeys(COMPARING, MASK) | dict.fromkeys(STATISTICS + PAIRS, SAMPLE)
"""The way of comparing that the further lines of the study start from."""
CLEAR = {"views": "clear"}
BALANCED = {"views": [{"view": "bbknn", "alpha": 0.0, "k": 5, "drawn": True}, "clear"]}

LINES: dict[str, dict[str, Any]] = {"pca": {}, "untrained": {}}
for _method in (*COMPARING, *STATISTICS, *PAIRS):
    _word = BEST[_method]["within_batch"]
    LINES[f"{_method} | {_word}, mixing"] = BEST[_method] | {"views": "mixing"}
    LINES[f"{_method} | off"] = OFF | CLEAR
    LINES[f"{_method} | sample"] = SAMPLE | CLEAR
    if _method not in PAIRS:
        LINES[f"{_method} | mask"] = MASK | CLEAR
    LINES[f"{_method} | {_word}, domain"] = BEST[_method] | CLEAR | DOMAIN
for _method in ("simclr", "barlow_twins"):
    _word = BEST[_method]["within_batch"]
    LINES[f"{_method} | {_word}, bbknn"] = BEST[_method] | BALANCED
    LINES[f"{_method} | {_word}, mixing, domain"] = BEST[_method] | {"views": "mixing"} | DOMAIN
    LINES[f"{_method} | off, mixing"] = OFF | {"views": "mixing"}
for _word in ("own", "other"):
    LINES[f"nnclr | mask, neighbours {_word}"] = MASK | CLEAR | {"neighbors": _word}
SCVI = {"scvi": {"n_layers": 2, "n_latent": 30, "gene_likelihood": "nb"}, "scvi, defaults": {}}


def slug(name: str) -> str:
    """A set's name as a file name."""
    return name.replace(", ", "-").replace(" ", "_")


def prepare(options: argparse.Namespace) -> None:
    """Write every set with its recipe."""
    import scssl as ssl

    ssl.settings.verbosity = "error"
    for name in options.sets:
        adata = cells(name)
        adata = adata[:, adata.var["highly_variable"]].copy()
        adata.write_h5ad(FOLDER / "data" / f"{slug(name)}.h5ad", compression="gzip")


def scvi(options: argparse.Namespace) -> None:
    """Train scVI on the counts of the same genes, by its defaults of epochs and batch size."""
    import anndata as ad
    import scvi
    import torch

    torch.set_num_threads(options.threads)
    scvi.settings.verbosity = 40
    for seed in range(options.seeds):
        for name in options.sets:
            for line in options.lines or ["scvi"]:
                target = _kept_embedding(name, line, seed)
                if target.exists():
                    continue
                adata = ad.read_h5ad(FOLDER / "data" / f"{slug(name)}.h5ad")
                normal = "counts" not in adata.layers  # log-normalised at the source
                scvi.settings.seed = seed
                scvi.model.SCVI.setup_anndata(adata, layer=None if normal else "counts", batch_key="batch")
                choices = SCVI[line] | ({"gene_likelihood": "normal"} if normal else {})
                model = scvi.model.SCVI(adata, **choices)
                started = time.process_time()
                model.train(accelerator="cpu", enable_progress_bar=False, logger=False)
                seconds = time.process_time() - started
                np.savez(target, x=model.get_latent_representation().astype(np.float32), seconds=seconds)
                print(f"{line} {name} {seed}: {seconds:.0f} s", flush=True)


def run(options: argparse.Namespace) -> None:
    """Train and score every line on every set; what is there is not repeated."""
    for seed in range(options.seeds):
        for name in options.sets:
            for line in options.lines or [*LINES, *SCVI]:
                path = _record(name, line, seed)
                if path.exists() or (line in SCVI and not _kept_embedding(name, line, seed).exists()):
                    continue
                found = _of_scvi(name, line, seed) if line in SCVI else _of_line(name, line, seed)
                path.write_text(json.dumps({"set": name, "line": line, "seed": seed, **found}))
                print(f"{name} | {line} | {seed}: {found['seconds']:.0f} s", flush=True)


def _of_line(name: str, line: str, seed: int) -> dict[str, float]:
    return scored(name, line.split(" | ")[0], LINES[line], seed=seed)


def _of_scvi(name: str, line: str, seed: int) -> dict[str, float]:
    """Scores of what the step ``scvi`` left."""
    import anndata as ad

    with np.load(_kept_embedding(name, line, seed)) as kept:
        x, seconds = kept["x"], float(kept["seconds"])
    return {"seconds": seconds, **_scores(ad.read_h5ad(FOLDER / "data" / f"{slug(name)}.h5ad"), x)}


def _kept_embedding(name: str, line: str, seed: int) -> Path:
    return FOLDER / "embeddings" / f"{slug(name)}--{slug(line)}--{seed}.npz"


def scored(name: str, method: str, changes: dict[str, Any], *, seed: int) -> dict[str, float]:
    """Scores of one model of a prepared set, and the seconds of its training."""
    import anndata as ad
    import torch

    import scssl as ssl

    torch.set_num_threads(1)
    ssl.settings.verbosity, ssl.settings.progress = "error", False
    adata = ad.read_h5ad(FOLDER / "data" / f"{slug(name)}.h5ad")
    started = time.process_time()
    model = ssl.tl.fit(adata, method, batch_key="batch", seed=seed, mask_by=None, key_added="line", **changes)
    seconds = time.process_time() - started
    return {"seconds": seconds, **_scores(adata, model.embed(adata))}


def _record(name: str, line: str, seed: int) -> Path:
    return FOLDER / "scores" / f"{slug(name)}--{slug(line).replace('|', '')}--{seed}.json"


def _scores(adata: Any, x: np.ndarray) -> dict[str, float]:
    """Groups and single scores of scIB, typing of each batch from the others, purity of 15 neighbours."""
    import scssl as ssl
    from scssl._neighbors import nearest

    scored = ad_with(adata, x)
    rows = ssl.tl.evaluate(scored, use_rep="X_line", batch_key="batch", label_key="cell_type")
    rows = rows[rows["key"] == "line"]
    whole = rows[rows["task"] == "batch_correction"]
    groups = whole.groupby("group")["value"].mean()
    typing = rows[rows["task"] == "cell_typing"].groupby("metric")["value"].mean()
    labels = adata.obs["cell_type"].astype(str).to_numpy()
    near = nearest(np.asarray(x, dtype=np.float32), 16).others.indices
    return {
        "total": 0.6 * groups["bio"] + 0.4 * groups["batch"],
        "bio": groups["bio"],
        "batch": groups["batch"],
        "accuracy": typing["accuracy"],
        "macro_f1": typing["macro_f1"],
        "purity": float((labels[near] == labels[:, None]).mean()),
        **dict(zip(whole["metric"], whole["value"].astype(float), strict=True)),
    }


def ad_with(adata: Any, x: np.ndarray) -> Any:
    """The cells with one embedding."""
    import anndata as ad

    scored = ad.AnnData(adata.X, obs=adata.obs, var=adata.var, uns=dict(adata.uns))
    scored.obsm["X_line"] = x
    return scored


def kept() -> pd.DataFrame:
    """All records, one row each."""
    return pd.DataFrame([json.loads(path.read_text()) for path in sorted((FOLDER / "scores").glob("*.json"))])


def table(options: argparse.Namespace) -> None:
    """Means over seeds: real sets, then purity on the hard ones, as differences to scVI."""
    rows = kept()
    scores = ["total", "bio", "batch", "accuracy", "macro_f1", "purity"]
    means = rows.groupby(["set", "line"])[[*scores, "seconds"]].mean()
    for name in options.sets:
        if name in means.index:
            print(f"\n**{name}**\n\n{markdown(means.loc[name].sort_values('total', ascending=False))}")
    wide = rows.pivot_table("purity", "line", "set")
    hard = [name for name in MIXED if name in wide]
    against = wide[hard].sub(wide.loc["scvi", hard]) if "scvi" in wide.index else wide[hard]
    print(f"\n**purity of 15 neighbours, minus scVI's**\n\n{markdown(against)}")


def summary(options: argparse.Namespace) -> None:
    """Lines that were scored on all of the sets, as mean differences to scVI."""
    rows = kept()
    sets = [name for name in options.sets if name in REAL and name in set(rows["set"])]
    hard = [name for name in MIXED if name in set(rows["set"])]
    found = {}
    for what, over in (("total", sets), ("bio", sets), ("batch", sets), ("accuracy", sets), ("purity", hard)):
        wide = rows[rows["set"].isin(over)].pivot_table(what, "line", "set")
        if "scvi" not in wide.index:
            continue
        against = wide.sub(wide.loc["scvi"])
        title = "purity, hard" if what == "purity" else what
        found[title] = against.mean(axis=1, skipna=False)
        if what in ("total", "purity"):
            found[f"{title}, worst set"] = against.min(axis=1, skipna=False)
    frame = pd.DataFrame(found).dropna(subset=["total"]).sort_values("total", ascending=False)
    print(f"{len(sets)} sets: {', '.join(sets)}; {len(hard)} hard ones: {', '.join(hard)}\n")
    print(markdown(frame))
    shown = [line for line in ("simclr | mask, mixing", "simclr | mask", "scvi", "pca") if line in frame.index]
    scores = {"total": sets, "bio": sets, "accuracy": sets, "purity": hard}
    for what, over in scores.items():
        wide = rows[rows["set"].isin(over)].pivot_table(what, "line", "set").reindex(shown)
        print(f"\n{what}\n\n{markdown(wide[over])}")


def figure(options: argparse.Namespace) -> None:
    """Every line against scVI: a dot for each set, a bar at their median; purity on the sets made to be mixed wrongly."""
    import matplotlib.pyplot as plt

    rows = kept()
    means = rows.groupby(["set", "line"])[["total", "bio", "accuracy", "purity"]].mean()
    panels = {
        "total": [name for name in REAL if name in means.index],
        "bio": [name for name in REAL if name in means.index],
        "accuracy": [name for name in REAL if name in means.index],
        "purity": [name for name in MIXED if name in means.index],
    }
    titles = ("total", "bio", "typing from the other batches", "purity of 15 neighbours,\nhard variants")
    differences = {
        what: (wide := means.loc[sets, what].reset_index().pivot_table(what, "line", "set")).sub(wide.loc["scvi"])
        for what, sets in panels.items()
    }
    order = differences["total"].median(axis=1).drop(["scvi", *set(SCVI) & {"scvi, defaults"}], errors="ignore")
    enough = differences["total"].count(axis=1) > 1
    lines = order[enough.reindex(order.index)].sort_values().index
    _, axes = plt.subplots(1, 4, figsize=(13, 0.24 * len(lines) + 1.4), sharey=True, layout="constrained")
    for ax, (what, wide), title in zip(axes, differences.items(), titles, strict=True):
        ax.axvline(0, color="0.3", lw=0.8)
        for i, line in enumerate(lines):
            values = wide.loc[line].dropna() if line in wide.index else pd.Series(dtype=float)
            ax.plot(values, np.full(len(values), i), "o", ms=4, color="#4c78a8", alpha=0.55, mew=0)
            if len(values):
                ax.plot([values.median()] * 2, [i - 0.35, i + 0.35], color="#e45756", lw=2)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel(f"difference to scVI, {len(panels[what])} sets", fontsize=8)
        ax.tick_params(labelsize=7)
        ax.grid(axis="y", lw=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(-0.7, len(lines) - 0.3)
    axes[0].set_yticks(range(len(lines)), [line.replace(" | ", ", ") for line in lines])
    plt.savefig(HERE.parent / "docs" / "_static" / "within_batch.png", dpi=130)


def markdown(frame: pd.DataFrame) -> str:
    """A frame as a Markdown table."""
    head = ["", *map(str, frame.columns)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for index, values in frame.iterrows():
        numbers = ["" if np.isnan(v) else f"{v:.0f}" if c == "seconds" else f"{v:.3f}" for c, v in values.items()]
        lines.append(f"| {str(index).replace(' | ', ', ')} | " + " | ".join(numbers) + " |")
    return "\n".join(lines)


def main() -> None:
    steps = {"prepare": prepare, "scvi": scvi, "run": run, "table": table, "summary": summary, "figure": figure}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=steps)
    parser.add_argument("--sets", nargs="+", default=[*FILES, *HARD])
    parser.add_argument("--lines", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for part in ("data", "embeddings", "scores"):
        (FOLDER / part).mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    steps[options.step](options)


if __name__ == "__main__":
    sys.exit(main())

"""Harmony: ours beside the releases of harmonypy and scanpy's own, as they are called by users.

    python benchmarks/harmony.py prepare    # components of every set, as files
    python benchmarks/harmony.py embed      # with all that can be imported here; says which; resumes where it stopped
    python benchmarks/harmony.py score
    python benchmarks/harmony.py table      # Markdown

``embed`` needs no more than NumPy beside what it measures, so that each release can stand in an environment or a folder
of its own: the steps meet in files, in ``benchmarks/results/harmony``.

    pip install --no-deps --target ELSEWHERE harmonypy==0.0.10
    PYTHONPATH=ELSEWHERE python benchmarks/harmony.py embed

harmonypy is GPL-3: it is called here, never read or copied. Needs the development data (SCSSL_SHARED_DATA).
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import sys
import time
import warnings
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    Correct = Callable[[np.ndarray, np.ndarray, int], np.ndarray]

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "results" / "harmony"
WIDTH = 50
SETS = ("pancreas", "pbmc", "cellbench", "kang", "cite_rna", "mesc", "simulated", "villani", "kang_8donors")
# share of the cells of a type that is taken out of a batch
SKEWED: dict[str, tuple[str, dict[tuple[str, str], float]]] = {
    "simulated, one type in 1 of 2": ("simulated", {("Batch1", "Group1"): 1.0}),
    "simulated, skewed": ("simulated", {("Batch1", "Group2"): 0.9, ("Batch2", "Group1"): 0.9}),
    "mesc, no 2i in 1 of 2": ("mesc", {("batch2", "2i"): 1.0}),
    "mesc, skewed": ("mesc", {("batch2", "2i"): 0.8, ("batch3", "lif"): 0.8}),
    "cellbench, one line in 2 of 3": (
        "cellbench",
        {("10x", "H2228"): 1.0, ("10x", "HCC827"): 1.0, ("CEL-seq2", "H1975"): 1.0, ("CEL-seq2", "HCC827"): 1.0},
    ),
    "cellbench, skewed": (
        "cellbench",
        {("10x", "H2228"): 0.9, ("10x", "HCC827"): 0.9, ("CEL-seq2", "H1975"): 0.9, ("CEL-seq2", "HCC827"): 0.5},
    ),
}
LARGE = "kang_8donors, all cells"
ORIGINAL = 1e-4
"""Tolerance of the objective in the first releases; the present ones stop earlier."""


def slug(name: str) -> str:
    """A name as a file name."""
    return name.replace(", ", "-").replace(" ", "_")


def prepare(_: argparse.Namespace) -> None:
    """Recipe and 50 components of every set."""
    import scipy.sparse as sp
    import study_sets

    import scssl as ssl
    from scssl.data.components import decompose

    ssl.settings.verbosity = "error"
    for name in (*SETS, *study_sets.HARD, *SKEWED, LARGE):
        if name == LARGE:
            study_sets.LARGEST = 10**6
        adata = _skewed(name) if name in SKEWED else study_sets.cells(name.removesuffix(", all cells"))
        adata = adata[:, adata.var["highly_variable"]].copy()
        adata.obsm["X_pca"] = decompose({"rna": sp.csr_matrix(adata.X)}, WIDTH).scores
        adata.write_h5ad(FOLDER / "data" / f"{slug(name)}.h5ad")
        codes = adata.obs["batch"].astype("category").cat.codes.to_numpy().astype(int)
        np.savez(FOLDER / "data" / f"{slug(name)}.npz", name=name, x=adata.obsm["X_pca"], batch=codes)


def _skewed(name: str) -> AnnData:
    """A set without a share of the cells of some types in some batches."""
    import study_sets

    base, shares = SKEWED[name]
    adata = study_sets.cells(base)
    gone = np.zeros(adata.n_obs, dtype=bool)
    for (batch, label), share in shares.items():
        there = np.flatnonzero((adata.obs["batch"] == batch) & (adata.obs["cell_type"] == label))
        gone[np.random.default_rng(0).permutation(there)[: round(share * len(there))]] = True
    return adata[~gone].copy()


def lines() -> dict[str, Correct]:
    """All that can be imported here, by the name of its line."""
    found: dict[str, Correct] = {}
    if find_spec("harmonypy"):
        import harmonypy

        logging.getLogger("harmonypy").setLevel(logging.ERROR)
        name = f"harmonypy {version('harmonypy')}"
        found[name] = _harmonypy
        if inspect.signature(harmonypy.run_harmony).parameters["epsilon_harmony"].default != ORIGINAL:
            found[f"{name}, tolerance {ORIGINAL:g}"] = partial(_harmonypy, epsilon_harmony=ORIGINAL)
    if find_spec("scanpy"):
        import scanpy as sc

        if hasattr(sc.pp, "harmony_integrate"):
            for flavor in ("harmony2", "harmony1"):
                found[f"scanpy {version('scanpy')}, {flavor}"] = partial(_scanpy, flavor=flavor)
    if find_spec("scssl"):
        found["scssl"] = _ours
        found["scssl, neighbors=0"] = partial(_ours, neighbors=0)
        found["scssl, neighbors=0, theta=2, alpha=0.2"] = partial(_ours, neighbors=0, theta=2.0, alpha=0.2)
    return found


def _harmonypy(x: np.ndarray, batch: np.ndarray, seed: int, **choices: Any) -> np.ndarray:
    import harmonypy
    import pandas as pd

    frame = pd.DataFrame({"batch": batch.astype(str)})
    found = harmonypy.run_harmony(x, frame, "batch", random_state=seed, verbose=False, **choices).Z_corr
    return np.asarray(found if found.shape == x.shape else found.T)  # releases differ in which axis cells are


def _scanpy(x: np.ndarray, batch: np.ndarray, seed: int, *, flavor: str) -> np.ndarray:
    import anndata as ad
    import pandas as pd
    import scanpy as sc

    obs = pd.DataFrame({"batch": pd.Categorical(batch.astype(str))}, index=[str(i) for i in range(len(x))])
    adata = ad.AnnData(obs=obs, obsm={"X_pca": x})
    sc.pp.harmony_integrate(adata, "batch", flavor=flavor, rng=seed)
    return adata.obsm["X_pca_harmony"]


def _ours(x: np.ndarray, batch: np.ndarray, seed: int, **choices: Any) -> np.ndarray:
    from scssl.data import harmony

    return harmony.correct(x, batch, seed=seed, **choices).embedding


def embed(options: argparse.Namespace) -> None:
    """Correct every set with every line that can be imported here."""
    here = lines()
    print("can be imported here: " + "; ".join(here))
    for line, correct in here.items():
        warm = np.random.default_rng(0).normal(size=(100, 10))
        correct(warm, np.arange(100) % 2, 0)  # imports and compilation
        for path in sorted((FOLDER / "data").glob("*.npz")):
            with np.load(path) as kept:
                x, batch = kept["x"], kept["batch"]
            for seed in range(options.seeds):
                target = FOLDER / "embeddings" / f"{path.stem}@{slug(line)}@{seed}.npz"
                if not target.exists():
                    started = time.process_time()
                    corrected = correct(x, batch, seed)
                    seconds = time.process_time() - started
                    np.savez(target, x=corrected.astype(np.float32), seconds=seconds, line=line, seed=seed)


def score(_: argparse.Namespace) -> None:
    """Groups of scIB, mixing within types, purity of 15 neighbours, of everything that was made."""
    import anndata as ad

    import scssl as ssl

    ssl.settings.verbosity = "error"
    for path in sorted((FOLDER / "data").glob("*.npz")):
        with np.load(path) as kept:
            name, made = str(kept["name"]), {"pca": {"x": kept["x"], "line": "pca", "seed": 0, "seconds": 0.0}}
        for one in sorted((FOLDER / "embeddings").glob(f"{path.stem}@*.npz")):
            with np.load(one) as kept:
                made[one.stem] = {key: kept[key] for key in ("x", "line", "seed", "seconds")}
        made = {stem: one for stem, one in made.items() if not _record(path.stem, stem).exists()}
        if not made:
            continue
        adata = ad.read_h5ad(path.with_suffix(".h5ad"))
        adata.obsm = {f"X_line{i}": one["x"] for i, one in enumerate(made.values())}
        keys = list(adata.obsm)
        rows = ssl.tl.evaluate(adata, use_rep=keys, batch_key="batch", label_key="cell_type", tasks="batch_correction")
        for key, (stem, one) in zip(keys, made.items(), strict=True):
            found = _scores(rows[rows["key"] == key.removeprefix("X_")], one["x"], adata.obs["cell_type"].to_numpy())
            of = {"set": name, "line": str(one["line"]), "seed": int(one["seed"]), "seconds": float(one["seconds"])}
            _record(path.stem, stem).write_text(json.dumps(of | found))
        print(name, len(made), flush=True)


def _record(data: str, stem: str) -> Path:
    return FOLDER / "scores" / f"{data}@pca.json" if stem == "pca" else FOLDER / "scores" / f"{stem}.json"


def _scores(rows: Any, x: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    from scssl._neighbors import nearest

    groups = rows.groupby("group")["value"].mean()
    near = nearest(np.asarray(x, dtype=np.float32), 16).others.indices
    return {
        "total": float(0.6 * groups["bio"] + 0.4 * groups["batch"]),
        "bio": float(groups["bio"]),
        "batch": float(groups["batch"]),
        "mixing within types": float(rows.loc[rows["metric"] == "cilisi", "value"].iloc[0]),
        "purity": float((labels[near] == labels[:, None]).mean()),
    }


def table(_: argparse.Namespace) -> None:
    """Means over seeds: lines by sets, one table for each score."""
    import pandas as pd
    import study_sets
    from within_batch import markdown

    rows = pd.DataFrame([json.loads(path.read_text()) for path in sorted((FOLDER / "scores").glob("*.json"))])
    kinds = {"real": SETS, "hard": tuple(study_sets.HARD), "skewed": tuple(SKEWED)}
    scores = ("total", "bio", "batch", "mixing within types", "purity")
    wide = {what: rows.pivot_table(what, "line", "set") for what in scores}
    order = wide["total"][list(SETS)].mean(axis=1).sort_values(ascending=False).index
    means = {f"{what}, {kind}": wide[what][list(sets)].mean(axis=1) for kind, sets in kinds.items() for what in scores}
    means["CPU seconds, all donors"] = rows[rows["set"] == LARGE].groupby("line")["seconds"].mean()
    frame = pd.DataFrame(means).loc[order]
    for kind in kinds:
        part = frame.filter(regex=f", {kind}$|CPU")
        print(f"\n**means, {kind}**\n\n{markdown(part.rename(columns=lambda c, k=kind: c.removesuffix(f', {k}')))}")
    for what in scores:
        for kind, sets in kinds.items():
            print(f"\n**{what}, {kind}**\n\n{markdown(wide[what].loc[order, list(sets)])}")


def main() -> None:
    steps = {"prepare": prepare, "embed": embed, "score": score, "table": table}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=steps)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for part in ("data", "embeddings", "scores"):
        (FOLDER / part).mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    steps[options.step](options)


if __name__ == "__main__":
    sys.exit(main())

"""What the claims share: cells of unseen donors, pretrained models, read-outs, and rows that are made once.

A `Run` says what is pretrained on which cells and what is labelled; `Study.rows` gives its scores, from the file of rows
where they are there. All claims share that file, so that a model or score that two of them need is made by the first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
import warnings
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

import scssl as ssl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

RESULTS = Path(__file__).resolve().parents[1] / "results" / "paper_nmi2024"
ENCODER = {"hidden": (512, 256), "width": 128, "activation": "selu", "batch_norm": "none", "hidden_dropout": 0.1}
"""The encoder of ``mae``, for every method that is compared with it."""
SETS, REGULONS = "gene_sets", "regulons"
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "mae": ("mae", ENCODER),
    "autoencoder": ("autoencoder", ENCODER),
    "from scratch": ("untrained", ENCODER),
    "pca": ("pca", {}),
    "mae, held out": ("mae", ENCODER | {"held_out": 0.1}),
    "mae, gene_programme": ("mae", ENCODER | {"mask": "gene_programme", "gene_sets": SETS}),
    "mae, gp_to_gp": ("mae", ENCODER | {"mask": "gp_to_gp", "rate": None, "gene_sets": SETS}),
    "mae, gp_to_tf": ("mae", ENCODER | {"mask": "gp_to_tf", "rate": None, "gene_sets": REGULONS}),
    "byol": ("byol", ENCODER | {"views": "counts"}),
    "barlow_twins": ("barlow_twins", ENCODER | {"views": "counts"}),
}
KNN, LINEAR, TUNED = "kNN", "linear probe", "fine-tuned"
K = 5  # neighbours, as published
UNLABELLED = ("undefined", "nan", "unknown")
BATCH = 256
TARGETS = 20  # genes of a regulon


@dataclass(frozen=True)
class Run:
    """One pretraining and what becomes of it."""

    line: str
    seed: int = 0
    unlabelled: int = 0
    """Cells of the reference that are pretrained on; 0: all."""
    seen: bool = False
    """Whether the held-out donors are part of the pretraining, without their labels."""
    labels: int = 0
    """Labelled cells of each type; 0: all cells of the reference are labelled."""
    tuned: bool = field(default=True, compare=False)
    """Whether the model is fine-tuned too, or read out as it is alone."""

    @property
    def pretraining(self) -> tuple[Any, ...]:
        """What decides the pretrained model."""
        return self.line, self.seed, self.unlabelled, self.seen


@dataclass(frozen=True)
class Study:
    """A data set, how its donors are held out, and how long everything is trained."""

    file: Path
    batch_key: str
    label_key: str
    held_out: tuple[tuple[str, ...], ...] = ()
    """Donors that are held out together, one entry a seed (the last one counts for all further seeds); drawn if empty."""
    hold: int = 2
    """Donors that are drawn for a seed where none are named, other ones for the next seed."""
    steps: int = 250
    """Steps of a pretraining, whatever the number of cells."""
    tune_steps: int = 250
    """Steps of fine-tuning; the weights of the best epoch on labelled cells that are held out are kept."""
    gene_sets: Path | None = None
    regulators: Path | None = None
    out: Path = RESULTS
    figures: Path = RESULTS

    def rows(self, runs: Iterable[Run]) -> pd.DataFrame:
        """The scores of the runs; those that are not there are made and kept."""
        wanted = list(dict.fromkeys(runs))
        known = self._known()
        for run in wanted:
            missing = [way for way in self._ways(run) if (self._name(run), way) not in set(known)]
            if not missing:
                continue
            for way in missing:
                row = self._row(run, way)
                known[self._name(run), way] = row
                with self._file.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        frame = pd.DataFrame([known[self._name(run), way] for run in wanted for way in self._ways(run)])
        frame.to_csv(self.out / f"{self.file.stem}.csv", index=False)
        return frame

    def seeds(self, lines: Iterable[str], n: int, **choices: Any) -> list[Run]:
        """The same run for some lines and seeds."""
        return [Run(line, seed, **choices) for seed in range(n) for line in lines]

    def donors(self, seed: int) -> tuple[str, ...]:
        """Donors that are held out for a seed."""
        if self.held_out:
            return self.held_out[min(seed, len(self.held_out) - 1)]
        names = np.random.default_rng(0).permutation(np.unique(cells(self.file).obs[self.batch_key].astype(str)))
        return tuple(sorted(np.roll(names, -seed * self.hold)[: self.hold]))

    def divided(self, seed: int) -> tuple[AnnData, AnnData]:
        """Reference and query; genes and everything else are chosen on the reference alone."""
        return _divided(self, self.donors(seed))

    def pretrained(self, run: Run) -> ssl.Model:
        """The model of a run, from disk if it was trained before."""
        folder = (
            self.out / "models" / _hash([self._trained(run), *run.pretraining, self.donors(run.seed), LINES[run.line]])
        )
        if folder.exists():
            return ssl.load(folder)
        adata = self._unlabelled(run)
        method, config = LINES[run.line]
        epochs = {"max_epochs": epochs_of(self.steps, adata.n_obs)} if method not in ("pca", "untrained") else {}
        if method in (
            "mae",
            "autoencoder",
        ):  # all lines take the same steps on the same cells, unless one says otherwise
            config = {"held_out": 0.0, **config}
        model = ssl.tl.fit(adata, method, seed=run.seed, **config, **epochs)
        model.save(folder)
        return model

    def figure(self, claim: str) -> Path:
        """Where the figure of a claim goes."""
        return self.figures / (re.sub(r"\W+", "-", f"pretraining-{self.file.stem}-{claim}") + ".png")

    def _unlabelled(self, run: Run) -> AnnData:
        reference, query = self.divided(run.seed)
        if run.seen:
            import anndata as ad

            reference = ad.concat([reference, query], merge="same", uns_merge="first")
        if not run.unlabelled:
            return reference.copy()
        chosen = np.random.default_rng(run.seed).permutation(reference.n_obs)[: run.unlabelled]
        return reference[np.sort(chosen)].copy()

    def labelled(self, run: Run) -> tuple[AnnData, AnnData]:
        """Labelled cells of the reference, and the query; without the cells that nobody labelled."""
        reference, query = (part[~_nameless(part.obs[self.label_key])].copy() for part in self.divided(run.seed))
        if run.labels:
            drawn = np.random.default_rng(run.seed).permutation(reference.n_obs)
            types = reference.obs[self.label_key].astype(str).to_numpy()[drawn]
            order = pd.Series(types).groupby(types).cumcount().to_numpy()
            reference = reference[np.sort(drawn[order < run.labels])].copy()
        return reference, query

    def _ways(self, run: Run) -> list[str]:
        if run.line == "from scratch":
            return [TUNED]
        return [KNN, LINEAR, *([TUNED] if run.tuned and run.line != "pca" else [])]

    def _row(self, run: Run, way: str) -> dict[str, Any]:
        from sklearn.metrics import accuracy_score, f1_score

        started = time.process_time()
        model = self.pretrained(run)
        reference, query = self.labelled(run)
        if way == TUNED:
            whole = not run.labels  # a few labelled cells are too few to hold out a donor
            model = ssl.tl.finetune(
                reference, model, label_key=self.label_key, train="all", group_key=self.batch_key if whole else None,
                max_epochs=epochs_of(self.tune_steps, reference.n_obs), patience=None, seed=run.seed,
            )  # fmt: skip
            ssl.tl.annotate(query, classifier="head", model=model, key_added="read")
        else:
            for part in (reference, query):
                ssl.tl.embed(part, model, key_added="z")
            choices = {"classifier": "knn", "k": K} if way == KNN else {"classifier": "linear"}
            known = {"reference": reference, "use_rep": "z", "label_key": self.label_key}
            ssl.tl.annotate(query, **known, **choices, key_added="read")
        truth, found = (query.obs[c].astype(str).to_numpy() for c in (self.label_key, "read_label"))
        types = np.unique(truth)
        single = f1_score(truth, found, labels=types, average=None, zero_division=0)
        counts = reference.obs[self.label_key].astype(str).value_counts()
        row = {
            "name": self._name(run), "data": self.file.stem, **asdict(run), "way": way, "steps": self.steps,
            "held_out": " ".join(self.donors(run.seed)), "macro_f1": float(single.mean()),
            "accuracy": float(accuracy_score(truth, found)), "seconds": time.process_time() - started,
            "f1": dict(zip(types.tolist(), single.tolist(), strict=True)),
            "n_labelled": {name: int(counts.get(name, 0)) for name in types.tolist()},
        }  # fmt: skip
        print(f"{run.line} | {way} | seed {run.seed} | labels {run.labels or 'all'}: {row['macro_f1']:.3f}", flush=True)
        return row

    @property
    def _file(self) -> Path:
        self.out.mkdir(parents=True, exist_ok=True)
        return self.out / "rows.jsonl"

    def _known(self) -> dict[tuple[str, str], dict[str, Any]]:
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        return {(row["name"], row["way"]): row for row in map(json.loads, lines)}

    def _trained(self, run: Run) -> list[Any]:
        """What decides a pretraining, besides the run."""
        sets = {SETS: self.gene_sets, REGULONS: self.regulators}.get(LINES[run.line][1].get("gene_sets"))
        return [self.file.stem, self.batch_key, self.steps, str(sets)]

    def _name(self, run: Run) -> str:
        about = [
            *self._trained(run),
            self.label_key,
            self.tune_steps,
            *run.pretraining,
            run.labels,
            self.donors(run.seed),
        ]
        return _hash([*about, LINES[run.line]])


@lru_cache(maxsize=1)
def cells(file: Path) -> AnnData:
    """The cells of a file."""
    import anndata as ad

    return ad.read_h5ad(file)


@lru_cache(maxsize=2)
def _divided(study: Study, donors: tuple[str, ...]) -> tuple[AnnData, AnnData]:
    adata = cells(study.file).copy()
    adata.obs["is_reference"] = ~adata.obs[study.batch_key].astype(str).isin(donors)
    ssl.pp.recipe(adata, reference="is_reference")
    if study.gene_sets:
        ssl.pp.gene_sets(adata, study.gene_sets, key_added=SETS)
    if study.regulators:
        names = study.regulators.read_text().split()
        ssl.pp.gene_sets(adata, regulons(adata[adata.obs["is_reference"]], names), key_added=REGULONS)
    is_reference = adata.obs["is_reference"].to_numpy()
    return adata[is_reference].copy(), adata[~is_reference].copy()


def regulons(adata: AnnData, names: Iterable[str]) -> dict[str, list[str]]:
    """A set for each transcription factor that is expressed: the genes that go with it most, in the cells given.

    A stand-in for a table of targets: what correlates is not what is regulated.
    """
    chosen = adata.var_names[adata.var["highly_variable"]] if "highly_variable" in adata.var else adata.var_names
    x = adata[:, chosen].X.toarray()
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    factors = [i for i, gene in enumerate(chosen) if gene in set(names) and spread[i] > 0]
    with_all = z[:, factors].T @ z / len(z)
    ranked = np.argsort(-with_all, axis=1)
    return {
        f"{chosen[i]}_targets": [chosen[j] for j in ranked[row] if j != i][:TARGETS] for row, i in enumerate(factors)
    }


def epochs_of(steps: int, n_cells: int) -> int:
    """Passes over the cells that take about this many steps."""
    return max(1, round(steps / max(1, round(n_cells / BATCH))))


def _nameless(labels: pd.Series) -> np.ndarray:
    return (labels.isna() | labels.astype(str).str.lower().isin(UNLABELLED)).to_numpy()


def _hash(parts: list[Any]) -> str:
    return hashlib.blake2b(json.dumps(parts, default=str).encode(), digest_size=8).hexdigest()


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The arguments of every claim."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="h5ad with counts in X")
    parser.add_argument("--batch-key", default="batch", help="column of the donors")
    parser.add_argument("--label-key", default="cell_type")
    parser.add_argument("--held-out", nargs="+", default=[], help="donors; by default --hold other ones for every seed")
    parser.add_argument("--hold", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=Study.steps, help="of pretraining")
    parser.add_argument("--tune-steps", type=int, default=Study.tune_steps, help="of fine-tuning")
    parser.add_argument("--labels", type=int, default=10, help="labelled cells of each type where labels are few")
    parser.add_argument("--gene-sets", type=Path, help="GMT file, for masks by gene programmes")
    parser.add_argument("--regulators", type=Path, help="names of transcription factors, one a line")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figures", type=Path, default=RESULTS, help="folder of the figures")
    return parser


def study_of(options: argparse.Namespace) -> Study:
    """The study that the arguments stand for; quiet, and on one thread unless OMP_NUM_THREADS says otherwise."""
    torch.set_num_threads(min(torch.get_num_threads(), 2))
    ssl.settings.verbosity = "error"
    warnings.simplefilter("ignore", ssl.ScsslWarning)
    held_out = (tuple(options.held_out),) if options.held_out else ()
    shared = (
        "file",
        "batch_key",
        "label_key",
        "hold",
        "steps",
        "tune_steps",
        "gene_sets",
        "regulators",
        "out",
        "figures",
    )
    return Study(held_out=held_out, **{name: getattr(options, name) for name in shared})

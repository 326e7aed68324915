"""What ``fit`` returns: a trained model that embeds any data, and that is saved without pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

import scssl
from scssl._errors import CheckpointError, InputError, NotFittedError, warn
from scssl._registry import METHODS
from scssl._settings import settings
from scssl._validate import ERROR, Problem, enforce
from scssl._validate import matrix as check_matrix
from scssl._validate import names as check_names
from scssl._validate import objects as check_objects
from scssl._validate.columns import present
from scssl._validate.objects import NOTHING
from scssl._words import listed, unknown
from scssl.data.columns import as_text, column, is_mudata
from scssl.data.open import opened
from scssl.data.recipe import kind_of
from scssl.data.source import Source, parts_of
from scssl.models import saved
from scssl.train.device import resolve as resolve_device
from scssl.train.device import seeded
from scssl.train.loop import embed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scssl.data.align import Alignment
    from scssl.methods._base import Method

EMBED_BATCH = 4096


class Model:
    """A trained model.

    Not made by hand: :func:`scssl.tl.fit` returns one, :func:`scssl.load` reads one.

    Parameters
    ----------
    module
        The torch module with its weights.
    features
        For each modality the names of the genes, in the order of the input.
    record
        How it was made, as plain values: method, configuration, seed, identity of the data, versions.
    history
        One row an epoch.
    accelerator
        Where to embed, as in :func:`scssl.tl.fit`; may be changed.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> ssl.pp.recipe(adata)
    >>> model = ssl.tl.fit(adata, method="pca")
    >>> model.embed(adata).shape
    (700, 50)
    """

    def __init__(
        self,
        module: Method,
        features: Mapping[str, np.ndarray],
        record: Mapping[str, Any],
        history: pd.DataFrame,
        *,
        accelerator: str = "auto",
    ) -> None:
        self.module, self.features = module, dict(features)
        self.record, self.history = dict(record), history
        self.accelerator = accelerator

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.record["method"]

    @property
    def n_dims(self) -> int:
        """Width of the embedding."""
        return self.module.n_dims

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels that the model tells apart; empty unless :func:`scssl.tl.finetune` made it."""
        return self.module.classes

    def __repr__(self) -> str:
        genes = " + ".join(f"{len(names)} {name}" for name, names in self.features.items())
        epochs = f" for {self.record['epochs']} epochs" if self.record["epochs"] else ""
        trained = f"trained on {self.record['n_obs']} cells{epochs}, seed {self.record['seed']}"
        labels = f", tells {len(self.classes)} labels apart" if self.classes else ""
        return f"<scssl.Model {self.method}: {genes} -> {self.n_dims} dimensions, {trained}{labels}>"

    def embed(
        self, data: Any, *, layer: str | None = None, modality: str | None = None, batch_size: int | None = None
    ) -> np.ndarray:
        """The embedding of any data, genes aligned by name.

        Parameters
        ----------
        data
            AnnData or MuData with values on the scale of the training data, or the path of a file.
        layer
            Layer to read; by default the one the model was trained on.
        modality
            Embed from this modality alone, of a model of several. By default from all that a cell has.
        batch_size
            Cells at a time; has no influence on the result.

        Returns
        -------
        numpy.ndarray
            float32 of shape ``(n_obs, width)``, rows in the order of ``data.obs_names``.

        Raises
        ------
        InputError
            If too few genes of the model are found, or the values cannot be used.
        """
        return self.embed_with_report(data, layer=layer, modality=modality, batch_size=batch_size)[0]

    def embed_with_report(
        self, data: Any, *, layer: str | None = None, modality: str | None = None, batch_size: int | None = None
    ) -> tuple[np.ndarray, dict[str, Alignment]]:
        """As :meth:`embed`, with the gene alignment of each modality."""
        if isinstance(data, str | os.PathLike):
            with opened(Path(data)) as file:
                return self.embed_with_report(file, layer=layer, modality=modality, batch_size=batch_size)
        source, found = self.source(data, layer=layer, modality=modality)
        return embed(self.module, source, device=self.device, batch_size=batch_size or EMBED_BATCH), found

    def classify(
        self, data: Any, *, layer: str | None = None, batch_size: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The labels that a fine-tuned model gives to any cells, genes aligned by name.

        Parameters
        ----------
        data, layer, batch_size
            As for :meth:`embed`.

        Returns
        -------
        For each cell its label, and the probability that the model gives to it.

        Raises
        ------
        NotFittedError
            If the model has no classification head.
        """
        if self.module.classifier is None:
            msg = f"The model ({self.method!r}) has no classification head: it has never seen a label."
            fix = "Make one first: ssl.tl.finetune(reference, model, label_key='cell_type')."
            raise NotFittedError(msg, code="no_classifier", parameter="model", fix=fix)
        embedding = self.embed(data, layer=layer, batch_size=batch_size)
        head = self.module.classifier.to(self.device).eval()
        with torch.no_grad():
            parts = torch.from_numpy(embedding).split(EMBED_BATCH)
            best = [torch.softmax(head(part.to(self.device)).double(), dim=1).max(dim=1) for part in parts]
        codes = torch.cat([part.indices for part in best]).cpu().numpy()
        return np.asarray(self.classes)[codes], torch.cat([part.values for part in best]).cpu().numpy()

    @property
    def device(self) -> torch.device:
        """Where cells are embedded."""
        return resolve_device(settings.accelerator if self.accelerator == "auto" else self.accelerator)

    def source(
        self, data: Any, *, layer: str | None = None, modality: str | None = None, stream: bool = True
    ) -> tuple[Source, dict[str, Alignment]]:
        """Cells as the model reads them: checked, genes in its order, batches that it knows by name."""
        layer = layer or self.record["layer"] or None
        features = self._features(modality)
        enforce(self._problems(data, layer, list(features)))
        source, found = Source.aligned(data, features, layer=layer, stream=stream)
        if self.module.tells_batches_apart:
            source.batch, source.batch_names = self._batches(data), list(self.module.batches)
        for alignment in found.values():
            if alignment.note:
                warn(alignment.note)
        return source, found

    def _batches(self, data: Any) -> np.ndarray:
        """For each cell the number of its batch in training, by name; -1 where the model does not know it."""
        key, known = self.record["batch_key"], self.module.batches
        if next(present(data, key, "batch_key"), None) is not None:
            msg = (
                f"The data have no column {key!r} that names the batch of each cell, which this model can make use of: "
            )
            msg += f"all cells are embedded as of an unseen batch. It knows {listed(list(known))}; "
            warn(msg + f"name the batches in obs[{key!r}], if these cells are of them.")
            return np.full(data.n_obs, -1)
        names = as_text(column(data, key, parameter="batch_key"))
        return pd.Index(known).get_indexer(pd.Index(names)).astype(np.int64)

    def _features(self, modality: str | None) -> dict[str, np.ndarray]:
        """The features of the modality that is asked for, of all if none is."""
        if modality is None:
            return self.features
        if modality not in self.features:
            raise unknown(kind="modality", name=modality, known=list(self.features))
        if len(self.features) > 1 and not self.module.embeds_one:
            msg = f"modality={modality!r}: method {self.method!r} makes one embedding of {listed(list(self.features))}."
            fix = f"Leave it out, or train with modalities=[{modality!r}]."
            raise InputError(msg, code="needs_all_modalities", parameter="modality", fix=fix)
        return {modality: self.features[modality]}

    def _problems(self, data: Any, layer: str | None, names: list[str]) -> Iterator[Problem]:
        yield from check_objects.container(data)
        if data.n_obs == 0:
            fix = "Check the filter that was applied last: adata[mask].n_obs."
            yield Problem("no_cells", "data", "The object has 0 cells: there is nothing to embed.", fix)
        if not is_mudata(data) and len(names) > 1:
            msg = f"The model was trained on {listed(names)}, the data are an AnnData, which holds one modality."
            fix = f"Pass a MuData, or say which one it is: modality={names[0]!r}."
            yield Problem("needs_mudata", "modality" if self.module.embeds_one else "data", msg, fix)
        if is_mudata(data):
            lacking = [name for name in names if name not in data.mod]
            if lacking:
                msg = (
                    f"The model was trained on {listed(list(self.features))}; the MuData has {listed(list(data.mod))}."
                )
                there = next((repr(name) for name in self.features if name in data.mod), "...")
                fix = f"Embed from one that is there, e.g. modality={there}, or name the modalities as in training."
                yield Problem("unknown_modality", "data", msg, fix, missing=True)
            yield from (problem for problem in check_objects.measured(data, names) if problem.code == NOTHING)
        for name, part in ((name, part) for name, part in parts_of(data, names).items() if part.n_obs):
            expects = self.module.spec.input if kind_of(name) == "rna" else None
            yield from (problem for problem in check_names.names(part) if problem.severity == ERROR)
            yield from check_matrix.matrix(part, layer=layer, expects=expects, genes=None)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the model into a folder: weights (safetensors), ``manifest.json`` with hashes, a card. Never pickle.

        Parameters
        ----------
        path
            The folder; it appears complete or not at all.
        overwrite
            Whether a model that is there may be replaced.

        Raises
        ------
        InputError
            If something exists at `path` and `overwrite` is false, or is not a model.
        """
        about = {
            "method": self.method,
            "config": self.module.plain_config(),
            "features": {name: names.tolist() for name, names in self.features.items()},
            "batches": list(self.module.batches),
            "classes": list(self.classes),
            "record": self.record,
            "history": self.history.to_dict("list"),
        }
        saved.write(Path(path), self.module.state_dict(), about, card=self.card(), overwrite=overwrite)

    def card(self) -> str:
        """A page in Markdown that says what the model is, how it was made and how to use it."""
        spec, r = self.module.spec, self.record
        genes = ", ".join(f"{len(names)} features of {name}" for name, names in self.features.items())
        lines = [
            f"# {spec.title} model",
            "",
            f"Made by scssl {r['version']} on {r['created']}: {spec.summary}.",
            "",
            "| | |",
            "|---|---|",
            f"| method | `{self.method}` (preset `{r['preset']}`) |",
            f"| input | {genes}; {spec.input} values; layer {r['layer'] or 'X'} |",
            f"| embedding | {self.n_dims} dimensions |",
            f"| trained on | {r['n_obs']} cells, data `{r['data_id']}`, batch key `{r['batch_key'] or 'none'}` |",
            *([f"| labels | {listed(list(self.classes), 20)} |"] if self.classes else []),
            f"| cells compared within batch | {r['within_batch']} |",
            f"| epochs, seconds, device | {r['epochs']}, {r['seconds']:.1f}, {r['device']} |",
            f"| seed | {r['seed']} |",
            f"| configuration | `{r['config']}` |",
            "",
            "```python",
            "import scssl as ssl",
            "model = ssl.load('this_folder')",
            "ssl.tl.embed(adata, model)",
            "```",
        ]
        notes = r.get("warnings", "")
        return "\n".join([*lines, *(["", "Notes:", "", notes] if notes else []), ""])


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model that :meth:`Model.save` wrote. Nothing is unpickled, no code of the folder is run.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged (size and SHA-256 are checked), of a newer format, a weight does not fit, or the method
        or a field of its configuration is not known here.
    InputError
        If `path` is no path.
    """
    if not isinstance(path, str | os.PathLike):
        msg = f"path is of type {type(path).__name__}, expected the folder of a saved model."
        raise InputError(msg, code="bad_type", parameter="path", fix="Pass what was given to Model.save.")
    folder = Path(path)
    manifest = saved.read(folder)
    try:
        kind = METHODS.get(manifest["method"])
        config = kind.configure(**manifest["config"])
    except InputError as error:
        msg = (
            f"{folder} was saved by scssl {manifest['record']['version']}, this is {scssl.__version__}: {error.message}"
        )
        fix = "Install that version, or the package that the method comes from."
        raise CheckpointError(msg, code="unknown_model", parameter="path", fix=fix) from error
    features = {name: np.asarray(names, dtype=str) for name, names in manifest["features"].items()}
    sizes = {name: len(names) for name, names in features.items()}
    with seeded(0, torch.device("cpu")):  # the weights are replaced at once; nobody's generator is used for them
        module = kind(config, sizes, manifest.get("batches", ()))
        if manifest.get("classes"):
            module.add_classifier(manifest["classes"])
    saved.fill(module, folder)
    record = {**manifest["record"], "path": str(folder)}
    return Model(module.eval(), features, record, pd.DataFrame(manifest["history"]))

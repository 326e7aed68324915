"""Trained models: they embed any data, and are saved without pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import scssl
from scssl._errors import CheckpointError, InputError, NotFittedError
from scssl._registry import METHODS
from scssl._settings import settings
from scssl._validate.columns import present
from scssl.data.open import opened
from scssl.models import saved
from scssl.models.card import card
from scssl.models.query import cells_of, embedding_of
from scssl.models.record import identity_of
from scssl.train.device import resolve as resolve_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from scssl.data.align import Alignment
    from scssl.data.cells import Cells
    from scssl.methods._base import Method


class Model:
    """A trained model.

    Not made by hand: :func:`scssl.tl.fit` returns one, :func:`scssl.load` reads one.

    Parameters
    ----------
    module
        The fitted method.
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
        cells, found = self.cells(data, layer=layer, modality=modality)
        if not self.module.spec.inductive:
            self._refuse_others(data, cells, layer=layer)
        return self.embedding(cells, batch_size=batch_size), found

    def _refuse_others(self, data: Any, cells: Cells, *, layer: str | None) -> None:
        """Refuse other cells than those the model was fitted to, if it embeds no others."""
        key, layer = self.record["batch_key"] or None, layer or self.record["layer"] or None
        named = key is None or next(present(data, key, "batch_key"), None) is None
        if not named or identity_of(data, cells, layer=layer, batch_key=key) != self.record["data_id"]:
            self.module.embed(cells)  # says so, in its own words

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
        if not self.classes:
            msg = f"The model ({self.method!r}) has no classification head: it has never seen a label."
            fix = "Make one first: ssl.tl.finetune(reference, model, label_key='cell_type')."
            raise NotFittedError(msg, code="no_classifier", parameter="model", fix=fix)
        embedding = self.embed(data, layer=layer, batch_size=batch_size)
        chances = self.module.on(self.device).label_chances(embedding)
        return np.asarray(self.classes)[chances.argmax(axis=1)], chances.max(axis=1)

    @property
    def device(self) -> torch.device:
        """Where cells are embedded."""
        return resolve_device(settings.accelerator if self.accelerator == "auto" else self.accelerator)

    def cells(
        self, data: Any, *, layer: str | None = None, modality: str | None = None, stream: bool = True
    ) -> tuple[Cells, dict[str, Alignment]]:
        """Cells as the model reads them: checked, genes in its order, batches that it knows by name."""
        return cells_of(self, data, layer=layer, modality=modality, stream=stream)

    def embedding(self, cells: Cells, *, batch_size: int | None = None) -> np.ndarray:
        """Embedding of cells that :meth:`cells` or the fit has read."""
        return embedding_of(self.module.on(self.device), cells, batch_size=batch_size)

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
        state = self.module.state()
        about |= {"state": dict(state.meta)} if state.meta else {}
        saved.write(Path(path), state.tensors, about, card=self.card(), overwrite=overwrite)

    def card(self) -> str:
        """A page in Markdown that says what the model is, how it was made and how to use it."""
        return card(self)


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
    codes = {"batch": manifest.get("batches", ()), "label": manifest.get("classes", ())}
    module = saved.restored(kind, config, features, codes, folder=folder, manifest=manifest)
    record = {**manifest["record"], "path": str(folder)}
    return Model(module, features, record, pd.DataFrame(manifest["history"]))

"""Trained models: they embed any data, and are saved without pickle."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import scssl
from scssl._errors import CheckpointError, InputError
from scssl._registry import METHODS
from scssl._settings import settings
from scssl._validate import enforce
from scssl._validate.arguments import whole
from scssl._validate.paths import usable
from scssl._validate.places import present
from scssl.data.align import MINIMUM
from scssl.data.open import opened
from scssl.models import saved
from scssl.models.card import card
from scssl.models.query import blocks, cells_of, embedding_of
from scssl.models.record import identity_of
from scssl.train.device import resolve as resolve_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from scssl._types import Facts
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
        record: Facts,
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

    @property
    def identity(self) -> str:
        """Hash of the features and of the weights that embed: two models with the same one embed alike, wherever they are.

        A classification head is left out, for it does not change the embedding.
        """
        import torch

        digest = hashlib.blake2b(digest_size=8)
        for name, features in self.features.items():
            digest.update("\n".join([self.method, name, *features.tolist()]).encode())
        for name, weight in self.module.state().tensors.items():
            if not name.startswith("classifier."):
                digest.update(name.encode())
                stored = torch.as_tensor(weight).detach().cpu().contiguous()
                digest.update(stored.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        genes = " + ".join(f"{len(names)} {name}" for name, names in self.features.items())
        epochs = f" for {self.record['epochs']} epochs" if self.record["epochs"] else ""
        trained = f"trained on {self.record['n_obs']} cells{epochs}, seed {self.record['seed']}"
        labels = f", tells {len(self.classes)} labels apart" if self.classes else ""
        return f"<scssl.Model {self.method}: {genes} -> {self.n_dims} dimensions, {trained}{labels}>"

    def embed(
        self,
        data: object,
        *,
        layer: str | None = None,
        modality: str | None = None,
        batch_size: int | None = None,
        min_coverage: float = MINIMUM,
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
        min_coverage
            Share of the model's genes that the data must have, see :func:`scssl.tl.embed`.

        Returns
        -------
        numpy.ndarray
            float32 of shape ``(n_obs, width)``, rows in the order of ``data.obs_names``.

        Raises
        ------
        InputError
            If too few genes of the model are found, or the values cannot be used.
        """
        return self.embed_with_report(
            data, layer=layer, modality=modality, batch_size=batch_size, min_coverage=min_coverage
        )[0]

    def embed_with_report(
        self,
        data: object,
        *,
        layer: str | None = None,
        modality: str | None = None,
        batch_size: int | None = None,
        min_coverage: float = MINIMUM,
    ) -> tuple[np.ndarray, dict[str, Alignment]]:
        """As :meth:`embed`, with the gene alignment of each modality."""
        enforce(whole(batch_size, "batch_size", example=self.module.cells_at_a_time))
        if isinstance(data, str | os.PathLike):
            with opened(Path(data)) as file:
                return self.embed_with_report(
                    file, layer=layer, modality=modality, batch_size=batch_size, min_coverage=min_coverage
                )
        cells, found = self.cells(data, layer=layer, modality=modality, min_coverage=min_coverage)
        if not self.module.spec.inductive:
            self._refuse_others(data, cells, layer=layer)
        return self.embedding(cells, batch_size=batch_size), found

    def continued(
        self,
        data: object,
        *,
        layer: str | None = None,
        batch_key: str | None = None,
        max_epochs: int | None = None,
        seed: int = 0,
        progress: bool | None = None,
    ) -> Model:
        """A model that has also learned from a query: its unseen batches, by a short training; this one is left as it is.

        Parameters
        ----------
        data
            AnnData or MuData of the query.
        layer
            Layer to read; by default as in :meth:`embed`.
        batch_key
            Column of the batches of the query; by default that of the training.
        max_epochs
            Passes over the query; by default as many as the method would train for.
        seed
            Seed of the training.
        progress
            Show a progress bar.

        Raises
        ------
        InputError
            If the method does not learn from a query.
        """
        from scssl.models.continued import continued

        return continued(
            self, data, layer=layer, batch_key=batch_key, max_epochs=max_epochs, seed=seed, progress=progress
        )

    def _refuse_others(self, data: object, cells: Cells, *, layer: str | None) -> None:
        """Refuse other cells than those the model was fitted to, if it embeds no others."""
        key, layer = self.record["batch_key"] or None, layer or self.record["layer"] or None
        named = key is None or next(present(data, key, "batch_key"), None) is None
        if not named or identity_of(data, cells, layer=layer, batch_key=key) != self.record["data_id"]:
            self.module.embed(cells)  # says so, in its own words

    def classify(
        self, data: object, *, layer: str | None = None, batch_size: int | None = None
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
        if isinstance(data, str | os.PathLike):
            with opened(Path(data)) as file:
                return self.classify(file, layer=layer, batch_size=batch_size)
        method = self.module.on(self.device)
        cells, _ = self.cells(data, layer=layer)
        size = batch_size or method.cells_at_a_time
        chances = np.concatenate([method.classified(cells, index) for index in blocks(cells.n_obs, size)])
        return np.asarray(self.classes)[chances.argmax(axis=1)], chances.max(axis=1)

    @property
    def device(self) -> torch.device:
        """Where cells are embedded."""
        return resolve_device(settings.accelerator if self.accelerator == "auto" else self.accelerator)

    def cells(
        self,
        data: object,
        *,
        layer: str | None = None,
        modality: str | None = None,
        stream: bool = True,
        min_coverage: float = MINIMUM,
    ) -> tuple[Cells, dict[str, Alignment]]:
        """Cells as the model reads them: checked, genes in its order, batches that it knows by name."""
        return cells_of(self, data, layer=layer, modality=modality, stream=stream, min_coverage=min_coverage)

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
        enforce(usable(path))
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
    enforce(usable(path))
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
    module = saved.restored(kind, config, folder, manifest)
    record = {**manifest["record"], "path": str(folder)}
    return Model(module, saved.genes_of(manifest), record, pd.DataFrame(manifest["history"]))

"""``fit`` and ``embed``: slots, keys and logging around the models."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from scssl import _files, _keys, _settings
from scssl._errors import InputError, told
from scssl._registry import METHODS
from scssl._validate import enforce
from scssl._validate.arguments import named as are_names
from scssl._validate.arguments import text as is_text
from scssl._validate.arguments import whole
from scssl._validate.names import key_added as check_key
from scssl._validate.objects import container as check_container
from scssl.data.align import MINIMUM
from scssl.data.open import opened
from scssl.data.sketch import sketch
from scssl.models.fit import Request, fitted
from scssl.models.model import Model
from scssl.tl._pair import model_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Data, Json


def fit(
    data: AnnData | MuData | str | os.PathLike[str],
    method: str = "simclr",
    *,
    layer: str | None = None,
    batch_key: str | None = None,
    modalities: Sequence[str] | None = None,
    mask_by: str | None = _keys.HIGHLY_VARIABLE,
    views: object = None,
    within_batch: str | None = None,
    key_added: str | None = None,
    overwrite: bool = False,
    max_epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    accelerator: str = "auto",
    devices: int | str = "auto",
    precision: str = "auto",
    resume: bool | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    preset: str = "default",
    init: Model | str | os.PathLike[str] | None = None,
    **config: object,
) -> Model:
    """Train a method on the cells and write their embedding into ``obsm``.

    Parameters
    ----------
    data
        AnnData, MuData, or the path of an h5ad, zarr or h5mu file (read by blocks; nothing is written to it). The matrix
        of an h5ad or zarr file larger than ``settings.in_memory_mb`` stays on disk: cells are then shuffled within buffers
        of blocks from all over the file.
    method
        Name of a method, see :func:`scssl.tl.methods`.
    layer
        Layer to read; ``X`` by default. Most methods want log-normalised values, as :func:`scssl.pp.recipe` makes them.
    batch_key
        Column of ``obs`` that names the experimental batch of each cell. With it, trained methods compare cells within
        their batch only (see `within_batch`).
    modalities
        Modalities of a MuData to use together; all by default. A cell may lack some of them, not all.
    mask_by
        Boolean column of ``var`` that marks the genes to use; ``None`` uses all. If there is no column
        ``highly_variable``, all genes are used.
    views
        Pipeline of views: a name (``"clear"``, ``"tuned"``, ``"mask"``), or a list such as ``["mask:0.5", ssl.views.Gaussian()]``.
    within_batch
        ``"mask"``: cells of other batches are left out of each other's comparison (default of contrastive methods);
        ``"sample"``: every mini-batch holds cells of one batch (default of the others); ``"off"``: all cells meet.
    key_added
        The embedding is written to ``obsm["X_<key_added>"]``; the name of the method by default.
    overwrite
        Whether that slot may be replaced if scssl did not write it.
    max_epochs
        Passes over the cells.
    batch_size
        Cells in a mini-batch.
    seed
        The same seed, data and versions give the same bits on CPU.
    accelerator
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"gpu"``, ``"mps"``.
    devices
        Number of devices; more than one trains through Lightning Fabric.
    precision
        ``"fp32"``, ``"bf16"``, or ``"auto"``: fp32 by the fastest exact route of the processor.
    resume
        Continue from the checkpoint in `checkpoint_dir`, to the very bits of a run that was never stopped (on CPU).
    checkpoint_dir
        Folder for a checkpoint after every epoch.
    progress
        Show a progress bar; by default as ``settings.progress`` says.
    preset
        ``"default"``, or ``"paper"`` for the published hyper-parameters.
    init
        A trained model of the same method and layers (or its folder) to start from, instead of random weights: warm start
        on another data set. Genes are found by name; those that it does not know start at zero, so that before the first
        step cells are embedded as by `init`. The record says how many it knows.
    **config
        Fields of the configuration of the method, e.g. ``temperature=0.2``, ``width=32``.

    Returns
    -------
    Model
        The trained model. Slots written:

        - ``.obsm["X_<key>"]``: the embedding, float32 of shape ``(n_obs, width)``
        - ``.uns["scssl"]["models"][key]``: method, configuration, seed, identity of the data, history
        - ``.uns["scssl"]["sketches"][key]``: hashes of some rows of the embedding, to know it again

    Raises
    ------
    InputError
        If the data or an argument cannot be used. The object is as before.
    KeyNotFoundError
        If a method, column, layer or modality does not exist; the message lists those that do.
    TrainingError
        If a loss or gradient is not finite.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> model = ssl.tl.fit(adata, method="simclr", batch_key="batch", max_epochs=2)
    >>> adata.obsm["X_simclr"].shape
    (700, 64)
    """
    METHODS.describe(method)
    enforce(chain(are_names(modalities, "modalities", example="rna", different=True), is_text(mask_by, "mask_by")))
    if resume and checkpoint_dir is None:
        msg = "resume=True needs to know where the checkpoint is."
        raise InputError(msg, code="needs_checkpoint_dir", parameter="checkpoint_dir", fix="Pass checkpoint_dir=.")
    named = {"views": views, "max_epochs": max_epochs, "batch_size": batch_size}
    request = Request(
        method=method,
        config={**config, **{name: value for name, value in named.items() if value is not None}},
        preset=preset,
        layer=layer,
        batch_key=batch_key,
        modalities=modalities,
        mask_by=mask_by,
        within_batch=within_batch,
        seed=seed,
        accelerator=_settings.settings.accelerator if accelerator == "auto" else accelerator,
        devices=devices,
        precision=precision,
        checkpoint_dir=checkpoint_dir,
        resume=bool(resume),
        progress=progress,
        init=None if init is None else model_of(init),
    )
    if isinstance(data, str | os.PathLike):
        with opened(Path(data)) as file:
            return fitted(file, request)[0]
    key = method if key_added is None else key_added
    enforce(check_container(data))
    enforce(check_key(data, key, overwrite=overwrite))
    model, cells = fitted(data, request)
    write_model(data, key, model, model.embedding(cells))
    return model


def embed(
    data: AnnData | MuData,
    model: Model | str | os.PathLike[str],
    *,
    layer: str | None = None,
    modality: str | None = None,
    key_added: str | None = None,
    overwrite: bool = False,
    batch_size: int | None = None,
    min_coverage: float = MINIMUM,
) -> None:
    """Embed any cells with a trained model; genes are aligned by name.

    The embedding of a cell depends on this cell alone: not on the order, not on the batch size, not on other cells.

    Parameters
    ----------
    data
        AnnData or MuData: unseen cells, an unseen batch, genes in any order.
    model
        What :func:`fit` returned, or the folder of a saved model.
    layer
        Layer to read; by default the one the model was trained on.
    modality
        Embed from this modality alone, with a model of several: of a MuData, or of an AnnData that holds it. By default
        from all modalities that a cell has.
    key_added
        The embedding is written to ``obsm["X_<key_added>"]``; by default the name of the method (and of the modality).
    overwrite
        Whether that slot may be replaced if scssl did not write it.
    batch_size
        Cells at a time; has no influence on the result.
    min_coverage
        Share of the model's genes that the data must have. Absent ones are read as zero: the model takes the cells for
        cells without these genes, and the embedding moves the further from that of the whole cell the more there are; it
        may still tell types apart, while distances to cells that have all genes mean less. Genes that no cell has,
        although cells like these do, count as absent.

    Returns
    -------
    None
        Slots written:

        - ``.obsm["X_<key>"]``: the embedding, float32 of shape ``(n_obs, width)``
        - ``.uns["scssl"]["embeddings"][key]``: method, seed, identity of the training data, coverage of the genes
        - ``.uns["scssl"]["sketches"][key]``: hashes of some rows of the embedding, to know it again

    Raises
    ------
    InputError
        If fewer genes of the model are found than :func:`fit` can do without, or values are not what the model expects.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> ssl.pp.recipe(adata)
    >>> model = ssl.tl.fit(adata[:500].copy(), method="pca")
    >>> query = adata[500:].copy()
    >>> ssl.tl.embed(query, model)
    >>> query.obsm["X_pca"].shape
    (200, 50)
    """
    if isinstance(data, Model):
        msg = "The first argument is a model, the second should be: ssl.tl.embed(adata, model)."
        raise InputError(msg, code="swapped_arguments", parameter="data")
    enforce(check_container(data))
    enforce(whole(batch_size, "batch_size", example=4096))
    model = model_of(model)
    default = model.method if modality is None else f"{model.method}_{modality}"
    key = default if key_added is None else key_added
    enforce(check_key(data, key, overwrite=overwrite))
    model = _knowing(model, data, layer=layer, modality=modality, min_coverage=min_coverage)
    embedding, found = model.embed_with_report(
        data, layer=layer, modality=modality, batch_size=batch_size, min_coverage=min_coverage
    )
    _write(data, key, embedding)
    _keys.forget(data, _keys.MODELS, key)
    coverage = {name: {"found": a.n_measured, "of": a.n_model} for name, a in found.items()}
    kept = ("method", "seed", "scale", "config", "config_id", "data_id", "version", "created")
    _keys.shelf(data, _keys.EMBEDDINGS)[key] = {
        **{name: model.record.get(name, "") for name in kept},
        _keys.MODEL_ID: model.identity,
        "coverage": _files.canonical(coverage),
    }
    _settings.wrote(f".obsm['{_keys.embedding(key)}']", f".uns['{_keys.UNS}']['{_keys.EMBEDDINGS}']['{key}']")


def _knowing(model: Model, data: object, *, layer: str | None, modality: str | None, min_coverage: float) -> Model:
    """The model; of a query with batches that it has to know first, one that has learned them (query mapping)."""
    if not model.module.tells_batches_apart or not model.module.has_to_learn(
        model.cells(data, layer=layer, modality=modality, min_coverage=min_coverage)[0]
    ):
        return model
    told(
        f"Some cells are of batches that this {model.method!r} model does not know, and its encoder looks at the batch: it learns "
        "them by a short training on the query (query mapping). The embedding of the reference stays as it is; keep the model that "
        "knows them with model.continued(query)."
    )
    return model.continued(data, layer=layer)


def _write(data: Data, key: str, embedding: np.ndarray) -> None:
    data.obsm[_keys.embedding(key)] = embedding
    _keys.shelf(data, _keys.SKETCHES)[key] = sketch(data.obs_names, embedding)


def write_model(data: object, key: str, model: Model, embedding: np.ndarray) -> None:
    """The embedding and the record of a model that was made from these cells, into their slots."""
    _write(data, key, embedding)
    _keys.shelf(data, _keys.MODELS)[key] = _record(model)
    _keys.forget(data, _keys.EMBEDDINGS, key)
    _settings.wrote(f".obsm['{_keys.embedding(key)}']", f".uns['{_keys.UNS}']['{_keys.MODELS}']['{key}']")


def _record(model: Model) -> Json:
    history = model.history.copy()
    history.index = history.index.astype(str)  # h5ad and zarr keep text indices only
    return {**model.record, _keys.MODEL_ID: model.identity, "history": history}

"""``finetune``: the second stage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scssl import _keys, _settings
from scssl._errors import InputError
from scssl._validate import enforce
from scssl._validate.names import key_added as check_key
from scssl._validate.objects import container as check_container
from scssl.data.open import opened
from scssl.models.finetune import BALANCED, HEAD, Tuning
from scssl.models.finetune import finetune as tune
from scssl.models.model import Model
from scssl.tl._pair import model_of
from scssl.tl._train import write_model

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def finetune(
    data: AnnData | MuData | str | os.PathLike[str],
    model: Model | str | os.PathLike[str],
    *,
    label_key: str,
    train: str = HEAD,
    class_weight: str | None = BALANCED,
    group_key: str | None = None,
    layer: str | None = None,
    key_added: str | None = None,
    overwrite: bool = False,
    max_epochs: int = 100,
    batch_size: int = 256,
    learning_rate: float | None = None,
    weight_decay: float = 1e-6,
    patience: int | None = 10,
    seed: int = 0,
    accelerator: str = "auto",
    precision: str = "auto",
    resume: bool | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Model:
    """Teach a trained model labels: a classification head on its embedding, with or without changing the encoder.

    The given model is left as it is. Genes are aligned by name, as by :func:`embed`, so that the labelled cells may be
    another data set than the one the model was trained on. A tenth of the labelled cells is not trained on: their loss says
    when to stop, and the weights with the smallest one are kept. Let these be whole donors or batches (`group_key`) if the
    labels of unseen ones are wanted.

    Parameters
    ----------
    data
        Labelled cells: AnnData, MuData, or the path of a file (nothing is written to it). Cells whose label is missing, or
        one of the words that say so ("unknown"), are left out and counted.
    model
        What :func:`fit` or :func:`finetune` returned, or the folder of a saved model.
    label_key
        Column of ``obs`` with the labels.
    train
        ``"head"``: the classifier alone; the embedding stays what it was, bit for bit. ``"last"``: and the last linear layer
        of the encoder. ``"all"``: and the whole encoder. On a model of method ``untrained`` the last one is supervised
        training from scratch, the control of what pretraining is worth.
    class_weight
        ``"balanced"``: all labels count alike in the loss, however rare; ``None``: all cells do.
    group_key
        Column of ``obs`` whose groups (donors, batches) are held out as a whole; by default a tenth of the cells of each
        label is.
    layer
        Layer to read; by default the one the model was trained on.
    key_added
        The embedding is written to ``obsm["X_<key_added>"]``; by default ``<method>_finetuned``.
    overwrite
        Whether that slot may be replaced if scssl did not write it.
    max_epochs
        Passes over the cells, at most.
    batch_size
        Cells in a mini-batch.
    learning_rate
        Step size of Adam; by default 0.01 for the head alone, else 0.001.
    weight_decay
        Pull of the weights towards zero.
    patience
        Stop after this many epochs without improvement on the cells held out; ``None`` never stops early.
    seed
        The same seed, data and versions give the same bits on CPU.
    accelerator, precision, resume, checkpoint_dir, progress
        As for :func:`fit`.

    Returns
    -------
    Model
        A new model: embeds as any other, and labels cells by :func:`annotate` with ``classifier="head"`` or
        :meth:`Model.classify`. Slots written:

        - ``.obsm["X_<key>"]``: its embedding, float32 of shape ``(n_obs, width)``
        - ``.uns["scssl"]["models"][key]``: as by :func:`fit`; ``finetuned`` says how, what was held out and how many cells
          were labelled

    Raises
    ------
    InputError
        If there are not two labels, an argument is out of range, or the genes of the model are not found. The object is as
        before.
    KeyNotFoundError
        If a column does not exist.
    TrainingError
        If the loss is not finite.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> ssl.pp.recipe(adata)
    >>> model = ssl.tl.fit(adata, "simclr", max_epochs=5)  # no labels
    >>> labelled, query = adata[:300].copy(), adata[300:].copy()
    >>> typed = ssl.tl.finetune(labelled, model, label_key="cell_type", max_epochs=20)
    >>> ssl.tl.annotate(query, classifier="head", model=typed)
    >>> bool((query.obs["simclr_label"].astype(str) == query.obs["cell_type"].astype(str)).mean() > 0.5)
    True
    """
    if isinstance(data, Model):
        msg = "The first argument is a model, the second should be: ssl.tl.finetune(adata, model, label_key=...)."
        raise InputError(msg, code="swapped_arguments", parameter="data")
    if resume and checkpoint_dir is None:
        msg = "resume=True needs to know where the checkpoint is."
        raise InputError(msg, code="needs_checkpoint_dir", parameter="checkpoint_dir", fix="Pass checkpoint_dir=.")
    model = model_of(model)
    tuning = Tuning(
        label_key=label_key,
        train=train,
        class_weight=class_weight,
        group_key=group_key,
        layer=layer,
        max_epochs=max_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        patience=patience,
        seed=seed,
        accelerator=_settings.settings.accelerator if accelerator == "auto" else accelerator,
        precision=precision,
        checkpoint_dir=checkpoint_dir,
        resume=bool(resume),
        progress=progress,
    )
    if isinstance(data, str | os.PathLike):
        with opened(Path(data)) as file:
            return tune(file, model, tuning)
    key = _keys.finetuned(model.method) if key_added is None else key_added
    enforce(check_container(data))
    enforce(check_key(data, key, overwrite=overwrite))
    tuned = tune(data, model, tuning)
    write_model(data, key, tuned, tuned.embed(data, layer=layer))
    return tuned

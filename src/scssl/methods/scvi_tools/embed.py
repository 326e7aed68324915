"""Embeddings, labels and decoded values: the posterior mean, nothing drawn, whatever the order and number of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from scssl._errors import InputError
from scssl._words import listed
from scssl.methods.scvi_tools.quiet import quietly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl.data.cells import Codes
    from scssl.methods.scvi_tools.shell import Inputs
    from scssl.methods.scvi_tools.state import Fitted

CELLS = 1024  # at a time: 100,000 peaks of so many cells are 400 MB


def embed(fitted: Fitted, inputs: Inputs, *, batch_size: int = CELLS) -> np.ndarray:
    """Means of the posterior, shape ``(cells, n_latent)``. A modality that is not there counts as not measured.

    Raises
    ------
    InputError
        If the encoder sees batches and the cells are of one that it was not trained with, or of none.
    """
    with quietly(), torch.inference_mode():
        return np.concatenate([_mean(fitted, batch).cpu().numpy() for batch in batches(fitted, inputs, batch_size)])


def classify(fitted: Fitted, inputs: Inputs, *, batch_size: int = CELLS) -> np.ndarray:
    """Probabilities of the labels ``fitted.meta["labels"]`` by scANVI's classifier, shape ``(cells, labels)``."""
    module = fitted.module
    with quietly(), torch.inference_mode():
        scores = [
            module.classify(x=batch["X"], batch_index=batch["batch"], use_posterior_mean=True)
            for batch in batches(fitted, inputs, batch_size)
        ]
        answer = torch.cat(scores)
        return (answer.softmax(dim=1) if module.classifier.logits else answer).cpu().numpy()


def batches(fitted: Fitted, inputs: Inputs, size: int) -> Iterator[dict[str, Tensor]]:
    """Cells as the networks of scvi-tools read them, some at a time."""
    codes = batch_codes(fitted, inputs.batch, len(inputs))
    for start in range(0, len(inputs), size):
        rows = slice(start, start + size)
        yield tensors(fitted, inputs.rows(rows), codes[rows])


def tensors(fitted: Fitted, inputs: Inputs, codes: np.ndarray) -> dict[str, Tensor]:
    """Some cells by the keys of ``scvi.REGISTRY_KEYS``."""
    from scvi import REGISTRY_KEYS as KEYS

    n, zeros = len(codes), torch.zeros(len(codes), 1, dtype=torch.long)
    slots = {"rna": KEYS.X_KEY, "protein": KEYS.PROTEIN_EXP_KEY, "atac": KEYS.ATAC_X_KEY}
    if fitted.tool.modalities == ("atac",):
        slots["atac"] = KEYS.X_KEY
    found = {KEYS.BATCH_KEY: torch.from_numpy(codes)[:, None], KEYS.LABELS_KEY: zeros, KEYS.INDICES_KEY: zeros}
    for name, features in fitted.meta["features"].items():
        x = inputs.values[name] if name in inputs.values else sp.csr_array((n, len(features)))
        if x.shape[1] != len(features):
            msg = f"Modality {name!r} has {x.shape[1]} features, {fitted.tool.title} was trained with {len(features)}."
            raise InputError(msg, code="wrong_features", parameter="data", fix="Align the features by name.")
        dense = x if isinstance(x, np.ndarray) else x.toarray()
        found[slots[name]] = torch.from_numpy(dense.astype(np.float32, copy=False))
    return {name: tensor.to(fitted.device) for name, tensor in found.items()}


def batch_codes(fitted: Fitted, batch: Codes | None, n_obs: int) -> np.ndarray:
    """Code that the model has for the batch of each cell; 0 where the encoder does not look at it."""
    known = fitted.meta["batches"]
    if not known or (batch is None and not fitted.sees_batch):
        return np.zeros(n_obs, dtype=np.int64)
    if batch is None:
        msg = f"{fitted.tool.title} embeds a cell by its batch, and the cells come without one. Known: {listed(known, 10)}."
        raise InputError(msg, code="batch_needed", parameter="batch_key", fix="Pass batch_key.")
    place = {name: code for code, name in enumerate(known)}
    codes = np.array([place.get(name, -1) for name in batch.names], dtype=np.int64)[batch.values]
    if fitted.sees_batch and (codes < 0).any():
        raise _unseen(fitted, batch, codes < 0)
    return np.maximum(codes, 0)


def _unseen(fitted: Fitted, batch: Codes, unseen: np.ndarray) -> InputError:
    names = [batch.names[code] for code in np.unique(batch.values[unseen])]
    msg = (
        f"{unseen.sum()} of {len(unseen)} cells are of batches that {fitted.tool.title} was not trained with: "
        f"{listed(names, 10)}. Its encoder sees the batch, so that they have no embedding. Known: {listed(fitted.meta['batches'], 10)}."
    )
    fix = "Map the query: that adds its batches by a short training and leaves the embedding of the others as it is."
    if not fitted.tool.maps_queries:
        fix = "Train again on all cells: this model cannot take in batches later."
    return InputError(msg, code="unseen_batch", parameter="batch_key", fix=fix)


def _mean(fitted: Fitted, batch: dict[str, Tensor]) -> Tensor:
    module = fitted.module
    found = module.inference(**module._get_inference_input(batch))
    return found["qz"].loc if "qz" in found else found["qz_m"]

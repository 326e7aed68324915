"""What a model says itself, beyond its embedding: reconstructed values, a missing modality, labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scssl import _sparse
from scssl._errors import TrainingError
from scssl._validate import enforce
from scssl._validate.arguments import whole
from scssl.data.hide import hidden, keys
from scssl.models.query import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp

    from scssl.data.cells import Cells
    from scssl.models.model import Model


def answers(
    model: Model,
    data: object,
    kind: str,
    *,
    source: str = "",
    target: str = "",
    source_names: Sequence[str] = (),
    target_names: Sequence[str] = (),
    seed: int = 0,
    layer: str | None = None,
) -> dict[str, np.ndarray]:
    """The answers of a model that a task scores beside the embedding, empty if it has none.

    Parameters
    ----------
    model
        A trained model.
    data
        All cells of the task.
    kind
        ``TaskSpec.own`` of the task: ``"labels"``, ``"target"``, ``"values"``, or empty.
    source, target, source_names, target_names
        Of the :class:`scssl.tasks.Cells` of the task.
    seed
        Seed of the entries that are hidden from the model.
    layer
        Layer to read; by default the one the model was trained on.

    Returns
    -------
    For ``"values"``: ``values`` and ``unhidden``, shape ``(n, len(source_names))``, and ``width``. For ``"target"``:
    ``target``, shape ``(n, len(target_names))``, made from `source` alone. For ``"labels"``, of a model that classifies:
    ``labels`` and ``confidence``. Features that the model does not know are NaN.
    """
    if kind == "labels" and model.classes:
        labels, confidence = model.classify(data, layer=layer)
        return {"labels": labels, "confidence": confidence}
    if kind == "values" and decodes(model, source):
        plain, blind = (decoded(model, data, layer=layer, hide=hide)[source] for hide in (None, seed))
        known = model.features[source]
        made = {"values": aligned(plain, known, source_names), "unhidden": aligned(blind, known, source_names)}
        return {**made, "width": np.asarray(model.n_dims)}
    if kind == "target" and decodes(model, target) and source in model.features and model.module.embeds_one:
        made = decoded(model, data, layer=layer, modality=source)
        return {"target": aligned(made[target], model.features[target], target_names)}
    return {}


def decodes(model: Model, modality: str) -> bool:
    """Whether a model can give values of a modality."""
    return model.module.spec.decodes and modality in model.features


def decoded(
    model: Model,
    data: object,
    *,
    layer: str | None = None,
    modality: str | None = None,
    batch_size: int | None = None,
    hide: int | None = None,
) -> dict[str, np.ndarray]:
    """Embed cells and decode what was embedded, batch by batch.

    Parameters
    ----------
    model
        A model whose method decodes.
    data, layer, modality, batch_size
        As for :meth:`Model.embed`.
    hide
        Seed of the entries that are set to zero before the model sees them, see :mod:`scssl.data.hide`.

    Returns
    -------
    For each modality of the model float32 of shape ``(n_obs, features)``, features in the order of ``model.features``.

    Raises
    ------
    InputError
        If the method does not decode, or the data cannot be used.
    """
    enforce(whole(batch_size, "batch_size", example=model.module.cells_at_a_time))
    cells, _ = model.cells(data, layer=layer, modality=modality, stream=hide is None)
    if hide is not None:
        cells = replace(cells, matrices={name: _without(cells, name, hide) for name in cells.matrices}, known={})
    method = model.module.on(model.device)
    step = batch_size or method.cells_at_a_time
    made = [method.decoded(cells, index) for index in blocks(cells.n_obs, step)]
    return {name: _finite(np.concatenate([part[name] for part in made]), name) for name in model.features}


def aligned(values: np.ndarray, own: Sequence[str] | np.ndarray, wanted: Sequence[str]) -> np.ndarray:
    """Columns named `own` in the order of `wanted`; NaN where there is none."""
    place = {str(name): j for j, name in enumerate(own)}
    columns = np.array([place.get(str(name), -1) for name in wanted], dtype=np.int64)
    found = np.full((len(values), len(columns)), np.nan, dtype=np.float32)
    found[:, columns >= 0] = values[:, columns[columns >= 0]]
    return found


def _without(cells: Cells, name: str, seed: int) -> sp.csr_array:
    """The values of a modality with the hidden entries at zero."""
    matrix = cells.matrices[name]
    rows, genes = cells.cell.view(np.uint64), keys(map(str, cells.genes[name]))
    gone = hidden(np.repeat(rows, np.diff(matrix.indptr)), genes[matrix.indices], seed=seed)
    kept = np.where(gone, 0, matrix.data).astype(matrix.data.dtype)
    return _sparse.from_rows(kept, matrix.indices, matrix.indptr, shape=matrix.shape)


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    bad = int((~np.isfinite(values)).any(axis=1).sum())
    if bad:
        msg = f"What the model reconstructs of {name!r} is not finite in {bad} of {len(values)} cells."
        raise TrainingError(msg, code="reconstruction_not_finite", parameter="model")
    return values

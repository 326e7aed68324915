"""A trained model that goes on to learn from a query."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pandas as pd

from scssl import _clock, _files
from scssl._words import spelled_as
from scssl.data.cells import BATCH, Codes
from scssl.data.columns import codes, column
from scssl.models.model import Model
from scssl.models.record import identity_of
from scssl.train.loop import Run
from scssl.train.sampler import Sampler

if TYPE_CHECKING:
    from scssl.data.cells import Cells


def continued(
    model: Model,
    data: object,
    *,
    layer: str | None = None,
    batch_key: str | None = None,
    max_epochs: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Model:
    """See :meth:`scssl.Model.continued`."""
    key = batch_key or model.record["batch_key"] or None
    cells, _ = model.cells(data, layer=layer)
    if key is not None:
        values, names = codes(column(data, key, parameter="batch_key"))
        respelled, _ = spelled_as(list(model.module.batches), names, parameter="batch_key")
        cells = cells.with_codes(**{BATCH: Codes(values, tuple(respelled))})
    started = time.perf_counter()
    method = model.module.continued(cells, _run(model, cells, max_epochs=max_epochs, seed=seed, progress=progress))
    about = {"data_id": model.record["data_id"], "n_obs": model.record["n_obs"], "batches": list(model.module.batches)}
    record = {
        **model.record,
        "init": _files.canonical(about),
        "seed": int(seed),
        "n_obs": cells.n_obs,
        "data_id": identity_of(data, cells, layer=layer, batch_key=key),
        "created": _clock.now(),
        "seconds": time.perf_counter() - started,
        "path": "",
    }
    return Model(method, model.features, record, pd.DataFrame(), accelerator=model.accelerator)


def _run(model: Model, cells: Cells, *, max_epochs: int | None, seed: int, progress: bool | None) -> Run:
    config = model.module.config
    return Run(
        method=model.method,
        seed=seed,
        device=model.device,
        sampler=Sampler.mixed(cells.n_obs, config.batch_size or 256),
        max_epochs=max_epochs or config.max_epochs,
        learning_rate=0.0,
        weight_decay=0.0,
        accelerator=model.accelerator,
        progress=progress,
    )

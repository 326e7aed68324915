"""The model of a job: trained without the cells that are held out, on genes that are chosen without them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scssl import _keys
from scssl.data.columns import as_text, column
from scssl.data.container import parts_of, without
from scssl.data.kinds import kind_of
from scssl.data.matrix import csr
from scssl.data.recipe import select_genes

if TYPE_CHECKING:
    from anndata import AnnData

    from scssl._types import Data, Json
    from scssl.bench.lines import Entry
    from scssl.bench.setting import Job, Setting
    from scssl.models.fit import Request
    from scssl.models.model import Model


def trained(job: Job, entry: Entry, data: object, setting: Setting) -> tuple[Model, float]:
    """The model of a job, trained without the cells that are held out, and the seconds it took."""
    from scssl.models.fit import fit

    request = entry.request(setting.request(), seed=job.seed)
    training = data
    query = job.split.query(data)
    if query is not None:
        training = without(data, query)
        _choose_genes_again(training, request)
        if request.batch_key is not None and column(training, request.batch_key, parameter="batch_key").nunique() < 2:
            request = replace(request, batch_key=None, within_batch=None)
    started = time.perf_counter()
    model = fit(training, request)
    if entry.taught:
        model = _taught(model, training, entry, setting, seed=job.seed)
    return model, time.perf_counter() - started


def _taught(model: Model, training: Data, entry: Entry, setting: Setting, *, seed: int) -> Model:
    """The model, fine-tuned on the labels of the cells that are not held out; `training` is a private object."""
    from scssl.models.finetune import finetune

    unlabelled = setting.question.unlabelled
    key = str(setting.question.label_key)
    if unlabelled is not None:
        labels = column(training, key, parameter="label_key").astype(object)
        training.obs[key] = labels.mask(as_text(labels).isin(unlabelled))
    shared = {"layer": setting.layer, "accelerator": setting.accelerator, "seed": seed, "progress": False}
    return finetune(training, model, entry.tuning(key, **shared))


def _choose_genes_again(training: object, request: Request) -> None:
    """Mark the variable genes of the training cells alone, by the recipe that was run on all cells."""
    if request.mask_by != _keys.HIGHLY_VARIABLE:
        return
    for name, part in parts_of(training).items():
        recipe = _keys.peek(part).get(_keys.RECIPE)
        if recipe is not None and kind_of(name).of_genes:
            part.var[_keys.HIGHLY_VARIABLE] = _variable(training, part, json.loads(recipe), request.layer)


def _variable(training: Data, part: AnnData, done: Json, layer: str | None) -> np.ndarray:
    key = done.get("batch_key")
    batch = as_text(column(training, key, parameter="batch_key"))[part.obs_names].to_numpy() if key else None
    values = csr(part, layer=_keys.COUNTS_LAYER if done["flavor"].startswith("seurat_v3") else layer)
    marked = select_genes(values, done["n_top_genes"], batch=batch, flavor=done["flavor"])
    return marked & (np.bincount(values.indices, minlength=part.n_vars) > 0)

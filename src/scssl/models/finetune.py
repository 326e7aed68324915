"""The second stage: a pretrained encoder learns labels, by the same loop and through the same module."""

from __future__ import annotations

import copy
import hashlib
import os  # noqa: TC003 - the check of parameters reads it
import time
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import scssl
from scssl import _clock, _files, _random
from scssl._errors import told
from scssl._validate import Problem, columns, enforce
from scssl._validate import config as check_config
from scssl._validate import objects as check_objects
from scssl._validate import paths as check_paths
from scssl._words import listed
from scssl.data.cells import Codes
from scssl.data.columns import as_text, column
from scssl.data.columns import classes as classes_of
from scssl.data.identity import data_id
from scssl.methods._network import network_of
from scssl.models.holdout import by_cell, by_group
from scssl.models.model import Model
from scssl.train.device import resolve as resolve_device
from scssl.train.device import seeded
from scssl.train.loop import Run, train
from scssl.train.phase import ONE_PHASE
from scssl.train.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl._types import Json
    from scssl.data.cells import Cells
    from scssl.train.batches import Batch, Draw
    from scssl.train.phase import Phase

HEAD, LAST, ALL = TRAIN = ("head", "last", "all")
BALANCED = "balanced"
_TOLD_AS_LEFT_OUT = ("label_missing_values", "unlabelled_cells")


@dataclass(frozen=True)
class Tuning:
    """Everything that decides a fine-tuned model, besides the model and the data."""

    label_key: str
    train: str = field(default=HEAD, metadata={"choices": TRAIN})
    class_weight: str | None = field(default=BALANCED, metadata={"choices": (BALANCED, None)})
    group_key: str | None = None
    layer: str | None = None
    max_epochs: int = field(default=100, metadata={"at_least": 1})
    batch_size: int = field(default=256, metadata={"at_least": 2})
    learning_rate: float | None = field(default=None, metadata={"above": 0})
    weight_decay: float = field(default=1e-6, metadata={"at_least": 0})
    patience: int | None = field(default=10, metadata={"at_least": 1})
    seed: int = 0
    accelerator: str = "auto"
    precision: str = "auto"
    checkpoint_dir: str | os.PathLike[str] | None = None
    resume: bool = False
    progress: bool | None = None


class Supervised(nn.Module):
    """A method and its classifier, as the loop trains them on labels.

    What is not trained stays in eval mode: its weights and its batch statistics are those of the first stage, bit for bit.

    Parameters
    ----------
    method
        The module, with a classifier.
    trained
        The layers of it that are trained.
    weights
        Weight of each class in the loss.
    """

    weights: Tensor

    def __init__(self, method: Any, trained: list[nn.Module], weights: Tensor) -> None:
        super().__init__()
        self.method, self._trained = method, tuple(trained)
        self.register_buffer("weights", weights, persistent=False)
        method.requires_grad_(requires_grad=False)
        for layer in trained:
            layer.requires_grad_()

    def train(self, mode: bool = True) -> Supervised:  # noqa: FBT001, FBT002 - the signature of torch
        """Training mode, of the layers that are trained."""
        super().train(mode=False)
        for layer in self._trained:
            layer.train(mode)
        return self

    def embed(self, batch: Batch) -> Tensor:
        """The embedding, by the method itself."""
        return self.method.embed(batch)

    def inputs(self, batch: Batch, draw: Draw) -> Batch:
        """The cells as they are."""
        return batch

    def compared(self, batch: Batch, draw: Draw) -> tuple[Batch, Batch]:
        """The cells as they are, twice."""
        return batch, batch

    def phases(self) -> tuple[Phase, ...]:
        """One."""
        return ONE_PHASE

    def trains_on(self, cells: Cells) -> None:
        """All cells of the sampler."""

    def before_epoch(self, epoch: int, cells: Cells) -> None:
        """Nothing comes before an epoch."""

    def objective(self, inputs: Batch) -> dict[str, Tensor]:
        """Cross-entropy, weighted by class, and the share of cells whose label is found."""
        label = cast("Tensor", inputs.label)
        logits = self.method.classifier(self.embed(inputs))
        right = (logits.detach().argmax(dim=1) == label).float().mean()
        return {"loss": nn.functional.cross_entropy(logits, label, self.weights), "accuracy": right}

    def after_step(self, progress: float) -> None:
        """Nothing follows a step."""


def finetune(data: object, model: Model, tuning: Tuning) -> Model:
    """Check, train a copy of the model on labels, and describe what was done. Neither the data nor `model` are changed."""
    notes = enforce(_problems(data, model, tuning))
    labels = _labels(data, tuning.label_key)
    labelled = np.flatnonzero(labels.notna())
    classes, codes = np.unique(labels.iloc[labelled].to_numpy(dtype=str), return_inverse=True)
    notes += told(_left_out(labels, tuning.label_key))
    cells, found = model.cells(data, layer=tuning.layer)
    known = np.full(cells.n_obs, -1, dtype=np.int64)
    known[labelled] = codes
    cells = cells.with_codes(label=Codes(known, tuple(classes.tolist())))
    held, how = _held_out(data, codes, labelled, tuning)
    notes += told(how if how.endswith(".") else "")

    module = copy.deepcopy(network_of(model.module, parameter="model"))
    device = resolve_device(tuning.accelerator)
    with seeded(_random.derive(tuning.seed, "classifier"), device):
        module.add_classifier(classes.tolist())
    supervised = Supervised(module, _trained(module, tuning.train), _weights(codes[~held], len(classes), tuning))
    identity = data_id(data, layer=tuning.layer, columns=(tuning.label_key, tuning.group_key))
    run = _run(tuning, labelled, held, device, _run_id(model, tuning, identity))
    if cells.stream is not None:
        run = replace(run, sampler=run.sampler.in_blocks(cells.stream.block))
    started = time.perf_counter()
    history = train(supervised, cells, run)
    module.requires_grad_()
    about = {
        **asdict(tuning), "held_out": how, "classes": len(classes), "n_labelled": len(labelled),
        "n_held_out": int(held.sum()), "pretrained_on": model.record["data_id"],
        "coverage": {name: {"found": a.n_found, "of": a.n_model} for name, a in found.items()},
    }  # fmt: skip
    record = {
        **model.record,
        "finetuned": _files.canonical({k: v for k, v in about.items() if k not in ("checkpoint_dir", "progress")}),
        "config_id": _files.fingerprint([model.record["config_id"], _settled(tuning)], 12),
        "label_type": classes_of(column(data, tuning.label_key, parameter="label_key")).categories.inferred_type,
        "seed": int(tuning.seed),
        "layer": tuning.layer or model.record["layer"],
        "n_obs": len(labelled),
        "data_id": identity,
        "version": scssl.__version__,
        "created": _clock.now(),
        "epochs": len(history),
        "seconds": time.perf_counter() - started,
        "peak_mb": _clock.peak_mb(),
        "device": str(device),
        "warnings": "\n".join(notes),
        "path": "",
    }
    return Model(module, model.features, record, pd.DataFrame(history), accelerator=tuning.accelerator)


def _problems(data: object, model: Model, tuning: Tuning) -> Iterator[Problem]:
    """What is wrong with the arguments and the labels; the values are checked when the model reads them."""
    yield from check_config.seed(tuning.seed)
    yield from check_objects.container(data)
    asked = {f.name: getattr(tuning, f.name) for f in fields(Tuning) if f.metadata}
    yield from check_config.config(Tuning, asked)
    if tuning.checkpoint_dir is not None:
        yield from check_paths.target(tuning.checkpoint_dir, parameter="checkpoint_dir")
    yield from (p for p in columns.label(data, tuning.label_key) if p.code not in (*_TOLD_AS_LEFT_OUT, "single_label"))
    labels = _labels(data, tuning.label_key).dropna()
    if labels.nunique() < 2:
        has = f"all {len(labels)} labelled cells are {labels.iloc[0]!r}" if len(labels) else "no cell has a label"
        message = f"label_key={tuning.label_key!r}: {has}; a classifier needs two labels."
        yield Problem("single_label", "label_key", message, "Pass a column with several labels.")
    if tuning.group_key is not None:
        yield from columns.batch(data, tuning.group_key, parameter="group_key")
    if tuning.train in (LAST, ALL) and not isinstance(getattr(model.module, "encoder", None), nn.Module):
        message = f"train={tuning.train!r}: method {model.method!r} has no encoder whose weights could be trained."
        yield Problem("no_encoder", "train", message, "Use train='head'.")


def _labels(data: object, key: str) -> pd.Series:
    """The label of each cell as text; missing where a cell has none, or one of the words that say so ("unknown")."""
    values = column(data, key, parameter="label_key")
    text = values.astype(object).map(str, na_action="ignore")
    return text.mask(text.str.strip().str.lower().isin(columns.UNLABELLED))


def _left_out(labels: pd.Series, key: str) -> str:
    n = int(labels.isna().sum())
    return f"{n} of {len(labels)} cells have no label in {key!r} and are left out." if n else ""


def _held_out(data: object, codes: np.ndarray, labelled: np.ndarray, tuning: Tuning) -> tuple[np.ndarray, str]:
    """Which labelled cells are held out, and what they are; a sentence if it is not what was asked for."""
    if tuning.group_key is None:
        held = by_cell(codes, seed=tuning.seed)
        return held, "cells" if held.any() else "No label has ten cells: none are held out, all epochs count."
    groups = as_text(column(data, tuning.group_key, parameter="group_key")).to_numpy()[labelled]
    held = by_group(codes, groups, seed=tuning.seed)
    if held.any():
        return held, f"{tuning.group_key}: {listed(np.unique(groups[held]).tolist())}"
    note = (
        f"No group of {tuning.group_key!r} can be held out (each has the last cells of a label, or half of all cells)"
    )
    return by_cell(codes, seed=tuning.seed), f"{note}: cells are held out instead."


def _trained(module: Any, which: str) -> list[nn.Module]:
    """The layers that are trained: the classifier; with it the last linear layer of each network and what follows; all."""
    if which == HEAD:
        return [module.classifier]
    kept = [module.project] if getattr(module.config, "keep_projector", False) else []
    if which == ALL:
        return [module.encoder, *kept, module.classifier]
    found = []
    for part in kept or module.encoder.parts:
        leaves = [layer for layer in part.modules() if not list(layer.children())]
        last = max(i for i, layer in enumerate(leaves) if isinstance(layer, nn.Linear))
        found += leaves[last:]
    return [*found, module.classifier]


def _weights(codes: np.ndarray, n_classes: int, tuning: Tuning) -> Tensor:
    """The weight of each class: the same for all, or so that all classes count alike."""
    if tuning.class_weight is None:
        return torch.ones(n_classes)
    counts = np.bincount(codes, minlength=n_classes)
    return torch.from_numpy(len(codes) / (n_classes * counts)).float()


def _step_size(tuning: Tuning) -> float:
    """A linear layer takes larger steps than an encoder that already knows something."""
    if tuning.learning_rate is not None:
        return tuning.learning_rate
    return 1e-2 if tuning.train == HEAD else 1e-3


def _run(tuning: Tuning, labelled: np.ndarray, held: np.ndarray, device: torch.device, run_id: str) -> Run:
    training = labelled[~held]
    return Run(
        method="finetune",
        seed=tuning.seed,
        device=device,
        sampler=Sampler(len(training), tuning.batch_size, (training,)),
        max_epochs=tuning.max_epochs,
        learning_rate=_step_size(tuning),
        weight_decay=tuning.weight_decay,
        held_out=labelled[held] if held.any() else None,
        ahead=False,
        patience=tuning.patience,
        precision=tuning.precision,
        checkpoint_dir=Path(tuning.checkpoint_dir) if tuning.checkpoint_dir else None,
        run_id=run_id,
        resume=tuning.resume,
        progress=tuning.progress,
    )


def _settled(tuning: Tuning) -> Json:
    """What of the arguments decides the weights."""
    elsewhere = ("accelerator", "checkpoint_dir", "resume", "progress", "max_epochs", "seed")
    return {k: v for k, v in asdict(tuning).items() if k not in elsewhere}


def _run_id(model: Model, tuning: Tuning, identity: str) -> str:
    """Hash of all that decides the run but its length: a longer run continues a shorter one."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in network_of(model.module, parameter="model").state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return _files.fingerprint([digest.hexdigest(), _settled(tuning), tuning.seed, identity])

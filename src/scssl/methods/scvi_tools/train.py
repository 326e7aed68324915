"""Training by scvi-tools, bit for bit that of a direct call, with our seed, history, progress bar and Ctrl-C."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING

import numpy as np
import torch

from scssl import _settings
from scssl._errors import InputError, TrainingError, warn
from scssl.data.cells import Codes
from scssl.methods.scvi_tools.quiet import quietly
from scssl.methods.scvi_tools.shell import forget, set_up, shell, unmeasured
from scssl.methods.scvi_tools.state import described, state_of
from scssl.methods.scvi_tools.tool import PLAN, checked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scvi.model.base import BaseModelClass

    from scssl.methods._base import State
    from scssl.methods.scvi_tools.shell import Inputs
    from scssl.methods.scvi_tools.tool import Plain, Tool

History = list[dict[str, float]]


@dataclass(frozen=True)
class Run:
    """How to train. ``None``: as scvi-tools do; accelerators and devices are Lightning's."""

    seed: int = 0
    max_epochs: int | None = None
    batch_size: int | None = None
    accelerator: str = "auto"
    devices: int | str | list[int] = "auto"
    progress: bool | None = None


def fit(tool: Tool, inputs: Inputs, config: Mapping[str, Plain], run: Run) -> tuple[State, History]:
    """Train a model.

    Parameters
    ----------
    config
        Changes of :attr:`Tool.init` and :attr:`Tool.train`; names that are in neither go to the class.
    """
    training = {**tool.train, **{name: value for name, value in config.items() if name in tool.train}}
    init = checked({**tool.init, **{name: value for name, value in config.items() if name not in tool.train}})
    inputs = replace(inputs, label=used(inputs.label) if "labels" in tool.needs else None)
    complete(tool, inputs)
    if init.get("override_missing_proteins") is False:
        for sentence in unmeasured(inputs):
            warn(sentence)
    with quietly(run.seed), ExitStack() as shells:
        data = shell(tool, inputs)
        set_up(tool, data)
        model = tool.load()(data, **init)
        shells.callback(forget, model, data)
        history = train(model, tool, training, run)
    features = {name: list(map(str, inputs.features[name])) for name in tool.modalities}
    batches, labels = (list(codes.names) if codes else [] for codes in (inputs.batch, inputs.label))
    return state_of(model, described(tool, init, features=features, batches=batches, labels=labels)), history


def train(model: BaseModelClass, tool: Tool, training: Mapping[str, Plain], run: Run) -> History:
    """Train a model that was set up, inside of ``quietly``."""
    from scssl.methods.scvi_tools.journal import Journal

    epochs = run.max_epochs or tool.epochs(model.adata.n_obs)
    direct, plan = divided(model, training)
    if run.batch_size is not None:
        direct["batch_size"] = run.batch_size
    with (
        _settings.progress(range(epochs), description=tool.title, total=epochs, show=run.progress) as bar,
        interruptible(),
    ):
        journal = Journal(bar)
        try:
            model.train(
                max_epochs=epochs, accelerator=run.accelerator, devices=run.devices, logger=journal,
                enable_progress_bar=False, plan_kwargs=plan, **direct,
            )  # fmt: skip
        except ValueError as error:  # the distributions of torch refuse parameters that are not numbers
            if "nan" in str(error):
                raise diverged(tool, journal.rows) from error
            raise
    if not all(torch.isfinite(tensor).all() for tensor in model.module.state_dict().values()):
        raise diverged(tool, journal.rows)
    return journal.rows


def divided(model: BaseModelClass, training: Mapping[str, Plain]) -> tuple[dict[str, Plain], dict[str, Plain]]:
    """Arguments of ``train`` and of the training plan; some models take those of the plan directly."""
    named = signature(type(model).train).parameters
    plan = {name: value for name, value in training.items() if name in PLAN and name not in named}
    return {name: value for name, value in training.items() if name not in plan}, plan


def complete(tool: Tool, inputs: Inputs) -> None:
    """Refuse cells without a column that the model cannot do without."""
    for need, codes, parameter in (("batches", inputs.batch, "batch_key"), ("labels", inputs.label, "label_key")):
        if need in tool.needs and codes is None:
            msg = f"{tool.title} cannot be trained without {need}."
            raise InputError(
                msg, code=f"{parameter.removesuffix('_key')}_needed", parameter=parameter, fix=f"Pass {parameter}."
            )


def used(label: Codes | None) -> Codes | None:
    """The labels that some cell has: scANVI counts its classes wrongly where one is empty."""
    if label is None:
        return None
    kept, codes = np.unique(label.values[label.values >= 0], return_inverse=True)
    new = np.full(len(label.values), -1)
    new[label.values >= 0] = codes
    return Codes(new, tuple(label.names[code] for code in kept))


def diverged(tool: Tool, history: History) -> TrainingError:
    """The error for weights that are not numbers."""
    losses = ", ".join(f"{row['loss']:.4g}" for row in history[-3:] if "loss" in row) or "none"
    msg = f"{tool.title} diverged in epoch {len(history)}: weights are not numbers. Last losses: {losses}."
    return TrainingError(msg, code="diverged", fix="Use a smaller lr, and check that the values are counts.")


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches the caller: Lightning would end the interpreter, and leave later Ctrl-C without effect."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except (SystemExit, NameError) as error:  # NameError: lightning 2.5 calls an `exit` that notebooks do not have
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)

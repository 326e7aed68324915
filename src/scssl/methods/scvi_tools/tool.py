"""Description of a model of scvi-tools: where it is, what it reads, its own defaults, settings by name."""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scssl._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scvi.model.base import BaseModelClass

Plain = bool | int | float | str | None | list["Plain"] | dict[str, "Plain"]

# Arguments of their training plans; everything else that is about training is an argument of `train`.
PLAN = ("lr", "weight_decay", "n_epochs_kl_warmup", "classification_ratio", "z_distance_cycle_weight")

REFUSED = {
    ("latent_distribution", "ln"): "the mean of a logistic normal has no closed form: the embedding would be random",
    ("modality_weights", "cell"): "weights of single cells exist for the cells of the training alone",
}
"""Settings with which unseen cells have no embedding, or none that is the same twice."""


@dataclass(frozen=True)
class Tool:
    """A model of scvi-tools."""

    name: str
    title: str
    path: str
    """``module:class``."""
    modalities: tuple[str, ...] = ("rna",)
    values: str = "counts"
    """``counts`` or ``log``, log-normalised values."""
    needs: tuple[str, ...] = ()
    """``batches`` (it cannot be set up without), ``labels``, ``paired``."""
    encodes_batch: bool = False
    """Whether the encoder sees the batch, where ``encode_covariates`` does not say otherwise."""
    maps_queries: bool = True
    """Whether batches can be added to a trained model."""
    init: Mapping[str, Plain] = field(default_factory=dict)
    """Arguments of the class, with the defaults of scvi-tools."""
    train: Mapping[str, Plain] = field(default_factory=dict)
    """Arguments of ``train``, with the defaults of scvi-tools."""
    max_epochs: int | None = None
    """Default number of epochs; ``None``: 400, fewer for more than 20,000 cells."""
    presets: Mapping[str, Mapping[str, Plain]] = field(default_factory=dict)
    reference: str = ""
    since: tuple[int, int] = (1, 3)
    """First version of scvi-tools that has it."""

    @property
    def installed(self) -> bool:
        """Whether the scvi-tools of this environment have the model; nothing is imported."""
        return installed_version() >= self.since

    def load(self) -> type[BaseModelClass]:
        """The class; imports scvi-tools, which takes seconds."""
        if not self.installed:
            wanted = ".".join(map(str, self.since))
            msg = f"{self.title} needs scvi-tools >= {wanted}; here is {importlib.metadata.version('scvi-tools')}."
            fix = f"pip install 'scvi-tools>={wanted}' (1.5 and later need Python 3.12)."
            raise InputError(msg, code="not_installed", parameter="method", fix=fix)
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)

    def epochs(self, n_obs: int) -> int:
        """Number of epochs that scvi-tools choose for so many cells."""
        return self.max_epochs or max(1, min(400, round(400 * 20_000 / n_obs)))


def installed_version() -> tuple[int, int]:
    """Major and minor version of the installed scvi-tools."""
    major, minor, *_ = importlib.metadata.version("scvi-tools").split(".")
    return int(major), int(minor)


def checked(init: Mapping[str, Plain]) -> dict[str, Plain]:
    """Arguments of a model, if cells that it has not seen can be embedded with them."""
    for (name, value), why in REFUSED.items():
        if init.get(name) == value:
            msg = f"{name}={value!r} cannot be used: {why}."
            raise InputError(msg, code="bad_config", parameter=name, fix="Use the default.")
    return dict(init)

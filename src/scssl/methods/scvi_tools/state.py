"""What is kept of a trained model: tensors and plain values, from which it is built again. Nothing is pickled."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, cast

from scssl._errors import CheckpointError
from scssl.methods._base import State
from scssl.methods.scvi_tools.quiet import quietly
from scssl.methods.scvi_tools.shell import blank, forget, set_up, shell
from scssl.methods.scvi_tools.table import TOOLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from anndata import AnnData
    from mudata import MuData
    from scvi.model.base import BaseModelClass
    from torch import Tensor

    from scssl.methods.scvi_tools.tool import Plain, Tool

Network = Any  # a module of theirs: they have no common type for what `inference` and `generative` return


class Meta(TypedDict):
    """Plain values of a state, fit for JSON."""

    tool: str
    init: dict[str, Plain]
    """Arguments of the class."""
    features: dict[str, list[str]]
    batches: list[str]
    """Names of the batches in the order of the weights; empty: set up without batches."""
    labels: list[str]
    version: str
    """Version of scvi-tools that trained it."""


@dataclass(frozen=True)
class Fitted:
    """A trained model that embeds and decodes: the network alone, in evaluation mode."""

    tool: Tool
    module: Network
    meta: Meta

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.module.parameters()).device

    @property
    def sees_batch(self) -> bool:
        """Whether the embedding of a cell depends on its batch; if not, cells of unseen batches have one as well."""
        return bool(self.meta["init"].get("encode_covariates", self.tool.encodes_batch))


def state_of(model: BaseModelClass, meta: Meta) -> State:
    """The state of a model of scvi-tools that was trained."""
    return State(copied(model.module.state_dict()), meta)


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of their own, as safetensors want them; SysVI's prior holds the encoder a second time."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def described(
    tool: Tool, init: Mapping[str, Plain], *, features: dict[str, list[str]], batches: list[str], labels: list[str]
) -> Meta:
    """The plain values of a state."""
    version = importlib.metadata.version("scvi-tools")
    return Meta(tool=tool.name, init=dict(init), features=features, batches=batches, labels=labels, version=version)


def rebuilt(state: State) -> tuple[BaseModelClass, AnnData | MuData]:
    """The model of scvi-tools, trained, on a shell of a few empty cells; call inside of ``quietly`` and forget it."""
    meta = state.meta
    tool = TOOLS[meta["tool"]]
    data = shell(tool, blank(meta["features"], meta["batches"], meta["labels"]))
    set_up(tool, data)
    model = tool.load()(data, **meta["init"])
    try:
        model.module.load_state_dict(state.tensors, strict=True)
    except RuntimeError as error:
        forget(model, data)
        msg = f"The tensors are not those of a {tool.title} model with the arguments {meta['init']}: {error}"
        raise CheckpointError(msg, code="wrong_tensors") from error
    model.is_trained = True
    return model, data


def restored(state: State, *, device: str | torch.device = "cpu") -> Fitted:
    """Build a trained model from its state."""
    with quietly():
        model, data = rebuilt(state)
        forget(model, data)
        module = model.module.to(device).eval()  # without eval the embedding would differ
    return Fitted(TOOLS[state.meta["tool"]], module, cast("Meta", state.meta))

"""Warm start: the weights of a trained model as the start of another one, whose genes and batches may differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from scssl._errors import InputError
from scssl._words import listed
from scssl.data.align import kind
from scssl.methods._network import network_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scssl.methods._network import Network
    from scssl.models.model import Model

LEAST = 0.2  # share of the genes that the model has to know
BATCHES = "batches"


def transfer(module: Network, features: Mapping[str, np.ndarray], init: Model) -> dict[str, dict[str, int]]:
    """Fill a new module with the weights of a trained one, genes and batches by name.

    Before its first step it embeds cells exactly as `init` does: the inputs of genes that `init` does not know start at
    zero. What it puts out for them (a decoder), and the statistics of batches that are new, start as without `init`.

    Parameters
    ----------
    module
        The new module; it is written to.
    features
        Names of its genes, for each modality.
    init
        A model of the same method and the same layers.

    Returns
    -------
    For each modality how many of its genes `init` knows, ``{"found": ..., "of": ...}``.

    Raises
    ------
    InputError
        If `init` is of another method, modality or shape, or knows too few of the genes.
    """
    _refuse_others(module, features, init)
    places = {name: _places(name, names, init.features[name]) for name, names in features.items()}
    places[BATCHES] = pd.Index(init.module.batches).get_indexer(pd.Index(module.batches)).astype(np.int64)
    named, old = module.feature_axes(), network_of(init.module, parameter="init").state_dict()
    state = module.state_dict()
    for name, start in state.items():
        if name not in old or old[name].dim() != start.dim():
            raise _other_shape(name, tuple(start.shape), tuple(old[name].shape) if name in old else None)
        found = old[name].cpu()
        for axis in range(start.dim()):
            what, times = named[name].get(axis, ("", 1))
            if what:
                found = _gathered(found, start, axis, _repeated(places[what], times, len(_names(init, what))))
        if found.shape != start.shape:
            raise _other_shape(name, tuple(start.shape), tuple(old[name].shape))
        state[name] = found
    module.load_state_dict(state)
    return {name: {"found": int((places[name] >= 0).sum()), "of": len(names)} for name, names in features.items()}


def said(coverage: dict[str, dict[str, int]]) -> list[str]:
    """What a user should be told about genes that the first model does not know."""
    return [
        f"init knows {c['found']} of {c['of']} features of {name!r} ({c['found'] / c['of']:.0%}); the others start at zero."
        for name, c in coverage.items()
        if c["found"] < c["of"]
    ]


def _refuse_others(module: Network, features: Mapping[str, np.ndarray], init: Model) -> None:
    if init.method != module.spec.name:
        msg = f"init was made by method {init.method!r}, this call trains {module.spec.name!r}."
        fix = f"Pass method={init.method!r}; for labels on it call ssl.tl.finetune."
        raise InputError(msg, code="init_of_another_method", parameter="init", fix=fix)
    if not module.spec.trains:
        msg = f"method {init.method!r} is not trained step by step: a start makes no difference to it."
        raise InputError(msg, code="init_not_trained", parameter="init", fix="Leave init out.")
    if list(features) != list(init.features):
        msg = f"init has the modalities {listed(list(init.features))}, the data {listed(list(features))}."
        raise InputError(msg, code="init_of_other_modalities", parameter="init", fix="Pass modalities=.")


def _places(modality: str, names: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For each gene its place in the first model, -1 where that does not know it."""
    new, old = pd.Index(names), pd.Index(known)
    places = old.get_indexer(new).astype(np.int64)
    share = float((places >= 0).mean())
    if share < LEAST:
        msg = (
            f"init knows only {int((places >= 0).sum())} of the {len(new)} features of {modality!r} ({share:.1%}, at least "
            f"{LEAST:.0%} are needed). First of the data: {listed(new.tolist()[:5])}; of init: {listed(old.tolist()[:5])}. "
            f"The data have {kind(new)}, init has {kind(old)}."
        )
        fix = "Bring the names to the same kind, or pass mask_by=None so that more genes are shared."
        raise InputError(msg, code="init_knows_too_few_genes", parameter="init", fix=fix)
    return places


def _names(init: Model, what: str) -> Any:
    return init.module.batches if what == BATCHES else init.features[what]


def _repeated(places: np.ndarray, times: int, n_old: int) -> np.ndarray:
    """Places along an axis that holds all features several times, one block after the other."""
    blocks = [np.where(places < 0, -1, places + i * n_old) for i in range(times)]
    return np.concatenate(blocks)


def _gathered(old: torch.Tensor, start: torch.Tensor, axis: int, places: np.ndarray) -> torch.Tensor:
    """Entries of `old` along an axis at `places`; where there is none zero for inputs, for outputs as they start."""
    index = torch.from_numpy(places)
    shape = [*old.shape]
    shape[axis] = len(places)
    found = start.cpu().clone() if axis == 0 and tuple(shape) == tuple(start.shape) else old.new_zeros(shape)
    there = torch.nonzero(index >= 0).squeeze(1)
    return found.index_copy(axis, there, old.index_select(axis, index[there]))


def _other_shape(name: str, new: tuple[int, ...], old: tuple[int, ...] | None) -> InputError:
    has = f"has shape {old} in init" if old is not None else "is not in init"
    msg = f"init has other layers than this call asks for: {name!r} {has} and {new} here."
    fix = "Pass the configuration of init, e.g. hidden= and width=; init.record['config'] holds it."
    return InputError(msg, code="init_of_another_shape", parameter="init", fix=fix)

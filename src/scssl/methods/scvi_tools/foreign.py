"""Folders that scvi-tools wrote (``model.pt``), read as states. They are pickles: only with trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scssl._errors import CheckpointError
from scssl.methods._base import State
from scssl.methods.scvi_tools.quiet import quietly
from scssl.methods.scvi_tools.state import copied, described
from scssl.methods.scvi_tools.table import TOOLS
from scssl.methods.scvi_tools.tool import checked

if TYPE_CHECKING:
    import os

    import pandas as pd

    from scssl._types import Json
    from scssl.methods.scvi_tools.tool import Plain, Tool

_UNREAD = ("size_factor_key", "categorical_covariate_keys", "continuous_covariate_keys", "panel_key")
_NOT_OURS = ("adata", "registry", "datamodule", "unlabeled_category", "pretrained_model", "n_genes", "n_regions")


def read_saved(folder: str | os.PathLike[str], *, trust: bool = False, prefix: str = "") -> State:
    """Read what ``model.save`` of scvi-tools wrote.

    Parameters
    ----------
    trust
        Whether the file comes from somebody you trust: it is a pickle, and opening it runs code that is in it.

    Raises
    ------
    CheckpointError
        Without trust; if the folder holds no model; if the model reads something that scssl does not hand on.
    """
    file = Path(folder) / f"{prefix}model.pt"
    if not file.is_file():
        msg = f"{file} does not exist: {folder} is no folder that scvi-tools 0.15 or later wrote."
        raise CheckpointError(msg, code="no_model", parameter="path")
    if not trust:
        msg = f"{file} is a pickle: opening it runs whatever code its author put into it."
        fix = "Pass trust=True if you know where the file comes from; models that scssl saves need no trust."
        raise CheckpointError(msg, code="untrusted", parameter="trust", fix=fix)
    with quietly():
        from scvi.model.base._save_load import _load_saved_files  # their public `load` wants the cells as well

        attributes, features, tensors, _ = _load_saved_files(
            str(folder), load_adata=False, prefix=prefix, map_location="cpu"
        )
    tensors.pop("pyro_param_store", None)
    registry = attributes["registry_"]
    tool = _tool_of(registry, file)
    meta = described(
        tool,
        checked(_init(attributes["init_params_"])),
        features=_features(tool, features, registry, file),
        batches=_categories(registry, "batch"),
        labels=_categories(registry, "labels")[:-1] if "labels" in tool.needs else [],
    )
    return State(copied(tensors), {**meta, "version": str(registry["scvi_version"])})


def _tool_of(registry: Json, file: Path) -> Tool:
    """The model, if it was set up with nothing but what a shell has."""
    classes = {tool.path.partition(":")[2]: tool for tool in TOOLS.values()}
    name, setup = registry["model_name"], registry["setup_args"]
    if name not in classes:
        msg = f"{file} holds a {name}; scssl reads {', '.join(classes)}."
        raise CheckpointError(msg, code="unknown_model", parameter="path")
    more = [key for key in _UNREAD if setup.get(key)]
    if more:
        msg = f"{file} was set up with {', '.join(f'{key}={setup[key]!r}' for key in more)}, which scssl does not hand on."
        raise CheckpointError(msg, code="unread_columns", parameter="path")
    return classes[name]


def _init(params: dict[str, Json]) -> dict[str, Plain]:
    """Arguments of the class as plain values."""
    named = {**params["non_kwargs"], **{name: v for group in params["kwargs"].values() for name, v in group.items()}}
    plain = {name: v.item() if isinstance(v, np.generic) else v for name, v in named.items() if name not in _NOT_OURS}
    return {name: v for name, v in plain.items() if not isinstance(v, np.ndarray)}  # SysVI's cells of the prior


def _features(tool: Tool, names: pd.Index, registry: Json, file: Path) -> dict[str, list[str]]:
    """Names of the features by our names of the modalities."""
    if len(tool.modalities) == 1:
        return {tool.modalities[0]: list(map(str, names))}
    theirs = {k.removesuffix("_layer"): v for k, v in (registry["setup_args"].get("modalities") or {}).items() if v}
    theirs = {k: v for k, v in theirs.items() if k in ("rna", "protein", "atac")}
    if isinstance(names, dict) and set(theirs) == set(tool.modalities):
        return {modality: list(map(str, names[theirs[modality]])) for modality in tool.modalities}
    if tool.modalities == ("rna", "protein") and not theirs:  # proteins in obsm
        proteins = registry["field_registries"]["proteins"]["state_registry"]["column_names"]
        return {"rna": list(map(str, names)), "protein": list(map(str, proteins))}
    msg = f"{file} has the modalities {', '.join(theirs) or 'of an older format'}; scssl reads {', '.join(tool.modalities)}."
    raise CheckpointError(msg, code="unknown_modalities", parameter="path")


def _categories(registry: Json, field: str) -> list[str]:
    """Names of the categories; none where the model was set up without the column."""
    found = registry["field_registries"][field]["state_registry"]
    given = not str(found["original_key"]).startswith("_scvi_")
    return list(map(str, found["categorical_mapping"])) if given else []

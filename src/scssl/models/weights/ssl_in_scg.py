"""Weights that others published, read without running any code, as a :class:`~scssl.Model`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor, nn

from scssl import _files
from scssl._errors import CheckpointError, InputError
from scssl._registry import METHODS
from scssl._words import listed
from scssl.methods._network import network_of
from scssl.models.model import Model
from scssl.models.record import Record
from scssl.train.device import seeded

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from scssl._types import Json
    from scssl.methods._network import Network

SSL_IN_SCG = "ssl_in_scg"
GENE_FILES = ("var.parquet", "var.csv")
GENE_NAMES = ("feature_id", "feature_name")
TOTAL = 1e4

_KEY = re.compile(r"^(?:.*\.)?(encoder|decoder|backbone)\.(?:\w+\.)*?(\d+)\.(weight|bias)$")


def read(path: Path, *, genes: Path | None, gene_names: str) -> Model:
    """A checkpoint with the genes in the order of its input, see :func:`scssl.load_pretrained`."""
    file = path
    layers = _layers(_tensors(file))
    names = _gene_order(_beside(file) if genes is None else genes, gene_names)
    config = _architecture(file, layers, len(names))
    method = "mae" if "decoder" in layers else "barlow_twins"
    kind = METHODS.get(method)
    if method == "mae":
        config |= {"output": "sigmoid"}
    with seeded(0, torch.device("cpu")):  # the projection head, which no embedding goes through
        made = kind(kind.configure("paper", **config), {"rna": len(names)})
    module = network_of(made, parameter="path")
    _fill(file, module, layers)
    return Model(module.eval(), {"rna": names}, _record(file, module, names), pd.DataFrame())


def _broken(message: str, fix: str = "") -> CheckpointError:
    return CheckpointError(message, code="damaged_model", parameter="path", fix=fix)


def _tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by name; of a Lightning checkpoint those of the module."""
    if not file.is_file():
        msg = f"path={str(file)!r} is not a file."
        raise _broken(msg, "Pass a checkpoint, e.g. what ssl.datasets.pretrained('ssl_in_scg/random_mask') returned.")
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if "global" in str(error).lower():
            msg = (
                f"{file} holds more than tensors, and reading that could run code of whoever made it; nothing was run."
            )
            fix = "Get the file from where it was published, or ask its makers for the bare tensors."
            raise _broken(msg, fix) from error
        msg = f"{file} ({file.stat().st_size} bytes) cannot be read: {type(error).__name__} {str(error)[:200]}"
        raise _broken(msg, "Download it again.") from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        msg = f"{file} holds {type(loaded).__name__}, not the tensors of a network by name."
        raise _broken(msg)
    other = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if other:
        msg = f"{file} holds what are no tensors: {listed(other)}."
        raise _broken(msg)
    return {str(name): value for name, value in state.items()}


def _layers(tensors: Mapping[str, Tensor]) -> dict[str, list[dict[str, Tensor]]]:
    """Weights and biases of encoder and decoder, layer by layer."""
    found: dict[str, dict[int, dict[str, Tensor]]] = {}
    strange = [name for name in tensors if not _KEY.match(name)]
    for name, value in tensors.items():
        if match := _KEY.match(name):
            part, index, what = match.groups()
            layer = found.setdefault("decoder" if part == "decoder" else "encoder", {}).setdefault(int(index), {})
            if what in layer:
                strange.append(name)
            layer[what] = value
    lacking = [f"{part}.{i}" for part, layers in found.items() for i, layer in layers.items() if len(layer) < 2]
    odd = [n for n, v in tensors.items() if (m := _KEY.match(n)) and v.ndim != (2 if m.group(3) == "weight" else 1)]
    if strange or lacking or odd or "encoder" not in found:
        msg = "The checkpoint is not laid out as that of an encoder and a decoder. Tensors without a place: "
        msg += f"{listed(strange)}. Layers without weight or bias: {listed(lacking)}. Of another shape: {listed(odd)}."
        raise _broken(msg + ("" if "encoder" in found else " There is no encoder."), f"format={SSL_IN_SCG!r} is read.")
    return {part: [layers[i] for i in sorted(layers)] for part, layers in found.items()}


def _architecture(file: Path, layers: Mapping[str, list[dict[str, Tensor]]], n_genes: int) -> Json:
    """The configuration that the shapes of the encoder tell."""
    shapes = [tuple(layer["weight"].shape) for layer in layers["encoder"]]
    if shapes[0][1] != n_genes:
        msg = f"The weights in {file} take {shapes[0][1]} genes, the table of genes has {n_genes}."
        fix = "Pass the table that was published with the weights: genes='var.parquet'."
        raise InputError(msg, code="wrong_genes", parameter="genes", fix=fix)
    *hidden, width = (after for after, _ in shapes)
    return {"hidden": tuple(hidden), "width": width, "total": TOTAL, **ENCODER}


ENCODER: dict[str, Any] = {"activation": "selu", "hidden_dropout": 0.1, "batch_norm": "none"}


def _fill(file: Path, module: nn.Module, layers: Mapping[str, list[dict[str, Tensor]]]) -> None:
    """Put every tensor in its place.

    Raises
    ------
    CheckpointError
        If the shapes of a layer differ, or layers are missing or left over.
    """
    wrong = []
    for part, given in layers.items():
        own = [layer for layer in getattr(module, part).parts[0] if isinstance(layer, nn.Linear)]
        for i in range(max(len(own), len(given))):
            for name in ("weight", "bias"):
                mine = tuple(getattr(own[i], name).shape) if i < len(own) else None
                theirs = tuple(given[i][name].shape) if i < len(given) else None
                if mine != theirs:
                    wrong.append(f"{part} layer {i + 1} {name}: {theirs or 'absent'}, expected {mine or 'none'}")
    if wrong:
        msg = f"{file} does not fit an encoder and its mirror image: {'; '.join(wrong)}."
        raise _broken(msg, "Decoders of counts (twice as many outputs as genes) are not read.")
    with torch.no_grad():
        for part, given in layers.items():
            own = [layer for layer in getattr(module, part).parts[0] if isinstance(layer, nn.Linear)]
            for layer, tensors in zip(own, given, strict=True):
                layer.weight.copy_(tensors["weight"])
                layer.bias.copy_(tensors["bias"])
    bad = [name for name, value in module.state_dict().items() if not bool(torch.isfinite(value).all())]
    if bad:
        msg = f"{file} holds values that are not finite: {listed(bad)}."
        raise _broken(msg, "Download it again.")


def _beside(file: Path) -> Path:
    for name in GENE_FILES:
        if (file.parent / name).is_file():
            return file.parent / name
    msg = f"There is no {GENE_FILES[0]} beside {file}: nothing says which genes the weights are for."
    raise InputError(
        msg, code="no_such_file", parameter="genes", fix="Pass genes=, the table published with the weights."
    )


def _gene_order(file: Path, column: str) -> np.ndarray:
    """Names of the genes in the order of the input."""
    if not file.is_file():
        msg = f"genes={str(file)!r} is not a file."
        raise InputError(msg, code="no_such_file", parameter="genes")
    try:
        table = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except ImportError as error:
        msg = f"{file} is a parquet file, and neither pyarrow nor fastparquet is installed to read it."
        fix = "pip install pyarrow (or 'scssl[pretrained]'); or pass genes= a csv table with the same columns."
        raise InputError(msg, code="needs_pyarrow", parameter="genes", fix=fix) from error
    except Exception as error:
        msg = f"{file} cannot be read as a table of genes: {type(error).__name__} {str(error)[:200]}"
        raise InputError(msg, code="wrong_genes", parameter="genes") from error
    if column not in table:
        msg = f"{file} has no column {column!r}, it has {listed([str(c) for c in table.columns])}."
        raise InputError(msg, code="wrong_genes", parameter="gene_names", fix=f"Known: {listed(list(GENE_NAMES))}.")
    names = table[column].astype(str)
    if not names.is_unique:
        twice = names[names.duplicated()].unique().tolist()
        msg = f"Column {column!r} of {file} holds {len(twice)} names more than once: {listed(twice, 5)}."
        raise InputError(msg, code="wrong_genes", parameter="gene_names", fix=f"Use gene_names={GENE_NAMES[0]!r}.")
    return names.to_numpy(dtype=str)


def _record(file: Path, module: Network, names: np.ndarray) -> Json:
    """The record of a model that was trained elsewhere: what is not known is zero or empty."""
    plain, digest = module.plain_config(), _files.sha256(file)
    record = Record(
        method=module.spec.name,
        preset="paper",
        config=_files.canonical(plain),
        config_id=_files.fingerprint([module.spec.name, plain, digest], 12),
        seed=0,
        layer="",
        batch_key="",
        within_batch="off",
        n_obs=0,
        var_hash=_files.fingerprint({"rna": names.tolist()}),
        data_id=digest[:16],
        epochs=0,
        seconds=0.0,
        device="cpu",
        n_vars=len(names),
        path=str(file),
        warnings="Trained elsewhere; how is not known to scssl.",
        source=_files.canonical({"file": file.name, "sha256": digest, "format": SSL_IN_SCG}),
    )
    return record.plain()

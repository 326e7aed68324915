"""Models as folders: weights as safetensors, all else as JSON with hashes, a card; never pickle."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scssl
from scssl import _files
from scssl._errors import CheckpointError, InputError
from scssl.methods._base import State
from scssl.models.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from scssl.methods._base import Method

FORMAT = 1
WEIGHTS, MANIFEST, CARD = "model.safetensors", "manifest.json", "README.md"
NEEDED = ("method", "config", "features", "record", "history", "files")
TYPES = (
    {
        "method": str,
        "config": dict,
        "features": dict,
        "record": dict,
        "history": dict,
        "files": dict,
    }
    | dict.fromkeys(("batches", "classes"), list)
    | {"state": dict}
)
RECORDED = tuple(f.name for f in fields(Record) if f.default is MISSING)
"""Fields without which a record says nothing about its model."""
PICKLES = frozenset({".pt", ".pth", ".pkl", ".ckpt", ".npy"})


def write(
    target: Path, weights: Mapping[str, Any], about: Mapping[str, Any], *, card: str, overwrite: bool = False
) -> None:
    """Write a model into a folder, which appears complete or not at all.

    Parameters
    ----------
    target
        The folder.
    weights
        Tensors or arrays by name.
    about
        What the manifest says, besides format, version and hashes.
    card
        What the page for people says.
    overwrite
        Whether a model that is there may be replaced.

    Raises
    ------
    InputError
        If something exists there and `overwrite` is false, or is not a model.
    """
    import torch
    from safetensors.torch import save_file

    if target.exists() and not (overwrite and (target / MANIFEST).exists()):
        msg = f"path={str(target)!r} exists already."
        fix = "Pass overwrite=True." if (target / MANIFEST).exists() else "It is not a saved model: choose another."
        raise InputError(msg, code="path_exists", parameter="path", fix=fix)
    with _files.atomic(target) as folder:
        folder.mkdir()
        file = folder / WEIGHTS
        save_file({name: torch.as_tensor(value).cpu().contiguous() for name, value in weights.items()}, file)
        files = {WEIGHTS: {"bytes": file.stat().st_size, "sha256": _files.sha256(file)}}
        manifest = {"format": FORMAT, "version": scssl.__version__, **about, "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        (folder / CARD).write_text(card, encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a folder whose files are what it says.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged (size and SHA-256 are checked) or of a newer format.
    """
    manifest = _read_manifest(folder)
    _verify(folder, manifest["files"])
    return manifest


def restored(
    kind: type[Method],
    config: Any,
    genes: Mapping[str, np.ndarray],
    codes: Mapping[str, Sequence[str]],
    *,
    folder: Path,
    manifest: Mapping[str, Any],
) -> Method:
    """The fitted method of a folder; every weight has to find its place.

    Raises
    ------
    CheckpointError
        If the weights do not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / WEIGHTS
    try:
        return kind.restored(config, genes, codes, State(load_file(file), manifest.get("state", {})))
    except (SafetensorError, RuntimeError, KeyError) as error:
        msg = f"{file} does not fit the method that its manifest names: {' '.join(str(error).split())[:500]}"
        raise _damaged(msg) from error


def _damaged(message: str, fix: str = "Copy the folder again from where it was saved.") -> CheckpointError:
    return CheckpointError(message, code="damaged_model", parameter="path", fix=fix)


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    if folder.suffix in PICKLES:
        msg = f"path={str(folder)!r} looks like a pickle: files that can run code are not read, by design."
        raise _damaged(msg, "Pass a folder written by Model.save; published weights go through ssl.load_pretrained.")
    if not file.is_file():
        why = (
            f"it has no {MANIFEST}"
            if folder.is_dir()
            else "it is a file"
            if folder.exists()
            else "there is no such folder"
        )
        msg = f"path={str(folder)!r} is not a saved model: {why}."
        raise _damaged(msg, "Pass a folder written by Model.save.")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        number = manifest["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        msg = f"{file} cannot be read: {type(error).__name__} {error}."
        raise _damaged(msg) from error
    if number != FORMAT or isinstance(number, bool):
        msg = (
            f"{folder} has model format {number!r}; this version of scssl ({scssl.__version__}) reads format {FORMAT}."
        )
        newer = isinstance(number, int | float) and number > FORMAT
        fix = "Install a newer scssl." if newer else "Copy the folder again from where it was saved."
        raise CheckpointError(msg, code="unknown_format", parameter="path", fix=fix)
    missing = [key for key in NEEDED if key not in manifest]
    if missing:
        msg = f"{file} lacks {', '.join(missing)}."
        raise _damaged(msg)
    if wrong := [*_wrong_types(manifest), *_contradictions(manifest)]:
        msg = f"{file} was changed, or is not what Model.save wrote: {'; '.join(wrong)}."
        raise _damaged(msg)
    return manifest


def _wrong_types(manifest: Mapping[str, Any]) -> list[str]:
    """What is not of the type that it was written as."""
    found = [
        f"{key} is of type {type(manifest[key]).__name__}, expected {kind.__name__}"
        for key, kind in TYPES.items()
        if key in manifest and not isinstance(manifest[key], kind)
    ]
    names = {f"features of {name!r}": part for name, part in _dict_of(manifest["features"]).items()}
    names |= {key: manifest[key] for key in ("batches", "classes") if isinstance(manifest.get(key), list)}
    for what, part in names.items():
        if not isinstance(part, list) or not all(isinstance(name, str) for name in part):
            found.append(f"{what} are no list of names")
        elif len(set(part)) < len(part):
            found.append(f"{what} hold {len(part) - len(set(part))} names twice")
    return found


def _contradictions(manifest: Mapping[str, Any]) -> list[str]:
    """Where the record of the model says otherwise: the names and the order of the genes, above all, have no other guard."""
    record, features = _dict_of(manifest["record"]), manifest["features"]
    lacking = [key for key in RECORDED if key not in record]
    found = [f"the record lacks {', '.join(lacking)}"] if lacking else []
    if "var_hash" in record and record["var_hash"] != _files.fingerprint(features):
        found.append("names or order of the features are not those of the record")
    if "method" in record and record["method"] != manifest["method"]:
        found.append(
            f"it does not fit the method that it names: {manifest['method']!r}, and {record['method']!r} in the record"
        )
    columns = _dict_of(manifest["history"]).values()
    if len({len(column) if isinstance(column, list) else -1 for column in columns}) > 1:
        found.append("columns of the history differ in length")
    return found


def _dict_of(value: Any) -> dict[Any, Any]:
    """The value if it is a dictionary, else an empty one."""
    return value if isinstance(value, dict) else {}


def _verify(folder: Path, files: Mapping[str, Any]) -> None:
    for name in {WEIGHTS, *files}:
        file, known = folder / Path(name).name, _dict_of(files.get(name))
        if not file.is_file() or not {"bytes", "sha256"} <= known.keys():
            msg = f"{folder} has no {name}, or its manifest does not list it with size and SHA-256."
            raise _damaged(msg)
        size = file.stat().st_size
        if size != known["bytes"]:
            msg = f"{file} has {size} bytes, its manifest says {known['bytes']}."
            raise _damaged(msg)
        if _files.sha256(file) != known["sha256"]:
            msg = f"{file} was changed: its SHA-256 is not the one in the manifest."
            raise _damaged(msg)

"""Models as folders: weights as safetensors, all else as JSON with hashes, a card; never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scssl
from scssl import _files
from scssl._errors import CheckpointError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

FORMAT = 1
WEIGHTS, MANIFEST, CARD = "model.safetensors", "manifest.json", "README.md"
NEEDED = ("method", "config", "features", "record", "history", "files")


def write(
    target: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any], *, card: str, overwrite: bool = False
) -> None:
    """Write a model into a folder, which appears complete or not at all.

    Parameters
    ----------
    target
        The folder.
    weights
        Tensors by name.
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
    from safetensors.torch import save_file

    if target.exists() and not (overwrite and (target / MANIFEST).exists()):
        msg = f"path={str(target)!r} exists already."
        fix = "Pass overwrite=True." if (target / MANIFEST).exists() else "It is not a saved model: choose another."
        raise InputError(msg, code="path_exists", parameter="path", fix=fix)
    with _files.atomic(target) as folder:
        folder.mkdir()
        file = folder / WEIGHTS
        save_file({name: value.cpu().contiguous() for name, value in weights.items()}, file)
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


def fill(module: nn.Module, folder: Path) -> None:
    """Put the weights of a folder into a module.

    Raises
    ------
    CheckpointError
        If they do not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / WEIGHTS
    try:
        module.load_state_dict(load_file(file), strict=True)
    except (SafetensorError, RuntimeError) as error:
        msg = f"{file} does not fit the method that its manifest names: {error}"
        raise _damaged(msg) from error


def _damaged(message: str, fix: str = "Copy the folder again from where it was saved.") -> CheckpointError:
    return CheckpointError(message, code="damaged_model", parameter="path", fix=fix)


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    if folder.suffix in {".pt", ".pth", ".pkl", ".ckpt", ".npy"}:
        msg = f"path={str(folder)!r} looks like a pickle: files that can run code are not read, by design."
        raise _damaged(msg, "Pass a folder written by Model.save.")
    if not file.exists():
        why = f"it has no {MANIFEST}" if folder.is_dir() else "there is no such folder"
        msg = f"path={str(folder)!r} is not a saved model: {why}."
        raise _damaged(msg, "Pass a folder written by Model.save.")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        number = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{file} cannot be read: {type(error).__name__} {error}."
        raise _damaged(msg) from error
    if number != FORMAT:
        msg = f"{folder} has model format {number}; this version of scssl ({scssl.__version__}) reads format {FORMAT}."
        raise CheckpointError(msg, code="unknown_format", parameter="path", fix="Install a newer scssl.")
    missing = [key for key in NEEDED if key not in manifest]
    if missing:
        msg = f"{file} lacks {', '.join(missing)}."
        raise _damaged(msg)
    return manifest


def _verify(folder: Path, files: Mapping[str, Any]) -> None:
    for name in {WEIGHTS, *files}:
        file = folder / Path(name).name
        if not file.exists() or name not in files:
            msg = f"{folder} has no {name}, or its manifest does not list it."
            raise _damaged(msg)
        size = file.stat().st_size
        if size != files[name]["bytes"]:
            msg = f"{file} has {size} bytes, its manifest says {files[name]['bytes']}."
            raise _damaged(msg)
        if _files.sha256(file) != files[name]["sha256"]:
            msg = f"{file} was changed: its SHA-256 is not the one in the manifest."
            raise _damaged(msg)

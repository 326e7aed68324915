"""Writing files so that a reader sees the old content or the new one, never a part; and hashes of content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def _sync(path: Path) -> None:
    """Force a file or folder to the disk (folders cannot be opened on every platform)."""
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) if path.is_dir() else os.O_RDONLY
    try:
        handle = os.open(path, flags)
    except PermissionError:  # Windows refuses to open folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sibling(path: Path, mark: str) -> Path:
    return path.with_name(f".{path.name}.{mark}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success it replaces `path`, on any error nothing is left behind.

    Works for a file and, if the block makes the temporary path a folder, for a folder.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(target, "tmp")
    try:
        yield temporary
        for part in (temporary, *temporary.rglob("*")) if temporary.is_dir() else (temporary,):
            _sync(part)
        _replace(temporary, target)
        _sync(target.parent)
    finally:
        _remove(temporary)


def _replace(new: Path, target: Path) -> None:
    if not (new.is_dir() and target.exists()):
        new.replace(target)
        return
    # a folder cannot replace a non-empty folder in one call: park the old one, put it back if the swap fails
    parked = _sibling(target, "old")
    target.replace(parked)
    try:
        new.replace(target)
    except BaseException:
        parked.replace(target)
        raise
    _remove(parked)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text atomically as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces: the same text for the same content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def fingerprint(value: object, length: int = 16) -> str:
    """Short SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the content of a file."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

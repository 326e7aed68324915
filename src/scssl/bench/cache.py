"""Results on disk: one record per cell, one folder per embedding, each committed as a whole and checked when read."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scssl import _files, _results
from scssl._errors import CheckpointError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from scssl._types import Json
    from scssl.models.model import Model

FORMAT = 1
CELLS, MODELS, LOCKS = "cells", "models", "locks"
_EMBEDDING, _ABOUT, _MODEL = "embedding.npy", "about.json", "model"
_LEFT_OUT = {"data", "key"}  # what the table calls data and line is no part of a result


@dataclass(frozen=True)
class Record:
    """The rows of one cell, and the hash of them."""

    rows: list[dict[str, Any]]
    sha256: str

    @property
    def failed(self) -> bool:
        """Whether nothing was measured, for a reason that another try may do away with."""
        return all(row["status"] in (_results.FAILED, _results.TIMEOUT) for row in self.rows)


@dataclass(frozen=True)
class Embedded:
    """The embedding of one model, and what is known about its making: columns of the result rows."""

    embedding: np.ndarray
    about: dict[str, Any]


class Cache:
    """A folder of results that any number of processes may use at once.

    Parameters
    ----------
    folder
        Where; made when first written to.

    Notes
    -----
    ``cells/<id>.json`` holds the rows of a cell, ``models/<id>/`` the embedding and the model it came from, both with
    their SHA-256. Everything appears by one rename, complete or not at all. Identifiers are hashes of all that decides
    the content, so that nothing in the folder is ever out of date; what is not asked for any more may be deleted.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.damaged: list[str] = []
        """What was found and could not be trusted, in words."""

    def read(self, cell_id: str) -> Record | None:
        """The record of a cell; nothing if it is absent or not what was written."""
        file = self._cell(cell_id)
        try:
            return _checked(json.loads(file.read_text(encoding="utf-8")), cell_id)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            self._distrust(file, error)
            return None

    def write(self, cell_id: str, rows: Sequence[Json]) -> None:
        """Commit the rows of a cell."""
        plain = [{k: _json(v) for k, v in row.items() if k not in _LEFT_OUT} for row in rows]
        record = {"format": FORMAT, "cell_id": cell_id, "sha256": _files.fingerprint(plain, 64), "rows": plain}
        _files.write_text(self._cell(cell_id), json.dumps(record, indent=1, allow_nan=False))

    def embedded(self, model_id: str) -> Embedded | None:
        """The embedding of a model; nothing if it is absent or not what was written."""
        folder = self.folder / MODELS / model_id
        try:
            held = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            if _files.sha256(folder / _EMBEDDING) != held["sha256"]:
                msg = "its embedding is not what was written"
                raise ValueError(msg)
            return Embedded(np.load(folder / _EMBEDDING, allow_pickle=False), held["about"])
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, OSError) as error:
            self._distrust(folder, error)
            return None

    def model(self, model_id: str) -> Model | None:
        """The model of an embedding; nothing if it is absent or cannot be trusted."""
        from scssl.models.model import load

        folder = self.folder / MODELS / model_id / _MODEL
        try:
            return load(folder) if folder.exists() else None
        except CheckpointError as error:
            self._distrust(folder, error)
            return None

    def keep(self, model_id: str, made: Embedded, model: Model | None) -> None:
        """Commit an embedding together with its model."""
        with _files.atomic(self.folder / MODELS / model_id) as folder:
            folder.mkdir()
            np.save(folder / _EMBEDDING, made.embedding, allow_pickle=False)
            if model is not None:
                model.save(folder / _MODEL)
            about = {"model_id": model_id, "about": made.about, "sha256": _files.sha256(folder / _EMBEDDING)}
            (folder / _ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")

    @contextmanager
    def lock(self, model_id: str) -> Iterator[bool]:
        """Whether this process may do the job now; the system frees the lock when its holder ends, however it ends."""
        from filelock import FileLock, Timeout

        (self.folder / LOCKS).mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCKS / f"{model_id}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def sweep(self, model_id: str, cell_ids: Sequence[str]) -> None:
        """Remove what a killed process left behind of a job; only for the holder of its lock."""
        for target in (self.folder / MODELS / model_id, *map(self._cell, cell_ids)):
            for stray in target.parent.glob(f".{target.name}.*-*"):
                shutil.rmtree(stray) if stray.is_dir() else stray.unlink(missing_ok=True)

    def _cell(self, cell_id: str) -> Path:
        return self.folder / CELLS / f"{cell_id}.json"

    def _distrust(self, path: Path, error: Exception) -> None:
        text = f"{path} ({type(error).__name__}: {error})"
        if text not in self.damaged:
            self.damaged.append(text)


def _checked(held: Json, cell_id: str) -> Record:
    """The record in a file, if it is what was written for this cell."""
    if (held["format"], held["cell_id"]) != (FORMAT, cell_id):
        msg = f"it is of format {held['format']} and of cell {held['cell_id']}"
        raise ValueError(msg)
    if not held["rows"] or _files.fingerprint(held["rows"], 64) != held["sha256"]:
        msg = "its content is not what was written"
        raise ValueError(msg)
    return Record([{k: math.nan if v is None else v for k, v in row.items()} for row in held["rows"]], held["sha256"])


def _json(value: object) -> object:
    """A value of a row as JSON has it: numbers of Python, ``null`` for NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value

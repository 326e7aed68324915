"""Published weights: downloaded when asked for, and never otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scssl import _clock, _files
from scssl._errors import DownloadError
from scssl._settings import info, settings
from scssl._words import unknown

if TYPE_CHECKING:
    import os

    from scssl._types import Json

HOST = "https://huggingface.co/TillR/sc_pretrained/resolve/main/Pretrained%20Models"
CHECKPOINTS = {
    "ssl_in_scg/random_mask": "RandomMask.ckpt",
    "ssl_in_scg/gp_mask": "GPMask.ckpt",
    "ssl_in_scg/barlow_twins": "BarlowTwins.ckpt",
}
GENES = "var.parquet"
SEEN = "seen.json"  # size and SHA-256 of every file when it was first downloaded


def pretrained(
    name: str, *, folder: str | os.PathLike[str] | None = None, url: str = HOST, progress: bool | None = None
) -> Path:
    """Download published weights and the table of their genes, once.

    Nothing is known here of what the files should be: size and SHA-256 are noted when they are first downloaded, and checked
    whenever they are used again.

    Parameters
    ----------
    name
        ``"ssl_in_scg/random_mask"``, ``"ssl_in_scg/gp_mask"`` or ``"ssl_in_scg/barlow_twins"``
        :cite:p:`richter2025delineating`.
    folder
        Where the files are kept; ``settings.datasetdir`` by default.
    url
        Where they are, without the name of the file.
    progress
        Show a progress bar; as ``settings.progress`` says by default.

    Returns
    -------
    pathlib.Path
        The checkpoint, for :func:`scssl.load_pretrained`; the table of genes is beside it.

    Raises
    ------
    KeyNotFoundError
        If there are no such weights.
    DownloadError
        If a download fails, or a file is not what it was when it was first downloaded.

    Examples
    --------
    >>> import scssl as ssl
    >>> path = ssl.datasets.pretrained("ssl_in_scg/gp_mask")  # doctest: +SKIP
    """
    if name not in CHECKPOINTS:
        raise unknown("name", name, list(CHECKPOINTS))  # noqa: EM101 - a word, not the sentence
    home = (settings.datasetdir if folder is None else Path(folder)) / name.partition("/")[0]
    for file in (GENES, CHECKPOINTS[name]):
        _fetched(home, file, f"{url.rstrip('/')}/{file}", progress=progress)
    return home / CHECKPOINTS[name]


def _fetched(home: Path, file: str, url: str, *, progress: bool | None) -> None:
    """Have a file that is the one first seen."""
    target, seen = home / file, _seen(home)
    if not target.exists():
        _download(url, target, progress=progress)
    found: dict[str, Any] = {"bytes": target.stat().st_size, "sha256": _files.sha256(target)}
    if file not in seen:
        _files.write_text(home / SEEN, json.dumps(seen | {file: {**found, "url": url, "seen": _clock.now()}}, indent=1))
        info(f"    {target}: {found['bytes']:,} bytes, SHA-256 {found['sha256']} (noted)")
        return
    known = {key: seen[file][key] for key in found}
    if found != known:
        msg = (
            f"{target} has {found['bytes']} bytes and SHA-256 {found['sha256'][:16]}..., when it was first downloaded "
        )
        msg += f"it had {known['bytes']} and {known['sha256'][:16]}...."
        fix = (
            f"If it was damaged here, delete it and download again; if the new one is meant, delete {home / SEEN} too."
        )
        raise DownloadError(msg, code="changed_file", parameter="name", fix=fix)


def _seen(home: Path) -> Json:
    file = home / SEEN
    if not file.exists():
        return {}
    try:
        seen = json.loads(file.read_text(encoding="utf-8"))
        return {
            name: {"bytes": int(about["bytes"]), "sha256": str(about["sha256"]), **about}
            for name, about in seen.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{file} cannot be read: {type(error).__name__} {error}."
        raise DownloadError(
            msg, code="changed_file", parameter="folder", fix="Delete it and the files beside it."
        ) from error


def _download(url: str, target: Path, *, progress: bool | None) -> None:
    import pooch

    shown = settings.progress is True if progress is None else progress
    try:
        with _files.atomic(target) as temporary:
            pooch.HTTPDownloader(progressbar=shown, timeout=60)(url, temporary, None)
    except (OSError, ValueError) as error:
        msg = f"{url} could not be downloaded: {type(error).__name__} {str(error)[:300]}"
        fix = f"Try again, or put the file there yourself: {target}."
        raise DownloadError(msg, code="download_failed", parameter="name", fix=fix) from error

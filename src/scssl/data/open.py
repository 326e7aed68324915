"""Files of cells: opened for reading by blocks, read as a whole, written."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scssl import _files
from scssl._errors import InputError
from scssl._validate import enforce
from scssl._validate.paths import usable
from scssl.data.calm import calm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import h5py

    from scssl._types import Data, Json


SUFFIXES = H5AD, ZARR, H5MU = (".h5ad", ".zarr", ".h5mu")


@contextmanager
def opened(path: Path) -> Iterator[Data]:
    """An h5ad, zarr or h5mu file, backed (only blocks of rows are ever read), closed at the end.

    Raises
    ------
    InputError
        If the file does not exist, is damaged, or is of another type.
    """
    suffix = _existing(path)
    with ExitStack() as until:
        yield _open(path, suffix, until)


def read(path: Path) -> Data:
    """An h5ad, zarr or h5mu file in memory.

    Raises
    ------
    InputError
        If the file does not exist, is damaged, or is of another type.
    """
    suffix = _existing(path)
    try:
        with calm():
            return getattr(import_module("mudata" if suffix == H5MU else "anndata"), f"read_{suffix[1:]}")(path)
    except (OSError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def write(data: object, path: Path) -> None:
    """Write an AnnData or MuData into a file of the type that the path names, as a whole or not at all."""
    with _files.atomic(path) as temporary, calm():
        getattr(data, f"write_{_suffix(path, parameter='out')[1:]}")(temporary)


def fits(data: Path, out: Path) -> None:
    """Refuse a file to write that cannot hold what is read.

    Raises
    ------
    InputError
        If one of the two can hold several modalities and the other cannot, or the type of one is unknown.
    """
    held, asked = (_suffix(path, parameter=name) == H5MU for path, name in ((data, "data"), (out, "out")))
    if held != asked:
        what = "a MuData" if held else "an AnnData"
        msg = f"out={str(out)!r} ends in {out.suffix!r}, and {str(data)!r} holds {what}."
        fix = f"Pass --out {out.with_suffix(H5MU if held else H5AD)}."
        raise InputError(msg, code="unknown_file_type", parameter="out", fix=fix)


def _existing(path: Path) -> str:
    enforce(usable(path, parameter="data"))
    if not path.exists():
        msg = f"There is no file {str(path)!r} (looked in {path.absolute().parent})."
        raise InputError(msg, code="no_file", parameter="data", fix="Pass the path of an .h5ad, .zarr or .h5mu file.")
    return _suffix(path, parameter="data")


def _suffix(path: Path, *, parameter: str) -> str:
    """The type of a file, by its name."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        msg = f"{parameter}={str(path)!r} ends in {path.suffix!r}, expected one of {', '.join(SUFFIXES)}."
        fix = "Write it with adata.write_h5ad(path)."
        raise InputError(msg, code="unknown_file_type", parameter=parameter, fix=fix)
    return suffix


def _damaged(path: Path, error: Exception) -> InputError:
    msg = f"{str(path)!r} cannot be read as {path.suffix.lower()[1:]}: {error}."
    return InputError(msg, code="damaged_file", parameter="data", fix="Copy or write the file again.")


def _open(path: Path, suffix: str, until: ExitStack) -> Data:
    try:
        if suffix == H5MU:
            import mudata

            with calm():
                file = mudata.read_h5mu(path, backed="r")
            until.callback(file.file.close)
            return file
        if suffix == ZARR:
            import zarr

            return _lazy(zarr.open_group(path, mode="r"))
        import h5py

        file = until.enter_context(h5py.File(path, "r"))
        return _lazy(file) if "encoding-type" in file.attrs else _old(path, until)
    except (OSError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def _old(path: Path, until: ExitStack) -> Data:
    """A file of anndata before 0.7: its layers are read, its ``X`` is not."""
    import anndata

    file = anndata.read_h5ad(path, backed="r")
    until.callback(file.file.close)
    return file


def _lazy(group: h5py.Group) -> Any:
    """An AnnData whose matrices stay in the file: ``X``, layers, embeddings."""
    import anndata
    from anndata.io import read_elem, sparse_dataset

    def matrix(stored: Any) -> Any:
        return sparse_dataset(stored) if str(stored.attrs.get("encoding-type", "")).endswith("_matrix") else stored

    def embedding(stored: Any) -> Any:
        return stored if stored.attrs.get("encoding-type") == "array" else read_elem(stored)

    def each(name: str, read: Callable[[Any], Any]) -> Json:
        return {key: read(group[name][key]) for key in group[name]} if name in group else {}

    kept = {name: read_elem(group[name]) for name in ("obs", "var", "uns", "varm", "obsp") if name in group}
    stays = {"layers": each("layers", matrix), "obsm": each("obsm", embedding)}
    return anndata.AnnData(X=matrix(group["X"]) if "X" in group else None, **stays, **kept)

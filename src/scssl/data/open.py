"""Files opened for reading by blocks."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from scssl._errors import InputError
from scssl.data.calm import calm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


H5MU, ZARR = ".h5mu", ".zarr"
SUFFIXES = (".h5ad", ZARR, H5MU)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An h5ad, zarr or h5mu file, backed (only blocks of rows are ever read), closed at the end.

    Raises
    ------
    InputError
        If the file does not exist, is damaged, or is of another type.
    """
    if not path.exists():
        msg = f"There is no file {str(path)!r}."
        raise InputError(msg, code="no_file", parameter="data", fix="Pass the path of an .h5ad, .zarr or .h5mu file.")
    if path.suffix not in SUFFIXES:
        msg = f"data={str(path)!r} ends in {path.suffix!r}, expected one of {', '.join(SUFFIXES)}."
        raise InputError(msg, code="unknown_file_type", parameter="data", fix="Write it with adata.write_h5ad(path).")
    with ExitStack() as until:
        yield _open(path, until)


def _open(path: Path, until: ExitStack) -> Any:
    try:
        if path.suffix == H5MU:
            import mudata

            with calm():
                file = mudata.read_h5mu(path, backed="r")
            until.callback(file.file.close)
            return file
        if path.suffix == ZARR:
            import zarr

            return _lazy(zarr.open_group(path, mode="r"))
        import h5py

        file = until.enter_context(h5py.File(path, "r"))
        return _lazy(file) if "encoding-type" in file.attrs else _old(path, until)
    except (OSError, KeyError, ValueError) as error:
        msg = f"{str(path)!r} cannot be read: {error}."
        raise InputError(msg, code="damaged_file", parameter="data", fix="Copy or write the file again.") from error


def _old(path: Path, until: ExitStack) -> Any:
    """A file of anndata before 0.7: its layers are read, its ``X`` is not."""
    import anndata

    file = anndata.read_h5ad(path, backed="r")
    until.callback(file.file.close)
    return file


def _lazy(group: Any) -> Any:
    """An AnnData whose matrices stay in the file, layers too."""
    import anndata
    from anndata.io import read_elem, sparse_dataset

    def matrix(stored: Any) -> Any:
        return sparse_dataset(stored) if str(stored.attrs.get("encoding-type", "")).endswith("_matrix") else stored

    layers = {name: matrix(group["layers"][name]) for name in group["layers"]} if "layers" in group else {}
    kept = {name: read_elem(group[name]) for name in ("obs", "var", "uns", "obsp") if name in group}
    return anndata.AnnData(X=matrix(group["X"]) if "X" in group else None, layers=layers, **kept)

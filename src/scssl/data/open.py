"""Files opened for reading by blocks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scssl._errors import InputError
from scssl.data.calm import calm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An h5ad or h5mu file, backed (only blocks of rows are ever read), closed at the end.

    Raises
    ------
    InputError
        If the file does not exist, is damaged, or is of another type.
    """
    if not path.exists():
        msg = f"There is no file {str(path)!r}."
        raise InputError(msg, code="no_file", parameter="data", fix="Pass the path of an .h5ad or .h5mu file.")
    if path.suffix not in (".h5ad", ".h5mu"):
        msg = f"data={str(path)!r} ends in {path.suffix!r}, expected .h5ad or .h5mu."
        raise InputError(msg, code="unknown_file_type", parameter="data", fix="Write it with adata.write_h5ad(path).")
    file = _open(path)
    try:
        yield file
    finally:
        file.file.close()


def _open(path: Path) -> Any:
    try:
        if path.suffix == ".h5mu":
            import mudata

            with calm():
                return mudata.read_h5mu(path, backed="r")
        import anndata

        return anndata.read_h5ad(path, backed="r")
    except OSError as error:
        msg = f"{str(path)!r} cannot be read: {error}."
        raise InputError(msg, code="damaged_file", parameter="data", fix="Copy or write the file again.") from error

"""What a data set is, as a hash of its content: the same wherever and in whatever format it is stored; without torch."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl._parts import multimodal, parts
from scssl.data.columns import as_text, column
from scssl.data.matrix import by_blocks, csr
from scssl.data.stream import Stream, streamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import scipy.sparse as sp

    from scssl.data.cells import Cells


def data_id(
    data: object,
    *,
    layer: str | None = None,
    columns: Sequence[str | None] = (),
    modalities: Sequence[str] | None = None,
) -> str:
    """Hash of values, names of cells and genes, and of the `columns` of ``obs`` that were used.

    Parameters
    ----------
    data
        AnnData or MuData.
    layer
        The layer whose values count, ``X`` by default.
    columns
        Names of ``obs`` columns; ``None`` among them is skipped.
    modalities
        Modalities of a MuData that count; all by default.
    """
    digest = hashlib.blake2b(digest_size=8)
    found = parts(data)
    for modality in found if modalities is None or not multimodal(data) else modalities:
        part = found[modality]
        digest.update(f"{modality}:{part.n_obs}x{part.n_vars}".encode())
        if streamed(part, layer):
            _add_by_blocks(digest, partial(by_blocks, part, layer))
        else:
            _add(digest, csr(part, layer=layer))
        for index in (part.obs_names, part.var_names):
            digest.update(_hash(index))
    for name in columns:
        if name is not None:
            digest.update(name.encode() + _hash(as_text(column(data, name, parameter=name))))
    return digest.hexdigest()


def cells_id(cells: Cells) -> str:
    """Hash of everything that a graph of cells is made of: values of the selected genes, names and batches of the cells."""
    digest = hashlib.blake2b(digest_size=8)
    for modality, matrix in cells.matrices.items():
        digest.update(f"{modality}:{matrix.shape}".encode())
        if isinstance(matrix, Stream):
            _add_by_blocks(digest, matrix.blocks)
        else:
            _add(digest, matrix)
    for modality, there in cells.present.items():
        digest.update(modality.encode() + there.tobytes())
    digest.update(_hash(cells.names))
    if cells.batch is not None:
        digest.update(_hash(np.asarray(cells.batch_names, dtype=object)[cells.batch]))
    return digest.hexdigest()


def graph_id(graph: sp.csr_array) -> str:
    """Hash of the edges and weights of a graph."""
    digest = hashlib.blake2b(digest_size=8)
    _add(digest, graph)
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, matrix: sp.csr_array) -> None:
    for array in (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data):
        digest.update(np.ascontiguousarray(array).data)


def _add_by_blocks(digest: hashlib.blake2b, blocks: Callable[[], Iterator[sp.csr_array]]) -> None:
    """What :func:`_add` does, of a matrix that is larger than memory: three passes over it, one for each array."""
    end = np.zeros(1, dtype=np.int64)
    digest.update(end.data)
    for block in blocks():
        ends = end + block.indptr[1:]
        digest.update(np.ascontiguousarray(ends).data)
        end = ends[-1:]
    for block in blocks():
        digest.update(block.indices.astype(np.int64).data)
    for block in blocks():
        digest.update(np.ascontiguousarray(block.data).data)


def _hash(values: object) -> bytes:
    return pd.util.hash_array(np.asarray(values, dtype=object)).tobytes()

"""Partners of cells: which other cells a view may mix a cell with, as a sparse graph; without torch.

Entry ``(i, j)`` of a graph says that cell ``j`` may be mixed into cell ``i``. Graphs are directed and hold positions in
the whole data set, so that every cell has the partners that were found for it, wherever it stands.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from scssl import _keys, _sparse
from scssl._errors import InputError
from scssl._neighbors import nearest
from scssl.data.components import decompose
from scssl.data.identity import graph_id

if TYPE_CHECKING:
    from scssl.data.cells import Cells

KNN, BBKNN, MNN = KINDS = ("knn", "bbknn", "mnn")
COMPONENTS = 50
_COMPONENTS = "components"
Edges = tuple[np.ndarray, np.ndarray]


def partners(cells: Cells, kind: str, k: int) -> sp.csr_array:
    """The graph of a kind for the cells, from 50 principal components of all modalities.

    Modalities that some cells lack are left out, as long as one is complete: else cells would be alike because they lack
    the same.

    Parameters
    ----------
    cells
        Cells, with the selected genes; its batches are those that `kind` is about.
    kind
        ``"knn"``: the nearest cells of the same batch, of all cells if there are no batches. ``"bbknn"``: the nearest
        cells in each of the batches. ``"mnn"``: cells of other batches that are among each other's nearest, by cosine.
    k
        Number of nearest cells.

    Returns
    -------
    scipy.sparse.csr_array
        Ones, cells x cells; a cell is never its own partner. The same cells give the same graph.

    Raises
    ------
    InputError
        If `kind` needs batches, and there are not two.
    """
    check(cells, kind)
    x = _components(cells)
    batch = np.zeros(len(x), dtype=int) if cells.batch is None else cells.batch
    groups = [np.flatnonzero(batch == code) for code in np.unique(batch)]
    edges = {KNN: _within, BBKNN: _balanced, MNN: mutual}[kind](x, groups, k)
    rows, columns = (np.concatenate(side) for side in zip(*edges, strict=True))
    return _graph(rows, columns, len(x))


def _components(cells: Cells) -> np.ndarray:
    """Where the cells are, computed once for all graphs of a run."""
    if _COMPONENTS not in cells.known:
        complete = {name: matrix for name, matrix in cells.matrices.items() if name not in cells.present}
        cells.known[_COMPONENTS] = decompose(complete or cells.matrices, COMPONENTS).scores.astype(np.float32)
    return cells.known[_COMPONENTS]


def check(cells: Cells, kind: str) -> None:
    """Refuse a kind that looks across batches where there are not two of them."""
    if kind == KNN or len(cells.batch_names) > 1:
        return
    if cells.batch is None:
        there, fix = "no batch_key was given", "Pass batch_key=, e.g. 'batch', or use 'knn', which needs no batches."
    else:
        there, fix = f"there is one batch, {cells.batch_names[0]!r}", "Use 'knn', which needs no batches."
    msg = f"{kind!r} looks for partners across batches, and {there}."
    raise InputError(msg, code="needs_batch_key", parameter="batch_key", fix=fix)


def found(cells: Cells, kind: str, k: int) -> sp.csr_array:
    """The graph that :func:`scssl.pp.partners` left in the object, if it was made of these very cells and values; else a new one."""
    graph = stored(cells, kind, k)
    return partners(cells, kind, k) if graph is None else graph


def stored(cells: Cells, kind: str, k: int) -> sp.csr_array | None:
    """The graph that :func:`scssl.pp.partners` left in the object, if it was made of these very cells and values."""
    if cells.container is None:  # some of the cells of an object
        return None
    wanted = {"kind": kind, "k": k, "cells": cells.identity}
    for key, record in _keys.peek(cells.container).get(_keys.PARTNERS, {}).items():
        slot = _keys.partners(key)
        if slot in cells.container.obsp and all(record.get(name) == value for name, value in wanted.items()):
            graph = sp.csr_array(cells.container.obsp[slot])
            if graph_id(graph) == record["graph"]:
                return graph
    return None


def among(graph: sp.csr_array, there: np.ndarray) -> sp.csr_array:
    """The graph without the partners for which `there` is false."""
    kept = graph @ sp.diags_array(there.astype(np.float32))
    kept.eliminate_zeros()
    return kept


def _within(x: np.ndarray, groups: list[np.ndarray], k: int) -> list[Edges]:
    """Each cell and the nearest others of its group."""
    return [_own(x, cells, k) for cells in groups]


def _balanced(x: np.ndarray, groups: list[np.ndarray], k: int) -> list[Edges]:
    """Each cell and the nearest others of every group."""
    rest = (np.setdiff1d(np.arange(len(x)), cells, assume_unique=True) for cells in groups)
    return _within(x, groups, k) + [_across(x, other, cells, k) for other, cells in zip(rest, groups, strict=True)]


def mutual(x: np.ndarray, groups: list[np.ndarray], k: int) -> list[Edges]:
    """Pairs of cells of two groups of which each is among the nearest of the other; lengths of cells do not count."""
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(x.dtype).tiny)
    edges: list[Edges] = []
    for a, b in combinations(groups, 2):
        there, back = _graph(*_across(x, a, b, k), len(x)), _graph(*_across(x, b, a, k), len(x))
        first, second = there.multiply(back.T).nonzero()
        edges += [(first, second), (second, first)]
    return edges


def _own(x: np.ndarray, cells: np.ndarray, k: int) -> Edges:
    found = nearest(x[cells], k + 1).others
    return np.repeat(cells, found.k), cells[found.indices.ravel()]


def _across(x: np.ndarray, cells: np.ndarray, others: np.ndarray, k: int) -> Edges:
    found = nearest(x[others], k, query=x[cells])
    return np.repeat(cells, found.k), others[found.indices.ravel()]


def _graph(rows: np.ndarray, columns: np.ndarray, n: int) -> sp.csr_array:
    graph = _sparse.from_pairs(np.ones(len(rows), dtype=np.float32), rows, columns, shape=(n, n))
    graph.sort_indices()
    return graph

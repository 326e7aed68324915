from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import scssl
from scssl import _clock, _keys, _settings
from scssl._errors import InputError
from scssl._validate import enforce, names, objects
from scssl._validate.arguments import named as are_names
from scssl._validate.arguments import text as is_text
from scssl._words import unknown
from scssl.data import partners as graphs
from scssl.data.identity import graph_id
from scssl.data.matrix import handed_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Data
    from scssl._validate import Problem


def partners(
    data: AnnData | MuData,
    kind: str = graphs.MNN,
    *,
    k: int = 3,
    batch_key: str | None = None,
    layer: str | None = None,
    modalities: Sequence[str] | None = None,
    mask_by: str | None = _keys.HIGHLY_VARIABLE,
    key_added: str | None = None,
) -> None:
    """Find the cells that views may mix a cell with, and keep them as a graph that can be looked at.

    :func:`scssl.tl.fit` finds them by itself when a view needs them. It takes the graph that is stored here if it was made
    of the same cells, values, genes and batches with the same `kind` and `k`; a graph of other cells is never used.

    Parameters
    ----------
    data
        AnnData or MuData with the values that are trained on.
    kind
        ``"knn"``: the `k` nearest cells of the same batch (of all cells without `batch_key`). ``"bbknn"``: the `k` nearest
        cells in each of the batches :cite:p:`polanski2020bbknn`. ``"mnn"``: cells of other batches, if each is among the
        `k` nearest of the other :cite:p:`haghverdi2018mnn`.
    k
        Number of nearest cells.
    batch_key
        Column of ``obs`` with the batch of each cell.
    layer
        Layer to read; ``X`` by default.
    modalities
        Modalities of a MuData; all by default. Each has the same weight; those that some cells lack are left out, as long as
        one is complete.
    mask_by
        Boolean column of ``var`` that marks the genes to use, as in :func:`scssl.tl.fit`.
    key_added
        The graph is written to ``obsp["<key_added>_partners"]``; `kind` by default.

    Returns
    -------
    None
        Slots written:

        - ``.obsp["<key>_partners"]``: CSR of ones, float32; row ``i`` holds the partners of cell ``i``. Directed for
          ``"knn"`` and ``"bbknn"``. By euclidean distance (``"mnn"``: cosine) in 50 principal components
        - ``.uns["scssl"]["partners"][key]``: kind, `k`, identity of the cells it was made of

    Raises
    ------
    InputError
        If `kind` looks across batches and there are not two, or values cannot be used.
    KeyNotFoundError
        If a kind, column, layer or modality does not exist.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k(batches=3)
    >>> ssl.pp.recipe(adata, batch_key="batch")
    >>> ssl.pp.partners(adata, "mnn", batch_key="batch")
    >>> adata.obsp["mnn_partners"].shape
    (700, 700)
    """
    from scssl.data.cells import Cells
    from scssl.models.fit import Request
    from scssl.models.fit import problems as problems_of_fit

    _arguments(kind, k)
    enforce(are_names(modalities, "modalities", example="rna", different=True))
    enforce(is_text(mask_by, "mask_by"))
    key = kind if key_added is None else key_added
    what: dict[str, Any] = {"layer": layer, "batch_key": batch_key, "modalities": modalities, "mask_by": mask_by}
    enforce(_slot(data, key))
    enforce(problems_of_fit(data, Request("pca", **what)))
    cells = Cells.from_data(data, **what)
    graph = graphs.partners(cells, kind, int(k))
    paired = float(np.mean(np.diff(graph.indptr) > 0))
    data.obsp[_keys.partners(key)] = handed_out(graph)
    _keys.shelf(data, _keys.PARTNERS)[key] = {
        "kind": kind,
        "k": int(k),
        "batch_key": batch_key or "",
        "cells": cells.identity,
        "graph": graph_id(graph),
        "share_with_partner": paired,
        "version": scssl.__version__,
        "created": _clock.now(),
    }
    _settings.wrote(f".obsp['{_keys.partners(key)}']", f".uns['{_keys.UNS}']['{_keys.PARTNERS}']['{key}']")
    _settings.info(f"    {paired:.0%} of the cells have a partner, {graph.nnz / graph.shape[0]:.1f} on average")


def _arguments(kind: object, k: object) -> None:
    if kind not in graphs.KINDS:
        raise unknown("kind", kind, list(graphs.KINDS))  # noqa: EM101 - a word, not the sentence
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        msg = f"k={k!r} is not a whole number of at least 1."
        raise InputError(msg, code="out_of_range", parameter="k", fix="Pass e.g. k=5.")


def _slot(data: Data, key: str) -> Iterator[Problem]:
    yield from objects.container(data)
    yield from names.key(key, parameter="key_added")
    slot = _keys.partners(key)
    if slot in data.obsp and key not in _keys.peek(data).get(_keys.PARTNERS, {}):
        yield names.taken(f"obsp[{slot!r}]", key, parameter="key_added")

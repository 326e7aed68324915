"""Checks of the values: what they are stored as, whether they are numbers, and on which scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _keys
from scssl._validate import on_scale, silent
from scssl._validate._problem import ERROR, WARNING, Problem
from scssl._validate._scan import Scan, scan, some_of
from scssl._validate.on_scale import Place
from scssl._words import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData

COUNTS, LOG1P = "counts", "log1p"
EXPECTED = {"log": LOG1P, "counts": COUNTS}
"""Scale to look for, by the values that a method reads (`MethodSpec.values`)."""
LARGEST = float(np.finfo(np.float32).max)  # in which all is computed
MOST_BATCHES = 64  # for which genes are counted, batches x genes
_SHOWN = 5


@dataclass(frozen=True)
class Aim:
    """What values are for, beyond the scale that is needed.

    Parameters
    ----------
    kind
        Of the modality: ``"rna"``, ``"protein"``, ``"atac"``; empty if its name does not say.
    batches
        Batch of each cell, where it is known.
    summed
        Positions of the genes of a model; by default those that will be used.
    keep
        Is given what was measured, see :class:`~scssl._validate.on_scale.Look`.
    """

    kind: str = "rna"
    batches: pd.Series | None = None
    summed: np.ndarray | None = None
    keep: Callable[[on_scale.Look], object] | None = None


def matrix(
    adata: AnnData,
    *,
    layer: str | None = None,
    expects: str | None = None,
    genes: object = None,
    aim: Aim | None = None,
) -> Iterator[Problem]:
    """Check the values of an AnnData; they are read by blocks and never made dense as a whole.

    Parameters
    ----------
    adata
        AnnData, in memory, backed or a view.
    layer
        The layer to check, ``X`` by default.
    expects
        ``"counts"``, ``"log1p"`` or ``None``: the scale that is needed.
    genes
        The genes that will be used: the name of a column of ``var``, a boolean mask, or ``None`` for all. As in
        :func:`scssl.tl.fit`, a column ``highly_variable`` that does not exist means all. Genes that are zero in all
        cells are told of only if this is given.
    aim
        Kind of the modality, batches, genes of a model. By default RNA of one batch.
    """
    stored, problems = _stored(adata, layer)
    yield from problems
    if stored is None:
        return
    used, problems = _used(adata, genes)
    yield from problems
    if used is None or 0 in adata.shape:
        return
    name = _slot(layer)
    parameter = "layer" if layer is not None else "data"
    aim = aim or Aim()
    summed = used if aim.summed is None else aim.summed
    codes, batches = _coded(aim.batches)
    picked = some_of(adata.n_obs, codes)
    found = scan(stored, used, picked, codes if 1 < len(batches) <= MOST_BATCHES else None)
    yield from _numbers(adata, found, name, parameter)
    if found.n_bad == 0:
        seen = on_scale.look(adata, found, aim.batches, summed, picked)
        if aim.keep is not None:
            aim.keep(seen)
        place = Place(name, parameter, on_scale.counts_of(adata, name), aim.kind)
        yield from _scale(found, seen, place, expects, adata)
        yield from _empty(adata, found, place, expects)
        if found.batches is not None:
            sizes = dict(zip(batches, np.bincount(found.batches).tolist(), strict=True))
            yield from silent.batches(found.n_cells, sizes, _mask(summed, adata.n_vars), adata.var_names, "batch_key")
        if genes is not None:
            yield from _silent(adata, found, parameter)


def there(adata: object, layer: str | None) -> Iterator[Problem]:
    """The matrix exists and holds numbers; its values are not looked at."""
    yield from _stored(adata, layer)[1]


def expected(values: str, kind: str) -> str | None:
    """Scale to look for in a modality: counts only where it is known that the modality has some."""
    return None if values == COUNTS and not kind else EXPECTED[values]


def _coded(batches: pd.Series | None) -> tuple[np.ndarray | None, list[str]]:
    """Codes and names of the batches, in the order in which they occur."""
    if batches is None:
        return None, []
    codes, names = pd.factorize(batches.to_numpy(dtype=object))
    return codes, [str(name) for name in names]


def _mask(positions: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    mask[positions] = True
    return mask


def _slot(layer: str | None) -> str:
    return "X" if layer is None else f"layers[{layer!r}]"


def _stored(adata: AnnData, layer: str | None) -> tuple[Any, list[Problem]]:
    """The matrix as it is stored if it can be read at all, and what is wrong with the way it is stored."""
    if getattr(adata, "isbacked", False) and not adata.file.is_open:
        message = f"The object is backed by {str(adata.filename)!r}, and that file is closed."
        fix = "Open it again: adata = anndata.read_h5ad(path, backed='r'), or load it before with adata.to_memory()."
        return None, [Problem("closed_file", "data", message, fix)]
    layers = _keys.layers(adata)
    if layer is not None and layer not in layers:
        message = f"layer={layer!r} does not exist; layers has {listed(layers)}."
        fix = nearest(layer, layers) or f"Put the values there, e.g. adata.layers[{layer!r}] = adata.X, or pass layer=."
        return None, [Problem("unknown_layer", "layer", message, fix, missing=True)]
    stored = adata.X if layer is None else adata.layers[layer]
    if stored is None:
        fix = f"Pass layer={layers[0]!r}." if layers else "Set adata.X to the counts."
        return None, [Problem("no_matrix", "layer", f"X is None; layers has {listed(layers)}.", fix)]
    problems = list(_kind(stored, _slot(layer), "layer" if layer is not None else "data"))
    return (None if any(p.severity == ERROR for p in problems) else stored), problems


def _kind(stored: Any, name: str, parameter: str) -> Iterator[Problem]:
    dtype = np.dtype(stored.dtype)
    if isinstance(stored, np.ma.MaskedArray):
        message = (
            f"{name} is a masked array with {int(np.ma.count_masked(stored))} masked values; the mask would be lost."
        )
        yield Problem("masked_array", parameter, message, "Fill it first: adata.X = adata.X.filled(0).")
    elif dtype.kind == "O":
        message = f"{name} holds Python objects (dtype object), not numbers."
        yield Problem("object_dtype", parameter, message, "adata.X = adata.X.astype('float32')")
    elif dtype.kind not in "biuf":
        message = f"{name} has dtype {dtype}, expected real numbers."
        yield Problem("unsuitable_dtype", parameter, message, "adata.X = adata.X.real.astype('float32')")
    elif dtype == np.float16:
        message = f"{name} has dtype float16 (3 digits, at most 65504); it is computed with as float32."
        yield Problem(
            "float16", parameter, message, "Store it as float32 if precision was not lost on purpose.", WARNING
        )


def _used(adata: AnnData, genes: object) -> tuple[np.ndarray | None, list[Problem]]:
    """Boolean mask of the genes that will be used, and what is wrong with the column that says so."""
    if genes is None:
        return np.ones(adata.n_vars, dtype=bool), []
    if not isinstance(genes, str):
        mask = np.zeros(adata.n_vars, dtype=bool)
        mask[np.asarray(genes)] = True
        return mask, []
    if genes == _keys.HIGHLY_VARIABLE and genes not in adata.var:
        return np.ones(adata.n_vars, dtype=bool), []
    known = [str(column) for column in adata.var.columns]
    if genes not in known:
        message = f"mask_by={genes!r} is not a column of var, which has {listed(known)}."
        return None, [Problem("unknown_mask_by", "mask_by", message, nearest(genes, known), missing=True)]
    column = adata.var[genes]
    absent = int(column.isna().sum())
    if absent or not set(column.unique()) <= {True, False}:
        message = f"mask_by={genes!r} is a column of var with {absent} missing values and dtype {column.dtype}."
        return None, [Problem("mask_not_boolean", "mask_by", message, "It must hold True and False only.")]
    if not column.any():
        message = f"mask_by={genes!r} marks none of the {adata.n_vars} genes."
        return None, [Problem("mask_empty", "mask_by", message, "Run ssl.pp.recipe(adata), or pass mask_by=None.")]
    return column.to_numpy().astype(bool), []


def _numbers(adata: AnnData, found: Scan, name: str, parameter: str) -> Iterator[Problem]:
    if found.n_bad == 0 and max(found.high, -found.low) > LARGEST:
        message = f"{name} holds values from {found.low:.4g} to {found.high:.4g}; float32 ends at {LARGEST:.4g}."
        fix = "Look at the step that made them: no count and no logarithm is that large."
        yield Problem("beyond_float32", parameter, message, fix)
    if found.n_bad == 0:
        return
    cell, gene = adata.obs_names[found.first_bad[0]], adata.var_names[found.first_bad[1]]
    message = (
        f"{name} holds {found.n_nan} missing (NaN) and {found.n_bad - found.n_nan} infinite values (first: cell {cell!r}, "
        f"gene {gene!r})."
    )
    fix = "Look at the step that made them, e.g. a division by the total of empty cells; or drop those cells and genes."
    yield Problem("not_finite_values", parameter, message, fix)


def _scale(found: Scan, seen: on_scale.Look, place: Place, expects: str | None, adata: AnnData) -> Iterator[Problem]:
    """Whether the values are on the scale that is needed."""
    if not found.cells.any():
        message = f"All {adata.n_obs} x {adata.n_vars} values of {place.name} are zero."
        yield Problem("all_zero", place.parameter, message, _other_layer(adata, place.name))
    elif found.n_negative and expects is not None and (expects == COUNTS or place.kind == "rna"):
        cell, gene = adata.obs_names[found.first_negative[0]], adata.var_names[found.first_negative[1]]
        message = (
            f"{place.name} holds {found.n_negative} negative values, down to {found.low:.4g} (first: cell {cell!r}, gene "
            f"{gene!r}). It looks scaled or corrected."
        )
        wanted = "counts" if expects == COUNTS else "log-normalised values"
        layer = _other_layer(adata, place.name) if expects == COUNTS else _recipe_from_counts(place)
        yield Problem("negative_values", place.parameter, message, f"Pass {wanted}. {layer}".strip())
    elif expects == COUNTS:
        yield from on_scale.counts(found, seen, place, _other_layer(adata, place.name))
    elif expects == LOG1P:
        yield from on_scale.logarithms(found, seen, place)


def _recipe_from_counts(place: Place) -> str:
    """The line that makes log-normalised values again, if the counts are there."""
    return f"Start again from the counts: {place.recipe()}." if place.counts else ""


def _other_layer(adata: AnnData, name: str) -> str:
    """The line that reads counts from elsewhere, if there is such a layer."""
    layers = [layer for layer in _keys.layers(adata) if _slot(layer) != name]
    chosen = next((layer for layer in (_keys.COUNTS_LAYER, "raw_counts", "raw") if layer in layers), "")
    if chosen:
        return f"Pass layer={chosen!r}."
    return f"Pass layer= if one of the layers {listed(layers)} holds them." if layers else ""


def _empty(adata: AnnData, found: Scan, place: Place, expects: str | None) -> Iterator[Problem]:
    name, parameter = place.name, place.parameter
    if not found.cells.any():
        return
    empty, unused = ~found.cells, found.cells & ~found.cells_used
    if empty.any():
        message = f"{int(empty.sum())} of {adata.n_obs} cells have no value above zero in {name} ({_first(adata.obs_names, empty)})."
        fix = "Drop them: sc.pp.filter_cells(adata, min_counts=1)."
        yield Problem(
            "empty_cells", parameter, message, fix, WARNING if expects is None or place.kind != "rna" else ERROR
        )
    if unused.any():
        message = (
            f"{int(unused.sum())} of {adata.n_obs} cells have only zeros in the {int(found.used.sum())} selected genes "
            f"({_first(adata.obs_names, unused)})."
        )
        yield Problem(
            "cells_without_selected_genes", "mask_by", message, "Select more genes, or drop the cells.", WARNING
        )
    if found.identical:
        message = f"All {adata.n_obs} cells have the same values in {name}: there is nothing to learn."
        yield Problem("identical_cells", parameter, message, "Check how the object was made.")


def _silent(adata: AnnData, found: Scan, parameter: str) -> Iterator[Problem]:
    """Selected genes that no cell has. Not asked of cells to be embedded, where they are nothing unusual."""
    never = ~found.genes & found.used
    if never.any():
        message = f"{int(never.sum())} of {int(found.used.sum())} genes are zero in all cells ({_first(adata.var_names, never)})."
        yield Problem("empty_genes", parameter, message, "sc.pp.filter_genes(adata, min_cells=1) drops them.", WARNING)


def _first(names: pd.Index, mask: np.ndarray) -> str:
    return f"first: {listed([str(name) for name in names[np.flatnonzero(mask)[:_SHOWN]]])}"

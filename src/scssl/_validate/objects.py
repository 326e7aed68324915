"""Checks of the object as a whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl._parts import multimodal, parts
from scssl._validate._problem import WARNING, Problem
from scssl._words import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scssl._types import Data


NOTHING = "cells_miss_all_modalities"


def container(data: object, *, parameter: str = "data") -> Iterator[Problem]:
    """The object is an AnnData or a MuData whose parts fit together."""
    if isinstance(data, str | os.PathLike):
        message = (
            f"{parameter}={str(data)!r} is a path, expected AnnData or MuData in memory: results are written into it."
        )
        fix = "Read the file first: anndata.read_h5ad(path); or call model.embed(path), which returns the values."
        yield Problem("not_anndata", parameter, message, fix)
    elif not hasattr(data, "obs_names") or not hasattr(data, "obsm"):
        kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__qualname__}"
        fix = "Wrap a matrix: anndata.AnnData(matrix, obs=..., var=...)."
        yield Problem("not_anndata", parameter, f"{parameter} is a {kind}, expected AnnData or MuData.", fix)
    elif multimodal(data):
        yield from _modalities(data, parameter)
    else:
        yield from in_memory(data, parameter=parameter)


def in_memory(data: object, *, parameter: str = "data") -> Iterator[Problem]:
    """Columns are in memory, which those of anndata's lazy reader are not."""
    for part in parts(data).values():
        if not isinstance(part.obs, pd.DataFrame):
            kind = f"{type(part.obs).__module__.partition('.')[0]}.{type(part.obs).__name__}"
            message = f"The obs of {parameter} is a {kind}, whose columns are still in the file (read_lazy)."
            fix = "Read it: adata = adata.to_memory(); or pass the path, which tl.fit and model.embed read by blocks."
            yield Problem("lazy_object", parameter, message, fix)
            return


def _modalities(mdata: Data, parameter: str) -> Iterator[Problem]:
    if not mdata.mod:
        yield Problem("no_modalities", parameter, "The MuData holds no modality.", "Make it with mudata.MuData({...}).")
        return
    nested = [name for name, part in mdata.mod.items() if multimodal(part)]
    if nested:
        message = f"Modality {nested[0]!r} is a MuData itself; modalities must be AnnData."
        yield Problem("nested_mudata", parameter, message, f"Pass mdata[{nested[0]!r}].")
    if getattr(mdata, "axis", 0) != 0:
        message = f"The MuData shares axis {mdata.axis}, expected 0: the same cells in several modalities."
        yield Problem("wrong_axis", parameter, message, "Make it with mudata.MuData({...}, axis=0).")
        return
    stale = {name for name, part in mdata.mod.items() if not part.obs_names.isin(mdata.obs_names).all()}
    if stale or (not nested and mdata.n_obs > sum(part.n_obs for part in mdata.mod.values())):
        message = (
            f"Cells of modalities {listed(sorted(stale) or list(mdata.mod))} were changed after the MuData was made."
        )
        yield Problem("stale_mudata", parameter, message, "Call mdata.update().")


def measured(mdata: Data, modalities: Sequence[str] | None = None, *, parameter: str = "data") -> Iterator[Problem]:
    """Which cells lack which of the modalities: some may, but each cell needs one, and some cells should have two."""
    names, n = list(modalities or mdata.mod), mdata.n_obs
    there = {name: mdata.obs_names.isin(mdata.mod[name].obs_names) for name in names}
    how_many = np.sum(list(there.values()), axis=0)
    for name in (name for name in names if not there[name].any()):
        message = f"Modality {name!r} has none of the {n} cells."
        yield Problem("empty_modality", parameter, message, f"Leave it out: mdata.mod.pop({name!r}).")
    nothing = int((how_many == 0).sum())
    if nothing:
        message = f"{nothing} of {n} cells are measured in none of {listed(names)}."
        fix = f"Keep the others, e.g. mdata[mdata.obs_names.isin(mdata[{names[0]!r}].obs_names)].copy()."
        yield Problem(NOTHING, parameter, message, fix)
    elif len(names) > 1 and how_many.max() == 1:
        message = f"No cell is measured in two of {listed(names)}: nothing ties their embeddings together."
        fix = "Add cells that have both, or train each modality on its own, e.g. modalities=" + repr(names[:1]) + "."
        yield Problem("mosaic", parameter, message, fix, WARNING)
    elif len(names) > 1:
        for name in (name for name in names if not there[name].all()):
            message = f"{int((~there[name]).sum())} of {n} cells are not measured in modality {name!r}."
            fix = "They are embedded from the others. fusion='mean' makes them comparable with complete cells; "
            fix += "muon.pp.intersect_obs(mdata) drops them."
            yield Problem("cells_miss_modality", parameter, message, fix, WARNING)


def overlap(mdata: Data, *, parameter: str = "data") -> Iterator[Problem]:
    """What a user of several modalities should know: cells that lack one, features that cannot be told apart by name."""
    yield from measured(mdata, parameter=parameter)
    names = [set(part.var_names) for part in mdata.mod.values()]
    shared = sum(len(s) for s in names) - len(set().union(*names))
    if shared:
        message = f"{shared} features have the same name in several modalities of {listed(list(mdata.mod))}."
        fix = "mdata.var_names_make_unique() puts the modality before them."
        yield Problem("shared_feature_names", parameter, message, fix, WARNING)

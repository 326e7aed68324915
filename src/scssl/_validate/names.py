"""Checks of names: of cells, genes, columns, and of the slots that are written to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from scssl import _keys
from scssl._validate._problem import WARNING, Problem
from scssl._validate.arguments import switch
from scssl._words import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from anndata import AnnData

    from scssl._types import Data

_SHOWN = 5
_DATE = re.compile(r"^\d{1,2}-(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)$", re.IGNORECASE)
_VERSIONED = re.compile(r"^ENS[A-Z]*G\d{6,}\.\d+$")


def names(adata: AnnData, *, parameter: str = "data") -> Iterator[Problem]:
    """Names of cells, genes and columns that would be joined wrongly or could not be saved."""
    for index, what, slot in ((adata.obs_names, "cell", "obs_names"), (adata.var_names, "gene", "var_names")):
        yield from _index(index, what, slot, parameter)
    yield from _genes(adata.var_names, parameter)
    for frame, slot in ((adata.obs, "obs"), (adata.var, "var")):
        yield from _columns(frame, slot, parameter)


def key(value: object, *, parameter: str) -> Iterator[Problem]:
    """A name of a slot: text that every file format keeps."""
    if not isinstance(value, str):
        message = f"{parameter}={value!r} is of type {type(value).__name__}, expected text."
        yield Problem("key_not_text", parameter, message, f"Pass {parameter}={str(value)!r}.")
    elif not value.strip() or value != value.strip():
        message = f"{parameter}={value!r} is empty or has spaces around it; files with such names cannot be read back."
        yield Problem("key_empty", parameter, message, f"Pass a name, e.g. {parameter}={value.strip() or 'simclr'!r}.")
    elif "/" in value:
        message = f"{parameter}={value!r} contains '/', which files use between folders: they could not be read back."
        yield Problem("key_with_slash", parameter, message, f"Pass {parameter}={value.replace('/', '_')!r}.")
    elif value == "_index":
        message = f"{parameter}='_index' is reserved by the file format of AnnData."
        yield Problem("key_reserved", parameter, message, "Choose another name.")


def key_added(data: Data, value: str, *, overwrite: bool = False, parameter: str = "key_added") -> Iterator[Problem]:
    """A name for an embedding: a good key that does not take the place of a slot that scssl did not write."""
    wrong = [*switch(overwrite, "overwrite"), *key(value, parameter=parameter)]
    if wrong:
        yield from wrong
        return
    slot = _keys.embedding(value)
    if value.startswith("X_"):
        bare = _keys.bare(value)
        message = f"{parameter}={value!r}: 'X_' is put before the name, the slot would be obsm[{slot!r}]."
        yield Problem("key_with_prefix", parameter, message, f"Pass {parameter}={bare!r}.")
    elif value in _keys.RESERVED_KEYS:
        message = f"{parameter}={value!r} would write obsm[{slot!r}], which belongs to other packages."
        yield Problem("key_reserved", parameter, message, f"Pass another name, e.g. {parameter}='my_{value}'.")
    elif slot in data.obsm and not overwrite and not _keys.record_of(data, value):
        yield taken(f"obsm[{slot!r}]", value, parameter=parameter, overwrite=True)


def _index(index: pd.Index, what: str, slot: str, parameter: str) -> Iterator[Problem]:
    if index.hasnans:
        message = f"{np.count_nonzero(index.isna())} of {len(index)} {what} names are missing ({slot})."
        yield Problem(f"missing_{slot}", parameter, message, f"Name them: adata.{slot} = [...].")
        return
    if not index.is_unique:
        twice = index[index.duplicated()].unique()
        rows = int(index.duplicated(keep=False).sum())
        message = (
            f"{len(twice)} {what} names occur more than once, in {rows} of {len(index)} places ({slot}; "
            f"first: {listed([str(name) for name in twice[:_SHOWN]])})."
        )
        yield Problem(f"duplicated_{slot}", parameter, message, f"Make them unique: adata.{slot}_make_unique().")
    odd = [name for name in index[:1000] if not isinstance(name, str)]
    if odd:
        message = f"{slot} holds names that are not text (first: {odd[0]!r}); they are read as text."
        fix = f"adata.{slot} = adata.{slot}.astype(str)"
        yield Problem(f"{slot}_not_text", parameter, message, fix, WARNING)


def _genes(index: pd.Index, parameter: str) -> Iterator[Problem]:
    """Names that will not be found in other data."""
    text = [str(name) for name in index]
    dates = [name for name in text if _DATE.match(name)]
    if dates:
        message = f"{len(dates)} gene names were turned into dates by a spreadsheet: {listed(dates, _SHOWN)}."
        fix = "Read the genes from the original file (1-Mar was MARCH1, 1-Sep SEPT1)."
        yield Problem("gene_names_as_dates", parameter, message, fix, WARNING)
    versioned = [name for name in text if _VERSIONED.match(name)]
    if len(versioned) > len(text) / 2:
        message = (
            f"{len(versioned)} of {len(text)} genes are Ensembl ids with a version ({listed(versioned, 2)}), which other "
            "data may lack."
        )
        fix = "adata.var_names = adata.var_names.str.replace(r'\\.\\d+$', '', regex=True)"
        yield Problem("gene_ids_with_version", parameter, message, fix, WARNING)


def _columns(frame: pd.DataFrame, slot: str, parameter: str) -> Iterator[Problem]:
    twice = frame.columns[frame.columns.duplicated()].unique()
    if len(twice):
        message = f"{slot} has {len(twice)} column names more than once: {listed([str(c) for c in twice], _SHOWN)}."
        fix = f"adata.{slot} = adata.{slot}.loc[:, ~adata.{slot}.columns.duplicated()]"
        yield Problem(f"duplicated_{slot}_columns", parameter, message, fix)
    if "_index" in frame.columns:
        message = f"{slot} has a column '_index', a name that the file format of AnnData reserves."
        fix = f"Rename it: adata.{slot} = adata.{slot}.rename(columns={{'_index': 'index_'}})."
        yield Problem("reserved_column", parameter, message, fix)


def taken(slot: str, value: object, *, parameter: str, edited: bool = False, overwrite: bool = False) -> Problem:
    """The problem that a slot to be written holds something of the user: never ours, or `edited` since.

    `overwrite`: the function can be told to replace it.
    """
    whose = "was changed since scssl wrote it" if edited else "was not written by scssl"
    message = f"{slot} exists and {whose}; {parameter}={value!r} would replace it."
    other = f"{parameter}='ssl_{value}'"
    way = "pass overwrite=True" if overwrite else f"remove it first: del adata.{slot}"
    return Problem("key_exists", parameter, message, f"Pass another name, e.g. {other}, or {way}.")

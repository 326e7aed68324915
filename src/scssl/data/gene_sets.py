"""Gene sets: read from files and tables, matched to genes by name, kept with an object; without torch."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scssl import _keys, _sparse
from scssl._errors import InputError, KeyNotFoundError
from scssl._validate import enforce
from scssl._validate.paths import usable
from scssl._words import listed, nearest
from scssl.data.align import VERSION, kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from anndata import AnnData

    from scssl._types import Json

COLUMNS = (("source", "target"), ("geneset", "genesymbol"), ("gs_name", "gene_symbol"))


@dataclass(frozen=True)
class GeneSets:
    """Gene sets over some genes.

    Parameters
    ----------
    names
        Names of the sets.
    members
        Which genes are in a set, boolean: sets x genes.
    regulators
        Position of the gene that a set is named after, -1 where there is none.
    """

    names: Sequence[str]
    members: np.ndarray
    regulators: np.ndarray

    def chosen(self, rows: np.ndarray) -> GeneSets:
        """Some of the sets."""
        return GeneSets([self.names[i] for i in rows], self.members[rows], self.regulators[rows])

    def without_regulators(self) -> GeneSets:
        """Those that are named after a gene, without that gene."""
        named = self.chosen(np.flatnonzero(self.regulators >= 0))
        members = named.members.copy()
        members[np.arange(len(members)), named.regulators] = False
        return replace(named, members=members)


def read(source: object) -> dict[str, list[str]]:
    """Sets by name from the path of a GMT file, a mapping, or a table with one row for each gene of a set.

    Sets of the same name are one set.

    Raises
    ------
    InputError
        If it is none of these, cannot be read, or holds no set.
    """
    if isinstance(source, str | os.PathLike):
        enforce(usable(source, parameter="source"))
        pairs = _gmt(Path(source))
    elif isinstance(source, pd.DataFrame):
        pairs = _table(source)
    elif hasattr(source, "items"):
        pairs = [(str(name), genes) for name, genes in source.items()]
    else:
        msg = f"source is of type {type(source).__name__}."
        fix = "Pass the path of a GMT file, a dictionary {name: genes}, or a table with the columns source and target."
        raise InputError(msg, code="bad_gene_sets", parameter="source", fix=fix)
    sets: dict[str, dict[str, None]] = {}
    for name, genes in pairs:
        if isinstance(genes, str) or not hasattr(genes, "__iter__"):
            msg = f"Gene set {name!r} is {genes!r}, not a list of genes."
            raise InputError(msg, code="bad_gene_sets", parameter="source", fix=f"Pass {{{name!r}: [{genes!r}]}}.")
        sets.setdefault(name, {}).update(dict.fromkeys(str(gene) for gene in genes if pd.notna(gene) and str(gene)))
    if not any(sets.values()):
        msg = f"source holds no genes ({len(sets)} sets)."
        raise InputError(msg, code="bad_gene_sets", parameter="source")
    return {name: list(genes) for name, genes in sets.items()}


def _gmt(path: Path) -> list[tuple[str, Iterable[str]]]:
    if not path.is_file():
        msg = f"source={str(path)!r} is not a file."
        raise InputError(msg, code="no_such_file", parameter="source", fix="Pass the path of a GMT file.")
    try:
        rows = [
            line.rstrip("\r\n").split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except UnicodeDecodeError as error:
        msg = f"{path} is not a text file: {error.reason} at byte {error.start}."
        raise InputError(msg, code="bad_gene_sets", parameter="source", fix="Unpack it first.") from error
    short = [i for i, row in enumerate(rows, 1) if len(row) < 3]
    if short:
        msg = (
            f"{path} is no GMT file: line {short[0]} has {len(rows[short[0] - 1])} columns that are separated by tabs, "
        )
        msg += "and name, description and genes are at least 3."
        raise InputError(msg, code="bad_gene_sets", parameter="source")
    return [(row[0], (gene.partition(",")[0].strip() for gene in row[2:])) for row in rows]  # Enrichr: "GENE,weight"


def _table(table: pd.DataFrame) -> list[tuple[str, Iterable[str]]]:
    for name, gene in COLUMNS:
        if name in table and gene in table:
            return [(str(key), part[gene]) for key, part in table.groupby(name, sort=False, observed=True)]
    msg = f"source has the columns {listed([str(c) for c in table.columns])}; which of them are the sets and the genes?"
    fix = "Name them 'source' (the set) and 'target' (the gene): source.rename(columns={...})."
    raise InputError(msg, code="bad_gene_sets", parameter="source", fix=fix)


def match(sets: Mapping[str, Sequence[str]], names: Iterable[str]) -> sp.csr_array:
    """Which genes are in which set: genes x sets, float32 ones. Ensembl ids are compared without their version."""
    genes = _bare(names)
    codes = genes.get_indexer_non_unique
    rows, columns = [], []
    for j, wanted in enumerate(sets.values()):
        found = codes(_bare(wanted))[0]
        rows.append(np.unique(found[found >= 0]))
        columns.append(np.full(len(rows[-1]), j))
    at = (np.concatenate(rows), np.concatenate(columns))
    return _sparse.from_pairs(np.ones(len(at[0]), dtype=np.float32), *at, shape=(len(genes), len(sets)))


def regulators(sets: Iterable[str], names: Iterable[str]) -> np.ndarray:
    """Position of the gene that each set is named after: its name, or what stands before the first ``_`` or blank."""
    genes = _bare(names)
    place = {gene: i for i, gene in reversed(list(enumerate(genes)))}
    found = []
    for name in sets:
        candidates = (name, name.partition("_")[0], name.partition(" ")[0])
        found.append(next((place[c] for c in candidates if c in place), -1))
    return np.asarray(found, dtype=np.int64)


def too_few(sets: Mapping[str, Sequence[str]], var: pd.DataFrame, names: pd.Index, asked: str) -> InputError:
    """The error for sets that have nothing in common with the genes; says in which column the names are."""
    wanted = pd.Index(dict.fromkeys(gene for genes in sets.values() for gene in genes))
    n_shared = len(_bare(names).unique().intersection(_bare(wanted)))
    msg = f"No gene set has enough genes among {asked}: {n_shared} of the {len(wanted)} genes of all sets are there "
    msg += (
        f"({listed(wanted.tolist(), 5)}; {asked} holds {listed(names.tolist(), 5)}; {kind(wanted)} and {kind(names)})."
    )
    others = {
        c: len(_bare(var[c].astype(str)).unique().intersection(_bare(wanted))) for c in var if var[c].dtype != bool
    }
    best = max(others, key=lambda c: others[c], default=None)
    fix = (
        f"var[{best!r}] has {others[best]} of them: pass gene_key={best!r}." if best and others[best] > n_shared else ""
    )
    folded = len(names.str.upper().unique().intersection(wanted.str.upper().unique()))
    if not fix and folded > 2 * n_shared:
        fix = f"{folded} match if upper and lower case are not told apart: take the sets of the species of the data."
    return InputError(msg, code="no_gene_sets_left", parameter="source", fix=fix)


def identity_of(part: AnnData) -> str:
    """Hash of all gene sets that :func:`scssl.pp.gene_sets` keeps with an object; empty if there are none."""
    digest, shelf = hashlib.blake2b(digest_size=8), _shelf(part)
    for key in sorted(shelf):
        members = sp.coo_array(part.varm[key])
        digest.update(repr([key, members.shape, list(map(str, shelf[key]["regulators"]))]).encode())
        rows, columns = members.coords
        order = np.lexsort((rows, columns))
        digest.update(np.stack([rows[order], columns[order]]).astype(np.int64).tobytes())
    return digest.hexdigest() if shelf else ""


def _shelf(part: AnnData) -> Json:
    """What is noted of the gene sets that are there."""
    return {name: about for name, about in _keys.peek(part).get(_keys.GENE_SETS, {}).items() if name in part.varm}


def stored(part: AnnData, genes: np.ndarray, *, key: str, modality: str) -> GeneSets:
    """The sets that :func:`scssl.pp.gene_sets` keeps in ``varm[key]``, over the given genes.

    Raises
    ------
    KeyNotFoundError
        If there are none.
    """
    shelf = _shelf(part)
    if key not in shelf:
        where = "" if modality == _keys.DEFAULT_MODALITY else f"Modality {modality!r}: "
        msg = f"{where}there are no gene sets in varm[{key!r}]. Known: {listed(list(shelf))}."
        fix = nearest(key, list(shelf)) or "Put them there: ssl.pp.gene_sets(adata, 'sets.gmt')."
        if where:
            fix = f"Put them there with ssl.pp.gene_sets(mdata.mod[{modality!r}], ...), or leave it out by modalities=."
        raise KeyNotFoundError(msg, code="no_gene_sets", parameter="gene_sets", fix=fix)
    rows = part.var_names.get_indexer(genes)
    members = sp.csr_array(part.varm[key])[rows].toarray().T > 0
    named = pd.Index(genes).get_indexer(pd.Index(np.asarray(list(shelf[key]["regulators"]), dtype=str)))
    return GeneSets([str(name) for name in shelf[key]["names"]], np.ascontiguousarray(members), named)


def _bare(names: Iterable[str]) -> pd.Index:
    """Names without the version of an Ensembl id."""
    index = pd.Index(np.asarray(list(names), dtype=str))
    ensembl = index.str.match(r"^ENS[A-Z]*G\d").astype(bool)
    return index.where(~ensembl, index.str.replace(VERSION, "", regex=True))

"""Genes of a query put in the order of a model, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl._errors import InputError
from scssl._words import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

MINIMUM = 0.8  # share of the model's genes that a query must have
VERSION = r"\.\d+$"

_ENSEMBL = re.compile(r"^ENS([A-Z]{3,4})?G\d{6,}(\.\d+)?$")
_SHOWN = 5
_LOWER = "or embed with fewer: ssl.tl.embed(adata, model, min_coverage=...); absent genes are zero, which moves the embedding the further the more there are."
_RAW = "embed adata.raw.to_adata() instead, if its values are on the scale of the model."


@dataclass(frozen=True)
class Alignment:
    """Where the genes of a model are in a query.

    Parameters
    ----------
    positions
        For each gene of the model its column in the query, -1 where the query lacks it; shape ``(n_model,)``.
    n_found
        Genes of the model that the query has.
    n_model
        Genes of the model.
    n_query
        Genes of the query.
    names
        Names of the genes of the model.
    missing
        Names of the genes that the query lacks, in the order of the model; they are read as zero.
    reordered
        Whether the genes that were found stand in another order.
    in_raw
        Number of the missing genes that ``raw`` of the query has.
    silent
        Names of genes that were found and are zero in every cell, although cells like those of the model have them: as good
        as missing.
    n_obs
        Cells of the query, if genes are silent.
    """

    positions: np.ndarray
    n_found: int
    n_model: int
    n_query: int
    names: np.ndarray
    missing: tuple[str, ...] = ()
    reordered: bool = False
    in_raw: int = 0
    silent: tuple[str, ...] = ()
    n_obs: int = 0

    @property
    def n_measured(self) -> int:
        """Genes that were found and are not silent."""
        return self.n_found - len(self.silent)

    @property
    def coverage(self) -> float:
        """Share of the model's genes that were found and are not silent."""
        return self.n_measured / self.n_model

    @property
    def note(self) -> str:
        """What a user should be warned of; empty if every gene was found."""
        sentences = []
        if self.missing:
            found = (
                f"{self.n_found} of {self.n_model} genes of the model were found ({self.n_found / self.n_model:.1%})"
            )
            raw = f" adata.raw has {self.in_raw} of them: {_RAW}" if self.in_raw else ""
            gone = listed(list(self.missing), _SHOWN)
            sentences.append(f"{found}; the {len(self.missing)} missing ones are read as zero: {gone}.{raw}")
        if self.silent:
            sentences.append(
                f"{len(self.silent)} of the {self.n_found} genes found are zero in all {self.n_obs} cells, although cells like "
                f"those of the training have them: {listed(list(self.silent), _SHOWN)}. They seem not to be measured and "
                f"filled with zeros, and count as missing ({self.coverage:.1%} of the genes of the model are left)."
            )
        return " ".join(sentences)

    def without(self, silent: np.ndarray, n_obs: int, *, minimum: float) -> Alignment:
        """The same with some genes of the model known to be silent in all cells of the query.

        Raises
        ------
        InputError
            If fewer than `minimum` of the genes are left.
        """
        if not silent.any():
            return self
        made = replace(self, silent=tuple(self.names[silent].tolist()), n_obs=n_obs)
        if made.coverage < minimum:
            msg = f"{made.note} At least {minimum:.0%} are needed."
            fix = "Take the genes from the study of the query where they were measured, " + _LOWER
            raise InputError(msg, code="too_few_genes", parameter="data", fix=fix)
        return made

    @property
    def report(self) -> str:
        """The coverage in a sentence, whatever it is."""
        text = self.note or f"All {self.n_model} genes of the model were found."
        extra = self.n_query - self.n_found
        ignored = f" {extra} other genes of the query are not used." if extra else ""
        order = " The genes stand in another order and were put in that of the model." if self.reordered else ""
        return text + ignored + order


def align(
    query_names: Iterable[str], model_names: Iterable[str], *, minimum: float = MINIMUM, raw: Any = None
) -> Alignment:
    """Find the genes of a model in a query by name.

    Parameters
    ----------
    query_names
        Names of the genes of the query.
    model_names
        Names of the genes of the model, in its order.
    minimum
        Share of the model's genes below which the query is refused.
    raw
        The ``raw`` of the query, which may hold genes that were dropped since; ``None`` if it has none.

    Returns
    -------
    Alignment
        Positions and coverage.

    Raises
    ------
    InputError
        If names occur twice, or fewer than `minimum` of the model's genes are found. The message shows names of both
        sides and says what kind of names they seem to be.
    """
    query, model = pd.Index(np.asarray(query_names, dtype=str)), pd.Index(np.asarray(model_names, dtype=str))
    for index, side in ((query, "query"), (model, "model")):
        _refuse_duplicates(index, side)
    positions = query.get_indexer(model).astype(np.int64)
    absent = positions < 0
    n_found = int((~absent).sum())
    kept = 0 if raw is None else len(model[absent].intersection(np.asarray(raw.var_names, dtype=str)))
    if len(model) == 0 or n_found < minimum * len(model):
        raise _too_few(query, model, n_found, minimum, kept)
    found = positions[~absent]
    return Alignment(
        positions=positions,
        n_found=n_found,
        n_model=len(model),
        n_query=len(query),
        names=np.asarray(model, dtype=object),
        missing=tuple(model[absent].tolist()),
        reordered=bool((np.diff(found) < 0).any()),
        in_raw=kept,
    )


def _refuse_duplicates(index: pd.Index, side: str) -> None:
    if index.is_unique:
        return
    twice = index[index.duplicated()].unique().tolist()
    msg = f"{len(twice)} gene names of the {side} occur more than once: {listed(twice, _SHOWN)}."
    fix = "adata.var_names_make_unique() makes them unique; check first which of them are meant."
    raise InputError(msg, code="duplicated_var_names", parameter="data", fix=fix)


def _too_few(query: pd.Index, model: pd.Index, n_found: int, minimum: float, in_raw: int) -> InputError:
    share = n_found / max(len(model), 1)
    msg = (
        f"Only {n_found} of the {len(model)} genes of the model are among the {len(query)} genes of the query "
        f"({share:.1%}, at least {minimum:.0%} are needed). "
        f"First of the model: {listed(model.tolist()[:_SHOWN])}; of the query: {listed(query.tolist()[:_SHOWN])}."
    )
    if n_found + in_raw >= minimum * len(model) > 0:
        hint, fix = f"adata.raw has {in_raw} of the others.", f"E{_RAW[1:]}"
    else:
        hint, fix = _diagnose(query, model, n_found)
    return InputError(f"{msg} {hint}".strip(), code="too_few_genes", parameter="data", fix=fix)


def _diagnose(query: pd.Index, model: pd.Index, n_found: int) -> tuple[str, str]:
    """What kind of names the two sides seem to have, and what to do about it."""
    kinds = kind(query), kind(model)
    stripped = len(model.str.strip().intersection(query.str.strip()))
    if stripped > max(n_found, len(model) // 2):
        fix = "adata.var_names = adata.var_names.str.strip()"
        return f"{stripped} match without the spaces around the names.", fix
    bare = len(_without_version(model).intersection(_without_version(query)))
    if bare > max(n_found, len(model) // 2):
        fix = "adata.var_names = adata.var_names.str.replace(r'\\.\\d+$', '', regex=True), for both if need be."
        return f"{bare} match without the version suffixes of Ensembl ids.", fix
    if kinds[0] != kinds[1] and ENSEMBL in kinds:
        fix = "Put the other kind into var_names, e.g. adata.var_names = adata.var['gene_ids'], and make them unique."
        return f"The query has {kinds[0]}, the model {kinds[1]}.", fix
    folded = len(model.str.upper().unique().intersection(query.str.upper().unique()))
    if folded > max(n_found, len(model) // 2):
        who = f" (the query looks like {kinds[0]}, the model like {kinds[1]})" if kinds[0] != kinds[1] else ""
        fix = (
            "If the species differ, map the genes through a table of orthologs; else bring the names to the same case."
        )
        return f"{folded} match if upper and lower case are not told apart{who}.", fix
    if kinds == (ENSEMBL, ENSEMBL) and _prefix(query) != _prefix(model):
        hint = f"The ids are of different species: {_prefix(query)!r} in the query, {_prefix(model)!r} in the model."
        return hint, "Map the genes through a table of orthologs."
    if not n_found:
        who = (
            "The two hold names of different kinds."
            if kinds[0] == kinds[1]
            else f"The query has {kinds[0]}, the model {kinds[1]}."
        )
        return who, "Put the names that the model uses into var_names; model.features holds them, by modality."
    return "", f"Pass the data with all measured genes, not a selection made on the query, {_LOWER}"


ENSEMBL, HUMAN, MOUSE, OTHER = "Ensembl ids", "human gene symbols", "mouse gene symbols", "names of unknown kind"


def kind(names: pd.Index) -> str:
    """What gene names seem to be: Ensembl ids, human symbols (upper case), mouse symbols (``Cd3e``), or neither."""
    some = [str(name) for name in names[:2000]]
    if not some:
        return OTHER
    if np.mean([bool(_ENSEMBL.match(name)) for name in some]) > 0.5:
        return ENSEMBL
    symbols = [name for name in some if len(name) > 1 and name[0].isalpha() and name[0].isascii()]
    if len(symbols) < len(some) / 2:
        return OTHER
    if np.mean([name.upper() == name for name in symbols]) > 0.7:
        return HUMAN
    return MOUSE if np.mean([name[0].isupper() and name[1:] == name[1:].lower() for name in symbols]) > 0.7 else OTHER


def _without_version(names: pd.Index) -> pd.Index:
    return names.str.replace(VERSION, "", regex=True).unique()


def _prefix(names: pd.Index) -> str:
    """Species part of the most common Ensembl prefix: ``ENSG``, ``ENSMUSG``."""
    return pd.Series(names.str.extract(r"^(ENS[A-Z]*G)", expand=False)).mode().iloc[0]

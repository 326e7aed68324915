from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import scssl
from scssl import _clock, _keys, _settings
from scssl._errors import InputError
from scssl._parts import modalities, multimodal
from scssl._validate import enforce, names, objects
from scssl._words import listed, unknown
from scssl.data import gene_sets as sets_of
from scssl.data.matrix import handed_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from anndata import AnnData

    from scssl._validate import Problem


def gene_sets(
    adata: AnnData,
    source: str | os.PathLike[str] | Mapping[str, Sequence[str]] | pd.DataFrame,
    *,
    gene_key: str | None = None,
    min_genes: int = 5,
    max_genes: int | None = None,
    key_added: str = "gene_sets",
) -> None:
    """Find gene sets among the genes of the data and keep them, for masks that hide or show whole programmes.

    A set that is named after one of the genes (``"STAT1"``, ``"STAT1_targets"``) is the set of that transcription factor, for
    ``mask="gp_to_tf"`` of the method ``mae``.

    Parameters
    ----------
    adata
        AnnData; of a MuData one modality, ``mdata.mod["rna"]``.
    source
        Path of a GMT file; a dictionary ``{name: genes}``; or a table with one row for each gene of a set, in the columns
        ``source`` (the set) and ``target`` (the gene), as decoupler has them. Files of MSigDB, Reactome or Enrichr can be
        used; none is part of scssl.
    gene_key
        Column of ``var`` with the names that the sets use, symbols or Ensembl ids (a version is ignored); ``var_names`` by
        default. Case counts: human sets do not match mouse genes.
    min_genes, max_genes
        Sets with fewer or more genes in the data are left out.
    key_added
        Name of the slots.

    Returns
    -------
    None
        Slots written:

        - ``.varm["<key_added>"]``: CSR of ones, float32 of shape ``(n_vars, n_sets)``
        - ``.uns["scssl"]["gene_sets"]["<key_added>"]``: names of the sets, number of genes that each has and of those that
          were found, the gene it is named after (empty if there is none), number of sets that were left out

    Raises
    ------
    InputError
        If `source` cannot be read, or no set is left; says which column of ``var`` has the names of the sets.
    KeyNotFoundError
        If there is no such column.

    Examples
    --------
    >>> import scssl as ssl
    >>> adata = ssl.datasets.pbmc68k()
    >>> sets = {"b_cell": ["CD79A", "CD79B", "CD37"], "nk": ["NKG7", "GNLY", "PRF1", "GZMB"]}
    >>> ssl.pp.gene_sets(adata, sets, min_genes=3)
    >>> adata.varm["gene_sets"].shape
    (765, 2)
    """
    enforce(_problems(adata, gene_key, key_added))
    _sizes(min_genes, max_genes)
    sets = sets_of.read(source)
    known = adata.var_names if gene_key is None else adata.var[gene_key].astype(str)
    matched = sets_of.match(sets, known)
    found = np.asarray(matched.sum(axis=0)).ravel().astype(np.int64)
    kept = np.flatnonzero((found >= min_genes) & (found <= (max_genes or matched.shape[0])))
    if not len(kept):
        asked = "var_names" if gene_key is None else f"var[{gene_key!r}]"
        raise sets_of.too_few(sets, adata.var, pd.Index(known), asked)
    all_names = list(sets)
    chosen = [all_names[j] for j in kept]
    regulators = sets_of.regulators(chosen, known)
    genes = adata.var_names.to_numpy().astype(str)
    adata.varm[key_added] = handed_out(matched[:, kept])
    _keys.shelf(adata, _keys.GENE_SETS)[key_added] = {
        "names": np.asarray(chosen, dtype=object),
        "n_genes": np.asarray([len(sets[name]) for name in chosen]),
        "n_found": found[kept],
        "regulators": np.asarray([genes[i] if i >= 0 else "" for i in regulators], dtype=object),
        "n_dropped": len(sets) - len(kept),
        "source": str(source) if isinstance(source, str | os.PathLike) else type(source).__name__,
        "version": scssl.__version__,
        "created": _clock.now(),
    }
    _settings.wrote(f".varm['{key_added}']", f".uns['{_keys.UNS}']['{_keys.GENE_SETS}']['{key_added}']")
    covered = int((matched[:, kept].sum(axis=1) > 0).sum())
    share = found[kept].sum() / sum(len(sets[name]) for name in chosen)
    _settings.info(
        f"    {len(kept)} of {len(sets)} gene sets kept; {share:.0%} of their genes were found, "
        f"{covered} of {adata.n_vars} genes are in a set, {int((regulators >= 0).sum())} sets are named after a gene"
    )


def _problems(adata: AnnData, gene_key: str | None, key_added: str) -> Iterator[Problem]:
    yield from objects.container(adata)
    yield from names.key(key_added, parameter="key_added")
    if multimodal(adata):
        msg = f"A MuData was given, and sets of genes belong to one of its modalities: {listed(modalities(adata))}."
        fix = f"Pass one, e.g. ssl.pp.gene_sets(mdata.mod[{modalities(adata)[0]!r}], ...)."
        raise InputError(msg, code="needs_anndata", parameter="adata", fix=fix)
    if key_added in adata.varm and key_added not in _keys.peek(adata).get(_keys.GENE_SETS, {}):
        yield names.taken(f"varm[{key_added!r}]", key_added, parameter="key_added")
    if gene_key is not None and gene_key not in adata.var:
        raise unknown("column of var", gene_key, [str(c) for c in adata.var], parameter="gene_key")  # noqa: EM101


def _sizes(min_genes: object, max_genes: object) -> None:
    for name, value in {"min_genes": min_genes, "max_genes": 1 if max_genes is None else max_genes}.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            msg = f"{name}={value!r} is not a whole number of at least 1."
            raise InputError(msg, code="out_of_range", parameter=name, fix=f"Pass e.g. {name}=5.")

"""Kinds of modalities, known by their names: what is measured, and how counts of it become values; without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scssl.data.recipe import clr, normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import scipy.sparse as sp


@dataclass(frozen=True)
class Kind:
    """A kind of modality.

    Parameters
    ----------
    name
        By which methods and records know it; empty for one that is not known.
    names
        How modalities of this kind are called, in any case of letters.
    of_genes
        Whether features are genes: the variable ones are chosen, and methods say on which scale they want the values.
    of_peaks
        Whether features are open or closed: their values are no scaled counts.
    logged
        From counts to values as :func:`scssl.pp.recipe` makes them, if each cell can be taken for itself.
    scale
        These values in words; ``{total}`` stands for the total that cells are scaled to.
    """

    name: str = ""
    names: tuple[str, ...] = ()
    of_genes: bool = False
    of_peaks: bool = False
    logged: Callable[[sp.csr_array], sp.csr_array] | None = None
    scale: str = ""


RNA = Kind(
    "rna",
    ("rna", "gex", "expression", "gene_expression"),
    of_genes=True,
    logged=normalize,
    scale="log1p of counts scaled to {total} a cell",
)
PROTEIN = Kind(
    "protein",
    ("prot", "protein", "proteins", "adt", "antibody", "cite"),
    logged=clr,
    scale="centred log ratio",
)
ATAC = Kind("atac", ("atac", "peaks", "accessibility", "chromatin"), of_peaks=True, scale="logarithm of TF-IDF")
OTHER = Kind()
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (RNA, PROTEIN, ATAC)}


def kind_of(modality: str) -> Kind:
    """The kind of a modality, by its name."""
    return next((kind for kind in KINDS.values() if modality.lower() in kind.names), OTHER)

"""Cells as methods read them: sparse rows of every modality, genes and codes by name; without torch."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _keys
from scssl.data import counts, gene_sets, identity, partners
from scssl.data.align import MINIMUM, Alignment, align
from scssl.data.columns import codes, column
from scssl.data.container import asked, counts_layer, measured_in, parts_of, spread
from scssl.data.matrix import genes_of
from scssl.data.stream import Stream, matrix_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    import scipy.sparse as sp
    from anndata import AnnData

    from scssl._types import Data

LOG, COUNTS = "log", "counts"
BATCH, LABEL = "batch", "label"


@dataclass(frozen=True)
class Codes:
    """A column of ``obs`` as numbers.

    Parameters
    ----------
    values
        For each cell the position of its value in `names`, int64; -1 for a value that is not among them.
    names
        The values, as text.
    """

    values: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells as sparse rows; nothing larger than a mini-batch is ever dense.

    Parameters
    ----------
    names
        Names of the cells.
    genes
        For each modality the names of its columns.
    matrices
        For each modality the values as CSR, cells in the same order; a :class:`~scssl.data.stream.Stream` of an only one.
    codes
        ``"batch"`` and ``"label"`` of each cell, as far as they were asked for.
    present
        For each modality that some cells lack: which cells have it. Their rows are empty.
    values
        Scale of `matrices`: ``"log"`` or ``"counts"``.
    parts
        For each modality the AnnData that it was read from, for what is read later: counts, gene sets.
    container
        The object of all cells, for graphs that were left in it.
    """

    names: pd.Index
    genes: Mapping[str, np.ndarray]
    matrices: Mapping[str, Any]
    codes: Mapping[str, Codes] = field(default_factory=dict)
    present: Mapping[str, np.ndarray] = field(default_factory=dict)
    values: str = LOG
    parts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    container: Any = field(default=None, repr=False)
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Facts about all cells that were computed already (graphs, factors of counts), by name."""

    @classmethod
    def from_data(
        cls,
        data: Data,
        *,
        layer: str | None = None,
        batch_key: str | None = None,
        label_key: str | None = None,
        modalities: Sequence[str] | None = None,
        mask_by: str | None = _keys.HIGHLY_VARIABLE,
        values: str = LOG,
        stream: bool = False,
    ) -> Cells:
        """Cells of an AnnData (one modality, called ``rna``) or MuData, with the genes that `mask_by` marks.

        `stream`: leave a matrix on disk if it is there and large, see :class:`~scssl.data.stream.Stream`.
        """
        parts = parts_of(data, modalities)
        chosen = {name: _chosen(part, mask_by) for name, part in parts.items()}
        keys = {BATCH: batch_key, LABEL: label_key}
        there = measured_in(data, parts)
        return cls(
            data.obs_names,
            {name: np.asarray(part.var_names[chosen[name]], dtype=str) for name, part in parts.items()},
            {
                name: spread(
                    matrix_of(
                        part,
                        layer=counts_layer(part, layer) if values == COUNTS else layer,
                        genes=chosen[name],
                        stream=stream and len(parts) == 1,
                    ),
                    there[name],
                )
                for name, part in parts.items()
            },
            {
                name: Codes(*codes(column(data, key, parameter=f"{name}_key")))
                for name, key in keys.items()
                if key is not None
            },
            _lacked(there),
            values,
            parts,
            data,
        )

    @classmethod
    def aligned(
        cls,
        data: Data,
        genes: Mapping[str, np.ndarray],
        *,
        layer: str | None = None,
        values: str = LOG,
        stream: bool = False,
        min_coverage: float = MINIMUM,
    ) -> tuple[Cells, dict[str, Alignment]]:
        """Cells of any object with exactly the given `genes`: found by name, absent ones are zero.

        `min_coverage`: share of the genes below which the object is refused.
        """
        parts = parts_of(data, asked(data, list(genes)))
        found = {
            name: align(part.var_names, genes[name], raw=part.raw, minimum=min_coverage) for name, part in parts.items()
        }
        there = measured_in(data, parts)
        matrices = {
            name: spread(
                matrix_of(
                    part,
                    layer=counts_layer(part, layer) if values == COUNTS else layer,
                    positions=found[name].positions,
                    stream=stream and len(parts) == 1,
                ),
                there[name],
            )
            for name, part in parts.items()
        }
        known = {name: genes[name] for name in parts}
        return cls(data.obs_names, known, matrices, {}, _lacked(there), values, parts, data), found

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.names)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of genes of each modality."""
        return {name: matrix.shape[1] for name, matrix in self.matrices.items()}

    @property
    def batch(self) -> np.ndarray | None:
        """Code of the batch of each cell; ``None`` where no batch is known."""
        return self.codes[BATCH].values if BATCH in self.codes else None

    @property
    def batch_names(self) -> tuple[str, ...]:
        """Names of the batches, in the order of their codes."""
        return self.codes[BATCH].names if BATCH in self.codes else ()

    @cached_property
    def cell(self) -> np.ndarray:
        """Hash of the name of each cell, int64."""
        return pd.util.hash_array(np.asarray(self.names, dtype=object)).view(np.int64)

    @cached_property
    def identity(self) -> str:
        """Hash of everything that was read: values of the selected genes, names and batches of the cells."""
        return identity.cells_id(self)

    @property
    def stream(self) -> Stream | None:
        """The rows on disk, if they are left there."""
        return next((matrix for matrix in self.matrices.values() if isinstance(matrix, Stream)), None)

    def with_codes(self, **named: Codes) -> Cells:
        """These cells with other batches or labels."""
        return replace(self, codes={**self.codes, **named}, known={})

    def rows(self, modality: str, index: np.ndarray) -> sp.csr_array:
        """Values of some cells as CSR, shape ``(len(index), genes)``.

        Where a cell is not measured in the modality, those of another cell that is: views that mix cells mix real ones.
        """
        index = self._stand_in[modality][index] if modality in self._stand_in else index
        return self.matrices[modality][index]

    def take(self, index: np.ndarray) -> Cells:
        """Some of the cells."""
        return replace(
            self,
            names=self.names[index],
            matrices={name: matrix[index] for name, matrix in self.matrices.items()},
            codes={name: Codes(held.values[index], held.names) for name, held in self.codes.items()},
            present={name: there[index] for name, there in self.present.items()},
            parts={},
            container=None,
            known={},
        )

    def graph(self, kind: str, k: int) -> sp.csr_array:
        """Partners of every cell, made once: a directed sparse graph of a `kind` (``"knn"``, ``"bbknn"``, ``"mnn"``), cells x cells."""
        key = f"{kind}:{k}"
        if key not in self.known:
            self.known[key] = partners.found(self, kind, k)
        return self.known[key]

    def factors(self, modality: str, *, who: str, parameter: str) -> np.ndarray:
        """For each cell the number of counts in a unit of ``expm1`` of its values, see :mod:`scssl.data.counts`."""
        key = f"counts/{modality}"
        if key not in self.known:
            self.known[key] = counts.factors(self, modality, who=who, parameter=parameter)
        return self.known[key]

    def sets(self, modality: str, key: str) -> gene_sets.GeneSets:
        """The gene sets that were stored under `key`, over the genes of a modality."""
        return gene_sets.stored(self.parts[modality], self.genes[modality], key=key, modality=modality)

    def following(self, buffers: Sequence[Sequence[np.ndarray]]) -> AbstractContextManager[None]:
        """Inside the block the cells of one buffer after the other are in memory; for rows on disk."""
        if self.stream is None:
            return nullcontext()
        return self.stream.following([np.sort(np.concatenate(parts)) for parts in buffers])

    def others(self, modality: str, index: np.ndarray, *, near: np.ndarray) -> sp.csr_array:
        """Values of the cells that views mix those at `near` with: any at `index`; of rows on disk, of their buffer."""
        if self.stream is not None:
            cells = self.stream.near(near)
            index = cells[index % len(cells)]
        return self.rows(modality, index)

    @cached_property
    def _stand_in(self) -> dict[str, np.ndarray]:
        return {name: _stand_ins(there) for name, there in self.present.items()}


def _lacked(there: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The modalities that some cells lack."""
    return {name: has for name, has in there.items() if not has.all()}


def _chosen(part: AnnData, mask_by: str | None) -> np.ndarray:
    """Genes to use: those that are marked, all where nothing is marked (protein, no recipe)."""
    absent = mask_by == _keys.HIGHLY_VARIABLE and mask_by not in part.var
    return genes_of(part, None if absent else mask_by)


def _stand_ins(there: np.ndarray) -> np.ndarray:
    """For each cell itself if it is measured, else one that is; all measured cells stand in about equally often."""
    measured = np.flatnonzero(there)
    stand_in = np.arange(len(there))
    absent = np.flatnonzero(~there)
    if not len(measured):
        return stand_in
    stand_in[absent] = measured[np.arange(len(absent)) * len(measured) // max(len(absent), 1)]
    return stand_in

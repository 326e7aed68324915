"""Rows of AnnData, MuData and files as tensors."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from scssl import _keys, _sparse
from scssl._errors import InputError, KeyNotFoundError
from scssl._words import listed, nearest
from scssl.data.align import Alignment, align
from scssl.data.columns import codes, column, is_mudata
from scssl.data.matrix import genes_of
from scssl.data.stream import Stream, matrix_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager


@dataclass(frozen=True)
class Batch:
    """Some cells on the device.

    Parameters
    ----------
    x
        For each modality a dense float32 tensor of shape ``(cells, features)``.
    cell
        Hash of the name of each cell, shape ``(cells,)``.
    batch
        Integer code of the experimental batch, shape ``(cells,)``, or ``None``.
    group
        Cells of different groups are not compared by a loss; ``None`` compares all with all.
    present
        For each modality that some cells of the data lack: which of these cells have it, shape ``(cells,)``. The values of
        the others are zero and mean nothing. ``None`` if no cell lacks any.
    label
        Integer code of the label, shape ``(cells,)``; only where labels are what is trained on.
    visible, target
        For each modality which values the network sees and which it has to predict, boolean of the shape of ``x``. ``None``:
        all of them.
    factor
        For each modality with counts how many are one unit of ``expm1`` of the values, shape ``(cells,)``; ``None`` where
        nobody asked.
    """

    x: dict[str, Tensor]
    cell: Tensor
    batch: Tensor | None = None
    group: Tensor | None = None
    present: dict[str, Tensor] | None = None
    label: Tensor | None = None
    visible: dict[str, Tensor] | None = None
    target: dict[str, Tensor] | None = None
    factor: dict[str, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.cell)

    def with_x(self, x: dict[str, Tensor]) -> Batch:
        """The same cells with other values."""
        return replace(self, x=x)


class Source:
    """Cells as sparse rows, handed out as dense batches: nothing larger than a batch is ever dense.

    Parameters
    ----------
    matrices
        For each modality the values as CSR, cells in the same order; a :class:`~scssl.data.stream.Stream` of an only one.
    features
        For each modality the names of its columns.
    obs_names
        Names of the cells.
    batch
        Batch code of each cell, or ``None``.
    batch_names
        What the codes mean.
    present
        For each modality that some cells lack: which cells have it. Their rows are empty.
    """

    def __init__(
        self,
        matrices: Mapping[str, Any],
        features: Mapping[str, np.ndarray],
        obs_names: pd.Index,
        *,
        batch: np.ndarray | None = None,
        batch_names: Sequence[str] = (),
        present: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.matrices, self.features = dict(matrices), dict(features)
        self.obs_names = obs_names
        self.cell = pd.util.hash_array(np.asarray(obs_names, dtype=object)).view(np.int64)
        self.batch, self.batch_names = batch, list(batch_names)
        self.label: np.ndarray | None = None  # for a classifier alone, see methods._finetune
        self.known: dict[str, Any] = {}  # what views learnt about all cells before training
        self.factors: dict[str, np.ndarray] = {}  # of each cell between counts and values, for likelihoods of counts
        self.present = {name: there for name, there in (present or {}).items() if not there.all()}
        self._stand_in = {name: _stand_ins(there) for name, there in self.present.items()}

    @classmethod
    def from_data(
        cls,
        data: Any,
        *,
        layer: str | None = None,
        batch_key: str | None = None,
        modalities: Sequence[str] | None = None,
        mask_by: str | None = _keys.HIGHLY_VARIABLE,
        stream: bool = False,
    ) -> Source:
        """Cells of an AnnData (one modality, called ``rna``) or MuData, with the genes that `mask_by` marks.

        `stream`: leave a matrix on disk if it is there and large, see :mod:`scssl.data.stream`.
        """
        parts = parts_of(data, modalities)
        chosen = {name: _chosen(part, mask_by) for name, part in parts.items()}
        batch, names = (None, []) if batch_key is None else codes(column(data, batch_key, parameter="batch_key"))
        there = {name: data.obs_names.isin(part.obs_names) for name, part in parts.items()}
        return cls(
            {
                name: spread(
                    matrix_of(part, layer=layer, genes=chosen[name], stream=stream and len(parts) == 1), there[name]
                )
                for name, part in parts.items()
            },
            {name: np.asarray(part.var_names[chosen[name]], dtype=str) for name, part in parts.items()},
            data.obs_names,
            batch=batch,
            batch_names=names,
            present=there,
        )

    @classmethod
    def aligned(
        cls, data: Any, features: Mapping[str, np.ndarray], *, layer: str | None = None, stream: bool = False
    ) -> tuple[Source, dict[str, Alignment]]:
        """Cells of any object with exactly the given `features`: found by name, absent ones are zero."""
        parts = parts_of(data, _present(data, list(features)))
        found = {name: align(part.var_names, features[name]) for name, part in parts.items()}
        there = {name: data.obs_names.isin(part.obs_names) for name, part in parts.items()}
        matrices = {
            name: spread(
                matrix_of(part, layer=layer, positions=found[name].positions, stream=stream and len(parts) == 1),
                there[name],
            )
            for name, part in parts.items()
        }
        return cls(matrices, {name: features[name] for name in parts}, data.obs_names, present=there), found

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.obs_names)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of features of each modality."""
        return {name: matrix.shape[1] for name, matrix in self.matrices.items()}

    @property
    def stream(self) -> Stream | None:
        """The rows on disk, if they are left there."""
        return next((matrix for matrix in self.matrices.values() if isinstance(matrix, Stream)), None)

    def following(self, buffers: Sequence[Sequence[np.ndarray]]) -> AbstractContextManager[None]:
        """Inside the block the cells of one buffer after the other are in memory; for rows on disk."""
        if self.stream is None:
            return nullcontext()
        return self.stream.following([np.sort(np.concatenate(parts)) for parts in buffers])

    def others(self, modality: str, index: np.ndarray, *, near: np.ndarray, device: torch.device | str) -> Tensor:
        """Values of the cells that views mix those at `near` with: any at `index`; of rows on disk, of their buffer."""
        if self.stream is not None:
            cells = self.stream.near(near)
            index = cells[index % len(cells)]
        return self.rows(modality, index, device)

    def rows(self, modality: str, index: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
        """Values of some cells, dense: a new tensor of shape ``(len(index), features)``.

        Where a cell is not measured in the modality, those of another cell that is: views that mix cells mix real ones.
        """
        index = self._stand_in[modality][index] if modality in self._stand_in else index
        return torch.from_numpy(self.matrices[modality][index].toarray()).to(device, non_blocking=True)

    def take(self, index: np.ndarray, device: torch.device | str = "cpu") -> Batch:
        """The cells at the positions `index` as a batch on the device."""
        batch = None if self.batch is None else torch.from_numpy(self.batch[index]).to(device)
        x = {name: self.rows(name, index, device) for name in self.matrices}
        present = {name: torch.from_numpy(there[index]).to(device) for name, there in self.present.items()}
        for name, there in present.items():
            x[name][~there] = 0
        label = None if self.label is None else torch.from_numpy(self.label[index]).to(device)
        factor = {name: torch.from_numpy(values[index]).to(device) for name, values in self.factors.items()}
        return Batch(
            x,
            torch.from_numpy(self.cell[index]),
            batch,
            present=present or None,
            label=label,
            factor=factor or None,
        )


def parts_of(data: Any, modalities: Sequence[str] | None = None) -> dict[str, Any]:
    """The AnnData of each modality that is asked for, with those of the cells that it has.

    An AnnData is a single modality, called ``rna`` if nothing else is asked for.
    """
    modalities = (modalities,) if isinstance(modalities, str) else modalities
    if not is_mudata(data):
        if modalities is not None and len(modalities) != 1:
            msg = f"modalities={tuple(modalities)!r} were asked of an AnnData, which holds one."
            raise InputError(msg, code="needs_mudata", parameter="modalities", fix="Pass a MuData.")
        return {(modalities or (_keys.DEFAULT_MODALITY,))[0]: data}
    wanted = list(modalities or data.mod)
    for name in wanted:
        if name not in data.mod:
            msg = f"modalities names {name!r}, the MuData has {listed(list(data.mod))}."
            raise KeyNotFoundError(
                msg, code="unknown_modality", parameter="modalities", fix=nearest(name, list(data.mod))
            )
    return {name: _in_order(data.mod[name], data.obs_names) for name in wanted}


def _in_order(part: Any, names: pd.Index) -> Any:
    """The modality with its cells in the order of the whole object, which may have more."""
    names = names if len(part.obs_names) == len(names) else names[names.isin(part.obs_names)]
    return part if part.obs_names.equals(names) else part[names]


def _present(data: Any, names: list[str]) -> list[str] | None:
    return names if is_mudata(data) or len(names) == 1 else None


def _chosen(part: Any, mask_by: str | None) -> np.ndarray:
    """Genes to use: those that are marked, all where nothing is marked (protein, no recipe)."""
    absent = mask_by == _keys.HIGHLY_VARIABLE and mask_by not in part.var
    return genes_of(part, None if absent else mask_by)


def spread(matrix: Any, there: np.ndarray) -> Any:
    """The rows put where `there` is true, empty rows elsewhere."""
    if there.all():
        return matrix
    if not there.any():
        return sp.csr_array((len(there), matrix.shape[1]), dtype=np.float32)
    lengths = np.zeros(len(there) + 1, dtype=matrix.indptr.dtype)
    lengths[1:][there] = np.diff(matrix.indptr)
    return _sparse.from_rows(matrix.data, matrix.indices, np.cumsum(lengths), shape=(len(there), matrix.shape[1]))


def _stand_ins(there: np.ndarray) -> np.ndarray:
    """For each cell itself if it is measured, else one that is; all measured cells stand in about equally often."""
    measured = np.flatnonzero(there)
    stand_in = np.arange(len(there))
    absent = np.flatnonzero(~there)
    if not len(measured):
        return stand_in
    stand_in[absent] = measured[np.arange(len(absent)) * len(measured) // max(len(absent), 1)]
    return stand_in

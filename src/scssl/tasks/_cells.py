from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _keys
from scssl._parts import part as part_of
from scssl._parts import parts
from scssl._protocol import CLEAN
from scssl.data.columns import as_text, column
from scssl.data.matrix import csr, genes_of, rows
from scssl.tasks._values import read_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp
    from anndata import AnnData

    from scssl._protocol import Protocol
    from scssl._types import Data

N_COMPONENTS = 50
TARGET_SUM = 1e4
_LOOK_AT = 1000


@dataclass(frozen=True)
class Cells:
    """What is known about the cells whose embedding is scored: plain arrays, one entry a cell.

    Parameters
    ----------
    names
        Names of the cells; the random control belongs to them, not to their order.
    labels, batch
        Cell type and batch as text, complete; ``None`` if unknown.
    query
        Cells that were held out (their labels are to be predicted from the others); ``None`` without a split.
    groups, grouped_by, held_out
        Group of each cell as text (donor, study), the name of that column, and the groups that are held out in turn
        (all if none is named); ``None`` to hold out batches.
    before
        Representation without any integration, against which PCR is compared; shape ``(n, d)``.
    before_note
        What `before` is, for the record.
    labelled
        Cells whose label means something; ``None`` if all do. The others are left out wherever labels are used.
    source, target
        Modality that embeddings are made from, and modality that is to be predicted; empty if nothing is predicted.
    source_values, target_values
        Their values, CSR of shape ``(n, features)``; ``None`` unless they are needed.
    source_names, target_names
        Names of their features.
    measured
        Cells of which the target was measured; ``None`` if it was of all.
    """

    names: np.ndarray
    labels: np.ndarray | None = None
    batch: np.ndarray | None = None
    query: np.ndarray | None = None
    before: np.ndarray | None = None
    before_note: str = ""
    labelled: np.ndarray | None = None
    groups: np.ndarray | None = None
    grouped_by: str = ""
    held_out: tuple[str, ...] = ()
    source: str = ""
    target: str = ""
    source_values: sp.csr_array | None = None
    target_values: sp.csr_array | None = None
    source_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    measured: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def keys(self) -> np.ndarray:
        """A 64-bit number per cell name."""
        return pd.util.hash_array(np.asarray(self.names, dtype=object))

    def take(self, kept: np.ndarray) -> Cells:
        """Some of the cells, or all in another order: by a boolean mask, or by positions."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        kept_of: dict[str, Any] = {
            name: value if value is None or isinstance(value, str | tuple) else value[kept]
            for name, value in arrays.items()
        }
        return Cells(**kept_of)

    @property
    def unlabelled_note(self) -> str:
        """A sentence on the cells without a label; empty if there is none."""
        n = 0 if self.labelled is None else int((~self.labelled).sum())
        return f"{n} of {len(self)} cells without a label are left out." if n else ""

    @classmethod
    def of(
        cls,
        data: object,
        *,
        batch_key: str | None = None,
        label_key: str | None = None,
        split_key: str | None = None,
        modality: str | None = None,
        layer: str | None = None,
        protocol: Protocol = CLEAN,
        unlabelled: Sequence[str] = (),
        held_out: Sequence[str] | None = None,
        target: str | None = None,
        values: bool = False,
    ) -> Cells:
        """Read what tasks need from an AnnData or MuData; the columns must have been checked.

        Parameters
        ----------
        data
            AnnData or MuData.
        batch_key, label_key
            Columns of ``obs``.
        split_key
            Column of ``obs`` in which held-out cells are called ``"query"``, as :func:`scssl.pp.split` does; with
            `held_out` any column of groups.
        held_out
            Groups of `split_key` (of `batch_key` without one) that are held out in turn; all if the list is empty.
        modality
            Modality of a MuData whose cells are described. By default all cells of the object; `before` is then made of
            the values of ``"rna"``, else of the first modality.
        layer
            Layer that `before` is made of; ``X`` by default.
        protocol
            Says whether `before` uses all genes, as scIB does, or the highly variable ones.
        unlabelled
            Values of the label column that mean that there is no label, in any case of letters.
        target
            Modality of a MuData that is to be predicted from `modality` (by default ``"rna"``, else the first other one).
        values
            Read the values of the source modality, which reconstruction is compared with.
        """
        part = part_of(data, modality)
        text = {
            name: None if key is None else as_text(column(data, key, parameter=name).reindex(part.obs_names))
            for name, key in (("label_key", label_key), ("batch_key", batch_key), ("split_key", split_key))
        }
        labels, batch, split = (None if t is None else t.to_numpy(dtype=object) for t in text.values())
        before, note = (None, "") if batch is None else _before(part, layer, all_genes=protocol.all_genes)
        without = {name.strip().lower() for name in unlabelled}
        known = None if labels is None else np.array([label.strip().lower() not in without for label in labels])
        groups, query = None, None if split is None else split == _keys.QUERY
        if held_out is not None:
            groups, query = batch if split is None else split, None
        return cls(
            names=np.asarray(part.obs_names, dtype=object),
            labels=labels,
            batch=batch,
            query=query,
            groups=groups,
            grouped_by="" if groups is None else str(split_key or batch_key),
            held_out=tuple(held_out or ()),
            before=before,
            before_note=note,
            labelled=None if known is None or known.all() else known,
            **(read_values(data, part, modality, target=target, layer=layer) if values or target else {}),
        )


def _before(data: Data, layer: str | None, *, all_genes: bool) -> tuple[np.ndarray | None, str]:
    """Principal components of the log-normalised values, and a sentence on what went into them."""
    found = parts(data)
    part = found.get(_keys.DEFAULT_MODALITY, next(iter(found.values())))
    order = part.obs_names.get_indexer(data.obs_names)
    absent = part.X is None if layer is None else layer not in part.layers
    if absent or min(part.shape) < 2 or (order < 0).any():
        return None, ""
    selected = not all_genes and _keys.HIGHLY_VARIABLE in part.var
    genes = genes_of(part, _keys.HIGHLY_VARIABLE if selected else None)
    counts = _are_counts(part, layer)
    values = _log_normalised(csr(part, layer=layer))[:, genes] if counts else csr(part, layer=layer, genes=genes)
    n_bad = int((~np.isfinite(values.data)).sum())
    if n_bad:
        return None, f"{n_bad} values of {layer or 'X'} are NaN or inf, so nothing is known of the state before."
    components = principal_components(values)[order]
    what = f"{len(genes)} {'highly variable ' if selected else ''}genes{', log-normalised here' if counts else ''}"
    return components, f"Before: PCA-{components.shape[1]} of {what}."


def _are_counts(part: AnnData, layer: str | None) -> bool:
    block = rows(part, 0, min(_LOOK_AT, part.n_obs), layer)
    values = block.data if hasattr(block, "tocsr") else np.asarray(block)
    return bool((values >= 0).all() and (np.rint(values) == values).all())


def _log_normalised(counts: sp.csr_array) -> sp.csr_array:
    total = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    factor = np.repeat(TARGET_SUM / np.maximum(total, 1.0), np.diff(counts.indptr))
    return type(counts)(
        (np.log1p(counts.data * factor).astype(np.float32), counts.indices, counts.indptr), shape=counts.shape
    )


def principal_components(values: sp.csr_array, *, width: int = N_COMPONENTS, seed: int = 0) -> np.ndarray:
    """Scores of the leading principal components; the matrix is centred without becoming dense.

    Parameters
    ----------
    values
        Cells by genes.
    width
        Number of components; fewer if there are not as many cells or genes.
    seed
        Seed of the start vector.

    Returns
    -------
    float64 of shape ``(n, width)``.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    model = PCA(min(width, min(values.shape) - 1), svd_solver="arpack", random_state=seed)
    with threadpool_limits(limits=1):  # thousands of small products
        return model.fit_transform(values.astype(np.float64))

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl import _keys
from scssl.data.columns import column, is_mudata
from scssl.data.matrix import csr, genes_of, rows

if TYPE_CHECKING:
    import scipy.sparse as sp

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
    before
        Representation without any integration, against which PCR is compared; shape ``(n, d)``.
    before_note
        What `before` is, for the record.
    """

    names: np.ndarray
    labels: np.ndarray | None = None
    batch: np.ndarray | None = None
    query: np.ndarray | None = None
    before: np.ndarray | None = None
    before_note: str = ""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def keys(self) -> np.ndarray:
        """A 64-bit number per cell name."""
        return pd.util.hash_array(np.asarray(self.names, dtype=object))

    @classmethod
    def of(
        cls,
        data: Any,
        *,
        batch_key: str | None = None,
        label_key: str | None = None,
        split_key: str | None = None,
        modality: str | None = None,
        layer: str | None = None,
        profile: str = "clean",
    ) -> Cells:
        """Read what tasks need from an AnnData or MuData; the columns must have been checked.

        Parameters
        ----------
        data
            AnnData or MuData.
        batch_key, label_key
            Columns of ``obs``.
        split_key
            Column of ``obs`` in which held-out cells are called ``"query"``, as :func:`scssl.pp.split` does.
        modality
            Modality of a MuData whose cells are described. By default all cells of the object; `before` is then made of
            the values of ``"rna"``, else of the first modality.
        layer
            Layer that `before` is made of; ``X`` by default.
        profile
            ``"paper"``: `before` uses all genes, as scIB does, not the highly variable ones.
        """
        part = data.mod[modality] if modality is not None else data
        text = {
            name: None if key is None else column(data, key, parameter=name).reindex(part.obs_names).astype(str)
            for name, key in (("label_key", label_key), ("batch_key", batch_key), ("split_key", split_key))
        }
        labels, batch, split = (None if t is None else t.to_numpy(dtype=object) for t in text.values())
        before, note = (None, "") if batch is None else _before(part, layer, all_genes=profile == "paper")
        return cls(
            names=np.asarray(part.obs_names, dtype=object),
            labels=labels,
            batch=batch,
            query=None if split is None else split == _keys.QUERY,
            before=before,
            before_note=note,
        )


def _before(data: Any, layer: str | None, *, all_genes: bool) -> tuple[np.ndarray | None, str]:
    """Principal components of the log-normalised values, and a sentence on what went into them."""
    part = data
    if is_mudata(data):
        default = _keys.DEFAULT_MODALITY if _keys.DEFAULT_MODALITY in data.mod else next(iter(data.mod))
        part = data.mod[default]
    order = part.obs_names.get_indexer(data.obs_names)
    absent = part.X is None if layer is None else layer not in part.layers
    if absent or min(part.shape) < 2 or (order < 0).any():
        return None, ""
    selected = not all_genes and _keys.HIGHLY_VARIABLE in part.var
    genes = genes_of(part, _keys.HIGHLY_VARIABLE if selected else None)
    counts = _are_counts(part, layer)
    values = _log_normalised(csr(part, layer=layer))[:, genes] if counts else csr(part, layer=layer, genes=genes)
    components = principal_components(values)[order]
    what = f"{len(genes)} {'highly variable ' if selected else ''}genes{', log-normalised here' if counts else ''}"
    return components, f"Before: PCA-{components.shape[1]} of {what}."


def _are_counts(part: Any, layer: str | None) -> bool:
    block = rows(part, 0, min(_LOOK_AT, part.n_obs), layer)
    values = block.data if hasattr(block, "tocsr") else np.asarray(block)
    return bool((values >= 0).all() and (np.rint(values) == values).all())


def _log_normalised(counts: sp.csr_matrix) -> sp.csr_matrix:
    total = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    factor = np.repeat(TARGET_SUM / np.maximum(total, 1.0), np.diff(counts.indptr))
    return type(counts)(
        (np.log1p(counts.data * factor).astype(np.float32), counts.indices, counts.indptr), shape=counts.shape
    )


def principal_components(values: sp.csr_matrix, *, width: int = N_COMPONENTS, seed: int = 0) -> np.ndarray:
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

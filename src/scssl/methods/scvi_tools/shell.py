"""Objects that scvi-tools can be set up on: shells around matrices that are not copied, never the user's own object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scssl.data.cells import Codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from mudata import MuData
    from scvi.model.base import BaseModelClass

    from scssl.methods.scvi_tools.tool import Plain, Tool

BATCH, LABEL = "batch", "label"
NO_LABEL = "(no label)"
DENSE = ("protein",)  # their test for missing proteins cannot read sparse ones; there are tens to hundreds of columns


@dataclass(frozen=True)
class Inputs:
    """What a model of scvi-tools reads of some cells.

    Parameters
    ----------
    values
        For each modality the matrix, CSR or dense, cells in the same order.
    features
        For each modality the names of the columns.
    batch, label
        Categories of the cells.
    """

    values: Mapping[str, sp.csr_array | np.ndarray]
    features: Mapping[str, Sequence[str]] = field(default_factory=dict)
    batch: Codes | None = None
    label: Codes | None = None

    def __len__(self) -> int:
        return next(iter(self.values.values())).shape[0]

    def rows(self, index: np.ndarray | slice) -> Inputs:
        """Some of the cells."""
        batch, label = (c and Codes(c.values[index], c.names) for c in (self.batch, self.label))
        return replace(self, values={m: x[index] for m, x in self.values.items()}, batch=batch, label=label)


def shell(tool: Tool, inputs: Inputs) -> AnnData | MuData:
    """An AnnData, for several modalities a MuData, that shares the memory of the matrices."""
    import anndata as ad
    import mudata as md

    index = pd.RangeIndex(len(inputs)).astype(str)  # names of cells may repeat and would have to be matched
    parts = {
        name: ad.AnnData(
            matrix(name, inputs.values[name]),
            obs=pd.DataFrame(index=index),
            var=pd.DataFrame(index=list(inputs.features[name])),
        )
        for name in tool.modalities
    }
    data = md.MuData(parts) if len(parts) > 1 else parts[tool.modalities[0]]
    if inputs.batch is not None:
        data.obs[BATCH] = _column(inputs.batch, ())
    if "labels" in tool.needs:
        data.obs[LABEL] = _column(inputs.label or Codes(np.full(len(inputs), -1), ()), (NO_LABEL,))
    return data


def set_up(tool: Tool, data: AnnData | MuData) -> None:
    """Register a shell for a model."""
    keys: dict[str, Plain] = {"batch_key": BATCH} if BATCH in data.obs else {}
    if "labels" in tool.needs:
        keys |= {"labels_key": LABEL, "unlabeled_category": NO_LABEL}
    model = tool.load()
    if len(tool.modalities) > 1:
        model.setup_mudata(data, modalities={f"{name}_layer": name for name in tool.modalities}, **keys)
    else:
        model.setup_anndata(data, **keys)


def blank(features: Mapping[str, Sequence[str]], batches: Sequence[str], labels: Sequence[str]) -> Inputs:
    """A few empty cells that have every category: enough to build a model whose weights are known."""
    n = max(len(batches), len(labels) + 1, 2)

    def each(names: Sequence[str]) -> Codes | None:
        return Codes(np.minimum(np.arange(n), len(names) - 1), tuple(names)) if names else None

    empty = {name: sp.csr_array((n, len(columns)), dtype=np.float32) for name, columns in features.items()}
    return Inputs(empty, features, each(batches), each(labels))


def forget(model: BaseModelClass, *shells: AnnData | MuData) -> None:
    """Let go of cells: scvi-tools keep what was set up for as long as the process lives.

    Their ``deregister_manager`` without an object would also drop what the user has set up.
    """
    for data in shells:
        model._setup_adata_manager_store.pop(data.uns["_scvi_uuid"], None)
    model._per_instance_manager_store.pop(model.id, None)


def matrix(modality: str, x: sp.csr_array | np.ndarray) -> sp.csr_matrix | np.ndarray:
    """Values in the one form of each modality: proteins dense, others in the older CSR class (the newer one fails).

    Their check for counts draws other numbers for dense values, and totalVI would start from another prior.
    """
    if modality not in DENSE:
        return sp.csr_matrix(x)
    return np.ascontiguousarray(x if isinstance(x, np.ndarray) else x.toarray())


def unmeasured(inputs: Inputs) -> list[str]:
    """A sentence for each batch in which some proteins are zero in every cell: totalVI takes them as not measured."""
    protein, batch = inputs.values["protein"], inputs.batch or Codes(np.zeros(len(inputs), dtype=int), ("all cells",))
    sentences = []
    for code in np.unique(batch.values):
        zero = np.asarray(protein[batch.values == code].sum(axis=0)).ravel() == 0
        if zero.any():
            names = ", ".join(str(inputs.features["protein"][i]) for i in np.flatnonzero(zero)[:5])
            sentences.append(
                f"{zero.sum()} of {len(zero)} proteins are zero in every cell of batch {batch.names[code]!r} ({names} ...): "
                "totalVI takes them as not measured there; override_missing_proteins=True takes them as zero."
            )
    return sentences


def _column(codes: Codes, more: tuple[str, ...]) -> pd.Categorical:
    """The column of a shell; cells without a category get the last of `more`."""
    names = pd.Index([*codes.names, *more], dtype=object)
    places = np.where(codes.values < 0, len(names) - 1, codes.values) if more else codes.values
    return pd.Categorical.from_codes(places, names)  # type: ignore[arg-type]  # the stubs want a list

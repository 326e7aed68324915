"""The record of a model: how it was made, as plain values that survive h5ad, zarr and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import scssl
from scssl import _clock
from scssl.data.cells import COUNTS
from scssl.data.identity import data_id

if TYPE_CHECKING:
    from scssl._types import Json
    from scssl.data.cells import Cells


@dataclass(frozen=True)
class Record:
    """How a model was made. Text is never ``None``: what does not apply is empty."""

    method: str
    preset: str
    config: str
    """The configuration as JSON, every default written out."""
    config_id: str
    seed: int
    layer: str
    batch_key: str
    within_batch: str
    n_obs: int
    var_hash: str
    """Hash of the names and the order of the genes."""
    data_id: str
    """Hash of what was read."""
    epochs: int
    seconds: float
    device: str
    modalities: list[str] = field(default_factory=lambda: ["rna"])
    values: str = "log"
    n_vars: int = 0
    in_memory: bool = True
    version: str = field(default_factory=lambda: scssl.__version__)
    created: str = field(default_factory=_clock.now)
    path: str = ""
    init: str = ""
    """The model that training started from, as JSON."""
    peak_mb: float = 0.0
    collapsed: str = ""
    warnings: str = ""
    scale: str = ""
    """Scale of the values that the model was trained on, of each modality, as JSON; empty where it was not measured."""
    detected: str = ""
    """How many cells have each gene, see :mod:`scssl._validate.silent`, of each modality, as JSON."""
    source: str = ""
    """The file of weights that were trained elsewhere, as JSON."""

    def plain(self) -> Json:
        """The record as it is kept in ``uns`` and in the manifest."""
        return asdict(self)


def identity_of(data: object, cells: Cells, *, layer: str | None, batch_key: str | None) -> str:
    """Hash of what a fit reads of the data: of all values of the layer, or of the counts that were found."""
    if cells.values == COUNTS:
        return cells.identity
    return data_id(data, layer=layer, columns=(batch_key,), modalities=list(cells.sizes))

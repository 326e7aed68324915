"""Folders that scvi-tools wrote, as models of scssl."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scssl import _files
from scssl._registry import METHODS
from scssl.methods.scvi_tools.foreign import read_saved
from scssl.methods.scvi_tools.table import TOOLS
from scssl.models.model import Model
from scssl.models.record import Record

if TYPE_CHECKING:
    from pathlib import Path

MODALITIES = {"rna": "rna", "protein": "prot", "atac": "atac"}
"""Names that the modalities get here, by what they are."""


def read(path: Path, *, trust: bool) -> Model:
    """The model in a folder that scvi-tools wrote; it is a pickle and needs trust, see :func:`scssl.load_pretrained`."""
    state = read_saved(path, trust=trust)
    meta, digest = state.meta, _files.sha256(path / "model.pt")
    kind = METHODS.get(meta["tool"])
    given = {name: value for name, value in meta["init"].items() if name in kind.Config.__dataclass_fields__}
    config = kind.configure(**given)
    genes = {MODALITIES[name]: np.asarray(names, dtype=str) for name, names in meta["features"].items()}
    method = kind.restored(config, genes, {"batch": meta["batches"], "label": meta["labels"]}, state)
    plain = {name: names.tolist() for name, names in genes.items()}
    record = Record(
        method=meta["tool"],
        preset="default",
        config=_files.canonical(method.plain_config()),
        config_id=_files.fingerprint([meta["tool"], method.plain_config(), digest], 12),
        seed=0,
        layer="",
        batch_key="batch" if meta["batches"] else "",
        within_batch="off",
        n_obs=0,
        var_hash=_files.fingerprint(plain),
        data_id=digest[:16],
        epochs=0,
        seconds=0.0,
        device="cpu",
        modalities=list(genes),
        values=TOOLS[meta["tool"]].values,
        n_vars=sum(map(len, genes.values())),
        path=str(path),
        warnings="Trained elsewhere; how is not known to scssl.",
        source=_files.canonical({"file": "model.pt", "sha256": digest, "format": "scvi"}),
    )
    return Model(method, genes, record.plain(), pd.DataFrame())

"""Identity of results: hashes of everything that a line of the table reads, and of the code that makes and scores it.

Nobody has to remember to raise a version number, and nothing that is not read makes a difference.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from scssl import _keys
from scssl._parts import modalities
from scssl._registry import METHODS, METRICS, TASKS
from scssl.bench import code
from scssl.data.columns import as_text, column
from scssl.data.container import counts_layer, parts_of
from scssl.data.gene_sets import identity_of as identity_of_sets
from scssl.data.identity import data_id
from scssl.data.kinds import kind_of
from scssl.models.applies import LABELS, modalities_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

    from scssl.bench.lines import Entry
    from scssl.bench.setting import Setting

TRAINING = ("scssl.bench.training", "scssl.models.fit", "scssl.models.query")
SCORING = ("scssl.tasks._score", "scssl.tasks._cells")
CHOICE = ("flavor", "n_top_genes", "batch_key")
"""Fields of a recipe that are done again without the cells that are held out."""


class Content:
    """Hashes of the parts of an object, each computed when it is first asked for.

    Parameters
    ----------
    data
        AnnData or MuData; it must not change in the meantime.
    whole
        Hash of all that scores read.
    """

    def __init__(self, data: object, whole: str) -> None:
        self.data, self.whole = data, whole
        self._known: dict[tuple[str, ...], str] = {}

    def of_line(self, entry: Entry, setting: Setting, *, held_out: bool) -> list[object]:
        """Hash of every part of the data that a line reads to be trained.

        Parameters
        ----------
        entry
            The line.
        setting
            Columns and layer that all lines share.
        held_out
            Whether cells are held out: variable genes are then chosen again.
        """
        spec, kind = METHODS.describe(entry.method), METHODS.get(entry.method)
        request = entry.request(setting.request(), seed=0)
        config = kind.configure(request.preset, **request.config)
        reads = kind.reads(config)
        taken, _ = modalities_for(spec, self.data, request.modalities)
        found: list[object] = [self.column(request.batch_key)]
        if entry.taught or LABELS in spec.needs:
            found.append(self.column(setting.question.label_key))
        for name, part in parts_of(self.data, taken if modalities(self.data) else request.modalities).items():
            layer = counts_layer(part, request.layer) if spec.values == "counts" else request.layer
            found += [name, layer, self.values(name, part, layer), self.marked(name, part, request.mask_by)]
            if "counts" in reads:
                found.append(self.values(name, part, _keys.COUNTS_LAYER))
            if "gene_sets" in reads:
                found.append(identity_of_sets(part))
            if held_out and request.mask_by == _keys.HIGHLY_VARIABLE and kind_of(name).of_genes:
                found += self.choice(name, part)
        return found

    def values(self, name: str, part: AnnData, layer: str | None) -> str:
        """Hash of the values of a layer with the names of cells and genes; empty if there is no such layer."""
        if layer is not None and layer not in part.layers:
            return ""
        return self._once(("values", name, str(layer)), lambda: data_id(part, layer=layer))

    def marked(self, name: str, part: AnnData, mask_by: str | None) -> str:
        """Hash of the genes that a column of ``var`` marks."""
        if mask_by is None or mask_by not in part.var:
            return ""
        marks = part.var[mask_by]
        return self._once(("mask", name, mask_by), lambda: _sha(np.asarray(marks, dtype=bool).tobytes()))

    def column(self, key: str | None) -> str:
        """Hash of a column of ``obs``."""
        if key is None:
            return ""
        return self._once(
            ("column", key), lambda: _sha("\0".join(as_text(column(self.data, key, parameter=key))).encode())
        )

    def choice(self, name: str, part: AnnData) -> list[object]:
        """The recipe by which variable genes are chosen again, and what it reads."""
        done = json.loads(_keys.peek(part).get(_keys.RECIPE, "{}"))
        found: list[object] = [done.get(field) for field in CHOICE]  # not when it was run
        if done.get("batch_key"):
            found.append(self.column(done["batch_key"]))
        if str(done.get("flavor")).startswith("seurat_v3"):
            found.append(self.values(name, part, _keys.COUNTS_LAYER))
        return found

    def _once(self, key: tuple[str, ...], made: Callable[[], str]) -> str:
        if key not in self._known:
            self._known[key] = made()
        return self._known[key]


def training(entry: Entry, setting: Setting) -> str:
    """Hash of the code and the libraries that train a line: of its method and of the views of its configuration."""
    kind = METHODS.get(entry.method)
    request = entry.request(setting.request(), seed=0)
    config = kind.configure(request.preset, **request.config)
    modules = (*TRAINING, "scssl.models.finetune") if entry.taught else TRAINING
    return code.hash_of([kind, *kind.parts(config)], modules)


def scoring(task: str, metrics: Sequence[str] | None = None) -> str:
    """Hash of the code and the libraries that score a task, and of the metrics that it computes."""
    asked = TASKS.get(task)
    names = asked().metrics() if metrics is None else metrics
    return code.hash_of([asked, *(METRICS.get(name) for name in names)], SCORING)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

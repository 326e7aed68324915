"""Models of scvi-tools as methods: one class, whose subclasses say which model it is."""

from __future__ import annotations

from copy import copy
from dataclasses import asdict, field, make_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from scssl.data.cells import BATCH, LABEL, Cells
from scssl.data.kinds import PROTEIN, RNA, Kind, kind_of
from scssl.data.recipe import clr
from scssl.methods._base import Method, State
from scssl.methods.scvi_tools.decode import decode
from scssl.methods.scvi_tools.embed import classify, embed
from scssl.methods.scvi_tools.query import map_query, of_new_batches
from scssl.methods.scvi_tools.shell import Inputs
from scssl.methods.scvi_tools.state import Fitted
from scssl.methods.scvi_tools.state import restored as rebuilt
from scssl.methods.scvi_tools.train import Run as Training
from scssl.methods.scvi_tools.train import fit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import scipy.sparse as sp
    import torch

    from scssl._types import Json
    from scssl.methods._base import Config
    from scssl.methods.scvi_tools.state import Meta
    from scssl.methods.scvi_tools.tool import Tool
    from scssl.train.loop import History, Run

TOTAL = 1e4
"""Sum of the genes of a cell in decoded values, before the logarithm: that of :func:`scssl.pp.recipe`."""


class ScviTools(Method):
    """A model of scvi-tools; training is theirs, bit for bit, and nothing is pickled."""

    tool: ClassVar[Tool]
    cells_at_a_time: ClassVar[int] = 1024
    kept: State
    fitted: Fitted

    @property
    def n_dims(self) -> int:
        """Width of the latent space; for PeakVI and MultiVI it may depend on the number of features."""
        given = self.fitted.meta["init"].get("n_latent")
        return int(given) if isinstance(given, int) else int(self.fitted.module.n_latent)

    @property
    def tells_batches_apart(self) -> bool:
        """Whether the encoder sees the batch of a cell."""
        return bool(self.batches) and self.fitted.sees_batch

    def has_to_learn(self, cells: Cells) -> bool:
        """Whether cells are of batches that the encoder has to know and does not; query mapping adds them."""
        inputs = self._inputs(cells)
        new = of_new_batches(cast("Meta", self.kept.meta), inputs).any()
        return bool(new) and self.fitted.sees_batch and self.tool.maps_queries

    def fit(self, cells: Cells, run: Run) -> History:
        """Train by scvi-tools."""
        self.kept, history = fit(self.tool, self._inputs(cells), self._changes(), self._training(run))
        self._take(self.kept, run.device)
        return history

    def continued(self, cells: Cells, run: Run) -> Self:
        """A model that also knows the batches of a query; the embedding of the cells it was fitted to stays as it is."""
        new = copy(self)
        changes = {name: value for name, value in self._changes().items() if name in self.tool.train}
        kept, _ = map_query(self.kept, self._inputs(cells), changes, self._training(run))
        new.batches = tuple(kept.meta["batches"])
        new._take(kept, run.device)
        return new

    def _take(self, kept: State, device: torch.device) -> None:
        self.kept, self.fitted = kept, rebuilt(kept, device=device)
        self.classes = tuple(self.fitted.meta["labels"]) if "labels" in self.tool.needs else ()

    def embed(self, batch: Cells) -> np.ndarray:
        """Mean of the posterior."""
        return embed(self.fitted, self._inputs(batch))

    def classified(self, cells: Cells, index: np.ndarray) -> np.ndarray:
        """Probability of each of `classes` for the cells at some positions."""
        return classify(self.fitted, self._inputs(cells.take(index)))

    def decoded(self, cells: Cells, index: np.ndarray) -> dict[str, np.ndarray]:
        """Values of every modality on the scale of :func:`scssl.pp.recipe`; of peaks the probability of being open."""
        if "values" not in self.spec.gives:
            return super().decoded(cells, index)
        values = decode(self.fitted, self.embed(cells.take(index)))
        return {name: self._scaled(_kind(name), values) for name in self.sizes}

    def _scaled(self, kind: Kind, values: Mapping[str, np.ndarray]) -> np.ndarray:
        x = values[kind.name]
        if kind is RNA and self.tool.values == "counts":
            return np.log1p(TOTAL * x)
        return clr(_sparse(x)).toarray() if kind is PROTEIN else x

    def state(self) -> State:
        """Tensors of the network, and what it was built with."""
        return self.kept

    @classmethod
    def restored(
        cls, config: Config, genes: Mapping[str, np.ndarray], codes: Mapping[str, Sequence[str]], state: State
    ) -> Self:
        """The model that was saved."""
        import torch

        made = cls(config, {name: len(names) for name, names in genes.items()}, codes.get(BATCH, ()))
        made._take(state, torch.device("cpu"))
        return made

    def on(self, device: torch.device) -> Self:
        """The network on a device."""
        self.fitted = replace(self.fitted, module=self.fitted.module.to(device))
        return self

    def _inputs(self, cells: Cells) -> Inputs:
        """Cells by kind of modality, as scvi-tools call them."""
        kinds = {name: _kind(name).name for name in cells.matrices}
        return Inputs(
            {kind: cells.matrices[name] for name, kind in kinds.items()},
            {kind: cells.genes[name].tolist() for name, kind in kinds.items()},
            cells.codes.get(BATCH),
            cells.codes.get(LABEL),
        )

    def _changes(self) -> Json:
        """Arguments of the model and of its training."""
        arguments = {*self.tool.init, *self.tool.train}
        return {name: value for name, value in asdict(self.config).items() if name in arguments}

    def _training(self, run: Run) -> Training:
        return Training(
            seed=run.seed,
            max_epochs=run.max_epochs,
            batch_size=self.config.batch_size,
            accelerator=run.accelerator,
            devices=run.devices,
            progress=run.progress,
        )


def config_of(tool: Tool) -> type:
    """Frozen configuration of a model: its arguments, with the defaults of scvi-tools, and the length of the training."""
    arguments = {"max_epochs": None, "batch_size": None, **tool.init, **tool.train}
    parts = [(name, _type_of(name, value), field(default=value)) for name, value in arguments.items()]
    if "labels" in tool.needs:
        parts.append(("label_key", str, field(default="")))
    return make_dataclass(
        "Config",
        parts,
        frozen=True,
        namespace={"__doc__": f"Configuration of {tool.title}: arguments of scvi-tools.", "__module__": __name__},
    )


def _kind(modality: str) -> Kind:
    """The kind of a modality; one that is not known is taken for RNA."""
    found = kind_of(modality)
    return found if found.name else RNA


def _type_of(name: str, value: object) -> Any:
    """Type of an argument by its default; where that is ``None``, by what it stands for."""
    if value is not None:
        return type(value)
    return {"train_size": float | None, "empirical_protein_background_prior": bool | None}.get(name, int | None)


def _sparse(x: np.ndarray) -> sp.csr_array:
    import scipy.sparse as sp

    return sp.csr_array(x)

"""The contract of a method: a description, a frozen configuration, fitting, embedding, and a state that can be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from scssl._errors import InputError, NotFittedError
from scssl._validate import enforce
from scssl._validate.config import config as check_config
from scssl._words import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from scssl._specs import MethodSpec
    from scssl._types import Json
    from scssl.data.cells import Cells
    from scssl.train.loop import History, Run


@dataclass(frozen=True)
class Config:
    """Configuration of any method; methods add fields of their own."""

    width: int = field(default=64, metadata={"at_least": 1})
    """Dimensions of the embedding (of each modality)."""


@dataclass(frozen=True)
class State:
    """A fitted method as plain things: what a saved model holds.

    Parameters
    ----------
    tensors
        Arrays or tensors of any shape, by name.
    meta
        Values of JSON.
    """

    tensors: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


class Prepared(ABC):
    """Facts about all cells that a method needs in training."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Hash of the facts: a run that is resumed must have found the same ones."""


class Method(ABC):
    """A method of any kind: trained by the shared loop, by another library, or computed in closed form.

    Parameters
    ----------
    config
        The frozen configuration.
    sizes
        Number of features of each modality.
    batches
        Names of the experimental batches, in the order of their codes; empty if there are none.
    """

    spec: ClassVar[MethodSpec]
    config: Any
    Config: ClassVar[type[Config]] = Config
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named changes of the defaults, e.g. ``paper``: the published hyper-parameters."""
    cells_at_a_time: ClassVar[int] = 4096
    """Cells that are embedded together, unless the caller says otherwise."""
    embeds_one: bool = False
    """Whether cells can be embedded from one of several modalities alone."""
    classes: tuple[str, ...] = ()
    """Labels that the method tells apart."""

    def __init__(self, config: Any, sizes: Mapping[str, int], batches: Sequence[str] = ()) -> None:
        self.config, self.sizes, self.batches = config, dict(sizes), tuple(batches)

    @classmethod
    def prepare(cls, config: Any, cells: Cells) -> Prepared | None:
        """Find out, once before fitting, what the method has to know about all cells; ``None`` if nothing."""
        return None

    @classmethod
    def reads(cls, config: Any) -> frozenset[str]:
        """Parts of the data beside values, genes and codes that a configuration reads: ``"counts"``, ``"gene_sets"``."""
        return frozenset()

    @classmethod
    def parts(cls, config: Any) -> tuple[type, ...]:
        """Classes that a configuration brings in by name: views. Their code is part of the identity of a result."""
        return ()

    @abstractmethod
    def fit(self, cells: Cells, run: Run) -> History:
        """Fit to the cells and return the history, one record an epoch (empty if there are no epochs)."""

    def continued(self, cells: Cells, run: Run) -> Self:
        """A method that has also seen other cells (new batches of a query); this one is left as it is.

        Raises
        ------
        InputError
            If the method cannot do that.
        """
        msg = f"method {self.spec.name!r} does not learn from a query: it embeds new cells as they are."
        raise InputError(msg, code="cannot_continue", parameter="model", fix="Call ssl.tl.embed(query, model).")

    @abstractmethod
    def embed(self, batch: Any) -> Any:
        """Embedding of some cells, shape ``(cells, n_dims)``; `batch` is what :meth:`embedded` reads."""

    def embedded(self, cells: Cells, index: np.ndarray) -> np.ndarray:
        """Embedding of the cells at some positions, float32."""
        return np.asarray(self.embed(cells.take(index)), dtype=np.float32)

    def decoded(self, cells: Cells, index: np.ndarray) -> dict[str, np.ndarray]:
        """Values of every modality, as the method makes them of the cells at some positions: ``"values"`` in `spec.gives`.

        Raises
        ------
        InputError
            If the method does not decode.
        """
        msg = f"method {self.spec.name!r} does not reconstruct its input."
        fix = "Train one that does: those that give 'values' in ssl.tl.methods(full=True)."
        raise InputError(msg, code="cannot_decode", parameter="model", fix=fix)

    def classified(self, cells: Cells, index: np.ndarray) -> np.ndarray:
        """Probability of each of `classes` for the cells at some positions, shape ``(cells, classes)``.

        Raises
        ------
        NotFittedError
            If it has never seen a label.
        """
        msg = f"The model ({self.spec.name!r}) has no classification head: it has never seen a label."
        fix = "Make one first: ssl.tl.finetune(reference, model, label_key='cell_type')."
        raise NotFittedError(msg, code="no_classifier", parameter="model", fix=fix)

    @abstractmethod
    def state(self) -> State:
        """The fitted method as plain things."""

    @classmethod
    @abstractmethod
    def restored(
        cls, config: Any, genes: Mapping[str, np.ndarray], codes: Mapping[str, Sequence[str]], state: State
    ) -> Self:
        """The fitted method that :meth:`state` described.

        Parameters
        ----------
        config
            Its configuration.
        genes
            For each modality the names of its genes.
        codes
            ``"batch"`` and ``"label"``: names of the batches and labels that it knows.
        state
            What :meth:`state` returned.
        """

    def aligned(self, cells: Cells) -> Cells:
        """Cells whose batches have the numbers that the method knows them by."""
        return cells

    def has_to_learn(self, cells: Cells) -> bool:
        """Whether these cells have no embedding before the method is :meth:`continued` on them: of batches it must know."""
        return False

    def on(self, device: torch.device) -> Self:
        """The method on a device, ready to embed; a method without tensors of torch stays where it is."""
        return self

    @property
    def n_dims(self) -> int:
        """Width of the embedding."""
        return self.config.width

    @property
    def tells_batches_apart(self) -> bool:
        """Whether the embedding of a cell depends on the batch it is of."""
        return False

    @classmethod
    def configure(cls, preset: str = "default", **values: object) -> Any:
        """The configuration of a preset with some values changed.

        Raises
        ------
        InputError
            For an unknown preset or field (lists what exists), a wrong type or a value out of range.
        """
        known = ["default", *cls.presets]
        if preset not in known:
            msg = f"Method {cls.spec.name!r} has no preset {preset!r}. It has {listed(known)}."
            raise InputError(msg, code="unknown_preset", parameter="preset", fix=nearest(preset, known))
        values = {**cls.presets.get(preset, {}), **values}
        enforce(check_config(cls.Config, values))
        if "views" in values:
            from scssl.views.pipeline import resolve  # views are of torch, which other methods do without

            values["views"] = resolve(values["views"])
        return cls.Config(**{name: _plain(value) for name, value in values.items()})

    def plain_config(self) -> Json:
        """The configuration as plain values; ``configure(**plain)`` gives it back."""
        return plain(self.config)


class Transductive(Method):
    """A method that places the cells it is fitted to and no others.

    :meth:`fit` puts their embedding into `fitted`, float32 of shape ``(cells, n_dims)``, in the order of the cells.
    """

    fitted: np.ndarray

    def embed(self, batch: Any) -> Any:
        """Refused: other cells have no place in the embedding.

        Raises
        ------
        InputError
            Always; says what to call instead.
        """
        msg = f"method {self.spec.name!r} is transductive: it embeds the cells that it was fitted to and no others."
        fix = "Fit it to all cells together, or name new cells by neighbours in another embedding: ssl.tl.annotate."
        raise InputError(msg, code="transductive", parameter="model", fix=fix)

    def embedded(self, cells: Cells, index: np.ndarray) -> np.ndarray:
        """Embedding of the cells at some positions, which have to be the cells that the method was fitted to."""
        return self.fitted[index]

    @property
    def n_dims(self) -> int:
        """Width of the embedding."""
        return self.fitted.shape[1]

    def state(self) -> State:
        """The embedding of the cells."""
        return State({"fitted": self.fitted})

    @classmethod
    def restored(
        cls, config: Any, genes: Mapping[str, np.ndarray], codes: Mapping[str, Sequence[str]], state: State
    ) -> Self:
        """The method with the embedding of its cells."""
        made = cls(config, {name: len(names) for name, names in genes.items()}, codes.get("batch", ()))
        made.fitted = np.asarray(state.tensors["fitted"])
        return made


def plain(config: Any) -> Json:
    """A configuration as plain values."""
    values = asdict(config)
    if "views" in values:
        from scssl.views.pipeline import describe

        values["views"] = describe(config.views)
    return values


def _plain(value: object) -> Any:
    """A value of a configuration as JSON gives it back: Python numbers, tuples."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(_plain(part) for part in value) if isinstance(value, list | tuple) else value

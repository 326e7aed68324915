"""Methods that are modules of torch: their cells are dense mini-batches on a device, their state is their weights."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from scssl._errors import InputError
from scssl.data.cells import BATCH, Codes
from scssl.methods._base import Method, State
from scssl.nn.norm import BatchNorm1d
from scssl.train.batches import Batches
from scssl.train.device import seeded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scssl.data.cells import Cells
    from scssl.methods._base import Config
    from scssl.train.batches import Batch

_CPU = torch.device("cpu")
ONE_MORE = "one more"


def network_of(method: Method, *, parameter: str) -> Network:
    """The method, if it is a network whose layers can be read and trained.

    Raises
    ------
    InputError
        If it is not.
    """
    if not isinstance(method, Network):
        msg = f"method {method.spec.name!r} is not a network of scssl: its layers cannot be taken over or trained further."
        fix = "Use one of the trained methods of ssl.tl.methods()."
        raise InputError(msg, code="not_a_network", parameter=parameter, fix=fix)
    return method


class Network(Method, nn.Module):
    """A method as a torch module: it builds its layers and represents mini-batches."""

    def __init__(self, config: Config, sizes: Mapping[str, int], batches: Sequence[str] = ()) -> None:
        nn.Module.__init__(self)
        Method.__init__(self, config, sizes, batches)
        self.classifier: nn.Module | None = None
        self.build()

    def add_classifier(self, classes: Sequence[str]) -> None:
        """Put a linear layer on the standardised embedding, of one output a class; replaces one that is there."""
        self.classes = tuple(classes)
        norm = BatchNorm1d(self.n_dims, affine=False)
        self.classifier = nn.Sequential(norm, nn.Linear(self.n_dims, len(self.classes)))

    @abstractmethod
    def build(self) -> None:
        """Make the layers and buffers; `self.config`, `self.sizes` and `self.batches` are there."""

    @abstractmethod
    def represent(self, batch: Batch) -> Tensor:
        """The embedding of a batch, shape ``(cells, width)``."""

    def decode(self, embedding: Tensor) -> dict[str, Tensor]:
        """Values of every modality from what :meth:`represent` made; of methods that give ``"values"``."""
        msg = f"method {self.spec.name!r} does not reconstruct its input"
        raise NotImplementedError(msg)

    def embed(self, batch: Batch) -> Tensor:
        """Embedding that is kept, shape ``(cells, n_dims)``: what :meth:`represent` makes, unless a method keeps something else."""
        return self.represent(batch)

    def aligned(self, cells: Cells) -> Cells:
        """Cells whose batches have the numbers of training; -1 where a batch was not there, or none is named."""
        named = cells.codes.get(BATCH)
        known = pd.Index(self.batches).get_indexer(pd.Index(named.names)) if named else np.empty(0)
        values = known[named.values] if named else np.full(cells.n_obs, -1)
        return cells.with_codes(**{BATCH: Codes(values.astype(np.int64), self.batches)})

    def embedded(self, cells: Cells, index: np.ndarray) -> np.ndarray:
        """Embedding of the cells at some positions, float32."""
        with torch.no_grad():
            return self.embed(Batches(cells, self.device).take(index)).float().cpu().numpy()

    def decoded(self, cells: Cells, index: np.ndarray) -> dict[str, np.ndarray]:
        """Values of every modality, decoded from the embedding of the cells at some positions, float32."""
        if "values" not in self.spec.gives:
            return super().decoded(cells, index)
        with torch.no_grad():
            values = self.decode(self.represent(Batches(cells, self.device).take(index)))
        return {name: of.float().cpu().numpy() for name, of in values.items()}

    def classified(self, cells: Cells, index: np.ndarray) -> np.ndarray:
        """Probability of each of `classes` for the cells at some positions, float64."""
        if self.classifier is None:
            return super().classified(cells, index)
        with torch.no_grad():
            embedding = torch.from_numpy(self.embedded(cells, index)).to(self.device)
            return torch.softmax(self.classifier.eval()(embedding).double(), dim=1).cpu().numpy()

    def state(self) -> State:
        """The weights."""
        return State(self.state_dict())

    @classmethod
    def restored(
        cls, config: Config, genes: Mapping[str, np.ndarray], codes: Mapping[str, Sequence[str]], state: State
    ) -> Self:
        """The module with these weights; every one has to find its place."""
        sizes = {name: len(names) for name, names in genes.items()}
        with seeded(0, _CPU):  # the weights are replaced at once; nobody's generator is used for them
            module = cls(config, sizes, codes.get("batch", ()))
            if codes.get("label"):
                module.add_classifier(codes["label"])
        module.load_state_dict(dict(state.tensors), strict=True)
        return module.eval()

    def feature_axes(self) -> dict[str, dict[int, tuple[str, int]]]:
        """Axes of each tensor that run along the features of a modality, or along the batches, and how many times.

        Found by trial: the module is built once more with one more feature, and what is longer then runs along the features.
        No method has to say it.
        """
        before = {name: value.shape for name, value in self.state_dict().items()}
        axes: dict[str, dict[int, tuple[str, int]]] = {name: {} for name in before}
        for along in (*self.sizes, *(["batches"] if self.batches else [])):
            sizes = {name: n + (name == along) for name, n in self.sizes.items()}
            batches = (*self.batches, ONE_MORE) if along == "batches" else self.batches
            with seeded(0, _CPU):
                after = type(self)(self.config, sizes, batches).state_dict()
            for name, shape in before.items():
                longer = zip(shape, after[name].shape, strict=True)
                axes[name] |= {axis: (along, more - n) for axis, (n, more) in enumerate(longer) if more > n}
        return axes

    def on(self, device: torch.device) -> Self:
        """The module on a device, in eval mode."""
        return self.to(device).eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        tensors = [*self.parameters(), *self.buffers()]
        return tensors[0].device if tensors else _CPU

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scssl._neighbors import Neighbors, nearest
from scssl._registry import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from scssl._types import Facts, Json
    from scssl.metrics._leiden import Scan
    from scssl.metrics._lisi import Weights

MAX_NEIGHBORS = 90
GRAPH_NEIGHBORS = 15
DIFFUSION_NEIGHBORS = 50
MIN_CELLS = 10
"""Labels of fewer cells are left out where each label counts once; scIB draws the same line for kBET."""
_AT_LEAST_TWO = {"labels": "label", "batch": "batch"}


class NotApplicable(Exception):
    """A metric has no meaning for these cells; the text says why."""


@dataclass(frozen=True)
class Measured:
    """A value, and what a reader of it should know."""

    value: float
    message: str = ""


@dataclass(frozen=True)
class Groups:
    """A column as integers.

    Parameters
    ----------
    codes
        Number of the group of each cell, int64.
    names
        Names of the groups, sorted.
    """

    codes: np.ndarray
    names: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Cells in each group."""
        return np.bincount(self.codes, minlength=len(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def members(self) -> list[np.ndarray]:
        """Positions of the cells of each group."""
        order = np.argsort(self.codes, kind="stable")
        return np.split(order, np.cumsum(self.sizes)[:-1])


def groups(values: object) -> Groups:
    """Groups of a column: an array, a Series, a Categorical, or Groups as they are."""
    if isinstance(values, Groups):
        return values
    codes, names = pd.factorize(values if isinstance(values, pd.Categorical) else np.asarray(values), sort=True)
    return Groups(codes.astype(np.int64), np.asarray(names))


def one_hot(codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Indicator matrix of shape ``(n, n_groups)``, float64."""
    indicator = np.zeros((len(codes), n_groups))
    indicator[np.arange(len(codes)), codes] = 1.0
    return indicator


class Inputs:
    """Everything that metrics may ask for by name; shared parts are computed once, when first asked for.

    Parameters
    ----------
    given
        Arrays by name, one row or value a cell; ``None`` for what is absent. `labels` and `batch` are handed on as
        :class:`Groups`.
    seed
        Seed of the clustering and of approximate neighbours.
    """

    def __init__(self, given: Facts, *, seed: int = 0) -> None:
        self.given = {name: value for name, value in given.items() if value is not None}
        self.seed = seed

    def give(self, name: str) -> Any:
        """The input called `name`.

        Raises
        ------
        NotApplicable
            If it is absent, or a column of labels or batches has a single value.
        """
        if name in _AT_LEAST_TWO:
            return self._column(name)
        if name in self.given:
            return self.given[name]
        if name in _SHARED:
            return getattr(self, name)
        msg = f"needs {name!r}, which was not given"
        raise NotApplicable(msg)

    def once(self, name: str, make: Callable[[], object]) -> Any:
        """What `make` returns, made when first asked for under this name."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def note(self, needs: tuple[str, ...]) -> str:
        """What must be said of every metric that used fewer neighbours than it should."""
        return self.neighbors.note if "neighbors" in self.__dict__ and _FROM_NEIGHBORS.intersection(needs) else ""

    def _column(self, name: str) -> Groups:
        if name not in self.given:
            msg = f"needs {name!r}, which was not given"
            raise NotApplicable(msg)
        if name not in self._groups:
            self._groups[name] = groups(self.given[name])
        column = self._groups[name]
        if len(column) < 2:
            msg = f"all cells have the same {_AT_LEAST_TWO[name]} {str(column.names[0])!r}; two are needed"
            raise NotApplicable(msg)
        return column

    @cached_property
    def _groups(self) -> dict[str, Groups]:
        return {}

    @cached_property
    def _made(self) -> Json:
        return {}

    @cached_property
    def neighbors(self) -> Neighbors:
        """90 nearest cells (each cell is its own first)."""
        return nearest(self.give("embedding"), MAX_NEIGHBORS, seed=self.seed)

    @cached_property
    def label_widths(self) -> np.ndarray:
        """Silhouette width of every cell with respect to its label."""
        from scssl.metrics._silhouette import widths

        return widths(self._label_sums, self.give("labels"))

    @cached_property
    def large_label_widths(self) -> np.ndarray:
        """Silhouette width of every cell among labels of at least `MIN_CELLS` cells; NaN for cells of the others."""
        from scssl.metrics._silhouette import widths

        labels = self.give("labels")
        large = labels.sizes >= MIN_CELLS
        if large.all():
            return self.label_widths
        if large.sum() < 2:
            msg = f"{large.sum()} labels have {MIN_CELLS} cells; two are needed"
            raise NotApplicable(msg)
        kept = large[labels.codes]
        among = Groups((np.cumsum(large) - 1)[labels.codes[kept]], labels.names[large])
        found = np.full(len(kept), np.nan)
        found[kept] = widths(self._label_sums[kept][:, large], among)
        return found

    @cached_property
    def _label_sums(self) -> np.ndarray:
        from scssl.metrics._silhouette import distance_sums

        return distance_sums(self.give("embedding"), self.give("labels"))

    @cached_property
    def local_weights(self) -> Weights:
        """Weights of the neighbours of every cell, for both LISI scores."""
        from scssl.metrics._lisi import Weights

        return Weights.of(self.neighbors)

    @cached_property
    def leiden(self) -> Scan:
        """Clusterings over ten resolutions, several times, and how well the best fit the labels."""
        from scssl.metrics._leiden import scan

        return scan(self.neighbors.first(GRAPH_NEIGHBORS), self.give("labels"), seed=self.seed)


_FROM_NEIGHBORS = frozenset({"neighbors", "local_weights", "leiden"})
_WIDTHS = frozenset({"label_widths", "large_label_widths"})
_SHARED = _FROM_NEIGHBORS | _WIDTHS
FROM_LABELS = _WIDTHS | {"labels", "leiden"}
"""Inputs that say something of cells with a label only."""


def measure(name: str, inputs: Inputs) -> Measured:
    """Compute one metric.

    Raises
    ------
    NotApplicable
        If the cells do not offer what the metric needs.
    """
    needs = METRICS.describe(name).needs
    result = METRICS.get(name)(**{need: inputs.give(need) for need in needs})
    measured = result if isinstance(result, Measured) else Measured(float(result))
    if not np.isfinite(measured.value):
        msg = f"the value is {measured.value}: it is not defined for these cells"
        raise NotApplicable(msg)
    return Measured(measured.value, " ".join(filter(None, (measured.message, inputs.note(needs)))))

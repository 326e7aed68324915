from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scssl import _random
from scssl._protocol import CLEAN
from scssl._registry import METRICS
from scssl._results import ANSWERS, COLLAPSED, FAILED, NOT_APPLICABLE, OK, OWN_ENGINE, RANDOM
from scssl.metrics import Inputs, NotApplicable, collapsed
from scssl.metrics._engines import lacking, measure_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from scssl._protocol import Protocol
    from scssl._specs import TaskSpec
    from scssl.tasks._cells import Cells

CONTROL_WIDTH = 64
"""Width of the controls, the same whatever is scored: rows of different calls share them."""
_NO_ANSWER = "asks what a model itself answers, and there is no such answer"
_FEW_CELLS = 3000


@dataclass(frozen=True)
class Score:
    """One number: a metric of a task on one split."""

    metric: str
    group: str
    value: float = np.nan
    split: str = ""
    status: str = OK
    message: str = ""
    better: str = "higher"
    main: bool = False
    score_s: float = np.nan
    """Seconds for this metric; work that metrics share (neighbours, distances) is counted with the first that uses it."""


class Task(ABC):
    """A question to an embedding. Subclasses say which controls bracket the answer and how it is scored.

    A broken metric, embedding or split costs its own rows only: they say what happened, and nothing is raised.

    Parameters
    ----------
    engine
        Who computes the metrics, see :func:`scssl.tl.evaluate`.
    """

    spec: ClassVar[TaskSpec]

    def __init__(self, engine: str = OWN_ENGINE) -> None:
        self.engine = engine

    def lacks(self, cells: Cells) -> str:
        """What the task cannot do without and these cells do not have, in words; empty if it can be run."""
        held = {
            "batch_key": cells.batch,
            "label_key": cells.labels,
            "target": cells.target_values,
            "values": cells.source_values,
        }
        return " and ".join(need for need in self.spec.needs if held.get(need) is None)

    def metrics(self, protocol: Protocol = CLEAN) -> list[str]:
        """Names of the metrics that are computed unless told otherwise: of the protocol, else the default ones by group."""
        if self.spec.name in protocol.metrics:
            return list(protocol.metrics[self.spec.name])
        chosen = [METRICS.describe(name) for name in METRICS]
        chosen = [spec for spec in chosen if spec.task == self.spec.name and spec.default]
        return [spec.name for spec in sorted(chosen, key=lambda spec: (spec.group, not spec.main, spec.name))]

    def applies(self, metric: str, cells: Cells) -> bool:
        """Whether a metric has a meaning for such cells at all; if not, it has no row."""
        return True

    def of_group(self, group: str) -> list[str]:
        """Names of all metrics of the task in a group, the main one first."""
        chosen = [METRICS.describe(name) for name in METRICS]
        chosen = [spec for spec in chosen if (spec.task, spec.group) == (self.spec.name, group)]
        return [spec.name for spec in sorted(chosen, key=lambda spec: (not spec.main, spec.name))]

    def controls(self, cells: Cells, *, width: int = CONTROL_WIDTH, seed: int = 0) -> dict[str, np.ndarray]:
        """Embeddings that bracket the scale: ``random`` noise, and an ``oracle`` made from the answers.

        Parameters
        ----------
        cells
            The cells to be scored.
        width
            Width of the controls (the oracle is at least as wide as there are labels).
        seed
            Seed of the noise; each cell has its own, whatever its position.
        """
        return {RANDOM: _random.noise(cells.keys, width, seed), **self.oracle(cells, width=width, seed=seed)}

    @abstractmethod
    def oracle(self, cells: Cells, *, width: int, seed: int) -> dict[str, np.ndarray]:
        """The best that is possible under its name, or nothing if the answers are not known."""

    def predictors(
        self,
        cells: Cells,
        *,
        seed: int = 0,
        protocol: Protocol = CLEAN,
        split: str = "",
        metrics: Sequence[str] | None = None,
    ) -> dict[str, list[Score]]:
        """Scores of the trivial predictors in ``spec.controls``, by name; they need no embedding."""
        return {}

    @abstractmethod
    def score_finite(
        self, embedding: np.ndarray, cells: Cells, *, seed: int, protocol: Protocol, metrics: Sequence[str], split: str
    ) -> list[Score]:
        """Scores of an embedding that has the right shape and no NaN."""

    def score_own(
        self, own: Mapping[str, np.ndarray], cells: Cells, *, seed: int, protocol: Protocol, split: str
    ) -> list[Score]:
        """Scores of what a model answered itself, see ``spec.own``; most tasks ask for nothing."""
        return []

    def score(
        self,
        embedding: np.ndarray,
        cells: Cells,
        *,
        seed: int = 0,
        protocol: Protocol = CLEAN,
        metrics: Sequence[str] | None = None,
        split: str = "",
        own: Mapping[str, np.ndarray] | None = None,
    ) -> list[Score]:
        """Score an embedding, and what its model answered itself.

        Parameters
        ----------
        embedding
            Shape ``(n, width)``, rows in the order of `cells`.
        cells
            Labels, batches and the rest.
        seed
            Seed of whatever is drawn.
        protocol
            What is computed, and how.
        metrics
            Names of metrics of this task; by default :meth:`metrics`.
        split
            Text that describes the split, if the caller knows more about it than the task (which cells were trained on).
        own
            Answers of the model itself, of the kind that ``spec.own`` names; their metrics have rows of their own.

        Returns
        -------
        One :class:`Score` per metric and split.
        """
        names = self.metrics(protocol) if metrics is None else list(metrics)
        names = [name for name in names if self.applies(name, cells)]
        wrong = unusable(embedding, cells)
        if wrong:
            return [blank(name, FAILED, wrong, split) for name in names]
        without, names = self.divided(names, split)
        if not names:
            return without
        asked = {name for name in names if METRICS.describe(name).group in ANSWERS}
        names = [name for name in names if name not in asked]
        embedding = np.asarray(embedding)
        with _threads_for(len(cells)):
            found = self.score_finite(embedding, cells, seed=seed, protocol=protocol, metrics=names, split=split)
            flag = collapsed(embedding)
            answered = self.score_own(own, cells, seed=seed, protocol=protocol, split=split) if own else []
        if metrics is not None:
            answered = [score for score in answered if score.metric in asked]
        missing = asked.difference(score.metric for score in answered)
        answered += [blank(name, NOT_APPLICABLE, _NO_ANSWER, split) for name in sorted(missing)]
        return [*([mark(score, flag) for score in found] if flag else found), *answered, *without]

    def divided(self, metrics: Sequence[str], split: str = "") -> tuple[list[Score], list[str]]:
        """Rows without a value for the metrics that the engine does not have, and the names of the others."""
        reasons = {name: lacking(name, self.engine) for name in metrics}
        without = [blank(name, NOT_APPLICABLE, reason, split) for name, reason in reasons.items() if reason]
        return without, [name for name, reason in reasons.items() if not reason]


def _threads_for(n: int) -> AbstractContextManager[object]:
    """One thread for few cells: several would wait for each other longer than they work."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1) if n < _FEW_CELLS else nullcontext()


def unusable(embedding: np.ndarray, cells: Cells) -> str:
    """Why an embedding cannot be scored, or an empty string."""
    embedding = np.asarray(embedding)
    if embedding.ndim != 2 or embedding.shape[0] != len(cells) or embedding.shape[1] == 0:
        return f"the embedding has shape {embedding.shape}, there are {len(cells)} cells"
    if not np.issubdtype(embedding.dtype, np.number) or np.iscomplexobj(embedding):
        return f"the embedding holds values of type {embedding.dtype}"
    if len(cells) < 3:
        return f"{len(cells)} cells are too few to be scored"
    bad = ~np.isfinite(embedding).all(axis=1)
    if bad.any():
        return f"{int(bad.sum())} of {len(bad)} cells have NaN or inf in the embedding (first: {cells.names[bad][0]!r})"
    return ""


def blank(name: str, status: str, message: str, split: str = "") -> Score:
    """The row of a metric that has no value."""
    about = METRICS.describe(name)
    return Score(name, about.group, split=split, status=status, message=message, better=about.better, main=about.main)


def mark(score: Score, flag: str) -> Score:
    """Mark a value of a collapsed embedding: it is kept, and nobody may take it for a good one."""
    if score.status != OK:
        return score
    return replace(score, status=COLLAPSED, message=" ".join(filter(None, (flag, score.message))))


def measured(name: str, inputs: Inputs, *, split: str = "", note: str = "", engine: str = OWN_ENGINE) -> Score:
    """Compute one metric; whatever goes wrong becomes the status and the message of its row."""
    start = perf_counter()
    empty = blank(name, OK, "", split)
    try:
        found = measure_by(engine)(name, inputs)
    except NotApplicable as reason:
        text = ". ".join(filter(None, (str(reason), note)))
        return replace(empty, status=NOT_APPLICABLE, message=text, score_s=perf_counter() - start)
    except Exception as error:  # noqa: BLE001 - one broken metric costs one row, and the row says what broke
        text = f"{type(error).__name__}: {error}"
        return replace(empty, status=FAILED, message=text, score_s=perf_counter() - start)
    message = " ".join(filter(None, (found.message, note)))
    return replace(empty, value=found.value, message=message, score_s=perf_counter() - start)

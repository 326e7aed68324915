"""What the jobs of a benchmark share, and one of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scssl.bench.question import Question

if TYPE_CHECKING:
    from scssl.bench.lines import Entry
    from scssl.bench.split import Split
    from scssl.models.fit import Request


CONTROLS = "controls"


@dataclass(frozen=True)
class Setting:
    """What all cells of a plan share."""

    data: str = "data"
    """Name of the data in the table."""
    data_id: str = ""
    n_obs: int = 0
    question: Question = field(default_factory=Question)
    layer: str | None = None
    accelerator: str = "auto"
    path: str = ""
    """File of the data, for those who have nothing but the plan."""
    cache_dir: str = ""

    def request(self) -> Request:
        """What all lines that are trained share."""
        from scssl.models.fit import Request

        return Request(
            method="", layer=self.layer, batch_key=self.question.batch_key, accelerator=self.accelerator, progress=False
        )


@dataclass(frozen=True)
class Job:
    """One embedding to be made, and the tasks it is scored on.

    Parameters
    ----------
    model_id
        Hash of all that decides the embedding: data, held-out cells, method, configuration with its defaults, seed,
        code and libraries.
    entry
        The line of the table; ``None`` for the controls.
    seed, split
        Repeat, and the cells that are kept from training.
    cells
        For each task the identifier of its cell: hash of the model, the task and the code that scores it.
    """

    model_id: str
    entry: Entry | None
    seed: int
    split: Split
    cells: dict[str, str]
    reason: str = ""
    """Why nothing can be computed, in words, known before anything is trained; empty if it can."""

    @property
    def key(self) -> str:
        """Name of the line."""
        return CONTROLS if self.entry is None else self.entry.key

    @property
    def method(self) -> str:
        """Name of the method."""
        return CONTROLS if self.entry is None else self.entry.method

"""How embeddings are scored and how the scores are shown: our choices, and those of the published benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scssl._words import unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NEAREST, FIRST = TIES = ("nearest", "first")
"""Which of the labels with as many votes wins: that of the nearest neighbour, or the first by name as in scikit-learn."""
_NEIGHBORS = {"typing": 11, "typing_k5": 5, "prediction": 5}


@dataclass(frozen=True)
class Protocol:
    """Everything in which two ways of scoring differ.

    Parameters
    ----------
    name
        By which functions are told of it: ``profile="clean"``.
    variant
        Written as ``config_id`` of result rows, so that they stand beside those of the default protocol; empty for that.
    metrics
        For each task the metrics that are computed unless told otherwise; the default ones of a task that is not named.
    stand_ins
        Metrics that take the place of one that was not scored, where scores are shown.
    neighbors
        Neighbours that answer, by group of metrics.
    ties
        One of `TIES`.
    on_sphere
        Whether values are predicted from embeddings of length one: neighbours by cosine.
    by_name
        Whether cells are brought into the order of their names before they are clustered.
    all_genes
        Whether the state before integration is made of all genes, not of the variable ones.
    min_max
        Whether totals are made of values that are scaled to the range over the methods in the table.
    """

    name: str
    variant: str = ""
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    neighbors: Mapping[str, int] = field(default_factory=lambda: dict(_NEIGHBORS))
    ties: str = NEAREST
    on_sphere: bool = False
    by_name: bool = True
    all_genes: bool = False
    min_max: bool = False

    @property
    def scale(self) -> str:
        """What totals are made of, in words."""
        return "min-max scaled" if self.min_max else "raw"

    def shown(self, task: str, scored: Iterable[str]) -> set[str]:
        """The metrics of a task that totals are made of, of those that were scored; all if the protocol names none."""
        held = set(scored)
        return {name if name in held else self.stand_ins.get(name, name) for name in self.metrics.get(task, held)}

    def replaced(self, scored: Iterable[str]) -> list[tuple[str, str]]:
        """Metrics that were not scored, and what takes their place."""
        held = set(scored)
        return [(name, other) for name, other in self.stand_ins.items() if name not in held and other in held]


CLEAN = Protocol("clean")
PAPER = Protocol(
    "paper",
    variant="paper",
    metrics={
        "batch_correction": (
            "silhouette_batch", "graph_connectivity", "ilisi", "kbet_scib", "pcr_comparison",
            "clisi", "isolated_labels", "leiden_ari", "leiden_nmi", "silhouette_label",
        ),
        "cell_typing": (
            "macro_f1", "macro_f1_union", "macro_f1_union_shared", "accuracy", "macro_f1_union_k5", "accuracy_k5",
        ),
        "modality_prediction": ("pearson_feature", "pearson_cell", "pearson_cell_least", "pearson_cell_most"),
    },
    stand_ins={"silhouette_batch": "bras", "kbet_scib": "kbet"},
    ties=FIRST,
    on_sphere=True,
    by_name=False,
    all_genes=True,
    min_max=True,
)  # fmt: skip
"""The published benchmark with its quirks, so that its tables can be reproduced."""
PROTOCOLS = {protocol.name: protocol for protocol in (CLEAN, PAPER)}


def of_profile(profile: object) -> Protocol:
    """The protocol of a name.

    Raises
    ------
    KeyNotFoundError
        If there is none; lists those that exist.
    """
    if isinstance(profile, str) and profile in PROTOCOLS:
        return PROTOCOLS[profile]
    raise unknown("profile", profile, list(PROTOCOLS))  # noqa: EM101 - a word

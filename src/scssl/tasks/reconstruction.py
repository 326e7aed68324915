"""Reconstruction: how much of the values does an embedding still hold, against as many principal components?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl._protocol import CLEAN
from scssl._registry import TASKS
from scssl._results import NOT_APPLICABLE, ORACLE, OWN
from scssl.data.hide import hidden, keys
from scssl.metrics import Inputs
from scssl.tasks import _regression as regression
from scssl.tasks._base import CONTROL_WIDTH, Score, Task, blank, measured
from scssl.tasks._splits import one_sided, splits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scssl._protocol import Protocol
    from scssl.tasks._cells import Cells

MEAN, PCA = "mean_profile", "pca_64"


@TASKS.register(
    "reconstruction",
    title="Reconstruction",
    needs=("values",),
    inductive=True,
    own="values",
    controls=("mean_profile", "pca_64"),
    reference="richter2025delineating",
    summary="how much of the expression of held-out cells can be read from the embedding, against as many components of PCA",
)
class Reconstruction(Task):
    """Values of the genes of held-out cells, from their embedding.

    A linear map from embedding to genes is fitted to the reference cells and scored on the others, for every embedding in
    the same way. A model with a decoder has what it reconstructs itself scored as well (group ``own``), also at entries
    that were hidden from it. Both stand beside as many principal components of the reference cells
    :cite:p:`richter2025delineating`. Without split and batches a fifth of the cells is held out.
    """

    def oracle(self, cells: Cells, *, width: int, seed: int) -> dict[str, np.ndarray]:
        """No embedding: the oracle among the predictors knows the values."""
        return {}

    def predictors(
        self,
        cells: Cells,
        *,
        seed: int = 0,
        protocol: Protocol = CLEAN,
        split: str = "",
        metrics: Sequence[str] | None = None,
    ) -> dict[str, list[Score]]:
        """Scores of the truth, of the mean profile, and of 64 principal components."""
        found: dict[str, list[Score]] = {name: [] for name in (ORACLE, MEAN, PCA)}
        metrics = self.metrics(protocol) if metrics is None else metrics
        for text, query in splits(cells, split, at_random=True):
            values = cells.source_values
            reason = _impossible(cells, query)
            for name, scores in found.items():
                if reason or values is None:
                    scores += [blank(metric, NOT_APPLICABLE, reason, text) for metric in metrics]
                    continue
                known, truth = values[~query], values[query].toarray()
                by_pca = regression.components(known, values[query], width=CONTROL_WIDTH)[2]
                mean = np.broadcast_to(regression.mean_profile(known), truth.shape)
                predicted = {ORACLE: truth, MEAN: mean, PCA: by_pca}[name]
                inputs = Inputs({"truth": truth, "predicted": predicted, "by_pca": by_pca})
                scores += [measured(metric, inputs, split=text) for metric in metrics]
        return found

    def score_finite(
        self, embedding: np.ndarray, cells: Cells, *, seed: int, protocol: Protocol, metrics: Sequence[str], split: str
    ) -> list[Score]:
        """Every split on its own."""
        found = []
        for text, query in splits(cells, split, at_random=True):
            values, reason = cells.source_values, _impossible(cells, query)
            if reason or values is None:
                found += [blank(name, NOT_APPLICABLE, reason, text) for name in metrics]
                continue
            known = values[~query]
            predicted = regression.ridge(embedding[~query], known, embedding[query])
            by_pca = regression.components(known, values[query], width=embedding.shape[1])[2]
            inputs = Inputs({"truth": values[query].toarray(), "predicted": predicted, "by_pca": by_pca})
            note = f"{int(query.sum())} cells, {values.shape[1]} genes."
            found += [
                measured(name, inputs, split=text, note=note if name == "weighted_ev" else "") for name in metrics
            ]
        return found

    def score_own(
        self, own: Mapping[str, np.ndarray], cells: Cells, *, seed: int, protocol: Protocol, split: str
    ) -> list[Score]:
        """What the model itself reconstructs.

        ``own["values"]`` of shape ``(n, genes)``, NaN for genes it does not know; ``own["unhidden"]``, the same after the
        entries that :func:`scssl.data.hide.hidden` names were hidden; ``own["width"]``, the width of its embedding.
        """
        found: list[Score] = []
        metrics = self.of_group(OWN)
        for text, query in splits(cells, split, at_random=True):
            values, reason = cells.source_values, _impossible(cells, query)
            if reason or values is None or "values" not in own:
                found += [blank(name, NOT_APPLICABLE, reason, text) for name in metrics] if "values" in own else []
                continue
            known, asked = values[~query], values[query]
            width = int(own["width"]) if "width" in own else CONTROL_WIDTH
            given = {
                "truth": asked.toarray(),
                "predicted": own["values"][query],
                "unhidden": own["unhidden"][query] if "unhidden" in own else None,
                "by_pca": regression.components(known, asked, width=width)[2],
                "mean_profile": np.broadcast_to(regression.mean_profile(known), asked.shape),
                "hidden": hidden(cells.keys[query][:, None], keys(cells.source_names)[None], seed=seed),
            }
            answered = np.isfinite(own["values"]).all(axis=0)
            if not answered.any():
                reason = f"none of the {len(answered)} genes is reconstructed"
                found += [blank(name, NOT_APPLICABLE, reason, text) for name in metrics]
                continue
            inputs = Inputs({name: None if a is None else a[:, answered] for name, a in given.items()})
            note = f"{int(answered.sum())} of {len(answered)} genes are reconstructed."
            found += [
                measured(name, inputs, split=text, note=note if name == "weighted_ev_own" else "") for name in metrics
            ]
        return found


def _impossible(cells: Cells, query: np.ndarray) -> str:
    if cells.source_values is None:
        return "needs 'values', which were not given"
    return one_sided(query) or ("" if min((~query).sum(), query.sum()) > 1 else "both sides need two cells")

"""Read-outs: what can be said of a cell from its embedding and the labelled cells, the same for every method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _random
from scssl._neighbors import nearest
from scssl._protocol import NEAREST
from scssl.tasks._vote import UNIFORM, vote

if TYPE_CHECKING:
    from scssl.tasks._vote import Vote

PROBE_CELLS = 20_000
_STEPS, _TOLERANCE = 1000, 1e-4


def by_neighbors(
    known: np.ndarray, codes: np.ndarray, x: np.ndarray, *, k: int, weights: str = UNIFORM, ties: str = NEAREST
) -> tuple[Vote, str]:
    """The vote of the `k` nearest labelled cells, and a sentence if there are fewer of them."""
    neighbors = nearest(known, k, query=x)
    return vote(neighbors, codes, int(codes.max()) + 1, weights=weights, ties=ties), neighbors.note


def by_line(
    known: np.ndarray, codes: np.ndarray, x: np.ndarray, *, keys: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, str]:
    """The linear probe: multinomial logistic regression on the embedding, as it is but for its origin and size.

    Dimensions are not scaled one by one, so that a rotated embedding gives the same answers.

    Parameters
    ----------
    known, codes
        Embedding and label code of the labelled cells.
    x
        Embedding of the cells to be labelled.
    keys
        A number for each labelled cell; of more than 20,000 cells those with the smallest hashes are taken.

    Returns
    -------
    Label code and probability of each cell of `x`, and a sentence if not all labelled cells were used.
    """
    from sklearn.linear_model import LogisticRegression

    note = ""
    if keys is not None and len(keys) > PROBE_CELLS:
        chosen = np.argsort(_random.mix(keys, _random.derive(0, "probe") >> 1), kind="stable")[:PROBE_CELLS]
        note = f"The probe was fitted to {PROBE_CELLS} of {len(keys)} labelled cells."
        known, codes = known[chosen], codes[chosen]
    present = np.unique(codes)
    if len(present) == 1:
        return np.full(len(x), present[0]), np.ones(len(x)), note
    known = known.astype(np.float64)
    centre = known.mean(axis=0)
    size = np.sqrt(((known - centre) ** 2).mean())
    size = size if size > 0 else 1.0
    model = LogisticRegression(max_iter=_STEPS, tol=_TOLERANCE).fit((known - centre) / size, codes)
    probability = model.predict_proba((x.astype(np.float64) - centre) / size)
    return model.classes_[probability.argmax(axis=1)], probability.max(axis=1), note

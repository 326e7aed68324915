"""Which cells are held out: one rule for every task that predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scssl import _keys, _random

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scssl.tasks._cells import Cells

FIFTH = "held-out random fifth, transductive"


def splits(cells: Cells, split: str = "", *, at_random: bool = False) -> Iterator[tuple[str, np.ndarray]]:
    """Text and held-out cells of every split.

    The cells of ``cells.query``; else each of the groups that are to be held out in turn; else every batch in turn.

    Parameters
    ----------
    cells
        The cells.
    split
        Text of the caller, who knows which cells models were trained on; it takes the place of ours.
    at_random
        Hold out a fifth of the cells, chosen by their names, where there are no batches. Cells of one donor resemble
        each other, so this flatters; it is for data of a single batch.
    """
    if cells.query is not None:
        yield split or f"held-out {_keys.SPLIT}={_keys.QUERY}", cells.query
    elif cells.groups is not None:
        for name in cells.held_out or np.unique(cells.groups):
            yield split or f"held-out {cells.grouped_by}={name}, transductive", cells.groups == name
    elif cells.batch is not None and (len(set(cells.batch)) > 1 or not at_random):
        for name in np.unique(cells.batch):
            yield split or f"held-out batch={name}, transductive", cells.batch == name
    elif at_random:
        yield split or FIFTH, _random.mix(cells.keys, _random.derive(0, "fifth") >> 1) % np.uint64(5) == 0
    else:
        yield split, np.zeros(len(cells), dtype=bool)


def one_sided(query: np.ndarray) -> str:
    """Why a split cannot be scored, or an empty string."""
    n = int(query.sum())
    return f"{n} of {len(query)} cells are held out; both sides need cells" if n in (0, len(query)) else ""

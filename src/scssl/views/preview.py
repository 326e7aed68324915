"""What views do to a few cells, as arrays: for looking at, not for training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from scssl import _random
from scssl._errors import InputError
from scssl._words import unknown
from scssl.data.cells import Cells
from scssl.views._base import Context
from scssl.views.pipeline import CLEAR, MIXING, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scssl._types import Data
    from scssl.views._base import View


@dataclass(frozen=True)
class Preview:
    """Some cells before and after.

    Parameters
    ----------
    cells
        Their names.
    before
        Their values, shape ``(cells, genes)``.
    after
        For each row of the figure: title, what it does, and the values after, of the same shape.
    """

    cells: list[str]
    before: np.ndarray
    after: list[tuple[str, str, np.ndarray]]


def preview(
    data: Data,
    views: object,
    *,
    cells: int | Sequence[str] = 4,
    modality: str | None = None,
    seed: int = 0,
    **reading: Any,
) -> Preview:
    """Change some cells by each view of a pipeline alone, for certain, and by the whole pipeline with its coins.

    Parameters
    ----------
    data
        AnnData or MuData; it is not changed.
    views
        As in :func:`scssl.tl.fit`; ``None``: the default of training.
    cells
        How many random cells, or their names.
    modality
        Which modality to look at; the first by default.
    seed
        Of the cells and of the views.
    **reading
        ``layer``, ``batch_key`` and ``mask_by``, as in :func:`scssl.tl.fit`.

    Raises
    ------
    InputError
        If `views` or `cells` is empty, or a view cannot work on these cells.
    KeyNotFoundError
        If a view, a cell, a modality or a column does not exist.
    """
    known = Cells.from_data(data, modalities=None if modality is None else [modality], **reading)
    pipeline = resolve((MIXING if len(known.batch_names) > 1 else CLEAR) if views is None else views)
    if not pipeline:
        msg = f"views={views!r} holds no view: nothing would change."
        raise InputError(msg, code="no_views", parameter="views", fix="For example views='clear'.")
    name = next(iter(known.matrices))
    index = _positions(known, cells, seed)
    for view in pipeline:
        view.prepare(known)
    values = partial(_dense, known, name)
    context = Context(index, values, known.n_obs, modality=name, known=known.known)
    before = values(index)
    after = []
    for row, view in enumerate(pipeline):
        generator = torch.Generator().manual_seed(_random.derive(seed, "preview", row))
        changed = replace(view, p=1.0)(before, context, generator)
        after.append((_title(view), view.spec.summary, changed.numpy()))
    if len(pipeline) > 1:
        generator, together = torch.Generator().manual_seed(_random.derive(seed, "preview", -1)), before.clone()
        for view in pipeline:
            view.apply_(together, context, generator)
        after.append(("together", "one after the other, each with its probability", together.numpy()))
    return Preview([str(known.names[i]) for i in index], before.numpy(), after)


def _dense(cells: Cells, modality: str, index: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(cells.rows(modality, index).toarray())


def _title(view: View) -> str:
    strength = getattr(view, view.main, None)
    return view.spec.name if strength is None else f"{view.spec.name}:{strength:g}"


def _positions(known: Cells, cells: int | Sequence[str], seed: int) -> np.ndarray:
    if isinstance(cells, int) and not isinstance(cells, bool):
        if not 1 <= cells <= known.n_obs:
            msg = f"cells={cells} is not between 1 and the {known.n_obs} cells of the data."
            raise InputError(msg, code="out_of_range", parameter="cells", fix="Pass e.g. cells=4, or names of cells.")
        order = _random.generator(seed, "preview/cells").permutation(known.n_obs)
        return np.sort(order[:cells])
    names = [cells] if isinstance(cells, str) else cells
    if isinstance(names, bool) or not len(names):
        msg = f"cells={cells!r} names no cells."
        raise InputError(msg, code="out_of_range", parameter="cells", fix="Pass e.g. cells=4, or names of cells.")
    index = known.names.get_indexer(pd.Index(names))
    for name, position in zip(names, index, strict=True):
        if position < 0:
            raise unknown(kind="cell", name=name, known=known.names.astype(str).tolist(), parameter="cells")
    return index

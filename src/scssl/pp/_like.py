"""The recipe of a trained model, for cells that it is to embed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scssl import _keys
from scssl._errors import InputError, told
from scssl._validate.scale import LOG, from_text
from scssl._words import listed
from scssl.data.container import is_mudata
from scssl.data.recipe import kind_of

if TYPE_CHECKING:
    from scssl.models.model import Model

_BASES = {"e": 1.0, "2": 0.6931471805599453, "10": 2.302585092994046}


@dataclass(frozen=True)
class Like:
    """How values are to be made so that a model can read them.

    Parameters
    ----------
    target_sum
        Total of every cell of RNA before the logarithm.
    divisor
        Natural logarithm of the base of its logarithm.
    layer
        Where the model reads them; ``None`` for ``X``.
    """

    target_sum: float
    divisor: float
    layer: str | None


def like_of(data: Any, model: Model | str | os.PathLike[str]) -> Like:
    """The scale that a model reads, from its record.

    Raises
    ------
    InputError
        If it is no model, or its record does not tell the scale.
    """
    from scssl.models.model import Model, load

    if not isinstance(model, Model | str | os.PathLike):
        msg = f"like is of type {type(model).__name__}; a model or the folder of one is needed."
        raise InputError(msg, code="bad_type", parameter="like", fix="Pass what tl.fit returned.")
    model = model if isinstance(model, Model) else load(model)
    layer = model.record["layer"] or None
    if model.record["values"] != "log":
        return Like(1e4, 1.0, None)  # it reads the counts, which the recipe keeps
    scales = from_text(model.record.get("scale", ""))
    rna = [name for name in model.features if kind_of(name) == "rna"]
    told(_of_these_cells(data, model))
    if not rna:
        return Like(1e4, 1.0, layer)
    scale = scales.get(rna[0])
    if scale is None or scale.kind != LOG or scale.base not in _BASES or scale.total is None:
        known = (
            "does not say"
            if scale is None
            else f"says {listed([f'{scale.kind}, base {scale.base or None}, totals {scale.totals or None}'])}"
        )
        msg = f"The scale that the model was trained on is not known well enough to be made again: its record {known}."
        fix = "Make the values as those of the training were made, e.g. ssl.pp.recipe(adata, target_sum=...)."
        raise InputError(msg, code="scale_not_known", parameter="like", fix=fix)
    return Like(scale.total, _BASES[scale.base], layer)


def _of_these_cells(data: Any, model: Model) -> str:
    """A sentence on weights that the recipe takes from the cells at hand, not from those of the model."""
    atac = [name for name in model.features if kind_of(name) == "atac" and is_mudata(data) and name in data.mod]
    if not atac:
        return ""
    return f"The weights of the peaks of {atac[0]!r} are taken from these cells, for a model does not keep those of its training."


def written_to(like: Like | None) -> str | None:
    """Layer that the values are written to; ``None`` for ``X``."""
    return None if like is None or like.layer == _keys.COUNTS_LAYER else like.layer

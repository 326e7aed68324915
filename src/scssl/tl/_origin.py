"""Where embeddings come from, as far as the object knows: by which model, from which modalities; without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scssl import _keys, _results
from scssl._errors import warn
from scssl._words import listed
from scssl.data.sketch import fits

if TYPE_CHECKING:
    from scssl._types import Data
    from scssl.tasks import Cells

Record = Mapping[str, object]


def record_of(data: Data, holder: Data, slot: str, embedding: np.ndarray) -> tuple[Record, str]:
    """The record of the embedding in a slot, none if the slot holds another one by now; and a sentence on that."""
    ours, key = _keys.peek(data), _keys.bare(slot)
    record = {**ours.get(_keys.MODELS, {}).get(key, {}), **ours.get(_keys.EMBEDDINGS, {}).get(key, {})}
    known = ours.get(_keys.SKETCHES, {}).get(key)
    if not record or known is None or (embedding.ndim == 2 and fits(known, holder.obs_names, embedding)):
        return record, ""
    told = f"obsm[{slot!r}] holds other values than scssl wrote there: scored as an embedding of unknown origin."
    warn(told)
    return {}, told


def fields(record: Record, key: str) -> dict[str, object]:
    """What result rows say of it."""
    if key in (_results.RANDOM, _results.ORACLE) and not record:
        key = _keys.embedding(key)  # somebody's slot of that name is not our control
    return {
        "key": key,
        "method": str(record.get("method", key)),
        "config_id": str(record.get("config_id", "")),
        "fit_s": float(str(record.get("seconds", np.nan))),
        **({"seed": int(str(record["seed"]))} if "seed" in record else {}),
    }


def seen(record: Record, cells: Cells, modality: str | None) -> tuple[str, str]:
    """Whether the target went into an embedding: what forbids scoring it, and what is not known."""
    coverage = json.loads(str(record.get("coverage", "{}")))
    used = [str(name) for name in np.atleast_1d(np.asarray(record.get("modalities", list(coverage)), dtype=object))]
    if any(name != cells.source for name in used):
        text = f"The embedding was made from {listed(used)}; {cells.target!r} has to be predicted from {cells.source!r} alone."
        return f"{text} Embed again: tl.embed(data, model, modality={cells.source!r}).", ""
    if used or modality is not None:
        return "", ""
    return "", f"Nothing is known of how the embedding was made; it must not have seen {cells.target!r}."

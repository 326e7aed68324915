"""Batches added to a trained model by a short training on their cells: scArches, Lotfollahi et al. 2022."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from scssl._errors import InputError
from scssl.methods.scvi_tools.quiet import quietly
from scssl.methods.scvi_tools.shell import forget, shell
from scssl.methods.scvi_tools.state import Meta, rebuilt, state_of
from scssl.methods.scvi_tools.table import TOOLS
from scssl.methods.scvi_tools.train import train

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scssl.methods._base import State
    from scssl.methods.scvi_tools.shell import Inputs
    from scssl.methods.scvi_tools.tool import Plain
    from scssl.methods.scvi_tools.train import History, Run


def map_query(state: State, inputs: Inputs, config: Mapping[str, Plain], run: Run) -> tuple[State, History]:
    """Add the batches of a query that the model does not know.

    As in scArches: only the weights of the new batches are trained, and the batch norm of the decoder; on cells of new
    batches alone and without weight decay. So the weights that the embedding of other cells depends on stay what they
    are, to the bit; values decoded for other cells change where the decoder has batch norm (scVI, scANVI, totalVI),
    and so do labels: scvi-tools train the batch norm of scANVI's classifier along. A model whose encoder does not see
    batches (:attr:`Fitted.sees_batch`) embeds the query as it did before.

    Parameters
    ----------
    inputs
        Cells of the query; those of known batches are not trained on.
    config
        Changes of :attr:`Tool.train`.

    Returns
    -------
    The state with the new batches, and the history; both as they were and empty if there is no new batch.
    """
    tool = TOOLS[state.meta["tool"]]
    meta = cast("Meta", state.meta)
    new = of_new_batches(meta, inputs)
    if not new.any():
        return state, []
    if not tool.maps_queries:
        msg = (
            f"{tool.title} cannot take in batches after its training; {new.sum()} of {len(new)} cells are of new ones."
        )
        raise InputError(msg, code="cannot_map", parameter="batch_key", fix="Train again on all cells.")
    training = {**tool.train, **config, "weight_decay": 0.0}
    with quietly(), ExitStack() as shells:
        reference, cells = rebuilt(state)
        shells.callback(forget, reference, cells)
        shells.enter_context(quietly(run.seed))  # after the draws of the one above, as if it had been trained just now
        data = shell(tool, replace(inputs, label=None).rows(new))
        model = tool.load().load_query_data(data, reference, accelerator="cpu")
        shells.callback(forget, model, data)
        history = train(model, tool, training, run)
        names = model.registry["field_registries"]["batch"]["state_registry"]["categorical_mapping"]
    return state_of(model, Meta(**{**meta, "batches": list(map(str, names))})), history


def of_new_batches(meta: Meta, inputs: Inputs) -> np.ndarray:
    """Which cells are of batches that the model does not know; none if it was trained without batches."""
    if inputs.batch is None or not meta["batches"]:
        return np.zeros(len(inputs), dtype=bool)
    known = np.isin(np.array(inputs.batch.names, dtype=object), meta["batches"])
    return ~known[inputs.batch.values]

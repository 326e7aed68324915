"""Every slot name that scssl reads or writes, in one place."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData

    from scssl._types import Data, Json

UNS = "scssl"
SCHEMA = 1
COUNTS_LAYER = "counts"
HIGHLY_VARIABLE = "highly_variable"
DEFAULT_MODALITY = "rna"

RECIPE = "recipe"
MODELS = "models"
EMBEDDINGS = "embeddings"
SCORES = "scores"
SCORED = "scored"
SKETCHES = "sketches"
PARTNERS = "partners"
GENE_SETS = "gene_sets"
IMPUTED = "imputed"
ANNOTATED = "annotated"
WRITTEN = "written"
MODEL_ID = "model_id"

SPLIT = "split"
REFERENCE, QUERY = "reference", "query"

# slots of other packages: never a target of ours
RESERVED_KEYS = frozenset({"umap", "tsne", "diffmap", "draw_graph_fa", "draw_graph_fr", "spatial", "scssl"})


def layers(adata: AnnData) -> list[str]:
    """Names of the layers. anndata 0.13 lists ``X`` among them, under the name ``None``."""
    return [str(name) for name in adata.layers if name is not None]


def embedding(key: str) -> str:
    """``obsm`` slot of the embedding `key`."""
    return f"X_{key}"


def bare(slot: str) -> str:
    """Name of the embedding in the ``obsm`` slot `slot`, without its ``X_``."""
    return slot.removeprefix("X_")


def finetuned(method: str) -> str:
    """Name of the embedding of a fine-tuned model."""
    return f"{method}_finetuned"


def label(key: str) -> str:
    """``obs`` column of the transferred label."""
    return f"{key}_label"


def confidence(key: str) -> str:
    """``obs`` column of the confidence of the transferred label."""
    return f"{key}_confidence"


def imputed(key: str, modality: str) -> str:
    """``obsm`` slot of the values of a modality that was not measured."""
    return f"{key}_{modality}"


def reconstructed(key: str) -> str:
    """Layer of the reconstructed values."""
    return f"{key}_reconstructed"


def partners(key: str) -> str:
    """``obsp`` slot of the partners that views mix a cell with."""
    return f"{key}_partners"


def store(data: Data) -> Json:
    """The ``uns["scssl"]`` of an object, made if it is absent.

    A view shares what is below its ``uns`` with its parent: it gets its own first.
    """
    if UNS not in data.uns:
        data.uns[UNS] = {"schema": SCHEMA}
    elif getattr(data, "is_view", False):
        data.uns[UNS] = copy.deepcopy(dict(data.uns[UNS]))
    return data.uns[UNS]


def peek(data: Data) -> Json:
    """The ``uns["scssl"]`` of an object, empty if it is absent; for reading."""
    return data.uns.get(UNS, {})


def record_of(data: object, key: str) -> Json:
    """How the embedding `key` was made, by `fit` or `embed`; empty if that is not known."""
    ours = peek(data)
    return ours.get(MODELS, {}).get(key) or ours.get(EMBEDDINGS, {}).get(key, {})


def forget(data: object, name: str, key: str) -> None:
    """Take the record `key` off a shelf, if it is there."""
    if key in peek(data).get(name, {}):
        del shelf(data, name)[key]


def shelf(data: object, name: str) -> Json:
    """A dictionary below ``uns["scssl"]`` (`MODELS`, `EMBEDDINGS`), made if it is absent."""
    return store(data).setdefault(name, {})

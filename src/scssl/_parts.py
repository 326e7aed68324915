"""The modalities of an object: the only place that asks whether it is an AnnData or a MuData."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Data


def multimodal(data: object) -> TypeGuard[MuData]:
    """Whether an object holds modalities by name."""
    return hasattr(data, "mod")


def modalities(data: object) -> list[str]:
    """Names of the modalities of a MuData; none for an AnnData."""
    return [str(name) for name in data.mod] if multimodal(data) else []


def parts(data: Data) -> dict[str, AnnData]:
    """The AnnData of each modality by its name, as they are; an AnnData is its own only part, without a name."""
    return dict(data.mod) if multimodal(data) else {"": data}


def part(data: Data, name: str | None) -> AnnData:
    """One modality by name; an AnnData is the modality that is meant, and without a name the object itself is."""
    return data.mod[name] if name is not None and multimodal(data) else data

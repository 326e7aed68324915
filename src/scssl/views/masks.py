"""Masks: what of a cell the network sees, and what it has to predict. Two boolean matrices, drawn anew for every mini-batch."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scssl import _random
from scssl._errors import InputError
from scssl.views._base import coins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scssl.data.cells import Cells
    from scssl.data.gene_sets import GeneSets
    from scssl.train.batches import Batch

RANDOM, PROGRAMME, GP_TO_GP, GP_TO_TF = MASKS = ("random", "gene_programme", "gp_to_gp", "gp_to_tf")
UNIONS = 2048  # unions of sets that cells draw from
SMALLEST = 3  # genes that a set must have among those of the model


class Mask(ABC):
    """What is visible and what is predicted, for a mini-batch of cells."""

    @abstractmethod
    def __call__(self, shape: Sequence[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`(visible, target)`: boolean tensors of `shape`, cells x genes, on the device of the generator."""

    @property
    @abstractmethod
    def content(self) -> bytes:
        """All that decides what is drawn: masks are the same if it is."""


@dataclass(frozen=True)
class RandomMask(Mask):
    """Every value is hidden and predicted with probability `rate`, the rest is visible."""

    rate: float

    def __call__(self, shape: Sequence[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A coin for every gene of every cell."""
        target = coins(shape, self.rate, generator)
        return ~target, target

    @property
    def content(self) -> bytes:
        """The rate."""
        return repr(self.rate).encode()


@dataclass(frozen=True)
class ListedMask(Mask):
    """Every cell draws one of the listed masks.

    Parameters
    ----------
    visible, target
        Boolean, one mask a row: masks x genes.
    """

    visible: Tensor
    target: Tensor
    _on: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, shape: Sequence[int], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A row for every cell."""
        device = generator.device
        if device not in self._on:
            self._on[device] = (self.visible.to(device), self.target.to(device))
        visible, target = self._on[device]
        row = torch.randint(len(visible), (shape[0],), generator=generator, device=device)
        return visible[row], target[row]

    @property
    def content(self) -> bytes:
        """The listed masks."""
        return repr(tuple(self.visible.shape)).encode() + torch.cat((self.visible, self.target)).numpy().tobytes()


@dataclass(frozen=True)
class Masking:
    """The masks of all modalities; none for a method that sees and predicts everything.

    Parameters
    ----------
    masks
        Mask of each modality.
    alone
        Share of the cells of which, where there are several modalities, one is seen as a whole and the others not at all:
        these are what is predicted.
    """

    masks: Mapping[str, Mask] = field(default_factory=dict)
    alone: float = 0.0

    def __call__(self, batch: Batch, *, seed: int, counters: tuple[int, ...]) -> Batch:
        """The batch with what is visible and what is to be predicted.

        The stream of random numbers depends on the seed, the name of the modality and the counters (epoch, step) alone.
        """
        visible, target = {}, {}
        for name, mask in self.masks.items():
            x = batch.x[name]
            generator = torch.Generator(x.device).manual_seed(_random.derive(seed, f"mask/{name}", *counters))
            visible[name], target[name] = mask(x.shape, generator)
        hidden = replace(batch, visible=visible or None, target=target or None)
        return self._of_one(hidden, seed=seed, counters=counters) if self.alone and len(visible) > 1 else hidden

    def _of_one(self, batch: Batch, *, seed: int, counters: tuple[int, ...]) -> Batch:
        """Some of the cells by one modality alone: the others count as absent, as if they had not been measured."""
        names, device = list(batch.x), batch.x[next(iter(batch.x))].device
        generator = torch.Generator(device).manual_seed(_random.derive(seed, "mask/modality", *counters))
        chosen = torch.rand(len(batch), generator=generator, device=device) < self.alone
        lots = torch.rand((len(batch), len(names)), generator=generator, device=device)
        present = batch.present or {}
        there = {name: present.get(name, torch.ones_like(chosen)) for name in names}
        held = torch.stack([there[name] for name in names], dim=1)
        shown = torch.where(held, lots, -1.0).argmax(dim=1)
        visible, target = dict(batch.visible or {}), dict(batch.target or {})
        for i, name in enumerate(names):
            mine = shown == i
            visible[name] = torch.where(chosen[:, None], mine[:, None], visible[name])
            target[name] = torch.where(chosen[:, None], ~mine[:, None], target[name])
            there[name] = there[name] & (mine | ~chosen)
        return replace(batch, visible=visible, target=target, present=there)

    @property
    def identity(self) -> str:
        """Hash of the masks: what is hidden in a run that continues another one must come from the same."""
        digest = hashlib.blake2b(repr(self.alone).encode(), digest_size=8)
        for name, mask in self.masks.items():
            digest.update(f"{name}/{type(mask).__name__}:".encode() + mask.content)
        return digest.hexdigest()


def check_rate(kind: str, rate: float | None) -> None:
    """Refuse a mask that hides a share of the genes and does not say which share.

    Raises
    ------
    InputError
        If it does.
    """
    if kind in (RANDOM, PROGRAMME) and rate is None:
        msg = f"mask={kind!r} hides a share of the genes, and rate=None does not say how many: nothing would be hidden."
        raise InputError(msg, code="needs_rate", parameter="rate", fix="Pass e.g. rate=0.5.")


def masking(kind: str, rate: float | None, cells: Cells, *, key: str, modality_rate: float = 0.0) -> Masking:
    """The masks of a kind for all modalities of some cells.

    Parameters
    ----------
    kind
        ``"random"``, ``"gene_programme"``, ``"gp_to_gp"`` or ``"gp_to_tf"``.
    rate
        Share of the genes to hide, for the first two.
    cells
        The cells that are trained on, of an object with gene sets in ``varm``.
    key
        Name of the gene sets, see :func:`scssl.pp.gene_sets`.
    modality_rate
        Share of the cells that are seen by one modality alone; not with isolated masks, which say what is seen.

    Raises
    ------
    InputError
        If a rate is missing, or there are no gene sets, or none of them can be used.
    """
    check_rate(kind, rate)
    if kind == RANDOM:
        return Masking(dict.fromkeys(cells.sizes, RandomMask(float(rate or 0))), modality_rate)
    masks = {}
    for name in cells.sizes:
        sets = cells.sets(name, key)
        masks[name] = (
            programmes(sets, float(rate or 0)) if kind == PROGRAMME else isolated(sets, to_tf=kind == GP_TO_TF)
        )
    return Masking(masks, modality_rate if kind == PROGRAMME else 0.0)


def programmes(sets: GeneSets, rate: float, *, n: int = UNIONS) -> ListedMask:
    """Whole gene sets are hidden, in a random order, as long as their union is at most `rate` of the genes.

    Parameters
    ----------
    sets
        Gene sets over the genes of the model.
    rate
        Share of the genes.
    n
        Number of unions that cells draw from.

    Raises
    ------
    InputError
        If the sets have too few genes for the rate, or every set has too many.
    """
    members = _large_enough(sets).members
    n_genes = members.shape[1]
    room, sizes, covered = int(rate * n_genes + 1e-9), members.sum(axis=1), int(members.any(axis=0).sum())
    if room >= covered:
        msg = f"rate={rate:g} is to hide {room} of {n_genes} genes, and all gene sets together have {covered} of them: "
        msg += "every cell would be masked alike."
        fix = f"Pass a rate below {covered / n_genes:.2f}, e.g. rate={covered / n_genes / 2:.2f}, or more gene sets."
        raise InputError(msg, code="rate_too_high", parameter="rate", fix=fix)
    if room < sizes.min():
        msg = (
            f"rate={rate:g} is to hide at most {room} of {n_genes} genes, and the smallest gene set has {sizes.min()}."
        )
        fix = f"Pass a rate of at least {sizes.min() / n_genes:.3f}."
        raise InputError(msg, code="rate_too_low", parameter="rate", fix=fix)
    draw = _random.generator(0, "unions of gene sets")
    genes_of = [np.flatnonzero(row) for row in members]
    target = np.zeros((n, n_genes), dtype=bool)
    for union in target:
        left = room
        for i in draw.permutation(len(genes_of)):
            new = int((~union[genes_of[i]]).sum())
            if new <= left:
                union[genes_of[i]] = True
                left -= new
            if not left:
                break
    hidden = torch.from_numpy(target)
    return ListedMask(~hidden, hidden)


def isolated(sets: GeneSets, *, to_tf: bool) -> ListedMask:
    """One gene set is all that is visible; it is predicted itself, or the transcription factor that it is named after.

    Raises
    ------
    InputError
        If no set has enough genes, or none is named after a measured gene.
    """
    if not to_tf:
        members = torch.from_numpy(_large_enough(sets).members)
        return ListedMask(members, members)
    if (sets.regulators < 0).all():
        msg = (
            f"mask='gp_to_tf' predicts the gene that a set is named after; none of the {len(sets.names)} sets is named "
        )
        msg += f"after one of the {sets.members.shape[1]} genes that are used, e.g. {sets.names[0]!r} is not."
        fix = "Name sets after their transcription factor ('STAT1' or 'STAT1_targets'), and keep it among the genes."
        raise InputError(msg, code="no_regulators", parameter="mask", fix=fix)
    kept = _large_enough(sets.without_regulators())
    target = np.zeros_like(kept.members)
    target[np.arange(len(target)), kept.regulators] = True
    return ListedMask(torch.from_numpy(kept.members), torch.from_numpy(target))


def _large_enough(sets: GeneSets) -> GeneSets:
    sizes = sets.members.sum(axis=1)
    kept = np.flatnonzero(sizes >= SMALLEST)
    if not len(kept):
        msg = f"None of the {len(sizes)} gene sets has {SMALLEST} of the {sets.members.shape[1]} genes that are used; the "
        msg += f"largest has {int(sizes.max(initial=0))}."
        fix = "Use more genes (mask_by=None, or more in ssl.pp.recipe), or larger sets."
        raise InputError(msg, code="no_gene_sets_left", parameter="gene_sets", fix=fix)
    return sets.chosen(kept)

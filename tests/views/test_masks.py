"""Masks on their own: what is visible, what is predicted, and how many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scssl._errors import InputError
from scssl.data.gene_sets import GeneSets
from scssl.train.batches import Batch
from scssl.views import masks

N, GENES = 400, 60


def gene_sets(n_sets=12, size=7, seed=0, named=()):
    draw = np.random.default_rng(seed)
    members = np.zeros((n_sets, GENES), dtype=bool)
    for row in members:
        row[draw.choice(GENES, size, replace=False)] = True
    regulators = np.full(n_sets, -1)
    for i, gene in named:
        regulators[i] = gene
    return GeneSets([f"set{i}" for i in range(n_sets)], members, regulators)


def drawn(mask, n=N, seed=0, genes=GENES):
    visible, target = mask((n, genes), torch.Generator().manual_seed(seed))
    assert visible.shape == target.shape == (n, genes)
    assert visible.dtype == target.dtype == torch.bool
    return visible.numpy(), target.numpy()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_random_has_its_rate_in_every_cell_and_gene(rate):
    visible, target = drawn(masks.RandomMask(rate), n=2000)
    np.testing.assert_array_equal(visible, ~target)
    sigma = np.sqrt(rate * (1 - rate))
    assert abs(target.mean() - rate) < 3 * sigma / np.sqrt(target.size)
    assert np.abs(target.mean(axis=0) - rate).max() < 4.5 * sigma / np.sqrt(2000)
    assert np.abs(target.mean(axis=1) - rate).max() < 4.5 * sigma / np.sqrt(GENES)
    assert 0.8 < target.mean(axis=1).std() / (sigma / np.sqrt(GENES)) < 1.2  # a coin for each, not an exact count
    assert len(np.unique(target, axis=0)) > 1950  # cells do not share masks


def test_one_stream_one_mask():
    mask = masks.RandomMask(0.5)
    np.testing.assert_array_equal(drawn(mask)[0], drawn(mask)[0])
    assert (drawn(mask)[0] != drawn(mask, seed=1)[0]).any()


def test_programmes_are_unions_of_sets_up_to_the_rate():
    sets = gene_sets()
    room = int(0.4 * GENES)
    visible, target = drawn(masks.programmes(sets, 0.4))
    np.testing.assert_array_equal(visible, ~target)
    for hidden in target:
        inside = [row for row in sets.members if not (row & ~hidden).any()]
        np.testing.assert_array_equal(np.any(inside, axis=0), hidden)  # the union of whole sets
        assert room - 7 < hidden.sum() <= room
        assert all((row | hidden).sum() > room for row in sets.members if (row & ~hidden).any())  # no other set fits
    assert len(np.unique(target, axis=0)) > 50  # cells of a mini-batch differ
    assert (target.any(axis=0) == sets.members.any(axis=0)).all()


def test_gp_to_gp_shows_one_set_and_asks_for_it():
    sets = gene_sets()
    visible, target = drawn(masks.isolated(sets, to_tf=False))
    np.testing.assert_array_equal(visible, target)
    which = [int(np.flatnonzero((sets.members == row).all(axis=1))[0]) for row in visible]
    counts = np.bincount(which, minlength=12)
    assert counts.min() > 0
    assert np.abs(counts - N / 12).max() < 4.5 * np.sqrt(N / 12)


def test_gp_to_tf_shows_the_targets_and_asks_for_the_factor():
    named = [(2, 5), (7, 30)]
    sets = gene_sets(named=named)
    sets.members[7, 30] = True  # a factor that is among its targets
    visible, target = drawn(masks.isolated(sets, to_tf=True))
    assert (target.sum(axis=1) == 1).all()
    for seen, asked in zip(visible, target, strict=True):
        (gene,) = np.flatnonzero(asked)
        row = {gene: i for i, gene in named}[gene]
        expected = sets.members[row].copy()
        expected[gene] = False
        np.testing.assert_array_equal(seen, expected)
    assert set(np.flatnonzero(target.any(axis=0))) == {5, 30}


def test_what_cannot_be_masked_is_refused_in_words():
    sets = gene_sets(n_sets=3)
    covered = int(sets.members.any(axis=0).sum())
    with pytest.raises(InputError, match=f"all gene sets together have {covered} of them") as error:
        masks.programmes(sets, 0.9)
    assert "Pass a rate below" in str(error.value)
    with pytest.raises(InputError, match=r"at most 3 of 60 genes, and the smallest gene set has 7"):
        masks.programmes(sets, 0.05)
    with pytest.raises(InputError, match=r"None of the 3 gene sets has 3 of the 60 genes.*largest has 0"):
        masks.isolated(replace(sets, members=np.zeros_like(sets.members)), to_tf=False)
    with pytest.raises(InputError, match="none of the 3 sets is named after one of the 60 genes"):
        masks.isolated(sets, to_tf=True)
    for kind in ("random", "gene_programme"):
        with pytest.raises(InputError, match="nothing would be hidden"):
            masks.check_rate(kind, None)
    masks.check_rate("gp_to_gp", None)


def test_modalities_have_masks_and_streams_of_their_own():
    x = {"a": torch.rand(50, GENES), "b": torch.rand(50, GENES)}
    batch = Batch(x, torch.arange(50))
    masking = masks.Masking(dict.fromkeys(x, masks.RandomMask(0.5)))
    made = masking(batch, seed=0, counters=(0, 0))
    assert (made.visible["a"] != made.visible["b"]).any()
    assert (made.target["a"] == ~made.visible["a"]).all()
    assert made.x is batch.x  # values are hidden by the network, not in the data
    again = masking(batch, seed=0, counters=(0, 0))
    assert torch.equal(again.target["a"], made.target["a"])
    for other in (masking(batch, seed=1, counters=(0, 0)), masking(batch, seed=0, counters=(0, 1))):
        assert (other.target["a"] != made.target["a"]).any()
    assert masks.Masking()(batch, seed=0, counters=(0, 0)).visible is None


# a modality as a whole


def several(alone, n=600, present=None, seed=0):
    x = {"a": torch.rand(n, GENES), "b": torch.rand(n, 20), "c": torch.rand(n, 9)}
    batch = Batch(x, torch.arange(n), present=present)
    return masks.Masking(dict.fromkeys(x, masks.RandomMask(0.5)), alone)(batch, seed=seed, counters=(0, 3)), batch


def test_some_cells_are_seen_by_one_modality_alone():
    plain, _ = several(0.0)
    made, batch = several(0.4)
    assert plain.present is None
    there = torch.stack([made.present[name] for name in "abc"], dim=1)
    alone = there.sum(dim=1) == 1
    assert abs(float(alone.float().mean()) - 0.4) < 3 * np.sqrt(0.4 * 0.6 / 600)
    assert there[~alone].all()
    counts = there[alone].sum(dim=0).float()
    assert (abs(counts - alone.sum() / 3) < 4 * torch.sqrt(alone.sum() * 2 / 9)).all()  # none is preferred
    for i, name in enumerate("abc"):
        shown, hidden = alone & there[:, i], alone & ~there[:, i]
        assert made.visible[name][shown].all()
        assert not made.target[name][shown].any()
        assert not made.visible[name][hidden].any()
        assert made.target[name][hidden].all()
        # the other cells are masked as ever
        assert torch.equal(made.visible[name][~alone], plain.visible[name][~alone])
        assert torch.equal(made.target[name][~alone], plain.target[name][~alone])
        assert made.x[name] is batch.x[name]


def test_a_cell_is_seen_by_what_it_has():
    n = 300
    has = {"a": torch.arange(n) % 3 > 0, "b": torch.arange(n) % 2 > 0}
    made, _ = several(1.0, n=n, present=has)
    assert sum(made.present[name].long() for name in "abc").eq(1).all()
    for name, there in has.items():
        assert not (made.present[name] & ~there).any()
    assert made.present["c"][(torch.arange(n) % 6) == 0].all()  # cells that have nothing else


def test_one_modality_has_no_other_to_hide():
    batch = Batch({"a": torch.rand(50, GENES)}, torch.arange(50))
    made = masks.Masking({"a": masks.RandomMask(0.5)}, 0.9)(batch, seed=0, counters=(0, 0))
    assert made.present is None
    assert torch.equal(made.target["a"], ~made.visible["a"])
    first, again, other = several(0.4)[0], several(0.4)[0], several(0.4, seed=1)[0]
    assert torch.equal(first.present["a"], again.present["a"])
    assert not torch.equal(first.present["a"], other.present["a"])
    one, two = (masks.Masking({"a": masks.RandomMask(0.5)}, rate) for rate in (0.1, 0.2))
    assert one.identity != two.identity

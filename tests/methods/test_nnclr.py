"""NNCLR: its neighbours against brute force, and what feeds its bank."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from scssl._registry import METHODS
from scssl.nn.losses import nt_xent
from scssl.train.batches import Batch
from scssl.train.device import seeded

WIDTH = 5


def module(**values):
    kind = METHODS.get("nnclr")
    with seeded(0, torch.device("cpu")):
        return kind(kind.configure(bank=12, projector=(8, WIDTH), **values), {"rna": 20})


def cells(n, *, seed=0, first=0, group=False, batches=True):
    generator = torch.Generator().manual_seed(seed)
    batch = torch.randint(3, (n,), generator=generator) if batches else None
    x = {"rna": torch.rand(n, 20, generator=generator)}
    return Batch(x, torch.arange(first, first + n), batch, batch if group else None)


def brute_force(z, about, bank, where):
    """The nearest allowed key of each row of `z`, by loops; `bank` as ``(key, cell, batch)``."""
    found = []
    for row, cell, batch in zip(z, about.cell.tolist(), about.batch.tolist(), strict=True):
        fits = {"any": lambda other, _: True, "own": lambda other, own: other == own, "other": lambda o, own: o != own}
        keys = [key for key, of, other in bank if of != cell and fits[where](other, batch)]
        cosines = [float(F.cosine_similarity(row, key, dim=0)) for key in keys]
        found.append(keys[cosines.index(max(cosines))] if keys else row)
    return torch.stack(found)


@pytest.mark.parametrize("where", ["any", "own", "other"])
@pytest.mark.parametrize("known", [0, 1, 4, 9])
def test_neighbours_equal_brute_force_and_are_never_the_cell_itself(where, known):
    made, about = module(neighbors=where), cells(6)
    keys = F.normalize(torch.randn(known, WIDTH, generator=torch.Generator().manual_seed(2)), dim=1)
    of = torch.arange(known) % 7  # some of the cells themselves, some of another one
    batches = torch.arange(known) % 3
    made.bank.push(keys, of, batches)
    z = keys[:6] if known >= 6 else torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(3))
    expected = brute_force(z, about, list(zip(keys, of.tolist(), batches.tolist(), strict=True)), where)
    torch.testing.assert_close(made.neighbors(z, about), expected)


@pytest.mark.parametrize("group", [False, True])
def test_the_loss_is_that_of_the_paper_and_both_views_feed_the_bank(group):
    made = module().train()
    first, second = cells(6, seed=1, group=group), cells(6, seed=1, group=group).with_x(cells(6, seed=2).x)
    made.loss((cells(4, first=100), cells(4, first=100, seed=5)))
    a, b = (made.project(made.represent(view)) for view in (first, second))
    near_a, near_b = made.neighbors(a, first), made.neighbors(b, first)
    terms = [nt_xent(x, made.predict(y), made.config.temperature, first.group) for x, y in ((near_a, b), (near_b, a))]
    torch.testing.assert_close(made.loss((first, second))["loss"], sum(terms) / 2)
    fed = F.normalize(torch.cat((a, b)).detach(), dim=1)
    torch.testing.assert_close(made.bank.keys, fed.flip(0))
    assert made.bank.cell.tolist() == first.cell.repeat(2).flip(0).tolist()
    assert made.bank.batch.tolist() == first.batch.repeat(2).flip(0).tolist()


def test_the_place_of_neighbours_needs_batches_to_matter():
    about = cells(6, batches=False)
    made = module(neighbors="other")
    made.bank.push(torch.randn(8, WIDTH), torch.arange(50, 58))
    z = torch.randn(6, WIDTH)
    nearest = (z @ made.bank.keys[:8].T).argmax(dim=1)
    torch.testing.assert_close(made.neighbors(z, about), made.bank.keys[nearest])


def test_a_cell_whose_neighbours_it_has_not_met_takes_its_own_view():
    made, about = module(), cells(6)
    z = torch.randn(6, WIDTH, requires_grad=True)
    found = made.neighbors(z, about)
    assert torch.equal(found, z)
    assert not found.requires_grad

"""Views: exact counts, true permutations, honest coins, no aliasing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scssl import _random, views
from scssl._errors import InputError, KeyNotFoundError
from scssl.views._base import choose, coins, draw, normal, whole

CELLS, GENES = 400, 500


def test_mask_zeroes_exactly_the_share(values, context, generator):
    changed = views.Mask(fraction=0.2, p=1.0)(values, context, generator())
    zeros = changed == 0
    assert (zeros.sum(1) == 100).all()
    assert torch.equal(changed[~zeros], values[~zeros])
    per_gene = zeros.float().mean(0)
    assert (per_gene - 0.2).abs().max() < 5 * (0.2 * 0.8 / CELLS) ** 0.5


def test_gaussian_adds_noise_of_the_right_size(values, context, generator):
    changed = views.Gaussian(fraction=0.8, sigma=0.2, p=1.0)(torch.zeros_like(values), context, generator())
    touched = changed != 0
    assert (touched.sum(1) == 400).all()
    noise = changed[touched]
    n = len(noise)
    assert abs(float(noise.mean())) < 4 * 0.2 / n**0.5
    assert float(noise.std()) == pytest.approx(0.2, rel=4 / (2 * n) ** 0.5)


def test_inner_swap_is_a_permutation_of_exactly_the_pairs(values, context, generator):
    changed = views.InnerSwap(fraction=0.1, p=1.0)(values, context, generator())
    assert torch.equal(changed.sort(1).values, values.sort(1).values)
    moved = changed != values
    assert (moved.sum(1) == 50).all()
    for row in range(20):  # moved values sit in each other's place
        where = {float(v): j for j, v in enumerate(values[row])}
        for j in torch.nonzero(moved[row]).flatten().tolist():
            partner = where[float(changed[row, j])]
            assert float(changed[row, partner]) == float(values[row, j])


def test_crossover_takes_the_share_from_one_other_cell(values, context, generator):
    changed = views.CrossOver(fraction=0.25, p=1.0)(values, context, generator())
    owner = {float(v): i for i in range(CELLS) for v in values[i]}
    partners = []
    for i in range(CELLS):
        taken = torch.nonzero(changed[i] != values[i]).flatten()
        donors = {owner[float(changed[i, j])] for j in taken.tolist()}
        assert len(donors) <= 1
        assert len(taken) in (0, 125)  # none only if a cell was its own partner
        partners += donors
        for j in taken.tolist():
            assert float(changed[i, j]) == float(values[partners[-1], j])
    assert len(set(partners)) > CELLS / 2


def test_replace_takes_each_gene_from_a_cell_of_its_own(values, context, generator):
    changed = views.Replace(fraction=0.25, p=1.0)(values, context, generator())
    owner = {float(v): (i, j) for i in range(CELLS) for j, v in enumerate(values[i])}
    taken = torch.nonzero(changed != values).tolist()
    assert (
        abs(len(taken) - CELLS * 125) < 4 * (CELLS * 125 / CELLS) ** 0.5 + CELLS * 125 / 100
    )  # now and then from itself
    donors = np.zeros((CELLS, CELLS), dtype=int)
    for i, j in taken:
        donor, gene = owner[float(changed[i, j])]
        assert gene == j
        donors[i, donor] += 1
    assert (donors.sum(1) > 110).all()
    assert donors.max() <= 12  # no cell gives much to one other cell
    assert 150 < (donors.sum(0) > 0).sum() <= 256


@pytest.mark.parametrize("shape", [(7, 1), (300, 33), (64, 2001)])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_choose_and_draw_are_exact(shape, share, generator):
    k = max(1, int(share * shape[1]))
    assert (choose(shape, k, generator()).sum(1) == k).all()
    drawn = draw(shape, k, generator())
    assert drawn.shape == (shape[0], k)
    assert all(len(set(row.tolist())) == k for row in drawn)


def test_coins_and_whole_numbers_are_fair(generator):
    thrown = coins((500, 400), 0.3, generator())
    assert abs(float(thrown.float().mean()) - 0.3) < 3 * (0.21 / thrown.numel()) ** 0.5
    own = coins((500, 400), torch.linspace(0, 1, 500)[:, None], generator()).float().mean(1)
    assert (own - torch.linspace(0, 1, 500)).abs().max() < 5 * 0.5 / 400**0.5
    assert float(own[0]) == 0
    assert float(own[-1]) == 1
    drawn = whole((500, 400), 7, generator())
    rates = torch.bincount(drawn.flatten(), minlength=7) / drawn.numel()
    assert len(rates) == 7
    assert (rates - 1 / 7).abs().max() < 4 * (6 / 49 / drawn.numel()) ** 0.5


def test_noise_of_two_cells_is_independent(generator):
    noise = normal((1000, 300), generator())
    correlation = np.corrcoef(noise.numpy())
    off = correlation[~np.eye(len(correlation), dtype=bool)]
    assert abs(off.mean()) < 1e-3
    assert off.std() == pytest.approx(300**-0.5, rel=0.1)


def test_the_clear_pipeline_is_the_published_one():
    assert views.describe(views.resolve("clear")) == [
        {"view": "mask", "p": 0.5, "fraction": 0.2},
        {"view": "gaussian", "p": 0.5, "fraction": 0.8, "sigma": 0.2},
        {"view": "inner_swap", "p": 0.5, "fraction": 0.1},
        {"view": "crossover", "p": 0.5, "fraction": 0.25},
    ]


def test_pipelines_can_be_written_in_several_ways():
    built = views.resolve(["mask:0.5", views.Gaussian(sigma=0.4), {"view": "inner_swap", "fraction": 0.3}])
    assert [type(v).__name__ for v in built] == ["Mask", "Gaussian", "InnerSwap"]
    assert built[0].fraction == 0.5
    assert views.resolve(views.describe(built)) == built
    assert views.resolve("mask") == (views.Mask(fraction=0.5),)
    assert views.resolve("none") == ()
    assert views.resolve("mnn:0.7") == (views.Mnn(alpha=0.7),)
    assert views.resolve(["knn", "clear"]) == (views.Knn(), *views.resolve("clear"))
    assert views.resolve(["mask"]) == (views.Mask(fraction=0.2),)  # in a list a name is that of the view


def test_the_tuned_pipeline_is_the_published_one():
    assert views.describe(views.resolve("tuned")) == [
        {"view": "mnn", "p": 0.5, "alpha": 0.5, "k": 3, "how": "int", "drawn": False},
        {"view": "gaussian", "p": 0.5, "fraction": 0.3, "sigma": 0.2},
        {"view": "inner_swap", "p": 0.5, "fraction": 0.3},
        {"view": "mask", "p": 0.5, "fraction": 0.5},
    ]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("maks", KeyNotFoundError, ["'maks'", "Did you mean 'mask'", "'crossover'"]),
        (["mask:much"], InputError, ["'mask:much'", "not a number"]),
        (["mask:1.5"], InputError, ["View 'mask'", "fraction=1.5", "at most 1"]),
        (["mask:nan"], InputError, ["fraction=nan", "not finite"]),
        (5, InputError, ["views is 5 of type int", "expected a name"]),
        ({"mask"}, InputError, ["type set"]),
        ([views.Mask, 3], InputError, ["the class Mask", "Mask()"]),
        ([3], InputError, ["views holds 3 of type int"]),
        ([["mask"]], InputError, ["views holds ['mask'] of type list"]),
        ([{"view": "mask", "fracton": 0.1}], InputError, ["'fracton'", "'fraction'"]),
        ([{"view": "mask", "fraction": "0.1"}], InputError, ["fraction='0.1'", "of type str", "without quotes"]),
        ([{"view": "gaussian", "sigma": -1}], InputError, ["sigma=-1", "at least 0"]),
        ([{"view": "mnn", "k": 0}], InputError, ["k=0", "at least 1"]),
        ([{"view": "mnn", "k": 2.5}], InputError, ["k=2.5", "a whole number"]),
        ([{"view": "mnn", "how": "exchange"}], InputError, ["how='exchange'", "'int', 'geo', 'exc'"]),
        (["mn:0.5"], KeyNotFoundError, ["'mn'", "Did you mean 'mnn'"]),
        ([{}], KeyNotFoundError, ["view ''"]),
    ],
)
def test_wrong_pipelines_are_explained(given, kind, words):
    with pytest.raises(kind) as caught:
        views.resolve(given)
    assert all(word in str(caught.value) for word in words)
    assert caught.value.parameter == "views"


def test_wrong_parameters_of_a_view_are_explained_where_it_is_made():
    with pytest.raises(InputError, match=r"View 'mask': p=2 must be at most 1"):
        views.Mask(p=2)


def test_streams_have_names():
    assert _random.derive(0, "views/rna", 1, 2, 0) != _random.derive(0, "views/prot", 1, 2, 0)
    assert _random.derive(0, "views/rna", 1, 2, 0) != _random.derive(0, "views/rna", 1, 2, 1)

"""Views: exact counts, true permutations, honest coins, no aliasing."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scssl import _random, views
from scssl._errors import InputError, KeyNotFoundError
from scssl._registry import VIEWS
from scssl.data.source import Source
from scssl.views._base import choose, draw, normal
from scssl.views.pipeline import augment

CELLS, GENES = 400, 500


@pytest.fixture
def values():
    """Every value occurs once, so that moves can be followed."""
    order = np.random.default_rng(0).permutation(CELLS * GENES) + 1
    return torch.from_numpy(order.reshape(CELLS, GENES).astype(np.float32))


@pytest.fixture
def context(values):
    return views.Context(np.arange(CELLS), lambda index: values[index], CELLS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_mask_zeroes_exactly_the_share(values, context):
    changed = views.Mask(fraction=0.2, p=1.0)(values, context, generator())
    zeros = changed == 0
    assert (zeros.sum(1) == 100).all()
    assert torch.equal(changed[~zeros], values[~zeros])
    per_gene = zeros.float().mean(0)
    assert (per_gene - 0.2).abs().max() < 5 * (0.2 * 0.8 / CELLS) ** 0.5


def test_gaussian_adds_noise_of_the_right_size(values, context):
    changed = views.Gaussian(fraction=0.8, sigma=0.2, p=1.0)(torch.zeros_like(values), context, generator())
    touched = changed != 0
    assert (touched.sum(1) == 400).all()
    noise = changed[touched]
    n = len(noise)
    assert abs(float(noise.mean())) < 4 * 0.2 / n**0.5
    assert float(noise.std()) == pytest.approx(0.2, rel=4 / (2 * n) ** 0.5)


def test_inner_swap_is_a_permutation_of_exactly_the_pairs(values, context):
    changed = views.InnerSwap(fraction=0.1, p=1.0)(values, context, generator())
    assert torch.equal(changed.sort(1).values, values.sort(1).values)
    moved = changed != values
    assert (moved.sum(1) == 50).all()
    for row in range(20):  # moved values sit in each other's place
        where = {float(v): j for j, v in enumerate(values[row])}
        for j in torch.nonzero(moved[row]).flatten().tolist():
            partner = where[float(changed[row, j])]
            assert float(changed[row, partner]) == float(values[row, j])


def test_crossover_takes_the_share_from_one_other_cell(values, context):
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


@pytest.mark.parametrize("name", VIEWS.names())
def test_coins_fall_for_each_cell(name, values, context):
    view = VIEWS.get(name)(p=0.5)
    rates = []
    for seed in range(20):
        changed = view(values, context, generator(seed)) != values
        rates.append(changed.any(1).float().mean().item())
    sigma = (0.25 / (CELLS * len(rates))) ** 0.5
    assert abs(np.mean(rates) - 0.5) < 3 * sigma + 1 / CELLS
    assert np.std(rates) > 0.005  # a coin for the whole batch would give 0 or 1; a fixed half would give no spread


@pytest.mark.parametrize("name", VIEWS.names())
def test_views_do_not_write_into_their_input(name, values, context):
    before = values.clone()
    changed = VIEWS.get(name)(p=1.0)(values, context, generator())
    assert torch.equal(values, before)
    assert not torch.equal(changed, before)


@pytest.mark.parametrize("name", VIEWS.names())
def test_same_stream_same_view(name, values, context):
    view = VIEWS.get(name)(p=0.5)
    first, again, other = (view(values, context, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", VIEWS.names())
def test_never_and_nothing(name, values, context):
    kind = VIEWS.get(name)
    assert torch.equal(kind(p=0.0)(values, context, generator()), values)
    assert torch.equal(kind(fraction=0.0, p=1.0)(values, context, generator()), values)


@pytest.mark.parametrize("shape", [(7, 1), (300, 33), (64, 2001)])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_choose_and_draw_are_exact(shape, share):
    k = max(1, int(share * shape[1]))
    assert (choose(shape, k, generator()).sum(1) == k).all()
    drawn = draw(shape, k, generator())
    assert drawn.shape == (shape[0], k)
    assert all(len(set(row.tolist())) == k for row in drawn)


def test_noise_of_two_cells_is_independent():
    noise = normal((1000, 300), generator())
    correlation = np.corrcoef(noise.numpy())
    off = correlation[~np.eye(len(correlation), dtype=bool)]
    assert abs(off.mean()) < 1e-3
    assert off.std() == pytest.approx(300**-0.5, rel=0.1)


def test_two_views_of_a_batch_differ_and_leave_the_data(values):
    import pandas as pd

    matrix = sp.csr_matrix(values.numpy())
    source = Source({"rna": matrix}, {"rna": np.arange(GENES).astype(str)}, pd.Index([f"c{i}" for i in range(CELLS)]))
    before = matrix.copy()
    index = np.arange(50)
    batch = source.take(index)
    a, b = (augment(batch, views.resolve("clear"), source, index, seed=0, counters=(0, 0, which)) for which in (0, 1))
    assert not torch.equal(a.x["rna"], b.x["rna"])
    assert a.x["rna"].data_ptr() != b.x["rna"].data_ptr()
    b.x["rna"][:] = 0
    assert float(a.x["rna"].abs().sum()) > 0
    assert (matrix != before).nnz == 0


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


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("maks", KeyNotFoundError, ["'maks'", "Did you mean 'mask'", "'crossover'"]),
        (["mask:much"], InputError, ["'mask:much'", "not a number"]),
        (["mask:1.5"], InputError, ["fraction=1.5", "between 0 and 1"]),
        ([views.Mask, 3], InputError, ["expected a name"]),
        ([{"view": "mask", "fracton": 0.1}], InputError, ["'fracton'", "'fraction'"]),
    ],
)
def test_wrong_pipelines_are_explained(given, kind, words):
    with pytest.raises(kind) as caught:
        views.resolve(given)
    assert all(word in str(caught.value) for word in words)
    assert caught.value.parameter == "views"


def test_streams_have_names():
    assert _random.derive(0, "views/rna", 1, 2, 0) != _random.derive(0, "views/prot", 1, 2, 0)
    assert _random.derive(0, "views/rna", 1, 2, 0) != _random.derive(0, "views/rna", 1, 2, 1)

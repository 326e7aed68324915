"""Cells that a method which reconstructs is not trained on: they choose the epoch, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

import scssl as ssl
from scssl.models.holdout import at_random
from scssl.train.sampler import Sampler

NETWORK = {"hidden": (64,), "width": 16, "batch_size": 32, "learning_rate": 3e-3, "hidden_dropout": 0.0}


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=120, n_vars=60, n_types=3, n_batches=2, seed=0)
    ssl.pp.recipe(adata)
    return adata


@pytest.fixture(scope="module", params=["autoencoder", "mae"])
def memorised(cells, request):
    """A run that is far too long for so few cells."""
    return ssl.tl.fit(cells.copy(), request.param, held_out=0.3, max_epochs=60, **NETWORK)


def state(model):
    return {name: value.numpy() for name, value in model.module.state_dict().items()}


def test_the_best_epoch_on_held_out_cells_is_kept(cells, memorised):
    history = memorised.history
    best = int(history["validation_loss"].argmin())
    assert best < 50  # the later ones learn single cells
    assert history["loss"].iloc[-1] < history["loss"].iloc[best]
    until = ssl.tl.fit(cells.copy(), memorised.method, held_out=0.3, max_epochs=best + 1, **NETWORK)
    for name, value in state(until).items():
        np.testing.assert_array_equal(state(memorised)[name], value)


def test_patience_counts_held_out_epochs(cells, memorised):
    best = int(memorised.history["validation_loss"].argmin())
    model = ssl.tl.fit(cells.copy(), memorised.method, held_out=0.3, max_epochs=60, patience=3, **NETWORK)
    assert len(model.history) < 60
    assert model.history["validation_loss"].min() >= memorised.history["validation_loss"].iloc[best]


def test_without_held_out_cells_nothing_is_validated(cells):
    model = ssl.tl.fit(cells.copy(), "mae", held_out=0.0, max_epochs=2, **NETWORK)
    assert "validation_loss" not in model.history
    few = ssl.tl.fit(cells.copy(), "mae", held_out=0.005, max_epochs=2, **NETWORK)  # less than one cell
    assert "validation_loss" not in few.history


@pytest.mark.parametrize("value", [-0.1, 0.6])
def test_a_share_out_of_range_is_refused(cells, value):
    with pytest.raises(ssl.InputError, match="held_out"):
        ssl.tl.fit(cells.copy(), "mae", held_out=value)


def test_as_many_as_asked_for_and_others_for_another_seed():
    first, again, other = (at_random(100, 0.25, seed=seed) for seed in (0, 0, 1))
    assert len(np.unique(first)) == 25
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_held_out_cells_are_in_no_mini_batch():
    codes = np.repeat([0, 1], [60, 40])
    held = np.arange(50, 70)
    for sampler in (Sampler.mixed(100, 16), Sampler.by_batch(codes, ["a", "b"], 16)):
        seen = np.sort(np.concatenate(sampler.without(held).epoch(0, 0)))
        np.testing.assert_array_equal(seen, np.setdiff1d(np.arange(100), held))

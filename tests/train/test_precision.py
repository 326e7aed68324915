"""Rounded products train as exact ones do: every step sees the weights of the step before."""

from __future__ import annotations

import numpy as np
import pytest

import scssl as ssl


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=400, n_vars=80, n_types=3, seed=0)
    adata = adata[:, np.asarray(adata.X.sum(axis=0)).ravel() > 0].copy()
    ssl.pp.recipe(adata)
    return adata


@pytest.mark.parametrize("method", ["mae", "simclr"])
def test_bf16_learns_what_fp32_learns(cells, method):
    choices = {
        "max_epochs": 10,
        "batch_size": 20,
        "learning_rate": 3e-3,
        "hidden": (64, 32),
        "width": 16,
    }  # some twenty steps an epoch
    exact, rounded = (
        ssl.tl.fit(cells.copy(), method, precision=precision, **choices).history["loss"]
        for precision in ("fp32", "bf16")
    )
    assert exact.iloc[-1] < 0.97 * exact.iloc[0]  # there is something to learn
    assert rounded.to_numpy() == pytest.approx(exact.to_numpy(), rel=0.02)

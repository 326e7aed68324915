"""The proof of being unchanged must see changes."""

from __future__ import annotations

import os
import random
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from scssl.data.calm import calm


def _swap_categories(a):
    a.obs["batch"] = a.obs["batch"].cat.reorder_categories(list(a.obs["batch"].cat.categories[::-1]))


CHANGES = {
    "value": lambda a: a.X.data.__setitem__(3, 9.0),
    "dtype": lambda a: setattr(a, "X", a.X.astype(np.float64)),
    "format": lambda a: setattr(a, "X", a.X.tocsc()),
    "layer": lambda a: a.layers.__setitem__("new", a.X.copy()),
    "name of a cell": lambda a: setattr(a, "obs_names", ["other", *a.obs_names[1:]]),
    "column": lambda a: a.obs.__setitem__("new", 1),
    "categories": _swap_categories,
    "order of columns": lambda a: setattr(a, "obs", a.obs[a.obs.columns[::-1]]),
    "embedding": lambda a: a.obsm.__setitem__("X_new", np.zeros((a.n_obs, 2))),
    "deep in uns": lambda a: a.uns.__setitem__("scssl", {"models": {"pca": {"seed": 1}}}),
    "column of var": lambda a: a.var.__setitem__("new", True),
    "raw": lambda a: setattr(a, "raw", a.copy()),
    "random": lambda a: random.random(),
    "numpy": lambda a: np.random.random(),  # noqa: NPY002 - it is the global one that is meant
    "torch": lambda a: torch.rand(1),
    "threads": lambda a: torch.set_num_threads(torch.get_num_threads() + 1),
    "filters": lambda a: warnings.simplefilter("ignore"),
    "environment": lambda a: os.environ.__setitem__("SCSSL_TEST", "1"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_sees(what, synthetic, unchanged, monkeypatch):
    monkeypatch.delenv("SCSSL_TEST", raising=False)
    threads, states = torch.get_num_threads(), (random.getstate(), np.random.get_state(), torch.get_rng_state())  # noqa: NPY002
    try:
        with warnings.catch_warnings(), pytest.raises(AssertionError), unchanged(synthetic):
            CHANGES[what](synthetic)
    finally:
        os.environ.pop("SCSSL_TEST", None)
        torch.set_num_threads(threads)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def test_sees_a_change_in_a_modality(mudata, unchanged):
    with pytest.raises(AssertionError), unchanged(mudata):
        mudata.mod["prot"].obs["new"] = 1


def test_a_copy_is_the_same(synthetic, mudata, unchanged):
    synthetic.uns["frame"] = pd.DataFrame({"a": [1, 2]})
    with unchanged(synthetic) as same:
        same.against(synthetic.copy())
    with unchanged(mudata) as same:
        with calm():
            copied = mudata.copy()
        same.against(copied)

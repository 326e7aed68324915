from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import scssl as ssl
from scssl._registry import METHODS


@pytest.fixture
def bad_methods(monkeypatch):
    """The methods of ``bad_methods.py``, registered for the time of a test; other processes find the module by its name."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    module = importlib.import_module("bad_methods")
    yield module
    for name in module.NAMES:
        METHODS._added.pop(name, None)
        METHODS._objects.pop(name, None)
    del sys.modules["bad_methods"]


@pytest.fixture(scope="module")
def small():
    """90 cells in 2 batches."""
    adata = ssl.datasets.synthetic(n_obs=90, n_vars=60, n_types=3, n_batches=2, seed=0)
    ssl.pp.recipe(adata, batch_key="batch", n_top_genes=40)
    return adata

"""Cells of which everything is known: every value occurs once, and every cell has partners in a graph."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from scssl import views
from scssl._registry import VIEWS

CELLS, GENES, BATCHES = 400, 500, 4
SCALE = 100.0


@pytest.fixture
def counts():
    """Every count occurs once, so that moves can be followed."""
    order = np.random.default_rng(0).permutation(CELLS * GENES) + 1
    return torch.from_numpy(order.reshape(CELLS, GENES).astype(np.float32))


@pytest.fixture
def values(counts):
    """The values that belong to the counts; they differ as well."""
    return torch.log1p(counts / SCALE)


@pytest.fixture
def adata(values, counts):
    """The same as an object, in four batches that stand mixed in the file."""
    obs = pd.DataFrame({"batch": [f"b{i % BATCHES}" for i in range(CELLS)]}, index=[f"c{i}" for i in range(CELLS)])
    return ad.AnnData(sp.csr_matrix(values.numpy()), obs=obs, layers={"counts": sp.csr_matrix(counts.numpy())})


@pytest.fixture
def ring():
    """A graph: partners of cell ``i`` are the three cells after it, round the end."""
    rows = np.repeat(np.arange(CELLS), 3)
    columns = (rows + np.tile([1, 2, 3], CELLS)) % CELLS
    return sp.csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(CELLS, CELLS))


@pytest.fixture
def context(values, ring):
    """What every registered view has to know."""
    known = {VIEWS.get(name)().key: ring for name in ("knn", "bbknn", "mnn")}
    known["counts/rna"] = np.full(CELLS, SCALE, dtype=np.float32)
    return views.Context(np.arange(CELLS), lambda index: values[index], CELLS, known=known)


@pytest.fixture
def generator():
    """A generator for a seed."""
    return lambda seed=0: torch.Generator().manual_seed(seed)

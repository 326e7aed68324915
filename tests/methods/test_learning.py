"""Every trained method finds the types of simulated cells, which an untrained encoder shows dimly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

import scssl as ssl
from scssl._registry import METHODS
from scssl.methods._trained import SelfSupervised


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=400, n_vars=120, n_types=5, n_batches=2, batch_effect=0.6, seed=0)
    adata = adata[:, np.asarray(adata.X.sum(axis=0)).ravel() > 0].copy()
    ssl.pp.recipe(adata)
    return adata


def quality(cells, method, **values):
    """Accuracy of 15 neighbours and silhouette of the types."""
    adata = cells.copy()
    embedding = ssl.tl.fit(adata, method, batch_key="batch", **values).embed(adata)
    types = adata.obs["cell_type"].astype(str)
    accuracy = cross_val_score(KNeighborsClassifier(15), embedding, types, cv=4).mean()
    return accuracy, silhouette_score(embedding, types, metric="cosine")


@pytest.fixture(scope="module")
def untrained(cells):
    return quality(cells, "untrained")


@pytest.mark.parametrize("name", [name for name in METHODS if issubclass(METHODS.get(name), SelfSupervised)])
def test_finds_types(name, cells, untrained):
    accuracy, silhouette = quality(cells, name, max_epochs=25, batch_size=100)
    assert accuracy > untrained[0] + 0.15
    keeps_batches = METHODS.describe(name).decodes  # what reconstructs a cell keeps its batch in the embedding
    assert silhouette > (1.5 if keeps_batches else 3) * untrained[1]

"""Our scores beside those of scib-metrics, given the same neighbours."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest

from scssl.metrics import Inputs, measure
from scssl.metrics._base import groups
from scssl.metrics._kbet import acceptance_per_label

EXACT = {
    "isolated_labels": 1e-6,
    "silhouette_label": 1e-6,
    "bras": 1e-6,
    "silhouette_batch": 1e-6,
    "clisi": 2e-6,  # scib-metrics searches the kernel width in single precision
    "ilisi": 2e-6,
    "graph_connectivity": 1e-12,
    "pcr_comparison": 2e-6,
    "leiden_nmi": 1e-12,
    "leiden_ari": 1e-12,
}
SHAPES = [
    {"n": 400, "width": 8, "n_labels": 4, "n_batches": 3, "seed": 0},
    {"n": 700, "width": 2, "n_labels": 6, "n_batches": 2, "seed": 1},
]


def cells(n, width, n_labels, n_batches, seed):
    """Cells of overlapping types; the last type is rare and occurs in one batch only."""
    random = np.random.default_rng(seed)
    label, batch = random.integers(0, n_labels, n), random.integers(0, n_batches, n)
    kept = (label < n_labels - 1) | (batch == 0)
    label, batch = label[kept], batch[kept]
    types, shifts = 1.5 * random.normal(size=(n_labels, width)), 0.3 * random.normal(size=(n_batches, width))
    x = (types[label] + shifts[batch] + random.normal(size=(len(label), width))).astype(np.float32)
    before = (x + 2 * shifts[batch]).astype(np.float32)
    return x, before, np.char.add("t", label.astype(str)), np.char.add("b", batch.astype(str))


@pytest.fixture(scope="module")
def scib():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scib_metrics = pytest.importorskip("scib_metrics")
        logging.getLogger("scib_metrics").setLevel(logging.WARNING)
        yield scib_metrics


@pytest.fixture(scope="module", params=SHAPES, ids=lambda s: f"{s['n']}x{s['width']}")
def both(request, scib):
    """Our inputs, and all values of scib-metrics on our neighbours."""
    from scib_metrics.nearest_neighbors import NeighborsResults

    x, before, labels, batch = cells(**request.param)
    inputs = Inputs({"embedding": x, "before": before, "labels": labels, "batch": batch})
    table = {
        k: NeighborsResults(inputs.neighbors.indices[:, :k], inputs.neighbors.distances[:, :k]) for k in (15, 50, 90)
    }
    clusters = scib.nmi_ari_cluster_labels_leiden(table[15], labels)
    theirs = {
        "isolated_labels": scib.isolated_labels(x, labels, batch),
        "silhouette_label": scib.silhouette_label(x, labels),
        "bras": scib.bras(x, labels, batch),
        "silhouette_batch": scib.silhouette_batch(x, labels, batch),
        "clisi": scib.clisi_knn(table[90], labels),
        "ilisi": scib.ilisi_knn(table[90], batch),
        "graph_connectivity": scib.graph_connectivity(table[15], labels),
        "pcr_comparison": scib.pcr_comparison(before, x, batch, categorical=True),
        "leiden_nmi": clusters["nmi"],
        "leiden_ari": clusters["ari"],
    }
    return inputs, theirs, table


@pytest.mark.parametrize("name", EXACT)
def test_value_is_that_of_scib_metrics(both, name):
    inputs, theirs, _ = both
    assert measure(name, inputs).value == pytest.approx(theirs[name], abs=EXACT[name])


def test_connectivities_are_those_of_umap(both):
    from scssl._neighbors import connectivities

    inputs, _, table = both
    graph = table[50].knn_graph_connectivities
    assert abs(graph - connectivities(inputs.neighbors.first(50))).max() < 1e-5


@pytest.mark.parametrize("both", SHAPES[:1], indirect=True)
def test_kbet_of_a_label_is_that_of_scib_metrics_where_it_comes_first(both, scib):
    """There, the number of diffusion components of a label depends on the labels before it."""
    inputs, _, table = both
    labels, batch = inputs.given["labels"], inputs.given["batch"]
    ours = acceptance_per_label(inputs.neighbors.first(50), groups(labels), groups(batch))
    assert len(ours) == len(np.unique(labels)) - 1
    for name, value in list(ours.items())[-2:]:  # each is compiled anew there
        renamed = np.where(labels == name, "a first", labels)
        per_label = scib.kbet_per_label(table[50], batch, renamed, return_df=True)[1]
        assert value == pytest.approx(per_label["kBET"].iloc[0], abs=0.01)


@pytest.mark.parametrize("both", SHAPES[:1], indirect=True)
def test_kbet_scib_is_their_number(both, scib):
    inputs, _, table = both
    value = scib.kbet_per_label(table[50], inputs.given["batch"], inputs.given["labels"])
    found = measure("kbet_scib", inputs)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert scib.__version__ in found.message

"""Our scores beside those of scib-metrics, given the same neighbours."""

from __future__ import annotations

import logging
import random
import warnings

import numpy as np
import pytest
from scipy.optimize import brentq

from scssl.metrics import Inputs, NotApplicable, measure
from scssl.metrics._base import groups
from scssl.metrics._kbet import acceptance_per_label
from scssl.metrics._reference import reference

EXACT = {
    "isolated_labels": 1e-6,
    "silhouette_label": 1e-6,
    "bras": 1e-6,
    "silhouette_batch": 1e-6,
    "clisi": 2e-6,  # scib-metrics searches the kernel width in single precision
    "ilisi": 2e-6,
    "graph_connectivity": 1e-12,
    "pcr_comparison": 2e-6,
}
SHAPES = [
    {"n": 400, "width": 8, "n_labels": 4, "n_batches": 3, "seed": 0},
    {"n": 700, "width": 2, "n_labels": 6, "n_batches": 2, "seed": 1},
]


def cells(n, width, n_labels, n_batches, seed):
    """Cells of overlapping types; the last type is rare and occurs in one batch only."""
    rng = np.random.default_rng(seed)
    label, batch = rng.integers(0, n_labels, n), rng.integers(0, n_batches, n)
    kept = (label < n_labels - 1) | (batch == 0)
    label, batch = label[kept], batch[kept]
    types, shifts = 1.5 * rng.normal(size=(n_labels, width)), 0.3 * rng.normal(size=(n_batches, width))
    x = (types[label] + shifts[batch] + rng.normal(size=(len(label), width))).astype(np.float32)
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
        "leiden": (clusters["nmi"], clusters["ari"]),
    }
    return inputs, theirs, table


@pytest.mark.parametrize("name", EXACT)
def test_value_is_that_of_scib_metrics(both, name):
    inputs, theirs, _ = both
    assert measure(name, inputs).value == pytest.approx(theirs[name], abs=EXACT[name])


def test_the_first_run_of_leiden_is_that_of_scib_metrics(both):
    inputs, theirs, _ = both
    first = inputs.leiden.runs[0]
    assert (first.nmi, first.ari) == pytest.approx(theirs["leiden"], abs=1e-12)


def lisi_of(distances, codes, perplexity):
    """Inverse Simpson index of one cell from its neighbours, the kernel width by the root finder of SciPy."""

    def shares(log_beta):
        kernel = np.exp(-np.exp(log_beta) * (distances - distances.min()))
        return kernel / kernel.sum()

    def excess(log_beta):
        p = shares(log_beta)
        return -(p[p > 0] * np.log(p[p > 0])).sum() - np.log(perplexity)

    p = shares(brentq(excess, -20, 20))
    return 1 / (np.bincount(codes, weights=p) ** 2).sum()


def test_lisi_leaves_out_the_cell_itself_as_scib_metrics_since_0_5(both, scib):
    """Up to 0.4.1 it was its own neighbour at distance 0. The installed version, whichever it is, leaves it out."""
    inputs, _, table = both
    codes = np.unique(inputs.given["batch"], return_inverse=True)[1]
    indices, distances = inputs.neighbors.indices, inputs.neighbors.distances
    assert (indices[:, 0] == np.arange(len(codes))).all()
    some = range(0, len(codes), 40)
    without = [lisi_of(distances[i, 1:], codes[indices[i, 1:]], 30) for i in some]
    counted = [lisi_of(distances[i], codes[indices[i]], 30) for i in some]
    ours = inputs.local_weights.simpson(codes, codes.max() + 1)[list(some)]
    theirs = np.asarray(scib.lisi_knn(table[90], inputs.given["batch"]))[list(some)]
    np.testing.assert_allclose(ours, without, atol=1e-4)
    np.testing.assert_allclose(theirs, without, atol=1e-3)
    assert np.mean(np.abs(np.subtract(counted, without)) > 1e-3) > 0.9
    assert np.median(counted) < np.median(without)


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


@pytest.mark.parametrize("both", SHAPES[:1], indirect=True)
def test_the_engine_gives_their_numbers_and_leaves_the_process_alone(both, scib):
    inputs, theirs, _ = both
    loggers = [logging.getLogger(), logging.getLogger("scib_metrics")]
    before = [(one.level, list(one.handlers)) for one in loggers], list(warnings.filters), random.getstate()
    for name in EXACT:
        assert reference(name, inputs).value == pytest.approx(theirs[name], abs=1e-12), name
    assert (reference("leiden_nmi", inputs).value, reference("leiden_ari", inputs).value) == theirs["leiden"]
    assert before == ([(one.level, list(one.handlers)) for one in loggers], list(warnings.filters), random.getstate())


@pytest.mark.parametrize("name", ["bras", "kbet", "silhouette_batch"])
def test_labels_in_one_batch_each_do_not_apply_in_any_version(name):
    x, _, labels, _ = cells(**SHAPES[0])
    with pytest.raises(NotApplicable, match="in two batches"):
        reference(name, Inputs({"embedding": x, "labels": labels, "batch": labels}))


def test_a_metric_of_our_own_is_not_theirs():
    with pytest.raises(NotApplicable, match="does not have this metric"):
        reference("cilisi", Inputs({}))

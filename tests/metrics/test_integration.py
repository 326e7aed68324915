from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples

from scssl._neighbors import nearest
from scssl._registry import METRICS
from scssl.metrics import Inputs, Measured, NotApplicable, measure
from scssl.metrics import _silhouette as silhouette
from scssl.metrics._base import groups
from scssl.metrics._kbet import mixing_p_values
from scssl.metrics._lisi import Weights
from scssl.metrics._silhouette import silhouette_widths
from scssl.metrics.integration import explained_by

TEN = (
    "isolated_labels", "leiden_nmi", "leiden_ari", "silhouette_label", "clisi",
    "bras", "ilisi", "kbet", "graph_connectivity", "pcr_comparison",
)  # fmt: skip
ALL = (*TEN, "silhouette_batch")
CLUSTERS = {"leiden_nmi", "leiden_ari"}
# cosine distance depends on the origin
NOT_SHIFTED = {"bras"}


def cells(n=240, width=6, n_labels=4, n_batches=3, seed=0, shift=0.5):
    random = np.random.default_rng(seed)
    label, batch = random.integers(0, n_labels, n), random.integers(0, n_batches, n)
    x = 2.0 * random.normal(size=(n_labels, width))[label] + shift * random.normal(size=(n_batches, width))[batch]
    x = x + random.normal(size=(n, width))
    return {
        "embedding": x,
        "before": x + 2.0 * batch[:, None],
        "labels": np.char.add("t", label.astype(str)),
        "batch": np.char.add("b", batch.astype(str)),
    }


def values(given, names=ALL, seed=0):
    inputs = Inputs(given, seed=seed)
    return {name: measure(name, inputs).value for name in names}


@pytest.fixture(scope="module")
def given():
    return cells()


@pytest.fixture(scope="module")
def expected(given):
    return values(given)


def same(found, expected, tolerance=1e-6, but=(), loosely=()):
    for name in set(expected) - set(but):
        allowed = 0.02 if name in loosely else tolerance
        assert found[name] == pytest.approx(expected[name], abs=allowed), name


def test_all_are_registered():
    for name in (*ALL, "kbet_scib"):
        about = METRICS.describe(name)
        assert about.task == "batch_correction"
        assert about.group in ("bio", "batch")
        assert about.default == (name in TEN)
        assert about.better == "higher"


@pytest.mark.parametrize("name", ALL)
def test_values_are_within_their_range(expected, name):
    assert METRICS.describe(name).lower <= expected[name] <= METRICS.describe(name).upper


def test_same_seed_same_value(given, expected):
    assert values(given) == expected


def test_order_of_cells_does_not_matter(given, expected):
    order = np.random.default_rng(1).permutation(len(given["labels"]))
    # cells are moved between clusters in their order; a task brings it into that of their names
    same(values({name: value[order] for name, value in given.items()}), expected, loosely=CLUSTERS)


def test_names_of_labels_and_batches_do_not_matter(given, expected):
    """Also not that of a small label, which changes the kBET of scib-metrics."""
    names = {"t0": "z", "t1": "a", "t2": "50", "t3": "t0"}
    renamed = np.array([names[label] for label in given["labels"]])
    batch = np.char.replace(given["batch"], "b", "z-")
    same(values({**given, "labels": renamed, "batch": batch}), expected, tolerance=1e-12)
    numbers = {**given, "labels": groups(given["labels"]).codes, "batch": groups(given["batch"]).codes}
    same(values(numbers), expected, tolerance=1e-12)


def test_rotation_and_shift_do_not_matter(given, expected):
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    same(values({**given, "embedding": given["embedding"] @ rotation}), expected)
    same(values({**given, "embedding": given["embedding"] + 100.0}), expected, but=NOT_SHIFTED)


def test_duplicated_cells_are_scored(given):
    twice = {name: np.concatenate([value, value]) for name, value in given.items()}
    found = values(twice)
    assert all(np.isfinite(value) for value in found.values())
    assert found["pcr_comparison"] == pytest.approx(values(given, ["pcr_comparison"])["pcr_comparison"])


def test_mixing_is_noticed_and_so_is_biology():
    mixed, apart = values(cells(shift=0.0)), values(cells(shift=4.0))
    for name in ("bras", "ilisi", "kbet", "silhouette_batch"):
        assert mixed[name] > apart[name] + 0.1, name
    random = np.random.default_rng(0)
    noise = values({**cells(shift=0.0), "embedding": random.normal(size=(240, 6))})
    for name in ("isolated_labels", "leiden_nmi", "leiden_ari", "silhouette_label", "clisi", "graph_connectivity"):
        assert mixed[name] > noise[name] + 0.1, name


@pytest.mark.parametrize("rows", [7, 100, 10_000])
def test_silhouettes_are_those_of_scikit_learn_in_blocks_of_any_size(given, monkeypatch, rows):
    x, labels = given["embedding"], given["labels"]
    monkeypatch.setattr(silhouette, "_BLOCK", rows)
    np.testing.assert_allclose(silhouette_widths(x, groups(labels)), silhouette_samples(x, labels), atol=1e-9)
    found = silhouette_widths(x, groups(labels), cosine=True)
    np.testing.assert_allclose(found, silhouette_samples(x, labels, metric="cosine"), atol=1e-9)


def test_silhouette_of_a_lone_cell_is_zero(given):
    labels = given["labels"].astype(object)
    labels[5] = "lone"
    widths = silhouette_widths(given["embedding"], groups(labels))
    assert widths[5] == 0
    np.testing.assert_allclose(widths, silhouette_samples(given["embedding"], labels), atol=1e-9)


def test_bras_against_a_loop(given):
    x, labels, batch = given["embedding"], given["labels"], given["batch"]
    per_label = []
    for label in np.unique(labels):
        cells_ = np.flatnonzero(labels == label)
        distances = cdist(x[cells_], x[cells_], "cosine")
        widths = []
        for i, row in enumerate(distances):
            own = batch[cells_] == batch[cells_[i]]
            a, b = row[own].sum() / (own.sum() - 1), row[~own].mean()
            widths.append(1 - abs(b - a) / max(a, b))
        per_label.append(np.mean(widths))
    assert measure("bras", Inputs(given)).value == pytest.approx(np.mean(per_label), abs=1e-9)


def test_lisi_against_a_loop(given):
    codes = groups(given["batch"]).codes
    neighbors = nearest(given["embedding"], 30)
    weights = Weights.of(neighbors)
    np.testing.assert_allclose(weights.weights.sum(axis=1), 1.0)
    for i in (0, 17, 200):
        distances = neighbors.distances[i, 1:]
        low, high = 0.0, 1e3
        for _ in range(200):
            beta = (low + high) / 2
            p = np.exp(-beta * (distances - distances.min()))
            p /= p.sum()
            low, high = (beta, high) if -(p * np.log(np.maximum(p, 1e-300))).sum() > np.log(10) else (low, beta)
        around = codes[neighbors.indices[i, 1:]]
        simpson = sum(p[around == g].sum() ** 2 for g in range(3))
        assert weights.simpson(codes, 3)[i] == pytest.approx(1 / simpson, abs=1e-4)


def test_lisi_of_identical_cells_counts_all_neighbours():
    weights = Weights.of(nearest(np.ones((20, 2)), 10))
    np.testing.assert_allclose(weights.weights[:, 1:], 1 / 9)


def test_tiny_batches_do_not_halve_ilisi(given):
    batch = given["batch"].astype(object)
    batch[3] = "lone"
    found = measure("ilisi", Inputs({**given, "batch": batch}))
    assert found.value == pytest.approx(values(given, ["ilisi"])["ilisi"], abs=0.02)
    assert "lone" in found.message
    with pytest.raises(NotApplicable, match="fewer than two batches"):
        measure("ilisi", Inputs({**given, "batch": np.where(np.arange(240) < 5, "few", "many")}))


def test_kbet_test_is_pearsons():
    from scipy.stats import chisquare

    random = np.random.default_rng(0)
    batches, around = random.integers(0, 3, 90), random.integers(0, 3, (5, 40))
    expected = np.bincount(batches) / 90 * 40
    for row, p in zip(around, mixing_p_values(around, batches), strict=True):
        assert p == pytest.approx(chisquare(np.bincount(row, minlength=3), expected).pvalue, abs=1e-12)


def test_pcr_is_the_regression_of_all_components(given):
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LinearRegression

    x, batch = given["embedding"], given["batch"]
    model = PCA().fit(x)
    scores, onehot = model.transform(x), (batch[:, None] == np.unique(batch)).astype(float)
    r2 = [LinearRegression().fit(onehot, s).score(onehot, s) for s in scores.T]
    expected = np.average(r2, weights=model.explained_variance_)
    assert explained_by(x, groups(batch)) == pytest.approx(expected, abs=1e-9)


def test_pcr_below_zero_is_zero_and_says_how_much(given):
    found = measure("pcr_comparison", Inputs({**given, "embedding": given["before"], "before": given["embedding"]}))
    assert found.value == 0
    assert "after" in found.message


def test_isolated_labels_are_those_in_the_fewest_batches(given):
    labels, batch = given["labels"].copy(), given["batch"]
    labels[(labels == "t0") & (batch != "b0")] = "t1"
    found = measure("isolated_labels", Inputs({**given, "labels": labels}))
    widths = silhouette_samples(given["embedding"], labels)
    assert found.value == pytest.approx((widths[labels == "t0"].mean() + 1) / 2)
    assert found.message.startswith("1 of 4 labels occur in 1 batches")


def test_few_cells_reduce_k_and_say_so():
    given = cells(n=40, n_labels=2, n_batches=2)
    inputs = Inputs(given)
    for name in ("ilisi", "clisi", "graph_connectivity", "leiden_nmi", "kbet"):
        assert "k reduced from 90 to 40" in measure(name, inputs).message
    assert "reduced" not in measure("bras", inputs).message
    assert inputs.neighbors.indices.min() >= 0


@pytest.mark.parametrize(
    ("change", "names", "reason"),
    [
        ({"labels": np.repeat("T", 240)}, ("clisi", "silhouette_label", "leiden_nmi", "kbet"), "same label 'T'"),
        ({"batch": np.repeat("B", 240)}, ("ilisi", "bras", "pcr_comparison", "kbet"), "same batch 'B'"),
        ({"labels": None}, ("clisi", "bras", "isolated_labels"), "needs 'labels'"),
        ({"before": None}, ("pcr_comparison",), "needs 'before'"),
        ({"embedding": np.ones((240, 3))}, ("pcr_comparison",), "share of nan"),
    ],
)
def test_what_has_no_meaning_says_why(given, change, names, reason):
    for name in names:
        with pytest.raises(NotApplicable, match=reason):
            measure(name, Inputs({**given, **change}))


def test_labels_that_are_batches_leave_nothing_to_mix(given):
    for name in ("bras", "kbet", "silhouette_batch"):
        with pytest.raises(NotApplicable, match="two batches"):
            measure(name, Inputs({**given, "batch": given["labels"]}))


def test_unused_categories_are_not_counted(given, expected):
    import pandas as pd

    categories = [*np.unique(given["labels"]), "never"]
    labels = pd.Categorical(given["labels"], categories=categories)
    same(values({**given, "labels": labels}), expected, tolerance=1e-12)


def test_shared_work_is_done_once(given, monkeypatch):
    from scssl.metrics import _base

    calls = []
    monkeypatch.setattr(_base, "nearest", lambda *a, **k: calls.append(1) or nearest(*a, **k))
    values(given, TEN)
    assert len(calls) == 1


def test_a_metric_may_return_a_number_or_what_it_measured(given):
    assert isinstance(measure("silhouette_label", Inputs(given)), Measured)


def test_generators_are_left_alone(given, unchanged, synthetic):
    with unchanged(synthetic):
        values(given)


def test_memory_does_not_grow_with_the_square():
    import tracemalloc

    given = cells(n=6000, width=8)
    tracemalloc.start()
    values(given, [name for name in TEN if not name.startswith("leiden")])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000**2 * 8 * 0.7


def test_number_of_threads_changes_no_bit():
    """Threads do parts of a metric in any order; what is made of the parts is summed in one."""
    from threadpoolctl import threadpool_limits

    given = cells(n=2500, width=8)
    names = (*(name for name in ALL if not name.startswith("leiden")), "cilisi")
    found = []
    for threads in (1, 4):
        with threadpool_limits(limits=threads):
            found.append(values(given, names))
    assert found[0] == found[1]

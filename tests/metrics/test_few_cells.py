"""What few cells, identical cells and one draw of a clustering must not decide."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples

from scssl._neighbors import nearest
from scssl.metrics import Inputs, NotApplicable, measure
from scssl.metrics._base import groups
from scssl.metrics._duplicates import apart
from scssl.metrics._leiden import RUNS, clustering_seed, scan
from scssl.metrics.integration import fewest_batches

ISOLATED = ("isolated_labels", "isolated_labels_f1")


@pytest.fixture(scope="module")
def given():
    """Four types of 60 cells in three batches; the last occurs in the first two batches only."""
    rng = np.random.default_rng(0)
    label, batch = np.repeat(np.arange(4), 60), np.arange(240) % 3
    batch[label == 3] %= 2
    x = 2.0 * rng.normal(size=(4, 6))[label] + rng.normal(size=(240, 6))
    return {"embedding": x, "labels": np.char.add("t", label.astype(str)).astype(object), "batch": batch.astype(str)}


def changed(given, cell, **values):
    return {**given, **{name: np.where(np.arange(240) == cell, value, given[name]) for name, value in values.items()}}


@pytest.mark.parametrize(
    ("cell", "values"),
    [(0, {"labels": "solo"}), (70, {"labels": "solo"}), (200, {"labels": "solo"}), (200, {"batch": "2"})],
)
@pytest.mark.parametrize("name", ISOLATED)
def test_one_wrong_cell_moves_isolated_labels_by_its_share_only(given, name, cell, values):
    """As a label of its own, in the middle of others, or as the only cell of the isolated label in another batch."""
    before, after = (measure(name, Inputs(x)).value for x in (given, changed(given, cell, **values)))
    assert after == pytest.approx(before, abs=2 / 60)


def test_isolated_labels_against_scikit_learn_without_the_small_label(given):
    labels = given["labels"].copy()
    labels[[0, 61, 62, 121, 122]] = "few"
    found = measure("isolated_labels", Inputs({**given, "labels": labels}))
    kept = labels != "few"
    widths = silhouette_samples(given["embedding"][kept], labels[kept])
    assert found.value == pytest.approx((widths[labels[kept] == "t3"].mean() + 1) / 2)
    assert found.message.startswith("1 of 4 labels occur in 2 batches")
    assert found.message.endswith("Labels of fewer than 10 cells are left out: 'few (5)'.")
    # as a label it still counts for the others
    everything = measure("silhouette_label", Inputs({**given, "labels": labels})).value
    assert everything == pytest.approx((silhouette_samples(given["embedding"], labels).mean() + 1) / 2)


def test_ten_cells_are_enough(given):
    labels = given["labels"].copy()
    labels[:10] = "ten"
    batch = np.where(labels == "ten", "0", given["batch"])
    assert fewest_batches(groups(labels), groups(batch))[0].tolist() == [4]
    labels[9] = "t0"
    isolated, note = fewest_batches(groups(labels), groups(batch))
    assert isolated.tolist() == [3]
    assert "'ten (9)'" in note


def test_a_scattered_label_is_not_isolated():
    """Eleven cells in ten batches: only one batch has two, yet it occurs in all."""
    labels = np.array(["rare"] * 11 + ["common"] * 100)
    batch = np.concatenate([np.arange(11) % 10, np.arange(100) % 10]).astype(str)
    isolated, note = fewest_batches(groups(labels), groups(batch))
    assert isolated.tolist() == [0, 1]
    assert note.startswith("2 of 2 labels occur in 10 batches")


def test_small_labels_only_do_not_apply(given):
    labels = (np.arange(240) // 8).astype(str)
    with pytest.raises(NotApplicable, match="0 labels have 10 cells"):
        measure("isolated_labels", Inputs({**given, "labels": labels}))
    with pytest.raises(NotApplicable, match="no label has 10 cells"):
        measure("isolated_labels_f1", Inputs({**given, "labels": labels}))


def points(kind):
    """Labels, and an embedding in which many cells are identical."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, 3, 180)
    place = {"types": label, "one point": np.zeros(180, int), "half": np.where(np.arange(180) < 90, label, 3)}[kind]
    x = 5.0 * np.eye(4)[place]
    if kind == "half":
        x[90:] += rng.normal(size=(90, 4))
    return x, label.astype(str)


@pytest.mark.parametrize("kind", ["types", "one point", "half"])
def test_connectivity_of_identical_cells_is_that_with_a_little_noise(kind):
    x, labels = points(kind)
    found = measure("graph_connectivity", Inputs({"embedding": x, "labels": labels})).value
    noisy = [
        measure(
            "graph_connectivity",
            Inputs({"embedding": x + 1e-6 * np.random.default_rng(seed).normal(size=x.shape), "labels": labels}),
        ).value
        for seed in range(20)
    ]
    assert np.mean(noisy) - 4 * np.std(noisy) - 1e-9 <= found <= np.mean(noisy) + 4 * np.std(noisy) + 1e-9


def test_a_collapsed_embedding_is_not_connected():
    """All cells in one point know nothing of labels; a link between identical cells of a label would give 1."""
    x, labels = points("one point")
    assert measure("graph_connectivity", Inputs({"embedding": x, "labels": labels})).value < 0.9


def test_neighbours_of_few_identical_cells_are_as_they_were(given):
    x = given["embedding"].copy()
    x[:15] = x[0]
    table = nearest(x, 15)
    assert apart(x, table) is table.indices
    x[15] = -0.0 + x[0]
    crowded = apart(x, nearest(x, 15))
    assert set(crowded[:16].ravel()) == set(range(16))
    np.testing.assert_array_equal(crowded[16:], nearest(x, 15).indices[16:])


def test_leiden_is_the_mean_of_runs_and_says_how_much_they_differ(given):
    inputs = Inputs(given)
    runs = inputs.leiden.runs
    assert len(runs) == RUNS
    found = {name: measure(f"leiden_{name}", inputs) for name in ("nmi", "ari")}
    for name, of in (("nmi", normalized_mutual_info_score), ("ari", adjusted_rand_score)):
        values = []
        for run in runs:
            nmi = [normalized_mutual_info_score(given["labels"], part) for part in run.partitions]
            values.append(of(given["labels"], run.partitions[int(np.argmax(nmi))]))
        assert found[name].value == pytest.approx(np.mean(values))
        assert f"sd {np.std(values, ddof=1):.3f}" in found[name].message


def test_runs_differ_and_other_seeds_give_other_runs():
    seeds = [clustering_seed(seed, run) for seed in range(5) for run in range(RUNS)]
    assert len(set(seeds)) == len(seeds)
    assert seeds[0] == 42


def test_the_mean_varies_less_than_one_run_and_nothing_of_the_process_is_changed():
    rng = np.random.default_rng(3)
    x, labels = rng.normal(size=(300, 5)), groups(rng.integers(0, 5, 300))
    x[:, 0] += labels.codes
    state = random.getstate()
    scans = [scan(nearest(x, 15), labels, seed=seed) for seed in range(12)]
    assert random.getstate() == state
    single, mean = np.std([s.ari[0] for s in scans]), np.std([s.ari.mean() for s in scans])
    assert mean < 0.8 * single

"""The scores beyond scIB: against loops, against other packages, and against what they are made to notice."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score

from scssl._neighbors import nearest
from scssl._registry import METRICS
from scssl.metrics import Inputs, NotApplicable, measure
from scssl.metrics import _leiden as leiden
from scssl.metrics._base import groups
from scssl.metrics.structure import corners, type_distances

FOUR = ("cilisi", "isolated_labels_f1", "knn_purity", "scgraph")


def cells(n=600, width=8, n_labels=5, n_batches=3, seed=0, shift=0.5):
    random = np.random.default_rng(seed)
    label, batch = random.integers(0, n_labels, n), random.integers(0, n_batches, n)
    kept = (label < n_labels - 1) | (batch > 0)  # the last label is missing from a batch
    label, batch = label[kept], batch[kept]
    x = 2.0 * random.normal(size=(n_labels, width))[label] + random.normal(size=(len(label), width))
    shifts = random.normal(size=(n_batches, width))[batch]
    return {
        "embedding": x + shift * shifts,
        "before": x + 2.0 * shifts,
        "labels": np.char.add("t", label.astype(str)),
        "batch": np.char.add("b", batch.astype(str)),
    }


def values(given, names=FOUR):
    inputs = Inputs(given)
    return {name: measure(name, inputs).value for name in names}


@pytest.fixture(scope="module")
def given():
    return cells()


@pytest.fixture(scope="module")
def expected(given):
    return values(given)


def test_they_stand_outside_of_the_totals(expected):
    for name in FOUR:
        about = METRICS.describe(name)
        assert (about.task, about.group, about.better) == ("batch_correction", "beyond", "higher")
        assert about.default == (name != "scgraph")
        assert about.lower <= expected[name] <= about.upper


def test_order_names_and_rotation_do_not_matter(given, expected):
    random = np.random.default_rng(1)
    order = random.permutation(len(given["labels"]))
    rotation = np.linalg.qr(random.normal(size=(8, 8)))[0]
    names = {"t0": "z", "t1": "a", "t2": "50", "t3": "t0", "t4": "t1"}
    permuted = values({name: value[order] for name, value in given.items()})
    for name in FOUR:
        # clusters depend on the order of the cells, which a task makes that of their names
        loose = 0.02 if name == "isolated_labels_f1" else 1e-6
        assert permuted[name] == pytest.approx(expected[name], abs=loose), name
    for changed in (
        {**given, "embedding": given["embedding"] @ rotation + 7.0},
        {**given, "before": given["before"] @ rotation},
        {
            **given,
            "labels": np.array([names[label] for label in given["labels"]]),
            "batch": np.char.replace(given["batch"], "b", "z-"),
        },
    ):
        assert values(changed) == pytest.approx(expected, abs=1e-6)


def test_cilisi_is_lisi_inside_each_label(given):
    """Parity with scib-metrics, which knows LISI but not this use of it."""
    scib = pytest.importorskip("scib_metrics")
    from scib_metrics.nearest_neighbors import NeighborsResults

    first = [np.flatnonzero(given["labels"] == label)[:60] for label in ("t0", "t1")]  # of one size: compiled once
    given = {name: value[np.concatenate(first)] for name, value in given.items()}
    found = []
    for label in ("t0", "t1"):
        mine = given["labels"] == label
        near = nearest(given["embedding"][mine], 90)
        lisi = scib.lisi_knn(NeighborsResults(near.indices, near.distances), given["batch"][mine])
        found.append((lisi - 1) / (len(np.unique(given["batch"][mine])) - 1))
    assert measure("cilisi", Inputs(given)).value == pytest.approx(np.concatenate(found).mean(), abs=1e-5)


def test_cilisi_is_not_fooled_by_mixing_types():
    given = cells(shift=0.0)
    label = groups(given["labels"]).codes
    # each type lies on another one of another batch: batches mix, types do not
    batch = np.char.add("b", (label % 2).astype(str))
    batch[::10] = "b2"
    fooled = {**given, "batch": batch, "embedding": np.random.default_rng(0).normal(size=given["embedding"].shape)}
    fooled["embedding"][:, 0] += 5 * (batch == "b2")
    assert measure("ilisi", Inputs(fooled)).value > 0.2
    assert measure("cilisi", Inputs(fooled)).value < 0.1
    assert values(cells(shift=0.0))["cilisi"] > values(cells(shift=4.0))["cilisi"] + 0.3


def test_cilisi_leaves_out_small_labels_and_lone_batches(given):
    labels = given["labels"].astype(object)
    labels[np.flatnonzero(given["batch"] == "b0")[:40]] = "lone batch"
    labels[:3] = "few"
    found = measure("cilisi", Inputs({**given, "labels": labels}))
    assert found.message.startswith("2 of 7 labels are left out")
    with pytest.raises(NotApplicable, match="no label has 10 cells and two batches"):
        measure("cilisi", Inputs({**given, "batch": given["labels"]}))


def test_isolated_f1_against_scikit_learn(given):
    inputs = Inputs(given)
    runs = [run.partitions for run in inputs.leiden.runs]
    assert [len(partitions) for partitions in runs] == [len(leiden.RESOLUTIONS)] * leiden.RUNS
    best = np.mean(
        [
            max(f1_score(given["labels"] == "t4", part == c) for part in partitions for c in np.unique(part))
            for partitions in runs
        ]
    )
    found = measure("isolated_labels_f1", inputs)
    assert found.value == pytest.approx(best)
    assert found.message.startswith("1 of 5 labels occur in 2 batches")


def test_purity_against_a_loop(given):
    labels = given["labels"].astype(object)
    labels[:4], labels[4] = "four", "lone"
    distances = cdist(given["embedding"], given["embedding"])
    per_label = {}
    for i, row in enumerate(distances):
        k = min(15, (labels == labels[i]).sum() - 1)
        if k:
            around = labels[np.argsort(row)[1 : k + 1]]
            per_label.setdefault(labels[i], []).append((around == labels[i]).mean())
    found = measure("knn_purity", Inputs({**given, "labels": labels}))
    assert found.value == pytest.approx(np.mean([np.mean(v) for v in per_label.values()]))
    assert found.message == "1 labels of one cell are left out."


def test_purity_of_a_rare_type_that_stays_together_is_one():
    x = np.repeat(np.eye(4) * 100, [3, 40, 40, 40], axis=0) + np.random.default_rng(0).normal(size=(123, 4))
    labels = np.repeat(["rare", "a", "b", "c"], [3, 40, 40, 40])
    assert measure("knn_purity", Inputs({"embedding": x, "labels": labels})).value == 1.0


def test_scgraph_against_a_loop(given):
    def centres(x, labels):
        found = {}
        for name in np.unique(labels):
            own = x[labels == name]
            if len(own) >= 10:
                away = np.linalg.norm(own - own.mean(axis=0), axis=1)
                found[name] = own[away <= np.quantile(away, 0.9)].mean(axis=0)
        return found

    sums, seen = {}, {}
    for batch in np.unique(given["batch"]):
        here = given["batch"] == batch
        found = centres(PCA(10).fit_transform(np.pad(given["before"], [(0, 0), (0, 4)])[here]), given["labels"][here])
        apart = {(a, b): np.linalg.norm(found[a] - found[b]) for a in found for b in found if a != b}
        for pair, value in apart.items():
            sums[pair] = sums.get(pair, 0) + value / max(apart.values())
            seen[pair] = seen.get(pair, 0) + 1
    there = {pair: sums[pair] / seen[pair] for pair in sums}
    own = centres(given["embedding"], given["labels"])
    correlations = []
    for a in own:
        a_there = np.array([there[a, b] for b in own if b != a])
        a_here = np.array([np.linalg.norm(own[a] - own[b]) for b in own if b != a])
        c = np.cov(a_there, a_here, aweights=1 / a_there)
        correlations.append(c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]))
    assert measure("scgraph", Inputs(given)).value == pytest.approx(np.mean(correlations), abs=1e-6)


def test_scgraph_flags_islands(given, expected):
    """Labels on a ring: every other score is perfect, and the relations between types are gone."""
    column = groups(given["labels"])
    ring = np.random.default_rng(0).permutation(len(column))
    angle = 2 * np.pi * ring[column.codes] / len(column)
    islands = 50 * np.c_[np.cos(angle), np.sin(angle)] + np.random.default_rng(0).normal(size=(len(angle), 2))
    torn = values({**given, "embedding": islands})
    assert torn["knn_purity"] == 1.0
    assert torn["scgraph"] < 0.5 < 0.9 < expected["scgraph"]


def test_scgraph_needs_types_and_batches(given):
    with pytest.raises(NotApplicable, match="batches of 100 cells"):
        measure("scgraph", Inputs({name: value[:200] for name, value in given.items()}))
    three = np.where(np.isin(given["labels"], ["t3", "t4"]), "t0", given["labels"])
    with pytest.raises(NotApplicable, match="fewer than 4 labels"):
        measure("scgraph", Inputs({**given, "labels": three}))
    with pytest.raises(NotApplicable, match="centres coincide"):
        measure("scgraph", Inputs({**given, "embedding": np.ones((len(given["labels"]), 3))}))


def test_components_stand_in_for_genes(pbmc):
    """The distances from components of all cells are those from the genes of each batch."""
    from scssl.data.matrix import csr
    from scssl.tasks import Cells

    held = Cells.of(pbmc, batch_key="batch", label_key="cell_type")
    genes = csr(pbmc, genes=np.flatnonzero(pbmc.var["highly_variable"])).toarray()
    labels, batch = groups(held.labels), groups(held.batch)
    short, full = type_distances(held.before, labels, batch), type_distances(genes, labels, batch)
    known = np.isfinite(short)
    assert np.array_equal(known, np.isfinite(full))
    assert np.corrcoef(short[known], full[known])[0, 1] > 0.99


def test_corners_are_far_apart_and_as_the_types_lie(given):
    labels, batch = groups(given["labels"]), groups(given["batch"])
    place = corners(given["before"], labels, batch)
    apart = cdist(place, place)[~np.eye(5, dtype=bool)]
    assert apart.min() > np.sqrt(2)
    there = type_distances(given["before"], labels, batch)[~np.eye(5, dtype=bool)]
    assert np.corrcoef(apart, there)[0, 1] > 0.95
    assert measure("scgraph", Inputs({**given, "embedding": place[labels.codes]})).value > 0.97
    assert np.array_equal(corners(None, labels, batch), np.eye(5))

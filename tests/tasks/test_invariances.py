"""Names of labels and batches, order of cells, rotations: no metric of any task depends on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import scssl as ssl
from scssl._registry import METRICS, TASKS
from scssl._results import ANSWERS
from scssl.tasks import Cells, score_rows

# kept as scib-metrics has it, name dependence and all; asks JAX
THEIRS = {"kbet_scib"}
MEASURED = [name for name in METRICS if METRICS.describe(name).group not in ANSWERS and name not in THEIRS]


@pytest.fixture(scope="module", params=["prot", "atac"])
def cells(request):
    mdata = ssl.datasets.synthetic(
        n_obs=360, n_vars=80, n_types=5, n_batches=2, modalities=("rna", request.param), seed=0
    )
    ssl.pp.recipe(mdata, n_top_genes=60)
    return Cells.of(mdata, batch_key="batch", label_key="cell_type", target=request.param, values=True)


@pytest.fixture(scope="module")
def embedding(cells):
    return cells.before[:, :8]


def values(embedding, cells):
    """Value of every metric on every split; a batch is called by its first cell, not by its name."""
    rows = score_rows(embedding, cells, list(TASKS), metrics=MEASURED)
    assert {row["status"] for row in rows} == {"ok"}, [row for row in rows if row["status"] != "ok"]
    first = {
        name: str(min(cells.names[cells.batch == name])) for name in sorted(set(cells.batch), key=len, reverse=True)
    }
    found = {}
    for row in rows:
        split = row["split"]
        for name, called in first.items():
            split = split.replace(f"batch={name}", f"batch of {called}")
        found[row["task"], split, row["metric"]] = row["value"]
    return found


@pytest.fixture(scope="module")
def expected(embedding, cells):
    return values(embedding, cells)


def test_all_metrics_are_looked_at(cells, expected):
    asked = set(MEASURED) - (set() if cells.target == "atac" else {"auprc"})
    assert {metric for _, _, metric in expected} == asked


def test_order_of_cells_does_not_matter(embedding, cells, expected):
    order = np.random.default_rng(1).permutation(len(cells))
    assert values(embedding[order], cells.take(order)) == pytest.approx(expected, abs=1e-6)


def test_names_of_labels_and_batches_do_not_matter(embedding, cells, expected):
    """Other names, in another alphabetical order."""
    other = {}
    for column in ("labels", "batch"):
        names = sorted(set(getattr(cells, column)))
        new = dict(zip(names, [f"{9 - i} of {column}" for i in range(len(names))], strict=True))
        other[column] = np.array([new[name] for name in getattr(cells, column)], dtype=object)
    assert values(embedding, replace(cells, **other)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rotation_does_not_matter(embedding, cells, dtype):
    x = embedding.astype(dtype)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(x.shape[1], x.shape[1])))[0]
    assert values(x @ rotation, cells) == pytest.approx(values(x, cells), abs=1e-6)


def test_a_rotation_that_is_stored_in_single_precision_moves_clusters_only(embedding, cells):
    """As the documentation says: clusters within 0.02, the linear probe within 0.01, the rest hardly."""
    x = embedding.astype(np.float32)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(x.shape[1], x.shape[1])))[0]
    found, before = values((x @ rotation).astype(np.float32), cells), values(x, cells)
    for place, value in before.items():
        about = METRICS.describe(place[2])
        loose = 0.02 if "leiden" in about.needs else 0.01 if about.group == "linear" else 1e-5
        assert found[place] == pytest.approx(value, abs=loose), place

"""Every metric on real cells: what must not matter does not."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

from scssl._registry import TASKS
from scssl.tasks import Cells, score_rows

SETS = {"pbmc": "rna_pbmc_3chemistries.h5ad", "pancreas": "rna_pancreas_5technologies.h5ad"}
BOTH = ["batch_correction", "cell_typing"]


def named(tasks):
    chosen = [name for task in tasks for name in TASKS.get(task)().metrics()]
    return [*chosen, *(["scgraph", "silhouette_batch"] if "batch_correction" in tasks else [])]


def values(embedding, cells, tasks=BOTH, **options):
    rows = score_rows(embedding, cells, tasks, metrics=named(tasks), **options)
    return {(row["split"], row["metric"]): row["value"] for row in rows if row["status"] == "ok"}


@pytest.fixture(scope="module", params=list(SETS))
def real(request, shared_data):
    """Cells and their principal components."""
    adata = ad.read_h5ad(shared_data / SETS[request.param])
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    cells = Cells.of(adata, batch_key="batch", label_key="cell_type", values=True)
    return cells, cells.before[:, :20]


@pytest.fixture(scope="module")
def expected(real):
    cells, x = real
    found = values(x, cells)
    assert {metric for _, metric in found} == set(named(BOTH))
    return found


def same(found, expected):
    assert set(found) == set(expected)
    for place, value in expected.items():
        assert found[place] == pytest.approx(value, abs=1e-6), place


def test_order_of_cells_does_not_matter(real, expected):
    cells, x = real
    order = np.random.default_rng(0).permutation(len(cells))
    same(values(x[order], cells.take(order)), expected)


def test_names_of_labels_and_batches_do_not_matter(real, expected):
    cells, x = real
    random = np.random.default_rng(0)

    def renamed(column):
        names = np.unique(column.astype(str))
        other = dict(zip(names, random.permutation([f"{i} name" for i in range(len(names))]), strict=True))
        return np.array([other[name] for name in column.astype(str)], dtype=object), other

    labels, _ = renamed(cells.labels)
    batch, batches = renamed(cells.batch)
    back = {
        f"held-out batch={new}, transductive": f"held-out batch={old}, transductive" for old, new in batches.items()
    }
    found = values(x, replace(cells, labels=labels, batch=batch))
    same({(back.get(split, split), metric): value for (split, metric), value in found.items()}, expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rotation_does_not_matter(real, expected, dtype):
    """Of either precision, if it is turned in double precision: distances differ in the 15th digit, clusters do not."""
    cells, x = real
    x = x.astype(dtype)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(x.shape[1], x.shape[1])))[0]
    same(values(x @ rotation, cells), values(x, cells))

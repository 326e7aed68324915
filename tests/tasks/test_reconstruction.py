from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import explained_variance_score

from scssl.data.hide import hidden, keys
from scssl.tasks import Cells, control_rows
from scssl.tasks.reconstruction import Reconstruction


@pytest.fixture(scope="module")
def cells():
    random = np.random.default_rng(0)
    types, batches = np.arange(240) % 4, np.arange(240) // 4 % 2
    program = random.gamma(1.0, size=(4, 30))
    genes = np.log1p(random.poisson(3 * program[types])).astype(np.float32)
    return Cells(
        names=np.array([f"cell {i}" for i in range(240)], dtype=object),
        batch=np.array([f"b{b}" for b in batches], dtype=object),
        source="rna",
        source_values=sp.csr_matrix(genes),
        source_names=tuple(f"g{j}" for j in range(30)),
    )


def values(scores):
    return {(s.split, s.metric): s.value for s in scores}


def ev(truth, predicted):
    return explained_variance_score(truth, predicted, multioutput="variance_weighted")


def test_values_are_those_of_scikit_learn(cells):
    query, genes = cells.batch == "b0", cells.source_values.toarray()
    x = np.random.default_rng(1).normal(size=(240, 5)) + 3 * genes[:, :5]
    found = values(Reconstruction().score(x, replace(cells, query=query), split="x"))
    centre, size = x[~query].mean(axis=0), np.sqrt(((x[~query] - x[~query].mean(axis=0)) ** 2).mean())
    predicted = Ridge(1.0).fit((x[~query] - centre) / size, genes[~query]).predict((x[query] - centre) / size)
    assert found["x", "weighted_ev"] == pytest.approx(ev(genes[query], predicted), abs=1e-5)
    model = PCA(5, svd_solver="full").fit(genes[~query])
    by_pca = ev(genes[query], model.inverse_transform(model.transform(genes[query])))
    assert found["x", "ev_above_pca"] == pytest.approx(ev(genes[query], predicted) - by_pca, abs=1e-5)


def test_components_are_no_better_than_components(cells):
    query, genes = cells.batch == "b0", cells.source_values.toarray()
    scores = PCA(6, svd_solver="full").fit(genes[~query]).transform(genes)
    found = values(Reconstruction().score(scores, replace(cells, query=query), split="x"))
    assert found["x", "ev_above_pca"] == pytest.approx(0.0, abs=0.01)


def test_controls_bracket(cells):
    table = {}
    for row in control_rows(cells, ["reconstruction"]):
        table.setdefault((row["method"], row["metric"]), []).append(row["value"])
    table = {place: np.mean(found) for place, found in table.items()}
    assert {method for method, _ in table} == {"random", "oracle", "mean_profile", "pca_64"}
    genes = cells.source_values.toarray()
    real = np.mean([s.value for s in Reconstruction().score(genes[:, :8], cells) if s.metric == "weighted_ev"])
    assert table["oracle", "weighted_ev"] == 1.0
    assert table["oracle", "r2_gene"] == 1.0
    assert table["random", "weighted_ev"] < 0.1 < real < 1.0
    assert table["mean_profile", "weighted_ev"] == pytest.approx(0.0, abs=1e-6)
    assert table["pca_64", "ev_above_pca"] == pytest.approx(0.0, abs=1e-6)


def test_order_rotation_and_size_do_not_matter(cells):
    random = np.random.default_rng(0)
    x = cells.source_values.toarray()[:, :8] + random.normal(size=(240, 8))
    order, rotation = random.permutation(240), np.linalg.qr(random.normal(size=(8, 8)))[0]
    expected = values(Reconstruction().score(x, cells))
    assert values(Reconstruction().score(100 * x @ rotation - 7, cells)) == pytest.approx(expected, abs=1e-6)
    assert values(Reconstruction().score(x[order], cells.take(order))) == pytest.approx(expected, abs=1e-6)


def test_a_decoder_has_rows_of_its_own(cells):
    genes = cells.source_values.toarray()
    query = cells.batch == "b1"
    mask = hidden(cells.keys[:, None], keys(cells.source_names)[None], seed=4)
    mean = genes[~query].mean(axis=0)
    own = {"values": genes + 0.1, "unhidden": np.where(mask, mean, genes), "width": 3}
    scores = Reconstruction().score(genes, replace(cells, query=query), seed=4, own=own, split="x")
    found = {s.metric: s for s in scores}
    assert found["weighted_ev_own"].value == pytest.approx(1.0, abs=1e-5)
    assert found["masked_error"].value == pytest.approx(1.0, abs=1e-5)
    assert found["masked_error"].better == "lower"
    perfect = Reconstruction().score(genes, cells, seed=4, own={**own, "unhidden": genes})
    assert {s.value for s in perfect if s.metric == "masked_error"} == {0.0}
    some = genes.copy()
    some[:, :10] = np.nan
    found = {s.metric: s for s in Reconstruction().score(genes, cells, own={"values": some})}
    assert found["weighted_ev_own"].message == "20 of 30 genes are reconstructed."
    assert found["masked_error"].status == "not_applicable"
    nothing = Reconstruction().score(genes, cells, own={"values": np.full(genes.shape, np.nan)})
    assert {s.message for s in nothing if s.group == "own"} == {"none of the 30 genes is reconstructed"}


def test_without_values_nothing_is_asked(cells):
    assert Reconstruction().lacks(replace(cells, source_values=None)) == "values"
    assert Reconstruction().lacks(cells) == ""

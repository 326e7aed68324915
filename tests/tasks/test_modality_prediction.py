from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

from scssl._protocol import PAPER
from scssl.tasks import Cells, control_rows
from scssl.tasks.modality_prediction import ModalityPrediction


@pytest.fixture(scope="module")
def made():
    """180 cells of three types: 40 genes, 12 proteins of which half follow the type, and an embedding."""
    random = np.random.default_rng(0)
    types, batches = np.arange(180) % 3, np.arange(180) // 3 % 3
    genes = np.log1p(random.poisson(1 + 4 * np.eye(3, 40)[types])).astype(np.float32)
    levels = np.linspace(1, 8, 12) + np.pad(2 * np.eye(3, 6)[types], [(0, 0), (0, 6)])
    proteins = (levels + 0.5 * random.normal(size=(180, 12))).astype(np.float32)
    cells = Cells(
        names=np.array([f"cell {i}" for i in range(180)], dtype=object),
        labels=np.array([f"t{t}" for t in types], dtype=object),
        batch=np.array([f"b{b}" for b in batches], dtype=object),
        source="rna",
        target="prot",
        source_values=sp.csr_matrix(genes),
        target_values=sp.csr_matrix(proteins),
    )
    return cells, genes + 0.01 * random.normal(size=genes.shape)


def values(scores):
    return {(s.split, s.metric): s.value for s in scores}


def test_predictions_are_those_of_scikit_learn(made):
    cells, x = made
    query = cells.batch == "b1"
    found = values(ModalityPrediction().score(x, replace(cells, query=query), split="x"))
    truth = cells.target_values.toarray()
    predicted = KNeighborsRegressor(5).fit(x[~query], truth[~query]).predict(x[query])
    expected = np.mean([np.corrcoef(t, p)[0, 1] for t, p in zip(truth[query].T, predicted.T, strict=True)])
    assert found["rna to prot, x", "pearson_feature"] == pytest.approx(expected, abs=1e-6)
    expected = np.sqrt(((truth[query] - predicted) ** 2).mean())
    assert found["rna to prot, x", "rmse"] == pytest.approx(expected, rel=1e-5)
    assert {metric for _, metric in found} == {
        "pearson_feature", "spearman_feature", "pearson_cell", "spearman_cell", "rmse",
    }  # fmt: skip


def test_the_paper_finds_neighbours_by_cosine(made):
    cells, x = made
    query = cells.batch == "b1"
    found = values(ModalityPrediction().score(x, replace(cells, query=query), split="x", protocol=PAPER))
    truth = cells.target_values.toarray()
    predicted = KNeighborsRegressor(5, metric="cosine").fit(x[~query], truth[~query]).predict(x[query])
    per_cell = [np.corrcoef(t, p)[0, 1] for t, p in zip(truth[query], predicted, strict=True)]
    assert found["rna to prot, x", "pearson_cell"] == pytest.approx(np.mean(per_cell), abs=1e-6)
    assert found["rna to prot, x", "pearson_cell_least"] == pytest.approx(min(per_cell), abs=1e-6)
    assert found["rna to prot, x", "pearson_cell_most"] == pytest.approx(max(per_cell), abs=1e-6)


def test_controls_bracket_and_the_mean_profile_is_unmasked(made):
    cells, x = made
    rows = list(control_rows(cells, ["modality_prediction"]))
    table = {}
    for row in rows:
        table.setdefault((row["method"], row["metric"]), []).append(row["value"])
    table = {place: np.mean(found) for place, found in table.items()}
    assert {method for method, _ in table} == {"random", "oracle", "mean_profile", "ridge_pca", "knn_pca"}
    real = values(ModalityPrediction().score(x, cells))
    real = np.mean([value for (_, metric), value in real.items() if metric == "pearson_feature"])
    assert table["oracle", "pearson_feature"] == 1.0
    assert table["oracle", "rmse"] == 0.0
    assert table["random", "pearson_feature"] < 0.1 < 0.15 < real < 1.0
    assert table["mean_profile", "pearson_feature"] == 0.0
    assert table["mean_profile", "pearson_cell"] > 0.8
    for trivial in ("ridge_pca", "knn_pca"):
        assert table[trivial, "pearson_feature"] > table["random", "pearson_feature"] + 0.05


def test_ridge_on_components_is_that_of_scikit_learn(made):
    from scssl.tasks import _regression

    cells, _ = made
    query = cells.batch == "b2"
    genes, proteins = cells.source_values.toarray().astype(float), cells.target_values.toarray().astype(float)
    model = PCA(10, svd_solver="full").fit(genes[~query])
    known, mine = model.transform(genes[~query]), model.transform(genes[query])
    size = np.sqrt((known**2).mean())
    expected = Ridge(1.0).fit(known / size, proteins[~query]).predict(mine / size)
    found = _regression.ridge(known, cells.target_values[~query], mine)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    scores, other, back = _regression.components(cells.source_values[~query], cells.source_values[query], width=10)
    np.testing.assert_allclose(np.abs(scores), np.abs(known), atol=1e-4)
    np.testing.assert_allclose(back, model.inverse_transform(mine), atol=1e-4)
    np.testing.assert_allclose(_regression.ridge(scores, cells.target_values[~query], other), expected, atol=1e-4)


def test_order_rotation_and_names_do_not_matter(made):
    cells, x = made
    random = np.random.default_rng(0)
    order, rotation = random.permutation(180), np.linalg.qr(random.normal(size=(40, 40)))[0]
    expected = values(ModalityPrediction().score(x, cells))
    assert values(ModalityPrediction().score(x @ rotation + 3, cells)) == pytest.approx(expected, abs=1e-6)
    moved = cells.take(order)
    assert values(ModalityPrediction().score(x[order], moved)) == pytest.approx(expected, abs=1e-6)
    renamed = replace(cells, batch=np.char.replace(cells.batch.astype(str), "b", "z").astype(object))
    found = values(ModalityPrediction().score(x, renamed))
    assert sorted(found.values()) == pytest.approx(sorted(expected.values()), abs=1e-12)


def test_cells_without_the_target_neither_teach_nor_are_asked(made):
    cells, x = made
    kept = np.arange(180) % 4 > 0
    target = sp.csr_matrix(cells.target_values.multiply(kept[:, None]))
    some = replace(cells, target_values=target, measured=kept, query=cells.batch == "b0")
    alone = replace(cells, query=cells.batch == "b0").take(kept)
    found, expected = ModalityPrediction().score(x, some), ModalityPrediction().score(x[kept], alone)
    assert values(found) == pytest.approx(values(expected), abs=1e-6)
    assert next(s.message for s in found if s.metric == "pearson_feature").startswith("45 cells, 12 features.")
    nobody = replace(some, measured=cells.batch != "b0")
    missing = ModalityPrediction().score(x, nobody)
    assert {s.status for s in missing} == {"not_applicable"}
    assert "'prot' was measured in 0 of 60 held-out cells and in 120 of the others" in missing[0].message


def test_one_batch_holds_out_a_fifth(made):
    cells, x = made
    found = ModalityPrediction().score(x, replace(cells, batch=None))
    assert {s.split for s in found} == {"rna to prot, held-out random fifth, transductive"}
    n = int(found[0].message.split()[0])
    assert 20 < n < 55


def test_peaks_have_a_precision(made):
    cells, x = made
    peaks = sp.csr_matrix((cells.target_values.toarray() > 4).astype(np.float32))
    found = values(ModalityPrediction().score(x, replace(cells, target="atac", target_values=peaks)))
    assert "auprc" in {metric for _, metric in found}
    rows = control_rows(replace(cells, target="atac", target_values=peaks), ["modality_prediction"], metrics=["auprc"])
    found = {}
    for row in rows:
        found.setdefault(row["method"], []).append(row["value"])
    assert np.mean(found["oracle"]) == 1.0
    assert np.mean(found["random"]) < np.mean(found["knn_pca"])


def test_a_decoder_has_rows_of_its_own(made):
    cells, x = made
    own = {"target": cells.target_values.toarray() + np.random.default_rng(0).normal(size=(180, 12))}
    own["target"][:, 3] = np.nan
    scores = ModalityPrediction().score(x, cells, own=own)
    found = {s.metric: s for s in scores}
    assert 0.2 < found["pearson_feature_own"].value < 1.0
    assert "11 of 12 features are predicted" in found["pearson_feature_own"].message
    assert found["pearson_feature_own"].group == "own"
    assert not [s for s in ModalityPrediction().score(x, cells) if s.group == "own"]
    nothing = ModalityPrediction().score(x, cells, own={"target": np.full((180, 12), np.nan)})
    assert {s.message for s in nothing if s.group == "own"} == {"none of the 12 features is predicted"}


def test_an_embedding_with_holes_fails_alone(made):
    cells, x = made
    x = x.copy()
    x[4, 3] = np.nan
    scores = ModalityPrediction().score(x, cells)
    assert {s.status for s in scores} == {"failed"}
    assert "1 of 180 cells have NaN or inf" in scores[0].message

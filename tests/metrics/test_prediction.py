"""Scores of predicted values: against loops, scikit-learn and SciPy, and at their ends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sk

from scssl._registry import METRICS
from scssl.data.hide import hidden, keys
from scssl.metrics import Inputs, NotApplicable, _correlation, measure
from scssl.metrics import prediction as p

CORRELATIONS = ("pearson_feature", "spearman_feature", "pearson_cell", "spearman_cell")


@pytest.fixture(scope="module")
def values():
    random = np.random.default_rng(0)
    truth = np.round(random.gamma(2.0, size=(60, 9)) * np.arange(1, 10), 1)  # rounded: there are ties
    predicted = np.round(truth + 3 * random.normal(size=truth.shape), 1)
    return truth.astype(np.float32), predicted.astype(np.float32)


def value(name, truth, predicted, **more):
    return measure(name, Inputs({"truth": truth, "predicted": predicted, **more})).value


def test_correlations_are_those_of_scipy(values):
    truth, predicted = values
    columns = list(zip(truth.T, predicted.T, strict=True))
    cells = list(zip(truth, predicted, strict=True))
    for pairs, what in ((columns, "feature"), (cells, "cell")):
        expected = np.mean([pearsonr(t, x)[0] for t, x in pairs])
        assert value(f"pearson_{what}", truth, predicted) == pytest.approx(expected, abs=1e-6)
        expected = np.mean([spearmanr(t, x)[0] for t, x in pairs])
        assert value(f"spearman_{what}", truth, predicted) == pytest.approx(expected, abs=1e-6)
    per_cell = [pearsonr(t, x)[0] for t, x in cells]
    assert value("pearson_cell_least", truth, predicted) == pytest.approx(min(per_cell), abs=1e-6)
    assert value("pearson_cell_most", truth, predicted) == pytest.approx(max(per_cell), abs=1e-6)


def test_the_rest_is_that_of_scikit_learn(values):
    truth, predicted = values
    assert value("rmse", truth, predicted) == pytest.approx(np.sqrt(sk.mean_squared_error(truth, predicted)), rel=1e-6)
    weighted = sk.explained_variance_score(truth, predicted, multioutput="variance_weighted")
    assert value("weighted_ev", truth, predicted) == pytest.approx(weighted, abs=1e-6)
    per_gene = sk.r2_score(truth, predicted, multioutput="raw_values")
    assert value("r2_gene", truth, predicted) == pytest.approx(np.median(per_gene), abs=1e-6)
    gain = measure("ev_above_pca", Inputs({"truth": truth, "predicted": truth, "by_pca": predicted}))
    assert gain.value == pytest.approx(1 - weighted, abs=1e-6)
    assert gain.message == f"PCA explains {weighted:.4f}."


def test_precision_is_that_of_scikit_learn_with_ties(values):
    truth, predicted = values
    open_, score = truth > 6, np.round(predicted / 4)
    mixed = [j for j in range(9) if 0 < open_[:, j].sum() < 60]
    expected = [sk.average_precision_score(open_[:, j], score[:, j]) for j in mixed]
    np.testing.assert_allclose(p.average_precision(open_[:, mixed], score[:, mixed]), expected)
    found = measure("auprc", Inputs({"accessible": open_, "predicted": score}))
    assert found.value == pytest.approx(np.mean(expected))
    assert found.message.startswith(f"By chance: {open_[:, mixed].mean():.3f}.")
    assert value("auprc", None, open_.astype(float), accessible=open_) == 1.0


def test_blocks_do_not_matter(values, monkeypatch):
    truth, predicted = values
    names = (*CORRELATIONS, "rmse", "weighted_ev", "r2_gene")
    expected = {name: value(name, truth, predicted) for name in names}
    for step in (1, 150, 10_000):
        monkeypatch.setattr(_correlation, "_BLOCK_VALUES", step)
        assert {name: value(name, truth, predicted) for name in names} == pytest.approx(expected, abs=1e-12)


def test_the_mean_profile_fools_cells_and_not_features(values):
    truth, _ = values
    mean = np.broadcast_to(truth.mean(axis=0), truth.shape)
    assert value("pearson_cell", truth, mean) > 0.6
    assert value("pearson_feature", truth, mean) == value("spearman_feature", truth, mean) == 0.0
    assert value("weighted_ev", truth, mean) == pytest.approx(0.0, abs=1e-6)
    assert value("weighted_ev", truth, mean + 5) == pytest.approx(0.0, abs=1e-6)
    assert value("r2_gene", truth, mean) == pytest.approx(0.0, abs=1e-6)
    assert value("r2_gene", truth, mean + 5) < -0.1


def test_the_truth_is_perfect(values):
    truth, _ = values
    for name in (*CORRELATIONS, "weighted_ev", "r2_gene"):
        assert value(name, truth, truth) == pytest.approx(1.0)
        assert METRICS.describe(name).better == "higher"
    assert value("rmse", truth, truth) == 0.0
    assert METRICS.describe("rmse").better == "lower"


def test_features_that_say_nothing_are_left_out(values):
    truth, predicted = (np.c_[x, np.full(60, 3.0)] for x in values)
    found = measure("pearson_feature", Inputs({"truth": truth, "predicted": predicted}))
    assert found.value == pytest.approx(value("pearson_feature", *values))
    assert found.message == "1 constant features are left out."
    flat = np.ones_like(truth)
    for name in ("pearson_feature", "weighted_ev", "r2_gene"):
        with pytest.raises(NotApplicable, match="constant"):
            value(name, flat, predicted)
    with pytest.raises(NotApplicable, match="no feature is open"):
        value("auprc", None, predicted, accessible=flat > 0)


def test_hidden_entries_belong_to_names():
    cells, genes = keys(f"c{i}" for i in range(300)), keys(f"g{i}" for i in range(200))
    mask = hidden(cells[:, None], genes[None])
    assert mask.shape == (300, 200)
    assert mask.mean() == pytest.approx(0.15, abs=0.01)
    assert mask.mean(axis=0).std() < 0.03
    assert mask.mean(axis=1).std() < 0.04
    order = np.random.default_rng(0).permutation(300)
    assert np.array_equal(hidden(cells[order][:, None], genes[None]), mask[order])
    assert np.array_equal(hidden(cells[7], genes[:5]), mask[7, :5])
    assert not np.array_equal(hidden(cells[:, None], genes[None], seed=1), mask)
    assert hidden(cells[:, None], genes[None], share=0.5).mean() == pytest.approx(0.5, abs=0.02)


def test_error_at_hidden_entries(values):
    truth, predicted = values
    mask = hidden(keys(map(str, range(60)))[:, None], keys(map(str, range(9)))[None])
    mean = np.broadcast_to(truth.mean(axis=0), truth.shape)
    given = {"truth": truth, "unhidden": predicted, "hidden": mask, "mean_profile": mean}
    expected = ((truth - predicted)[mask] ** 2).sum() / ((truth - mean)[mask] ** 2).sum()
    assert measure("masked_error", Inputs(given)).value == pytest.approx(expected, rel=1e-6)
    assert measure("masked_error", Inputs({**given, "unhidden": mean})).value == pytest.approx(1.0)

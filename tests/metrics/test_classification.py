from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from scssl.metrics import Inputs, NotApplicable, measure
from scssl.metrics.classification import (
    accuracy,
    balanced_accuracy,
    macro_f1,
    macro_f1_shared,
    rejection_area,
    rejection_curve,
    weighted_f1,
)


def drawn(seed, predict_new):
    random = np.random.default_rng(seed)
    truth = random.choice(list("abcd"), 200, p=[0.6, 0.3, 0.08, 0.02])
    wrong = random.choice(list("abcdx" if predict_new else "abcd"), 200)
    return truth, np.where(random.random(200) < 0.7, truth, wrong)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("predict_new", [False, True])
def test_values_are_those_of_scikit_learn_over_the_true_labels(seed, predict_new):
    truth, predicted = drawn(seed, predict_new)
    labels = np.unique(truth)
    assert accuracy(truth, predicted) == pytest.approx(sk.accuracy_score(truth, predicted))
    recall = sk.recall_score(truth, predicted, labels=labels, average="macro", zero_division=0)
    assert balanced_accuracy(truth, predicted) == pytest.approx(recall)
    for ours, average in ((macro_f1, "macro"), (weighted_f1, "weighted")):
        expected = sk.f1_score(truth, predicted, labels=labels, average=average, zero_division=0)
        assert ours(truth, predicted) == pytest.approx(expected)


def test_a_label_that_is_only_predicted_has_no_f1():
    truth, predicted = np.array(["a", "a", "b"]), np.array(["a", "x", "b"])
    assert macro_f1(truth, predicted) == pytest.approx((2 / 3 + 1) / 2)
    assert sk.f1_score(truth, predicted, average="macro", zero_division=0) < macro_f1(truth, predicted)


def test_shared_leaves_out_cells_that_cannot_be_right():
    truth, predicted = np.array(["a", "b", "new"]), np.array(["a", "b", "a"])
    found = macro_f1_shared(truth, predicted, np.array([True, True, False]))
    assert found.value == 1.0
    assert found.message.startswith("1 of 3 cells are left out")
    assert macro_f1(truth, predicted) < 1.0
    with pytest.raises(NotApplicable, match="no scored cell"):
        macro_f1_shared(truth, predicted, np.zeros(3, dtype=bool))


@pytest.mark.parametrize("metric", [accuracy, balanced_accuracy, macro_f1, weighted_f1])
def test_bounds_and_renaming(metric):
    truth, predicted = drawn(0, predict_new=False)
    names = dict(zip("abcd", ["z", "10", "m", "a"], strict=True))
    renamed = [np.array([names[label] for label in column]) for column in (truth, predicted)]
    assert metric(*renamed) == pytest.approx(metric(truth, predicted))
    assert metric(truth, truth) == 1.0
    assert metric(truth, np.repeat("none", len(truth))) == 0.0


def test_union_counts_labels_that_are_never_true():
    truth, predicted = np.array(list("aabb")), np.array(list("abbz"))
    expected = sk.f1_score(truth, predicted, average="macro", zero_division=0)
    assert measure("macro_f1_union", Inputs({"truth": truth, "predicted": predicted})).value == pytest.approx(expected)
    assert expected < measure("macro_f1", Inputs({"truth": truth, "predicted": predicted})).value


def test_rejection_is_the_mean_over_all_orders_of_ties():
    from itertools import permutations

    truth, predicted = np.array(list("aabba")), np.array(list("abbaa"))
    confidence = np.array([0.9, 0.9, 0.9, 0.5, 0.2])
    right = truth == predicted
    orders = [(*ties, 3, 4) for ties in permutations([0, 1, 2])]
    curves = [np.cumsum(right[list(order)]) / np.arange(1, 6) for order in orders]
    coverage, accuracy = rejection_curve(truth, predicted, confidence)
    np.testing.assert_allclose(coverage, np.arange(1, 6) / 5)
    np.testing.assert_allclose(accuracy, np.mean(curves, axis=0))
    assert rejection_area(truth, predicted, confidence) == pytest.approx(np.mean(curves))


def test_confidence_that_knows_is_worth_something():
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 400)
    predicted = np.where(random.random(400) < 0.7, truth, (truth + 1) % 3)
    right = truth == predicted
    blind = rejection_area(truth, predicted, np.ones(400))
    assert blind == pytest.approx(right.mean())
    assert rejection_area(truth, predicted, right.astype(float)) > blind + 0.1
    assert rejection_area(truth, predicted, 1.0 - right) < blind - 0.1
    assert rejection_area(truth, truth, random.random(400)) == 1.0

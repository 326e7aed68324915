from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

from scssl._neighbors import Neighbors, nearest
from scssl._protocol import PAPER
from scssl.tasks import Cells
from scssl.tasks._vote import vote
from scssl.tasks.cell_typing import CellTyping


def values(found):
    return {(s.split, s.metric): s.value for s in found}


def test_without_a_split_every_batch_is_held_out(embedding, cells):
    found = values(CellTyping().score(embedding, cells))
    assert {split for split, _ in found} == {f"held-out batch=b{i}, transductive" for i in range(3)}
    query = cells.batch == "b1"
    one = values(CellTyping().score(embedding, replace(cells, query=query), split="x"))
    for (_, metric), value in one.items():
        assert value == found["held-out batch=b1, transductive", metric]


def test_values_of_the_paper_profile_are_those_of_scikit_learn(embedding, cells):
    query = np.arange(len(cells)) % 4 == 0
    model = KNeighborsClassifier(11).fit(embedding[~query], cells.labels[~query].astype(str))
    predicted = model.predict(embedding[query])
    truth = cells.labels[query].astype(str)
    found = CellTyping().score(embedding, replace(cells, query=query), protocol=PAPER)
    assert {s.split for s in found} == {"held-out split=query"}
    value = {s.metric: s.value for s in found}
    assert value["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert value["accuracy"] == pytest.approx((truth == predicted).mean())
    assert 0.5 < value["accuracy"] < 1.0


def test_renamed_labels_give_the_same_values(embedding, cells):
    names = {"t0": "z", "t1": "b", "t2": "a"}
    renamed = replace(cells, labels=np.array([names[label] for label in cells.labels], dtype=object))
    expected = values(CellTyping().score(embedding, cells))
    assert values(CellTyping().score(embedding, renamed)) == pytest.approx(expected, abs=1e-12)


def test_labels_that_the_reference_lacks_are_named(embedding, cells):
    labels = cells.labels.copy()
    labels[(cells.batch == "b2") & (labels == "t1")] = "new"
    found = CellTyping().score(embedding, replace(cells, labels=labels, query=cells.batch == "b2"))
    score = {s.metric: s for s in found}
    n, of = int((labels == "new").sum()), int((cells.batch == "b2").sum())
    assert score["macro_f1"].message == f"1 labels of {n} of {of} cells do not occur in the reference: 'new'."
    assert f"{n} of {of} cells are left out" in score["macro_f1_shared"].message
    assert score["macro_f1_shared"].value > score["macro_f1"].value
    assert score["macro_f1"].main
    assert not score["macro_f1_shared"].main


def test_a_query_of_unknown_labels_only(embedding, cells):
    labels = np.where(cells.batch == "b0", "only here", cells.labels).astype(object)
    score = {
        s.metric: s for s in CellTyping().score(embedding, replace(cells, labels=labels, query=cells.batch == "b0"))
    }
    assert score["accuracy"].value == 0.0
    assert score["macro_f1_shared"].status == "not_applicable"


@pytest.mark.parametrize("query", [np.zeros(150, dtype=bool), np.ones(150, dtype=bool)])
def test_a_split_with_one_side(embedding, cells, query):
    found = CellTyping().score(embedding, replace(cells, query=query))
    assert {s.status for s in found} == {"not_applicable"}
    assert "both sides need cells" in found[0].message


def test_fewer_than_eleven_reference_cells(embedding, cells):
    found = CellTyping().score(embedding, replace(cells, query=np.arange(150) >= 6))
    assert "k reduced from 11 to 6" in next(s.message for s in found if s.metric == "macro_f1")


def test_votes_and_ties():
    neighbors = Neighbors(np.array([[2, 0, 1, 3]]), np.array([[1.0, 2.0, 2.0, 4.0]]), requested=4)
    codes = np.array([0, 0, 1, 1])
    assert vote(neighbors, codes, 2).codes.tolist() == [1]
    assert vote(neighbors, codes, 2, ties="first").codes.tolist() == [0]
    assert vote(neighbors, codes, 2).share.tolist() == [0.5]
    weighted = vote(neighbors, codes, 2, weights="distance")
    assert weighted.codes.tolist() == [1]
    assert weighted.share[0] == pytest.approx((1 + 1 / 4) / (1 + 1 / 2 + 1 / 2 + 1 / 4))
    touching = replace(neighbors, distances=np.array([[0.0, 0.0, 1.0, 1.0]]))
    assert vote(touching, codes, 2, weights="distance").share.tolist() == [0.5]
    assert vote(touching, codes, 2, weights="distance").codes.tolist() == [1]


def test_labels_too_small_to_win_a_vote_are_named_where_ties_decide():
    """Five reference cells of `few` and five of `many` around one query cell; `far` has eleven of its own."""
    place = np.concatenate([np.zeros(5), np.zeros(5), np.full(11, 50.0)])
    x = np.column_stack([place, np.linspace(0, 20, 21)])
    labels = np.array(["few"] * 5 + ["many"] * 5 + ["far"] * 11, dtype=object)
    query = np.array([[0.0, 5.0], [50.0, 15.0]])

    def message(labels, asked):
        cells = Cells(
            names=np.array([f"c{i}" for i in range(len(labels) + 2)], dtype=object),
            labels=np.concatenate([labels, np.array(asked, dtype=object)]),
            query=np.arange(len(labels) + 2) >= len(labels),
        )
        embedding = np.vstack([x[: len(labels)], query])
        return next(s.message for s in CellTyping().score(embedding, cells) if s.metric == "macro_f1")

    assert message(labels, ["few", "far"]) == (
        "1 of 2 votes are ties with labels that have fewer than 6 reference cells: 'few (5)', 'many (5)'."
    )
    enough = np.where(np.arange(21) == 4, "many", labels)  # four against six: no tie, nothing to say
    assert message(enough, ["many", "far"]) == ""


def test_a_vote_says_who_tied():
    neighbors = Neighbors(np.array([[0, 1, 2], [0, 2, 3]]), np.ones((2, 3)), requested=3)
    codes = np.array([0, 1, 2, 2])
    for ties in ("nearest", "first"):
        assert vote(neighbors, codes, 3, ties=ties).tied.tolist() == [[True, True, True], [False, False, False]]


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_votes_are_those_of_scikit_learn(embedding, cells, weights):
    codes = np.unique(cells.labels.astype(str), return_inverse=True)[1]
    model = KNeighborsClassifier(7, weights=weights).fit(embedding[:100], codes[:100])
    won = vote(nearest(embedding[:100], 7, query=embedding[100:]), codes[:100], 3, weights=weights, ties="first")
    assert np.array_equal(won.codes, model.predict(embedding[100:]))
    np.testing.assert_allclose(won.share, model.predict_proba(embedding[100:]).max(axis=1), rtol=1e-5)


def test_the_linear_probe_is_logistic_regression(embedding, cells):
    from sklearn.linear_model import LogisticRegression

    query = cells.batch == "b0"
    found = values(CellTyping().score(embedding, replace(cells, query=query), split="x"))
    size = np.sqrt(((embedding[~query] - embedding[~query].mean(axis=0)) ** 2).mean())
    model = LogisticRegression(max_iter=1000).fit(embedding[~query] / size, cells.labels[~query].astype(str))
    predicted = model.predict(embedding[query] / size)
    truth = cells.labels[query].astype(str)
    assert found["x", "accuracy_linear"] == pytest.approx((predicted == truth).mean())
    assert found["x", "macro_f1_linear"] == pytest.approx(f1_score(truth, predicted, average="macro"))


def test_rotation_order_and_size_do_not_matter(embedding, cells):
    random = np.random.default_rng(0)
    rotation, order = np.linalg.qr(random.normal(size=(5, 5)))[0], random.permutation(len(cells))
    expected = values(CellTyping().score(embedding, cells))
    assert values(CellTyping().score(embedding @ rotation, cells)) == pytest.approx(expected, abs=1e-6)
    assert values(CellTyping().score(embedding * 1e3 + 5, cells)) == pytest.approx(expected, abs=1e-6)
    moved = replace(cells, names=cells.names[order], labels=cells.labels[order], batch=cells.batch[order])
    assert values(CellTyping().score(embedding[order], moved)) == pytest.approx(expected, abs=1e-6)


def test_donors_are_held_out_in_turn(embedding, cells):
    donors = np.array([f"d{i % 5}" for i in range(150)], dtype=object)
    grouped = replace(cells, groups=donors, grouped_by="donor", held_out=("d1", "d3"))
    found = values(CellTyping().score(embedding, grouped))
    assert {split for split, _ in found} == {f"held-out donor={d}, transductive" for d in ("d1", "d3")}
    one = values(CellTyping().score(embedding, replace(cells, query=donors == "d3"), split="x"))
    assert found["held-out donor=d3, transductive", "macro_f1"] == one["x", "macro_f1"]


def test_a_model_may_answer_itself(embedding, cells):
    query = cells.batch == "b2"
    own = {"labels": np.where(np.arange(150) % 2, cells.labels, "t0"), "confidence": np.arange(150) % 2 + 0.5}
    scores = CellTyping().score(embedding, replace(cells, query=query), split="x", own=own)
    found = values(scores)
    right = (own["labels"] == cells.labels)[query]
    assert found["x", "accuracy_head"] == pytest.approx(right.mean())
    assert {"macro_f1", "macro_f1_linear", "macro_f1_head"} <= {metric for _, metric in found}
    assert not [s for s in CellTyping().score(embedding, cells) if s.metric.endswith("_head")]


def test_five_neighbours_in_the_paper_profile(embedding, cells):
    query = np.arange(150) % 4 == 0
    found = values(CellTyping().score(embedding, replace(cells, query=query), protocol=PAPER, split="x"))
    model = KNeighborsClassifier(5).fit(embedding[~query], cells.labels[~query].astype(str))
    truth, predicted = cells.labels[query].astype(str), model.predict(embedding[query])
    assert found["x", "accuracy_k5"] == pytest.approx((truth == predicted).mean())
    assert found["x", "macro_f1_union_k5"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found["x", "macro_f1_union_shared"] == found["x", "macro_f1_union"]


def test_a_large_reference_is_sampled_by_name(embedding, cells, monkeypatch):
    from scssl.tasks import _readout

    monkeypatch.setattr(_readout, "PROBE_CELLS", 60)
    query = np.arange(150) < 50
    scores = CellTyping().score(embedding, replace(cells, query=query), split="x")
    note = next(s.message for s in scores if s.metric == "macro_f1_linear")
    assert note == "The probe was fitted to 60 of 100 labelled cells."
    order = np.random.default_rng(0).permutation(150)
    moved = replace(cells, names=cells.names[order], labels=cells.labels[order], query=query[order])
    assert values(CellTyping().score(embedding[order], moved, split="x")) == pytest.approx(values(scores))


def test_a_reference_of_one_label(embedding, cells):
    query = cells.labels != "t0"
    found = {s.metric: s for s in CellTyping().score(embedding, replace(cells, query=query))}
    assert found["accuracy_linear"].value == found["accuracy"].value == 0.0

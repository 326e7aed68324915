from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

import scssl as ssl


def made_by(model):
    return {"method": "pca", "model_id": model, "created": "today", "data_id": "d", "seed": 0}


def cells(n, seed, prefix):
    random = np.random.default_rng(seed)
    types = random.integers(0, 3, n)
    adata = ad.AnnData(np.zeros((n, 2), dtype=np.float32))
    adata.obs_names = [f"{prefix}{i}" for i in range(n)]
    adata.obs["cell_type"] = pd.Categorical([f"t{t}" for t in types], categories=["t0", "t1", "t2", "unused"])
    adata.uns["scssl"] = {"schema": 1, "embeddings": {"e": made_by("one")}}
    adata.obsm["X_e"] = (2 * np.eye(3, 5)[types] + random.normal(size=(n, 5))).astype(np.float32)
    return adata


@pytest.fixture
def reference():
    return cells(120, 0, "r")


@pytest.fixture
def query():
    return cells(60, 1, "q")


def annotated(query, reference, **options):
    ssl.tl.annotate(query, reference=reference, use_rep="X_e", label_key="cell_type", **options)
    name = options.get("key_added") or "e"
    return query.obs[f"{name}_label"], query.obs[f"{name}_confidence"]


@pytest.mark.parametrize("classifier", ["knn", "linear"])
def test_most_labels_are_right_and_confidence_knows(query, reference, classifier):
    label, confidence = annotated(query, reference, classifier=classifier)
    right = label.astype(str).to_numpy() == query.obs["cell_type"].astype(str).to_numpy()
    assert right.mean() > 0.75
    assert confidence.between(0, 1).all()
    assert confidence[right].mean() > confidence[~right].mean()
    assert isinstance(label.dtype, pd.CategoricalDtype)
    assert set(label.cat.categories) <= {"t0", "t1", "t2"}
    assert confidence.dtype == np.float64


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_votes_are_those_of_scikit_learn(query, reference, weights):
    label, confidence = annotated(query, reference, weights=weights, k=9)
    model = KNeighborsClassifier(9, weights=weights)
    model.fit(reference.obsm["X_e"], reference.obs["cell_type"].astype(str))
    share = model.predict_proba(query.obsm["X_e"])
    clear = np.sort(share, axis=1)[:, -1] > np.sort(share, axis=1)[:, -2] + 1e-9
    assert clear.sum() > 50
    assert (label.astype(str).to_numpy() == model.predict(query.obsm["X_e"]))[clear].all()
    np.testing.assert_allclose(confidence, share.max(axis=1), rtol=1e-5)


def test_the_nearest_cell_votes_whoever_it_is(query, reference):
    """Of the same cells under other names each finds itself; of others none is left out, the nearest one least of all."""
    same = reference.copy()
    same.obs_names = [f"again{i}" for i in range(same.n_obs)]
    label, confidence = annotated(same, reference, k=1)
    assert (label.astype(str) == reference.obs["cell_type"].astype(str).to_numpy()).all()
    assert (confidence == 1).all()
    label, _ = annotated(query, reference, k=1)
    apart = np.linalg.norm(query.obsm["X_e"][:, None] - reference.obsm["X_e"][None], axis=2)
    expected = reference.obs["cell_type"].astype(str).to_numpy()[apart.argmin(axis=1)]
    assert (label.astype(str) == expected).all()


def test_writes_two_columns_and_nothing_else(query, reference, unchanged):
    copy = query.copy()
    with unchanged(reference):
        annotated(query, reference, key_added="mine")
    assert list(query.obs.columns[-2:]) == ["mine_label", "mine_confidence"]
    del query.obs["mine_label"], query.obs["mine_confidence"]
    assert set(query.uns["scssl"]) - set(copy.uns["scssl"]) == {"annotated", "written"}
    query.uns["scssl"] = copy.uns["scssl"]
    with unchanged(copy) as before:
        before.against(query)


def test_a_second_call_replaces_the_first(query, reference):
    first = annotated(query, reference)[1].copy()
    second = annotated(query, reference, k=3)[1]
    assert list(query.obs.columns).count("e_label") == 1
    assert not first.equals(second)


def test_order_of_cells_does_not_matter(query, reference):
    expected = annotated(query.copy(), reference)[0].astype(str)
    shuffled = query[np.random.default_rng(0).permutation(60)].copy()
    found = annotated(shuffled, reference[::-1].copy())[0].astype(str)
    assert found.loc[expected.index].equals(expected)


def test_few_reference_cells_reduce_k(query, reference):
    with pytest.warns(ssl.ScsslWarning, match="k reduced from 15 to 10|have fewer than"):
        annotated(query, reference[:10].copy())


def test_cells_of_the_reference_in_the_query_are_said(reference):
    query = reference[:20].copy()
    with pytest.warns(ssl.ScsslWarning, match="20 of 20 cells of the query are in the reference"):
        annotated(query, reference)


def test_survives_a_file(query, reference, tmp_path):
    label, confidence = annotated(query, reference)
    query.write_h5ad(tmp_path / "q.h5ad")
    read = ad.read_h5ad(tmp_path / "q.h5ad").obs
    assert list(read["e_label"]) == list(label)
    np.testing.assert_allclose(read["e_confidence"], confidence)


@pytest.mark.parametrize(
    ("change", "kind", "code", "says"),
    [
        (
            {"classifier": "svm"},
            ssl.KeyNotFoundError,
            "unknown_classifier",
            "there are 'knn', 'linear', 'head'",
        ),
        ({"weights": "gauss"}, ssl.KeyNotFoundError, "unknown_weights", "there are 'uniform', 'distance'"),
        ({"k": 0}, ssl.InputError, "bad_k", "k=0"),
        ({"k": 2.5}, ssl.InputError, "bad_k", "k=2.5"),
        ({"use_rep": "X_f"}, ssl.KeyNotFoundError, "unknown_use_rep", "obsm of the query, which has 'X_e'"),
        ({"use_rep": None}, ssl.InputError, "needs_use_rep", "The query has 'X_e'"),
        ({"label_key": "celltype"}, ssl.KeyNotFoundError, "unknown_label_key", "Did you mean 'cell_type'?"),
        ({"key_added": "a/b"}, ssl.InputError, "key_with_slash", "contains '/'"),
        ({"key_added": ""}, ssl.InputError, "key_empty", "is empty"),
        ({"key_added": "taken"}, ssl.InputError, "key_exists", "obs['taken_label'] exists"),
        ({"reference": np.zeros(3)}, ssl.InputError, "bad_type", "reference is of type ndarray"),
    ],
)
def test_bad_calls_are_refused_and_change_nothing(query, reference, unchanged, change, kind, code, says):
    query.obs["taken_label"] = 1
    options = {"reference": reference, "use_rep": "X_e", "label_key": "cell_type", **change}
    with unchanged(query), pytest.raises(kind) as caught:
        ssl.tl.annotate(query, **options)
    assert caught.value.code == code
    assert says in str(caught.value)
    assert str(caught.value).endswith("Nothing was changed.")


def without_two_labels(_, reference):
    reference.obs["cell_type"] = reference.obs["cell_type"].mask(np.arange(120) < 2)


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (lambda q, r: q.obsm.update(X_e=q.obsm["X_e"][:, :3]), "other_width", "width 3 in the query and 5"),
        (
            lambda q, r: q.obsm["X_e"].__setitem__((4, 0), np.nan),
            "bad_embedding",
            "query cannot be used: 1 of 60 cells",
        ),
        (lambda q, r: r.obsm["X_e"].__setitem__((4, 0), np.inf), "bad_embedding", "reference cannot be used: 1 of 120"),
        (without_two_labels, "label_missing_values", "2 of 120 cells"),
    ],
)
def test_bad_objects_are_refused_and_unchanged(query, reference, unchanged, spoil, code, says):
    spoil(query, reference)
    with unchanged(query), pytest.raises(ssl.InputError) as caught:
        annotated(query, reference)
    assert caught.value.code == code
    assert says in str(caught.value)


def test_one_label_is_no_choice_for_a_line(query, reference):
    reference.obs["cell_type"] = "T"
    with pytest.raises(ssl.InputError, match="needs two"):
        annotated(query, reference, classifier="linear")
    assert "e_label" not in query.obs

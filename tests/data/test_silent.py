"""Zeros that were filled in are told from zeros by chance; batches are known in another spelling."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

import scssl as ssl
from scssl._validate.silent import padded, shares_as_text, shares_from_text
from scssl._words import canonical, spelled_as

QUICK = {"max_epochs": 1, "batch_size": 64, "hidden": (8,), "width": 4}


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(400, 100, n_types=4, n_batches=2)
    ssl.pp.recipe(adata)
    return adata


@pytest.fixture(scope="module")
def model(cells):
    return ssl.tl.fit(cells[:200].copy(), "simclr", batch_key="batch", **QUICK)


def with_zeros(adata, genes: slice):
    x = adata.X.toarray()
    x[:, genes] = 0
    made = adata[x.any(axis=1)].copy()
    made.X = sp.csr_matrix(x[x.any(axis=1)])
    return made


def test_shares_are_kept_to_a_factor_of_two():
    n = np.array([1000, 500, 130, 2, 0])
    text = shares_as_text(n, 1000)
    assert text == "01399"
    np.testing.assert_allclose(shares_from_text(text), [1, 0.5, 0.125, 0, 0])


def test_chance_and_types_are_no_padding():
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.01, 0.9, 500)
    for n_obs in (1, 5, 20, 100, 2000):
        for rarer in (1, 4):
            detected = rng.binomial(n_obs, shares / rarer)
            assert not padded(shares, detected, n_obs).any()
            markers = detected.copy()
            markers[:25] = 0  # of types that are not there
            assert not padded(shares, markers, n_obs).any()


@pytest.mark.parametrize("n_obs", [20, 100, 2000])
def test_padding_is_found(n_obs):
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.1, 0.9, 500)
    detected = rng.binomial(n_obs, shares)
    gone = np.arange(500) % 10 < 6
    detected[gone] = 0
    found = padded(shares, detected, n_obs)
    assert (found & gone).sum() > 0.9 * gone.sum()
    assert (found & ~gone).sum() <= 0.02 * 500


def test_many_filled_genes_are_refused_as_absent_ones_are(cells, model, unchanged):
    query = with_zeros(cells[200:].copy(), slice(40, 100))
    with unchanged(query), pytest.raises(ssl.InputError) as error:
        ssl.tl.embed(query, model)
    assert error.value.code == "too_few_genes"
    assert "zero in all" in str(error.value)
    with pytest.warns(ssl.ScsslWarning, match="filled with zeros"):
        ssl.tl.embed(query, model, min_coverage=0.3)
    coverage = json.loads(query.uns["scssl"]["embeddings"]["simclr"]["coverage"])["rna"]
    assert 40 <= coverage["found"] < 60
    assert coverage["of"] == 100


def test_min_coverage_lets_fewer_genes_pass(cells, model):
    query = cells[200:, :50].copy()
    with pytest.raises(ssl.InputError, match="min_coverage"):
        ssl.tl.embed(query, model)
    with pytest.warns(ssl.ScsslWarning, match="50 of 100"):
        ssl.tl.embed(query, model, min_coverage=0.4)
    for wrong in (0, 1.5, "half", True):
        with pytest.raises(ssl.InputError, match="min_coverage"):
            ssl.tl.embed(query, model, min_coverage=wrong)


def test_few_cells_and_one_type_are_embedded_without_a_word(cells, model):
    query = cells[200:].copy()
    for n in (1, 3, 10):
        model.embed(query[:n].copy())
    for name in query.obs["cell_type"].unique():
        model.embed(query[query.obs["cell_type"] == name].copy())


@pytest.mark.parametrize("store", [sp.csr_matrix, sp.csc_matrix, np.asarray], ids=["csr", "csc", "dense"])
def test_a_batch_of_an_outer_join_is_named(cells, store):
    adata = cells.copy()
    last = (adata.obs["batch"] == adata.obs["batch"].iloc[-1]).to_numpy()
    x = adata.X.toarray()
    x[np.ix_(last, np.arange(50, 100))] = 0
    adata.X = store(x)
    row = ssl.pp.check(adata, method="simclr", batch_key="batch").set_index("code").loc["genes_missing_in_batch"]
    assert repr(str(adata.obs["batch"].iloc[-1])) in row.message
    assert "join='inner'" in row.fix
    assert "genes_missing_in_batch" not in set(ssl.pp.check(cells, method="simclr", batch_key="batch").code)


def test_spelling():
    assert canonical("1") == canonical("1.0") == canonical(" 1 ")
    assert canonical("PBMC  a ") == canonical("pbmc A")
    assert spelled_as(["0.0", "1.0"], ("0", "1"), parameter="b") == (["0.0", "1.0"], "")
    made, said = spelled_as(["A1", "B"], ("a1 ", "c"), parameter="b")
    assert made == ["A1", "c"]
    assert "read 'a1 ' as 'A1'" in said
    assert "1 of 2 of the batches are not known" in said
    assert spelled_as(["A", "a"], ("a", "A"), parameter="b") == (["a", "A"], "")
    assert "None of the batches" in spelled_as(["batch1"], ("batch_2",), parameter="b")[1]
    assert "Did you mean 'batch1'" in spelled_as(["batch1"], ("batch_2",), parameter="b")[1]


def test_batches_of_a_domain_model_in_another_spelling(cells):
    reference, query = cells[:200].copy(), cells[200:].copy()
    codes = cells.obs["batch"].astype("category").cat.codes.to_numpy()
    reference.obs["b"] = codes[:200].astype(float)
    model = ssl.tl.fit(reference, "simclr", batch_key="b", batch_norm="domain", **QUICK)
    query.obs["b"] = codes[200:].astype(float)
    good = model.embed(query)
    for other in (codes[200:].astype(int), codes[200:].astype(str)):
        query.obs["b"] = other
        np.testing.assert_array_equal(model.embed(query), good)
    query.obs["b"] = "elsewhere"
    with pytest.warns(ssl.ScsslWarning, match="None of the batches is known"):
        model.embed(query)
    named = cells[:200].copy()
    model = ssl.tl.fit(named, "simclr", batch_key="batch", batch_norm="domain", **QUICK)
    shouted = cells[200:].copy()
    good = model.embed(shouted)
    shouted.obs["batch"] = shouted.obs["batch"].astype(str).str.upper() + " "
    with pytest.warns(ssl.ScsslWarning, match="differ by case or spaces"):
        np.testing.assert_array_equal(model.embed(shouted), good)

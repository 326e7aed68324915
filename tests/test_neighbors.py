from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scssl import InputError, _neighbors
from scssl._neighbors import Neighbors, connectivities, nearest


def blobs(n=120, width=5, seed=0, dtype=np.float32):
    random = np.random.default_rng(seed)
    return (random.normal(size=(n, width)) + 3 * random.integers(0, 3, size=(n, 1))).astype(dtype)


def naive(x, query, k):
    distances = cdist(query.astype(float), x.astype(float))
    indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(distances, indices, axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_neighbours_of_a_query_are_those_of_a_full_search(dtype):
    x, query = blobs(dtype=np.float32), blobs(30, seed=1)
    if dtype is np.int32:  # ties would be broken in any way
        found = nearest((x * 1000).astype(dtype), 7, query=query)
        assert found.indices.shape == (30, 7)
        return
    found = nearest(x.astype(dtype), 7, query=query.astype(dtype))
    indices, distances = naive(x, query, 7)
    assert np.array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5)
    assert found.indices.dtype == np.int64


def test_every_cell_is_its_own_first_neighbour():
    x = blobs()
    found = nearest(x, 9)
    assert np.array_equal(found.indices[:, 0], np.arange(len(x)))
    assert not found.distances[:, 0].any()
    assert np.array_equal(found.indices, naive(x, x, 9)[0])
    others = found.others
    assert others.k == 8
    assert (others.indices != np.arange(len(x))[:, None]).all()


def test_identical_cells_do_not_displace_each_other():
    x = np.repeat(blobs(4), 25, axis=0)
    found = nearest(x, 10)
    assert np.array_equal(found.indices[:, 0], np.arange(100))
    assert (np.sort(found.indices, axis=1)[:, 1:] != np.sort(found.indices, axis=1)[:, :-1]).all()
    np.testing.assert_allclose(found.distances, 0.0, atol=1e-6)
    assert (found.indices // 25 == np.arange(100)[:, None] // 25).all()


@pytest.mark.parametrize(("n", "k", "kept"), [(5, 90, 5), (90, 90, 90), (1, 3, 1)])
def test_k_is_reduced_and_said(n, k, kept):
    found = nearest(blobs(n), k)
    assert found.indices.shape == (n, kept)
    assert found.indices.min() >= 0
    assert np.isfinite(found.distances).all()
    assert found.note == ("" if kept == k else f"k reduced from {k} to {kept}: no more cells.")


def test_first_neighbours_are_a_prefix():
    found = nearest(blobs(), 30)
    assert np.array_equal(found.first(10).indices, nearest(blobs(), 10).indices)
    assert found.first(10).note == ""
    assert found.first(50).note == "k reduced from 50 to 30: no more cells."


def test_distances_far_from_the_origin_keep_their_digits():
    x = blobs(dtype=np.float64)
    np.testing.assert_allclose(nearest(x + 1e6, 5).distances, nearest(x, 5).distances, rtol=1e-6)


def test_order_of_cells_does_not_matter():
    x = blobs()
    order = np.random.default_rng(3).permutation(len(x))
    direct, shuffled = nearest(x, 6), nearest(x[order], 6)
    assert np.array_equal(order[shuffled.indices], direct.indices[order])


@pytest.mark.parametrize(
    ("x", "k", "query", "code"),
    [
        (np.full((4, 2), np.nan), 2, None, "not_finite"),
        (np.zeros(4), 2, None, "not_finite"),
        (np.zeros((4, 2)), 0, None, "bad_neighbors"),
        (np.zeros((0, 2)), 2, None, "bad_neighbors"),
        (np.zeros((4, 2)), 2, np.zeros((4, 3)), "bad_neighbors"),
    ],
)
def test_what_cannot_be_searched_is_refused(x, k, query, code):
    with pytest.raises(InputError) as caught:
        nearest(x, k, query=query)
    assert caught.value.code == code


class Sloppy:
    """Stands for pynndescent: finds no neighbours for some cells, and a cell itself somewhere in its row."""

    def __init__(self, x, n_neighbors, random_state, low_memory):
        self.x, self.k = x, n_neighbors

    @property
    def neighbor_graph(self):
        indices, distances = self.query(self.x, self.k)
        for rows in (indices, distances):
            rows[:, [0, 1]] = rows[:, [1, 0]]
        return indices, distances

    def query(self, query, k):
        indices, distances = naive(self.x, query, k)
        indices, distances = indices.astype(np.int32), distances.astype(np.float32)
        indices[3, -4:], distances[3, -4:] = -1, np.inf
        return indices, distances


@pytest.mark.parametrize("with_query", [False, True])
def test_what_an_approximate_search_misses_is_searched_again(monkeypatch, with_query):
    x = blobs()
    query = blobs(50, seed=4) if with_query else None
    exact = nearest(x, 15, query=query)
    monkeypatch.setattr(_neighbors, "EXACT_UP_TO", 10)
    monkeypatch.setitem(sys.modules, "pynndescent", SimpleNamespace(NNDescent=Sloppy))
    found = nearest(x, 15, query=query)
    assert not found.exact
    assert np.array_equal(found.indices, exact.indices)
    np.testing.assert_allclose(found.distances, exact.distances, rtol=1e-4)


@pytest.mark.slow
def test_approximate_search_has_the_same_contract(monkeypatch):
    x = np.repeat(blobs(300), 2, axis=0)
    exact = nearest(x, 15)
    monkeypatch.setattr(_neighbors, "EXACT_UP_TO", 10)
    found, again = nearest(x, 15), nearest(x, 15)
    assert np.array_equal(found.indices, again.indices)
    assert np.array_equal(found.indices[:, 0], np.arange(len(x)))
    assert found.indices.min() >= 0
    shared = [len(set(a) & set(b)) for a, b in zip(found.indices, exact.indices, strict=True)]
    assert np.mean(shared) / 15 > 0.9


def test_connectivities_against_a_loop():
    x = blobs(40)
    k = 8
    found = nearest(x, k)
    directed = np.zeros((40, 40))
    for i in range(40):
        distances = found.distances[i]
        first = distances[distances > 0].min()
        low, high = 0.0, 1e3
        for _ in range(200):
            middle = (low + high) / 2
            total = sum(np.exp(-max(0.0, d - first) / middle) for d in distances[1:])
            low, high = (low, middle) if total > np.log2(k) else (middle, high)
        for j, d in zip(found.indices[i], distances, strict=True):
            directed[i, j] = 0.0 if i == j else np.exp(-max(0.0, d - first) / middle)
    union = directed + directed.T - directed * directed.T
    np.testing.assert_allclose(connectivities(found).toarray(), union, atol=2e-5)


def test_connectivities_of_identical_cells_are_finite():
    graph = connectivities(nearest(np.zeros((30, 3), dtype=np.float32), 10))
    assert np.isfinite(graph.data).all()
    assert (graph != graph.T).nnz == 0
    assert graph.diagonal().sum() == 0


def test_connectivities_of_few_neighbours():
    neighbors = Neighbors(np.arange(3)[:, None], np.zeros((3, 1)), requested=1)
    assert connectivities(neighbors).nnz == 0


def test_exact_search_compiles_nothing():
    code = (
        "import sys, numpy as np; from scssl._neighbors import connectivities, nearest;"
        "connectivities(nearest(np.random.default_rng(0).normal(size=(50, 3)), 9));"
        "print([m for m in ('numba', 'umap', 'pynndescent', 'jax', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

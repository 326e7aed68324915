"""Whether an embedding is still the one that was written."""

from __future__ import annotations

import numpy as np
import pytest

from scssl.data.sketch import SKETCH_CELLS, fits, sketch

N = 3 * SKETCH_CELLS
NAMES = np.array([f"cell {i}" for i in range(N)])


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)


def test_it_is_small(x):
    assert sketch(NAMES, x).shape == (2, SKETCH_CELLS)
    assert sketch(NAMES[:10], x[:10]).shape == (2, 10)


@pytest.mark.parametrize("cells", [slice(None), slice(0, 200), slice(None, None, -1), slice(0, 1)])
def test_a_subset_in_any_order_fits(x, cells):
    known = sketch(NAMES, x)
    assert fits(known, NAMES[cells], x[cells])
    assert fits(known, NAMES[cells], x[cells].astype(np.float64))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[:, :4],
        lambda x: np.hstack([x, x]),
        lambda x: x[::-1],
        lambda x: x[:, ::-1],
        lambda x: x + np.float32(1e-6),
        lambda x: -x,
        lambda x: np.zeros_like(x),
    ],
    ids=["narrower", "wider", "cells exchanged", "columns exchanged", "shifted", "mirrored", "nothing"],
)
def test_other_values_do_not_fit(x, change):
    assert not fits(sketch(NAMES, x), NAMES, np.ascontiguousarray(change(x)))


def test_one_changed_cell_of_a_small_object_is_seen(x):
    known, changed = sketch(NAMES[:300], x[:300]), x[:300].copy()
    changed[17, 3] += 1
    assert not fits(known, NAMES[:300], changed)


def test_nothing_speaks_against_cells_of_other_names(x):
    assert fits(sketch(NAMES, x), np.array(["a", "b"]), x[:2])


def test_signed_zeros_and_shared_names_fit():
    names, x = np.array(["a", "a", "b"]), np.array([[0.0], [1.0], [2.0]])
    known = sketch(names, x)
    assert fits(known, names[[1, 0, 2]], x[[1, 0, 2]])
    assert fits(known, names, np.array([[-0.0], [1.0], [2.0]]))

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from scssl import _sparse
from scssl.data.matrix import handed_out

DENSE = np.random.default_rng(0).poisson(0.5, (20, 9)).astype(np.float32)


def wide() -> sp.csr_array:
    """The array with positions of 64 bits, as they come from a file or from numpy."""
    made = sp.csr_array(DENSE)
    return sp.csr_array((made.data, made.indices.astype(np.int64), made.indptr.astype(np.int64)), shape=made.shape)


def test_positions_have_as_few_bits_as_those_of_the_older_matrices():
    given = wide()
    assert given.indices.dtype == np.int64
    made = _sparse.from_rows(given.data, given.indices, given.indptr, shape=given.shape)
    at = _sparse.from_pairs(given.data, *given.nonzero(), shape=given.shape)
    for found in (made, at):
        assert isinstance(found, sp.csr_array)
        assert found.indices.dtype == found.indptr.dtype == sp.csr_matrix(DENSE).indices.dtype
        np.testing.assert_array_equal(found.toarray(), DENSE)


def test_columns_beyond_32_bits_keep_64():
    beyond = 2**31 + 5
    made = _sparse.from_pairs(np.ones(1), np.array([0]), np.array([beyond]), shape=(1, beyond + 1))
    assert made.indices.dtype == np.int64
    assert made.indices.tolist() == [beyond]


@pytest.mark.parametrize("copy", [True, False])
def test_memory_is_shared_unless_a_copy_is_asked_for(copy):
    given = sp.csr_array(DENSE)
    made = _sparse.from_rows(given.data, given.indices, given.indptr, shape=given.shape, copy=copy)
    assert np.shares_memory(made.data, given.data) != copy
    assert np.shares_memory(made.indices, given.indices) != copy


def test_pairs_that_occur_twice_are_added():
    made = _sparse.from_pairs(np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 0]), shape=(2, 2))
    assert made.toarray().tolist() == [[0, 0], [3, 0]]


def test_what_is_handed_out_is_of_the_class_that_anndata_reads():
    found = handed_out(sp.csr_array(DENSE))
    assert type(found) is sp.csr_matrix
    np.testing.assert_array_equal(found.toarray(), DENSE)

from __future__ import annotations

import numpy as np
import pytest

from scssl.metrics import collapsed, effective_rank


def normal(n=300, width=16, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [1, 2, 16, 64])
def test_normal_embeddings_are_healthy(seed, width):
    x = normal(width=width, seed=seed)
    for healthy in (x, 1e-6 * x, 1e6 * x, x + 50, x * 0.9 ** np.arange(width)):
        assert collapsed(healthy) == ""


def test_types_apart_are_healthy():
    corners = np.eye(2, 8)[np.random.default_rng(0).integers(0, 2, 300)] + 0.05 * normal(width=8)
    assert collapsed(corners) == ""


def test_pca_of_real_cells_is_healthy(pbmc):
    from scssl.data.matrix import csr
    from scssl.tasks._cells import principal_components

    assert collapsed(principal_components(csr(pbmc))) == ""


@pytest.mark.parametrize(
    ("embedding", "reason"),
    [
        (np.ones((50, 4)), "differ by 0.0e+00"),
        (np.zeros((50, 4)), "differ by 0.0e+00"),
        (5 + 1e-6 * normal(), "differ by"),
        (normal(width=1) * normal(1, 8, seed=1) + 1, "effective rank 1.000 of 8"),
        (np.vstack([np.zeros((280, 4)), normal(20, 4)]), "93.3% of the cells lie in one point"),
    ],
)
def test_collapse_is_called_by_its_reason(embedding, reason):
    assert reason in collapsed(embedding)


def test_effective_rank_counts_directions():
    assert effective_rank(normal(5000, 10)) == pytest.approx(10, rel=0.01)
    assert effective_rank(np.hstack([normal(5000, 3), np.zeros((5000, 7))])) == pytest.approx(3, rel=0.01)
    assert effective_rank(np.ones((5, 3))) == 0.0
    x = normal(20, 60)
    assert effective_rank(x) == pytest.approx(effective_rank(np.hstack([x, np.zeros((20, 5))])))

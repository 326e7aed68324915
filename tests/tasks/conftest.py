from __future__ import annotations

import numpy as np
import pytest

from scssl.tasks import Cells


@pytest.fixture(scope="module")
def embedding():
    """150 cells of three types in three batches."""
    random = np.random.default_rng(0)
    types, batches = np.arange(150) % 3, np.arange(150) // 3 % 3
    shift = 0.4 * np.eye(3, 5)[batches]
    return (3 * np.eye(3, 5)[types] + shift + random.normal(size=(150, 5))).astype(np.float32)


@pytest.fixture(scope="module")
def cells(embedding):
    types, batches = np.arange(150) % 3, np.arange(150) // 3 % 3
    return Cells(
        names=np.array([f"cell {i}" for i in range(150)], dtype=object),
        labels=np.array([f"t{t}" for t in types], dtype=object),
        batch=np.array([f"b{b}" for b in batches], dtype=object),
        before=embedding + 2 * np.eye(3, 5)[batches],
        before_note="Before: the same, worse.",
    )

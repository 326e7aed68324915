from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scssl import _keys
from scssl.data.columns import as_text, codes

COLUMNS = {
    "text": (["b", "a", "b"], ["b", "a", "b"]),
    "categories": (pd.Categorical(["b", None, "b"]), ["b", "nan", "b"]),
    "missing": (["b", np.nan, None], ["b", "nan", "None"]),
    "numbers": ([2, 1, 2], ["2", "1", "2"]),
    "fractions": ([2.0, np.nan, 0.5], ["2.0", "nan", "0.5"]),
    "booleans": ([True, False, True], ["True", "False", "True"]),
    "nullable": (pd.array([1, None, 2], dtype="Int64"), ["1", "<NA>", "2"]),
    "string": (pd.array(["b", None, "a"], dtype="string"), ["b", "<NA>", "a"]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_text_is_the_same_with_every_release_of_pandas(kind):
    values, expected = COLUMNS[kind]
    dtype = object if kind == "missing" else None  # pandas 3 makes one missing value of both
    column = pd.Series(values, index=["x", "y", "x"], dtype=dtype)  # names of cells may repeat
    before = column.copy()
    found = as_text(column)
    assert found.tolist() == expected
    assert found.dtype == object
    assert found.index.tolist() == ["x", "y", "x"]
    pd.testing.assert_series_equal(column, before)


def test_no_code_is_negative():
    found, names = codes(pd.Series(["b", None, "a"], dtype="category"))
    assert found.tolist() == [1, 2, 0]
    assert list(names) == ["a", "b", "nan"]


def test_x_is_no_layer():
    adata = ad.AnnData(np.eye(3, dtype=np.float32), layers={"counts": np.eye(3)})
    assert _keys.layers(adata) == ["counts"]
    assert _keys.layers(adata[:2]) == ["counts"]

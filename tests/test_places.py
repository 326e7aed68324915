"""Where a column of ``obs`` comes from: one rule, and a sentence wherever two places disagree."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import scssl as ssl
from scssl._validate import columns
from scssl._validate.places import disagreement, found, places
from scssl.data.calm import calm

N = 12


def part(cells, width, **obs):
    names = [f"c{i}" for i in cells]
    table = pd.DataFrame(obs, index=names)
    return ad.AnnData(np.ones((len(names), width), dtype=np.float32), obs=table)


def both(first, second):
    with calm():
        return md.MuData({"rna": first, "prot": second})


def mosaic(a, b):
    """Cells 0-7 with RNA, 4-11 with proteins."""
    return both(part(range(8), 3, batch=a), part(range(4, N), 2, batch=b))


def test_modalities_name_their_own_cells():
    data = mosaic(["x"] * 8, ["x"] * 4 + ["y"] * 4)
    assert list(found(data, "batch")) == ["x"] * 8 + ["y"] * 4
    assert list(disagreement(data, "batch", "batch_key")) == []
    assert list(columns.batch(data, "batch")) == []


def test_categories_are_put_together_and_whole_numbers_stay_whole():
    data = mosaic(pd.Categorical(["x"] * 8), pd.Categorical(["x"] * 4 + ["y"] * 4))
    assert list(found(data, "batch").cat.categories) == ["x", "y"]
    data = mosaic([1] * 8, [1] * 4 + [2] * 4)
    assert found(data, "batch").dtype == np.int64
    assert list(found(data, "rna:batch").astype(str)[:2]) == ["1", "1"]
    assert found(data, "rna:batch").isna().sum() == 4


def test_the_column_of_the_whole_object_counts_most():
    data = mosaic(["x"] * 8, ["x"] * 4 + ["y"] * 4)
    data.obs["batch"] = ["z"] * N
    assert set(found(data, "batch")) == {"z"}
    said = [problem.message for problem in disagreement(data, "batch", "batch_key")]
    assert len(said) == 2
    assert (
        "8 of 8 cells are named differently in obs['batch'] and mod['rna'].obs['batch'] (cell 'c0': 'z' and 'x')"
        in said[0]
    )
    assert said[0].endswith("obs['batch'] is used.")


def test_a_pulled_copy_does_not_win_over_its_source():
    data = mosaic(["x"] * 8, ["x"] * 4 + ["y"] * 4)
    data.obs["rna:batch"] = ["old"] * 8 + [None] * 4
    assert list(places(data, "batch")) == ["mod['rna'].obs['batch']", "mod['prot'].obs['batch']", "obs['rna:batch']"]
    assert "old" not in set(found(data, "batch")) | set(found(data, "rna:batch").dropna())
    assert [p.code for p in columns.batch(data, "batch")] == ["columns_disagree"]
    del data.mod["rna"].obs["batch"]  # the copy is all there is
    assert set(found(data, "rna:batch").dropna()) == {"old"}


def test_numbers_that_read_alike_do_not_disagree():
    data = mosaic([1] * 8, [1] * 4 + [2] * 4)
    data.obs["rna:batch"] = [1.0] * 8 + [np.nan] * 4
    assert list(disagreement(data, "batch", "batch_key")) == []


def test_a_cell_that_nobody_names_is_told_with_a_line_that_works_on_a_mudata():
    data = mosaic(["x"] * 8, ["x"] * 4 + ["y"] * 3 + [None])
    problem = next(columns.batch(data, "batch"))
    assert problem.code == "batch_missing_values"
    assert "1 of 12 cells have no value (first: 'c11')" in problem.message
    assert "mdata.obs['batch'] = ...; mdata = mdata[mdata.obs['batch'].notna()].copy()" in problem.fix


@pytest.mark.parametrize("word", ["nan", "None", "", "unknown", "NA", " nan "])
def test_groups_whose_name_says_that_there_is_none(word):
    adata = part(range(N), 3, donor=[word] * 4 + ["a"] * 4 + ["b"] * 4)
    for parameter in ("batch_key", "group_key", "by"):
        problem = next(columns.batch(adata, "donor", parameter=parameter))
        assert (problem.code, problem.parameter, problem.severity) == ("unnamed_batch", parameter, "warning")
        assert f"4 of 12 cells are called {word!r}" in problem.message


def test_another_byte_order_is_read():
    adata = part(range(N), 3, batch=np.repeat(np.array([1, 2], dtype=">i4"), 6))
    assert list(columns.batch(adata, "batch")) == []
    assert found(adata, "batch").astype(str).nunique() == 2


def test_fit_trains_with_the_corrected_batches():
    data = ssl.datasets.synthetic(60, {"rna": 30, "prot": 8}, n_types=2, n_batches=2, modalities=("rna", "prot"))
    ssl.pp.recipe(data, n_top_genes=None)
    for modality in data.mod.values():
        modality.obs["lane"] = np.repeat(["right", "left"], 30)
    data.obs["rna:lane"] = "old"
    with pytest.warns(ssl.ScsslWarning, match="30|60 of 60 cells are named differently"):
        model = ssl.tl.fit(data, "simclr", batch_key="lane", batch_norm="domain", max_epochs=1, batch_size=32)
    assert set(model.module.batches) == {"right", "left"}

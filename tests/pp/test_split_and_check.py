from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scssl as ssl
from scssl.pp._check import COLUMNS


def test_groups_stay_together(pbmc):
    ssl.pp.split(pbmc, by="batch", held_out="batch2")
    assert pbmc.obs["split"].cat.categories.tolist() == ["reference", "query"]
    np.testing.assert_array_equal(pbmc.obs["split"] == "query", pbmc.obs["batch"] == "batch2")
    ssl.pp.split(pbmc, by="batch", held_out=["batch1", "batch3"])
    np.testing.assert_array_equal(pbmc.obs["split"] == "reference", pbmc.obs["batch"] == "batch2")


def test_a_share_of_the_groups(synthetic):
    synthetic.obs["donor"] = [f"d{i % 10}" for i in range(200)]
    ssl.pp.split(synthetic, by="donor", fraction=0.3)
    held = synthetic.obs["donor"][synthetic.obs["split"] == "query"].unique()
    assert len(held) == 3
    assert synthetic.obs["split"].groupby(synthetic.obs["donor"]).nunique().max() == 1
    ssl.pp.split(synthetic, by="donor", fraction=0.01, key_added="least")
    assert len(set(synthetic.obs["donor"][synthetic.obs["least"] == "query"])) == 1
    ssl.pp.split(synthetic, by="donor", fraction=0.99, key_added="most")
    assert len(set(synthetic.obs["donor"][synthetic.obs["most"] == "reference"])) == 1


def test_single_cells_do_not_depend_on_the_order(synthetic):
    shuffled = synthetic[np.random.default_rng(0).permutation(200)].copy()
    for adata in (synthetic, shuffled):
        ssl.pp.split(adata, by=None, fraction=0.25, seed=3)
    assert (synthetic.obs["split"] == "query").sum() == 50
    pd.testing.assert_series_equal(synthetic.obs["split"], shuffled.obs["split"].loc[synthetic.obs_names])
    ssl.pp.split(shuffled, by=None, fraction=0.25, seed=4)
    assert (synthetic.obs["split"] != shuffled.obs["split"].loc[synthetic.obs_names]).any()


def test_only_one_column_is_written(synthetic, mudata, unchanged):
    for data in (synthetic, mudata):
        with unchanged(data):
            ssl.pp.split(data, by="batch", held_out="batch1")
            del data.obs["split"]


def test_a_split_may_be_made_anew_but_nothing_else_replaced(pbmc, unchanged):
    ssl.pp.split(pbmc, by="batch", held_out="batch2")
    ssl.pp.split(pbmc, by="batch", held_out="batch1")
    with unchanged(pbmc), pytest.raises(ssl.InputError, match="not written by scssl") as caught:
        ssl.pp.split(pbmc, by="batch", held_out="batch1", key_added="cell_type")
    assert caught.value.parameter == "key_added"


@pytest.mark.parametrize(
    ("options", "parameter", "says"),
    [
        ({"by": "batch"}, "held_out", "neither"),
        ({"by": "batch", "held_out": "batch1", "fraction": 0.5}, "held_out", "both"),
        ({"by": None, "held_out": "batch1"}, "by", "by=None"),
        ({"by": "batch", "held_out": "batch9"}, "held_out", "it has 'batch1', 'batch2'"),
        ({"by": "batch", "held_out": ["batch1", "batch2"]}, "held_out", "all of the 2 groups"),
        ({"by": "batch", "held_out": []}, "held_out", "none of the 2 groups"),
        ({"by": "batch", "fraction": 1.0}, "fraction", "fraction=1.0"),
        ({"by": "batch", "fraction": float("nan")}, "fraction", "fraction=nan"),
        ({"by": "donor", "fraction": 0.5}, "by", "'donor'"),
        ({"by": "n", "fraction": 0.5}, "by", "measurement"),
        ({"by": "holes", "fraction": 0.5}, "by", "3 of 200 cells have no value"),
        ({"by": "batch", "fraction": 0.5, "seed": -1}, "seed", "seed=-1"),
        ({"by": "batch", "fraction": 0.5, "key_added": "a/b"}, "key_added", "'/'"),
    ],
)
def test_bad_splits(synthetic, unchanged, options, parameter, says):
    synthetic.obs["n"] = np.linspace(0, 1, 200)
    synthetic.obs["holes"] = [None] * 3 + ["a", "b"] * 98 + ["a"]
    with unchanged(synthetic), pytest.raises(ssl.InputError) as caught:
        ssl.pp.split(synthetic, **options)
    assert caught.value.parameter == parameter
    assert says in caught.value.message


def test_check_finds_nothing_in_good_data(pbmc, synthetic, mudata):
    for data, method in ((pbmc, "simclr"), (synthetic, None), (mudata, None)):
        found = ssl.pp.check(data, method=method, batch_key="batch", label_key="cell_type")
        assert found.empty
        assert found.columns.tolist() == COLUMNS


def test_check_lists_everything_at_once(synthetic, unchanged):
    synthetic.obs_names = ["a", "a", *synthetic.obs_names[2:]]
    synthetic.var_names = ["g", "g", *synthetic.var_names[2:]]
    synthetic.X.data[0] = np.nan
    synthetic.obsm["X_simclr"] = np.zeros((200, 2))
    synthetic.obs["label"] = ["x"] * 199 + [None]
    with unchanged(synthetic):
        found = ssl.pp.check(synthetic, method="simclr", batch_key="btach", label_key="label", layer=None)
    assert set(found["code"]) == {
        "key_exists", "unknown_batch_key", "label_missing_values", "duplicated_obs_names", "duplicated_var_names",
        "not_finite_values",
    }  # fmt: skip
    assert (found["severity"] == "error").all()
    assert found["message"].str.len().min() > 20
    assert found.set_index("code").loc["unknown_batch_key", "fix"] == "Did you mean 'batch'?"


def test_check_puts_errors_first(synthetic):
    synthetic.obs["one"] = "a"
    found = ssl.pp.check(synthetic, method="simclr", batch_key="one")
    assert found["severity"].tolist() == ["error", "warning"]
    assert found["code"].tolist() == ["looks_like_counts", "single_batch"]


def test_check_of_an_unknown_method(synthetic):
    found = ssl.pp.check(synthetic, method="simclear")
    assert found.loc[0, "code"] == "unknown_method"
    assert "simclr" in found.loc[0, "fix"]


def test_check_of_mudata_names_the_modality(mudata):
    mudata["prot"].X.data[0] = np.inf
    found = ssl.pp.check(mudata)
    assert found.loc[0, "message"].startswith("Modality 'prot': X holds 0 missing (NaN) and 1 infinite")


def test_check_of_mudata_tells_of_missing_cells(mudata):
    import mudata as md

    from scssl.data.calm import calm

    with calm():
        data = md.MuData({"rna": mudata["rna"], "prot": mudata["prot"][:100].copy()})
    found = ssl.pp.check(data)
    assert found["code"].tolist() == ["cells_miss_modality"]
    assert "20 of 120 cells are not measured in modality 'prot'" in found.loc[0, "message"]


@pytest.mark.parametrize("thing", [np.zeros((3, 3)), pd.DataFrame({"a": [1]}), None, "x.h5ad"])
def test_check_of_something_else(thing):
    found = ssl.pp.check(thing)
    assert found["code"].tolist() == ["not_anndata"]
    assert ("read_h5ad" if isinstance(thing, str) else "anndata.AnnData(") in found.loc[0, "fix"]


def test_check_of_a_backed_object(synthetic, tmp_path):
    import anndata as ad

    synthetic.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    assert ssl.pp.check(backed, batch_key="batch").empty
    assert ssl.pp.check(backed, method="simclr")["code"].tolist() == ["looks_like_counts"]
    backed.file.close()
    found = ssl.pp.check(backed)
    assert found["code"].tolist() == ["closed_file"]
    assert "x.h5ad" in found.loc[0, "message"]

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

from scssl import InputError, _keys, _results
from scssl._results import Row


def example() -> pd.DataFrame:
    shared = {"data": "d", "data_id": "1", "task": "batch_correction", "metric": "ilisi", "group": "batch", "n_obs": 9}
    return _results.frame(
        [
            Row(**shared, method="random", key="random", value=0.2),
            Row(**shared, method="oracle", key="oracle", value=0.8),
            Row(**shared, method="pca", key="pca", value=0.5, main=True, fit_s=1.5),
            Row(**shared, method="simclr", key="simclr", seed=1, status="failed", message="not finite"),
        ]
    )


def test_frame_has_exactly_the_schema():
    table = example()
    assert tuple(table.columns) == _results.COLUMNS
    assert {c: str(t) for c, t in table.dtypes.items()} == _results.DTYPES
    assert len(_results.frame([])) == 0
    assert tuple(_results.frame([]).columns) == _results.COLUMNS


def test_csv_round_trip(tmp_path):
    table = example()
    table.to_csv(tmp_path / "scores.csv", index=False)
    pd.testing.assert_frame_equal(_results.read(tmp_path / "scores.csv"), table)


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_round_trip_in_a_file(tmp_path, ending):
    adata = ad.AnnData(np.zeros((2, 1), dtype=np.float32))
    _results.keep(adata, example())
    path = tmp_path / f"object.{ending}"
    getattr(adata, "write_h5ad" if ending == "h5ad" else "write_zarr")(path)
    back = (ad.read_h5ad if ending == "h5ad" else ad.read_zarr)(path)
    pd.testing.assert_frame_equal(_results.read(back), example())


@pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning")
def test_round_trip_in_h5mu(tmp_path):
    mdata = md.MuData({"rna": ad.AnnData(np.zeros((2, 1), dtype=np.float32))})
    _results.keep(mdata, example())
    mdata.write(tmp_path / "object.h5mu")
    pd.testing.assert_frame_equal(_results.read(md.read_h5mu(tmp_path / "object.h5mu")), example())


def test_a_new_row_replaces_the_row_about_the_same_number():
    old, new = example(), example()[lambda t: t["method"] == "pca"].assign(value=0.9)
    merged = _results.merge(old, new)
    assert len(merged) == len(old)
    assert merged.set_index("method")["value"]["pca"] == 0.9
    other_seed = _results.merge(old, new.assign(seed=5))
    assert len(other_seed) == len(old) + 1


def test_merge_with_nothing():
    empty = _results.frame([])
    pd.testing.assert_frame_equal(_results.merge(empty, example()), example())
    assert _results.merge(empty, empty).empty


def test_scale_places_values_between_the_controls():
    scaled = _results.scale(example()).set_index("method")["scaled"]
    assert scaled[["random", "oracle"]].tolist() == [0.0, 1.0]
    assert scaled["pca"] == pytest.approx(0.5)
    assert np.isnan(scaled["simclr"])


def test_scale_is_not_clipped_and_needs_controls_that_differ():
    table = example()
    table.loc[table["method"] == "pca", "value"] = 1.1
    assert _results.scale(table).set_index("method")["scaled"]["pca"] == pytest.approx(1.5)
    table.loc[table["method"] == "oracle", "value"] = 0.2
    assert _results.scale(table)["scaled"].isna().all()
    assert _results.scale(table[table["method"] != "random"])["scaled"].isna().all()


def test_scale_uses_the_controls_of_the_same_data_and_split():
    other = example().assign(data_id="2")
    other.loc[other["method"] == "random", "value"] = 0.4
    both = _results.scale(pd.concat([example(), other], ignore_index=True))
    pca = both[both["method"] == "pca"].set_index("data_id")["scaled"]
    assert pca["1"] == pytest.approx(0.5)
    assert pca["2"] == pytest.approx(0.25)


def test_what_is_not_a_table_of_scores_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown columns \['a'\].*missing columns \['method'"):
        _results.conform(pd.DataFrame({"a": [1]}))
    with pytest.raises(InputError, match="There is no file"):
        _results.read(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="cannot be read as a CSV"):
        _results.read(tmp_path / "empty.csv")
    with pytest.raises(InputError, match="not from a list"):
        _results.read([1, 2])
    with pytest.raises(InputError, match="no 'scores'") as caught:
        _results.read(ad.AnnData(np.zeros((2, 1), dtype=np.float32)))
    assert caught.value.code == "no_scores"


def test_reading_leaves_no_trace():
    adata = ad.AnnData(np.zeros((2, 1), dtype=np.float32))
    assert _results.stored(adata).empty
    assert _keys.UNS not in adata.uns


def test_text_of_a_csv_is_no_formula(tmp_path):
    rows = [
        _results.Row(data="=1+1", method="-x", key="'=q", task="a", metric="m", value=-0.5, message="@SUM(1)\n+b"),
        _results.Row(data="plain", method="'s", task="a", metric="m", value=1.0, message="+"),
    ]
    table = _results.frame(rows)
    (tmp_path / "scores.csv").write_text(_results.as_csv(table))
    raw = pd.read_csv(tmp_path / "scores.csv", dtype=str, keep_default_na=False)
    assert not any(str(cell).startswith(("=", "+", "@")) for cell in raw.to_numpy().ravel())
    assert list(raw["method"]) == ["'-x", "'s"]
    pd.testing.assert_frame_equal(_results.read(tmp_path / "scores.csv"), table)

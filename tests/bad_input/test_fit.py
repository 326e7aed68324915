"""The catalogue of bad input, through the front door: `tl.fit` refuses in words and leaves everything as it was.

Numbers in the ids are those of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scssl as ssl

if TYPE_CHECKING:
    from collections.abc import Callable

CELLS, GENES = 60, 30


@dataclass(frozen=True)
class Case:
    """One bad input: what is done to good data, how fit is called, and what the answer has to say."""

    id: str
    damage: Callable[[ad.AnnData], ad.AnnData | None]
    code: str
    parameter: str
    says: tuple[str, ...]
    fix: str = ""
    method: str = "pca"
    options: dict[str, Any] = field(default_factory=dict)
    kind: type[Exception] = ssl.InputError


def nothing(adata: ad.AnnData) -> None:
    """The data are fine, the arguments are not."""


def with_x(change: Callable[[np.ndarray], Any]) -> Callable[[ad.AnnData], ad.AnnData]:
    """The same object around another matrix, as AnnData takes it from a user."""

    def damage(adata: ad.AnnData) -> ad.AnnData:
        return ad.AnnData(
            change(adata.X.toarray()), obs=adata.obs, var=adata.var, layers={"counts": adata.layers["counts"]}
        )

    return damage


def put(value: float, row: int = 4, column: int = 7) -> Callable[[ad.AnnData], ad.AnnData]:
    def change(x: np.ndarray) -> sp.csr_matrix:
        x[row, column] = value
        return sp.csr_matrix(x)

    return with_x(change)


def obs(name: str, values: Any) -> Callable[[ad.AnnData], None]:
    def damage(adata: ad.AnnData) -> None:
        adata.obs[name] = values

    return damage


def var(name: str, values: Any) -> Callable[[ad.AnnData], None]:
    def damage(adata: ad.AnnData) -> None:
        adata.var[name] = values

    return damage


def names(slot: str, count: int) -> Callable[[ad.AnnData], None]:
    def damage(adata: ad.AnnData) -> None:
        index = list(getattr(adata, slot))
        index[1 : 1 + count] = [index[0]] * count
        setattr(adata, slot, index)

    return damage


def empty_rows(x: np.ndarray) -> sp.csr_matrix:
    x[[3, 9]] = 0
    return sp.csr_matrix(x)


def duplicated_column(adata: ad.AnnData) -> None:
    adata.obs["other"] = "a"
    adata.obs.columns = [*adata.obs.columns[:-1], "batch"]


def their_embedding(adata: ad.AnnData) -> None:
    adata.obsm["X_pca"] = np.ones((adata.n_obs, 2))


def reserved_column(adata: ad.AnnData) -> None:
    adata.obs["_index"] = "a"


def counts(adata: ad.AnnData) -> None:
    adata.X = adata.layers["counts"].copy()


def unlogged(x: np.ndarray) -> sp.csr_matrix:
    return sp.csr_matrix(np.expm1(x))


def holes(n: int) -> list[Any]:
    return [None] * n + ["a", "b"] * ((CELLS - n) // 2) + ["a"] * ((CELLS - n) % 2)


VALUES = [
    Case("A2 NaN", put(np.nan), "not_finite_values", "data", ("X holds 1 missing (NaN) and 0 infinite", "cell 'cell0000004', gene 'gene00007'"), "division"),
    Case("A3 inf", put(np.inf), "not_finite_values", "data", ("0 missing (NaN) and 1 infinite", "gene00007"), "drop those"),
    Case("A3 -inf dense", with_x(lambda x: np.where(np.arange(x.size).reshape(x.shape) == 65, -np.inf, x)), "not_finite_values", "data", ("1 infinite", "cell 'cell0000002', gene 'gene00005'"), "drop those"),
    Case("A5 counts", counts, "looks_like_counts", "data", ("whole numbers up to",), "ssl.pp.recipe(adata)"),
    Case("A5 counts in a layer", nothing, "looks_like_counts", "layer", ("layers['counts'] looks like counts",), "ssl.pp.recipe", options={"layer": "counts"}),
    Case("A5 not logged", with_x(unlogged), "looks_not_logged", "data", ("too large for logarithms",), "ssl.pp.recipe"),
    Case("A7 scaled", with_x(lambda x: (x - x.mean(0)) / x.std(0)), "negative_values", "data", ("negative values, down to -", "looks scaled"), "Pass log-normalised values"),
    Case("A8 all zero", with_x(np.zeros_like), "all_zero", "data", ("All 60 x 30 values of X are zero",), "Pass layer='counts'"),
    Case("A9 empty cells", with_x(empty_rows), "empty_cells", "data", ("2 of 60 cells", "'cell0000003', 'cell0000009'"), "sc.pp.filter_cells"),
    Case("A12 None", lambda a: ad.AnnData(None, obs=a.obs, var=a.var, layers={"counts": a.layers["counts"]}), "no_matrix", "layer", ("X is None; layers has 'counts'",), "Pass layer='counts'"),
    Case("A13 object", with_x(lambda x: x.astype(object)), "object_dtype", "data", ("Python objects",), "astype('float32')"),
    Case("A14 masked", with_x(lambda x: np.ma.masked_greater(x, 5)), "masked_array", "data", ("masked array with",), "filled(0)"),
    Case("A17 complex", with_x(lambda x: x.astype(np.complex64)), "unsuitable_dtype", "data", ("dtype complex64",), "real.astype"),
    Case("A28 layer", nothing, "unknown_layer", "layer", ("layer='cuonts'", "layers has 'counts'"), "'counts'", options={"layer": "cuonts"}, kind=ssl.KeyNotFoundError),
    Case("B46 identical cells", with_x(lambda x: np.tile(x[:1], (CELLS, 1))), "identical_cells", "data", ("All 60 cells have the same values",), "how the object was made"),
    Case("mask_by unknown", nothing, "unknown_mask_by", "mask_by", ("mask_by='hvg'", "highly_variable"), options={"mask_by": "hvg"}, kind=ssl.KeyNotFoundError),
    Case("mask_by marks none", var("highly_variable", False), "mask_empty", "mask_by", ("marks none of the 30 genes",), "mask_by=None"),
    Case("mask_by of numbers", var("score", np.linspace(0, 1, GENES)), "mask_not_boolean", "mask_by", ("dtype float64",), "True and False", options={"mask_by": "score"}),
]  # fmt: skip

SHAPES = [
    Case("B34 no cells", lambda a: a[:0].copy(), "no_cells", "data", ("0 cells and 30 genes",), "filter"),
    Case("B35 no genes", lambda a: a[:, :0].copy(), "no_genes", "data", ("60 cells and 0 genes",), "filter"),
    Case("B36 one cell", lambda a: a[:1].copy(), "too_few_cells", "data", ("1 cells and 30 genes", "at least 2"), "filter"),
    Case("B43 batch size 1", nothing, "out_of_range", "batch_size", ("batch_size=1 must be at least 2",), "at least 2", "simclr", {"batch_size": 1}),
    Case("B44 batch size 0", nothing, "out_of_range", "batch_size", ("batch_size=0",), "at least 2", "simclr", {"batch_size": 0}),
    Case("B44 batch size float", nothing, "wrong_type", "batch_size", ("batch_size=2.5 is of type float", "a whole number"), "", "simclr", {"batch_size": 2.5}),
    Case("B44 batch size text", nothing, "wrong_type", "batch_size", ("of type str",), "batch_size=64, without quotes", "simclr", {"batch_size": "64"}),
    Case("B47 no epochs", nothing, "out_of_range", "max_epochs", ("max_epochs=0 must be at least 1",), "at least 1", "simclr", {"max_epochs": 0}),
    Case("B47 negative epochs", nothing, "out_of_range", "max_epochs", ("max_epochs=-3",), "at least 1", "simclr", {"max_epochs": -3}),
]  # fmt: skip

NAMES = [
    Case("C49 obs_names", names("obs_names", 2), "duplicated_obs_names", "data", ("1 cell names occur more than once, in 3 of 60 places", "'cell0000000'"), "obs_names_make_unique"),
    Case("C50 var_names", names("var_names", 1), "duplicated_var_names", "data", ("1 gene names occur more than once, in 2 of 30 places", "'gene00000'"), "var_names_make_unique"),
    Case("C54 slash", nothing, "key_with_slash", "key_added", ("key_added='a/b'", "'/'"), "key_added='a_b'", options={"key_added": "a/b"}),
    Case("C55 empty", nothing, "key_empty", "key_added", ("key_added=''",), "key_added='simclr'", options={"key_added": ""}),
    Case("C55 spaces", nothing, "key_empty", "key_added", ("spaces around",), "key_added='mine'", options={"key_added": " mine"}),
    Case("C56 number", nothing, "key_not_text", "key_added", ("key_added=3 is of type int",), "key_added='3'", options={"key_added": 3}),
    Case("C57 _index", nothing, "key_reserved", "key_added", ("reserved by the file format",), "another name", options={"key_added": "_index"}),
    Case("C57 column _index", reserved_column, "reserved_column", "data", ("column '_index'",), "rename"),
    Case("C58 twice the same column", duplicated_column, "duplicated_obs_columns", "data", ("'batch'",), "duplicated()"),
    Case("G117 their embedding", their_embedding, "key_exists", "key_added", ("obsm['X_pca'] exists and was not written by scssl",), "key_added='ssl_pca'"),
    Case("G118 umap", nothing, "key_reserved", "key_added", ("obsm['X_umap']", "other packages"), "key_added='my_umap'", options={"key_added": "umap"}),
    Case("G118 prefix", nothing, "key_with_prefix", "key_added", ("obsm['X_X_simclr']",), "key_added='simclr'", options={"key_added": "X_simclr"}),
]  # fmt: skip

COLUMNS = [
    Case("D61 missing", nothing, "unknown_batch_key", "batch_key", ("batch_key='btach'", "'cell_type', 'batch'"), "Did you mean 'batch'?", options={"batch_key": "btach"}, kind=ssl.KeyNotFoundError),
    Case("D62 NaN", obs("b", holes(7)), "batch_missing_values", "batch_key", ("batch_key='b': 7 of 60 cells have no value", "'cell0000000'"), "notna()", options={"batch_key": "b"}),
    Case("D64 continuous", obs("b", np.linspace(0, 1, CELLS)), "batch_continuous", "batch_key", ("60 numbers from 0 to 1 in 60 cells",), "names groups", options={"batch_key": "b"}),
    Case("D64 counts of something", obs("b", np.arange(CELLS) // 2), "batch_continuous", "batch_key", ("30 numbers from 0 to 29",), "names groups", options={"batch_key": "b"}),
    Case("D70 as many as cells", obs("b", [f"x{i}" for i in range(CELLS)]), "batch_unique_per_cell", "batch_key", ("different in each of the 60 cells",), "names groups", options={"batch_key": "b"}),
    Case("D72 lists", obs("b", pd.Series([["a"]] * CELLS).to_numpy()), "batch_nested", "batch_key", ("list objects",), "text", options={"batch_key": "b"}),
    Case("D82 collide as text", obs("b", pd.Series([1, "1"] * (CELLS // 2), dtype=object).to_numpy()), "batch_values_collide", "batch_key", ("read the same: '1'",), "astype(str)", options={"batch_key": "b"}),
    Case("D61 not a name", nothing, "key_not_text", "batch_key", ("batch_key=['batch'] is of type list",), "one name", options={"batch_key": ["batch"]}),
]  # fmt: skip

PARAMETERS = [
    Case("G108 method", nothing, "unknown_method", "method", ("no method 'simclar'", "'vicreg'"), "'simclr'", "simclar", kind=ssl.KeyNotFoundError),
    Case("G109 keyword", nothing, "unknown_parameter", "temprature", ("no parameter 'temprature'", "'temperature'", "'width'"), "Did you mean 'temperature'?", "simclr", {"temprature": 0.1}),
    Case("G109 lr", nothing, "unknown_parameter", "lr", ("no parameter 'lr'", "'learning_rate'"), "Did you mean 'learning_rate'?", "simclr", {"lr": 0.1}, ssl.KeyNotFoundError),
    Case("G110 text for a number", nothing, "wrong_type", "temperature", ("temperature='0.1' is of type str, expected a number",), "temperature=0.1, without quotes", "simclr", {"temperature": "0.1"}),
    Case("G110 True for a number", nothing, "wrong_type", "width", ("width=True is of type bool, expected a whole number",), "", "simclr", {"width": True}),
    Case("G110 tuple", nothing, "wrong_type", "hidden", ("expected a tuple of whole numbers",), "", "simclr", {"hidden": (128, "64")}),
    Case("G111 learning rate NaN", nothing, "not_finite", "learning_rate", ("learning_rate=nan",), "greater than 0", "simclr", {"learning_rate": float("nan")}),
    Case("G111 learning rate inf", nothing, "not_finite", "learning_rate", ("learning_rate=inf",), "greater than 0", "simclr", {"learning_rate": float("inf")}),
    Case("G111 learning rate", nothing, "out_of_range", "learning_rate", ("learning_rate=-0.1 must be greater than 0",), "greater than 0", "simclr", {"learning_rate": -0.1}),
    Case("G111 temperature", nothing, "out_of_range", "temperature", ("temperature=0 must be greater than 0",), "greater than 0", "simclr", {"temperature": 0}),
    Case("G111 dropout", nothing, "out_of_range", "dropout", ("dropout=1.0 must be less than 1",), "at least 0 and less than 1", "simclr", {"dropout": 1.0}),
    Case("G112 view", nothing, "unknown_view", "views", ("'blur'",), "", "simclr", {"views": ["blur"]}, ssl.KeyNotFoundError),
    Case("G113 seed negative", nothing, "bad_seed", "seed", ("seed=-1",), "seed=0", options={"seed": -1}),
    Case("G113 seed float", nothing, "bad_seed", "seed", ("seed=1.5",), "seed=0", options={"seed": 1.5}),
    Case("G113 seed list", nothing, "bad_seed", "seed", ("seed=[0, 1]",), "seed=0", options={"seed": [0, 1]}),
    Case("G113 seed bool", nothing, "bad_seed", "seed", ("seed=True",), "seed=0", options={"seed": True}),
    Case("G113 seed None", nothing, "bad_seed", "seed", ("seed=None",), "seed=0", options={"seed": None}),
    Case("G115 resume from nowhere", nothing, "needs_checkpoint_dir", "checkpoint_dir", ("resume=True",), "checkpoint_dir=", "simclr", {"resume": True}),
    Case("within_batch without batches", nothing, "needs_batch_key", "batch_key", ("within_batch='mask'",), "batch_key=", "simclr", {"within_batch": "mask"}),
    Case("within_batch unknown", nothing, "bad_within_batch", "within_batch", ("'masks'", "'mask'", "'sample'"), "", "simclr", {"within_batch": "masks", "batch_key": "batch"}),
    Case("preset", nothing, "unknown_preset", "preset", ("'papre'", "'paper'"), "'paper'", "simclr", {"preset": "papre"}),
]  # fmt: skip

CASES = [*VALUES, *SHAPES, *NAMES, *COLUMNS, *PARAMETERS]


@pytest.fixture(scope="module")
def good() -> ad.AnnData:
    adata = ssl.datasets.synthetic(CELLS, GENES, n_types=3, n_batches=2)
    ssl.pp.recipe(adata)
    return adata


def damaged(case: Case, good: ad.AnnData) -> ad.AnnData:
    adata = good.copy()
    changed = case.damage(adata)
    return adata if changed is None else changed


def short(case: Case) -> dict[str, Any]:
    """Two epochs are enough, should a bad input be let through."""
    return {"max_epochs": 2, **case.options} if case.method not in ("pca",) else case.options


def test_the_data_are_good_before(good):
    for method in ("pca", "simclr"):
        ssl.tl.fit(good.copy(), method, batch_key="batch", **({"max_epochs": 1} if method == "simclr" else {}))
    assert ssl.pp.check(good, method="simclr", batch_key="batch", label_key="cell_type").empty


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_refused_in_words(case, good, unchanged):
    adata = damaged(case, good)
    with unchanged(adata), pytest.raises(case.kind) as caught:
        ssl.tl.fit(adata, case.method, **short(case))
    error = caught.value
    assert isinstance(error, ssl.InputError)
    assert error.code == case.code
    assert error.parameter == case.parameter
    for part in case.says:
        assert part in error.message
    assert case.fix in error.fix
    assert str(error).endswith("Nothing was changed.")
    assert "\n" not in str(error)


IN_THE_DATA = [
    c
    for c in (*VALUES, *SHAPES, *NAMES, *COLUMNS)
    if c.method == "pca" and not {"mask_by", "key_added"} & set(c.options)
]


@pytest.mark.parametrize("case", IN_THE_DATA, ids=lambda case: case.id)
def test_check_lists_the_same(case, good, unchanged):
    adata = damaged(case, good)
    with unchanged(adata):
        found = ssl.pp.check(adata, method="pca", **case.options).set_index("code")
    assert found.loc[case.code, "severity"] == "error"
    assert case.says[0] in found.loc[case.code, "message"]


def lone(adata: ad.AnnData) -> None:
    adata.obs["b"] = ["lone"] + ["a", "b"] * (CELLS // 2 - 1) + ["a"]


def silent_gene(x: np.ndarray) -> sp.csr_matrix:
    x[:, 4] = 0
    return sp.csr_matrix(x)


def one_gene_cells(adata: ad.AnnData) -> None:
    adata.var["highly_variable"] = [True] + [False] * (GENES - 1)


WARNED = [
    ("A10 empty genes", with_x(silent_gene), {}, "1 of 30 genes are zero in all cells"),
    ("cells without selected genes", one_gene_cells, {}, "cells have only zeros in the 1 selected genes"),
    ("C52 dates", lambda a: setattr(a, "var_names", ["1-Mar", "2-Sep", *a.var_names[2:]]), {}, "2 gene names were turned into dates"),
    ("C53 versions", lambda a: setattr(a, "var_names", [f"ENSG{i:011d}.3" for i in range(GENES)]), {}, "30 of 30 genes are Ensembl ids with a version"),
    ("C59 case", obs("b", ["pbmc", "PBMC "] * (CELLS // 2)), {"batch_key": "b"}, "differ only by case or spaces: 'pbmc', 'PBMC '"),
    ("D66 single batch", obs("b", "one"), {"batch_key": "b"}, "holds a single value, 'one'"),
    ("D67 batch of one cell", lone, {"batch_key": "b"}, "1 of 3 batches have one cell: 'lone'"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "options", "says"), [w[1:] for w in WARNED], ids=[w[0] for w in WARNED])
def test_accepted_with_a_warning_in_the_record(damage, options, says, good):
    adata = good.copy()
    changed = damage(adata)
    adata = adata if changed is None else changed
    with pytest.warns(ssl.ScsslWarning) as caught:
        ssl.tl.fit(adata, "pca", **options)
    ours = [w for w in caught if issubclass(w.category, ssl.ScsslWarning)]
    assert len({str(w.message) for w in ours}) == 1
    assert says in str(ours[0].message)
    assert ours[0].filename == __file__
    assert says in adata.uns["scssl"]["models"]["pca"]["warnings"]


@pytest.mark.parametrize(
    "values",
    [
        [0, 1] * (CELLS // 2),
        [True, False] * (CELLS // 2),
        np.repeat([1.0, 2.0, 3.0], CELLS // 3),
        pd.Categorical(["a", "b"] * (CELLS // 2), categories=["c", "b", "a"], ordered=True),
    ],
    ids=["D63 integers", "D65 booleans", "whole floats", "D69 ordered with an unused category"],
)
def test_other_kinds_of_batch_columns_are_fine(values, good):
    adata = good.copy()
    adata.obs["b"] = values
    model = ssl.tl.fit(adata, "simclr", batch_key="b", max_epochs=1)
    assert model.record["warnings"] == ""


def test_our_own_embedding_may_be_replaced(good):
    adata = good.copy()
    ssl.tl.fit(adata, "pca", width=3)
    ssl.tl.fit(adata, "pca", width=4)
    assert adata.obsm["X_pca"].shape == (CELLS, 4)


@pytest.mark.parametrize("value", [np.int64(32), np.int32(32)])
def test_numpy_scalars_are_numbers(value, good):
    model = ssl.tl.fit(good.copy(), "simclr", batch_size=value, max_epochs=1, temperature=1, dropout=np.float32(0.1))
    assert model.module.config.batch_size == 32


def test_closed_file(good, tmp_path, unchanged):
    good.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    backed.file.close()
    with unchanged(backed), pytest.raises(ssl.InputError, match="that file is closed") as caught:
        ssl.tl.fit(backed, "pca")
    assert caught.value.code == "closed_file"
    assert "backed='r'" in caught.value.fix

"""Checks by themselves: every way to store a matrix, every type of parameter, labels, paths, objects."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence  # noqa: TC003 - read at run time
from dataclasses import dataclass, field
from typing import Any, Literal

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scssl as ssl
from scssl._validate import (
    ERROR,
    WARNING,
    Problem,
    _scan,
    columns,
    config,
    enforce,
    matrix,
    names,
    objects,
    paths,
    sizes,
)
from scssl.data.calm import calm

DENSE = np.random.default_rng(0).poisson(0.5, (80, 20)).astype(np.float32)
DENSE[:, 0] += 1  # no empty cell


def codes(problems: Any) -> list[str]:
    return [problem.code for problem in problems]


def one(problems: Any) -> Problem:
    (problem,) = list(problems)
    return problem


STORED = {
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "csr_array": sp.csr_array,
    "csc_array": sp.csc_array,
    "dense": np.asarray,
    "fortran": np.asfortranarray,
}


def broken() -> np.ndarray:
    x = DENSE.copy()
    x[11, 3], x[40, 7], x[70, 19] = np.nan, np.inf, np.nan
    return x


@pytest.fixture(params=[*STORED, *(f"backed {k}" for k in ("csr", "csc", "dense")), "view", "layer"])
def stored(request, tmp_path, monkeypatch):
    """A function that stores a matrix in one of the ways, and reads it in small blocks."""
    monkeypatch.setattr(_scan, "BLOCK_VALUES", 140)
    opened = []

    def make(x: np.ndarray) -> tuple[ad.AnnData, str | None]:
        kind = request.param
        if kind == "view":
            return ad.AnnData(sp.csr_matrix(np.vstack([x, x])))[: len(x)], None
        if kind == "layer":
            return ad.AnnData(np.zeros_like(x), layers={"values": x}), "values"
        adata = ad.AnnData(STORED[kind.split()[-1]](x))
        if kind.startswith("backed"):
            path = tmp_path / f"{len(opened)}.h5ad"
            adata.write_h5ad(path)
            adata = ad.read_h5ad(path, backed="r")
            opened.append(adata)
        return adata, None

    yield make
    for adata in opened:
        adata.file.close()


def test_first_offender_and_count_however_it_is_stored(stored, unchanged):
    adata, layer = stored(broken())
    with unchanged(adata):
        problem = one(matrix.matrix(adata, layer=layer, expects="counts"))
    assert problem.code == "not_finite_values"
    assert "2 missing (NaN) and 1 infinite" in problem.message
    assert "cell '11', gene '3'" in problem.message


def test_negative_and_empty_however_it_is_stored(stored):
    x = DENSE.copy()
    x[33] = 0
    x[:, 5] = 0
    adata, layer = stored(x)
    found = {p.code: p for p in matrix.matrix(adata, layer=layer, expects="counts", genes=np.arange(20))}
    assert set(found) == {"empty_cells", "empty_genes"}
    assert "1 of 80 cells" in found["empty_cells"].message
    assert "'33'" in found["empty_cells"].message
    assert "1 of 20 genes" in found["empty_genes"].message
    assert "'5'" in found["empty_genes"].message
    assert found["empty_cells"].severity == ERROR
    assert codes(matrix.matrix(adata, layer=layer, expects="counts")) == ["empty_cells"]
    assert one(matrix.matrix(adata, layer=layer)).severity == WARNING
    x[2, 2], x[40, 3] = -1, -2.5
    adata, layer = stored(x)
    problem = next(matrix.matrix(adata, layer=layer, expects="counts"))
    assert problem.code == "negative_values"
    assert "2 negative values, down to -2.5" in problem.message


def test_explicit_zeros_are_zeros():
    x = sp.csr_matrix(DENSE)
    x.data[x.indptr[7] : x.indptr[8]] = 0
    assert codes(matrix.matrix(ad.AnnData(x), expects="counts")) == ["empty_cells"]


def test_scan_counts_what_numpy_counts(stored):
    adata, layer = stored(DENSE)
    used = np.arange(20) % 2 == 1
    found = _scan.scan(adata.X if layer is None else adata.layers[layer], used)
    np.testing.assert_array_equal(found.cells, DENSE.any(1))
    np.testing.assert_array_equal(found.cells_used, DENSE[:, used].any(1))
    np.testing.assert_array_equal(found.genes, DENSE.any(0))
    np.testing.assert_allclose(found.totals, DENSE.sum(1))
    assert (found.high, found.low, found.n_bad, found.fractions) == (DENSE.max(), 0.0, 0, 0.0)


def test_identical_cells_however_they_are_stored(stored):
    adata, layer = stored(np.tile(DENSE[:1], (80, 1)))
    assert codes(matrix.matrix(adata, layer=layer)) == ["identical_cells"]
    same_total = np.zeros((80, 20), dtype=np.float32)
    same_total[np.arange(80), np.arange(80) % 20] = 3
    adata, layer = stored(same_total)
    assert codes(matrix.matrix(adata, layer=layer)) == []


@pytest.mark.parametrize(
    ("x", "expects", "expected"),
    [
        (DENSE, "counts", []),
        (DENSE, None, []),
        (DENSE, "log1p", ["looks_like_counts"]),
        (np.log1p(DENSE), "log1p", []),
        (np.log1p(DENSE), "counts", ["looks_log_normalised"]),
        (DENSE * 1.5, "counts", ["looks_log_normalised"]),
        (DENSE * 99.37, "counts", ["fractional_counts"]),
        (DENSE * 99.37, "log1p", ["looks_not_logged"]),
        (np.where(DENSE == 1, 1.25, DENSE * 20), "counts", ["fractional_counts"]),
        (DENSE * 2**25, "counts", ["counts_not_exact"]),
        ((DENSE > 0).astype(np.float32), "log1p", []),
        (DENSE - 1, None, []),
        (DENSE.astype(bool), "counts", []),
        (DENSE.astype(np.uint16), "counts", []),
        (DENSE.astype(np.float16), "counts", ["float16"]),
    ],
)
def test_scales(x, expects, expected):
    assert codes(matrix.matrix(ad.AnnData(x), expects=expects)) == expected


def test_a_large_matrix_takes_little_time():
    x = sp.random(50_000, 2000, 0.05, format="csr", dtype=np.float32, random_state=np.random.default_rng(0))
    x.data = np.ceil(x.data * 5)
    for kind in (x, x.tocsc()):
        adata = ad.AnnData(kind)
        start = time.perf_counter()
        assert codes(matrix.matrix(adata, expects="counts")) == []
        assert time.perf_counter() - start < 2.0


def test_memory_stays_below_a_few_blocks():
    import tracemalloc

    x = sp.random(20_000, 2000, 0.02, format="csr", dtype=np.float32, random_state=np.random.default_rng(0))
    adata = ad.AnnData(x)
    tracemalloc.start()
    list(matrix.matrix(adata))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 2000 * 4 / 4  # a quarter of the dense matrix


# ------------------------------------------------------------------------------------------------------- parameters


@dataclass(frozen=True)
class Example:
    width: int = field(default=64, metadata={"at_least": 1})
    rate: float = field(default=0.1, metadata={"above": 0, "at_most": 1})
    hidden: tuple[int, ...] = field(default=(128,), metadata={"at_least": 1})
    pair: tuple[float, str] = (1.0, "a")
    patience: int | None = field(default=None, metadata={"at_least": 1})
    mode: Literal["mask", "sample", 3] = "mask"
    fusion: str = field(default="concat", metadata={"choices": ("concat", "mean")})
    names: Sequence[str] = ()
    table: dict[str, int] = field(default_factory=dict)
    flag: bool = False
    free: Any = None


GOOD = [
    {"width": 3}, {"width": np.int64(3)}, {"rate": 1}, {"rate": np.float32(0.5)}, {"hidden": (1, 2)}, {"hidden": [4]},
    {"hidden": ()}, {"pair": (1, "b")}, {"patience": None}, {"patience": 2}, {"mode": "sample"}, {"mode": 3},
    {"fusion": "mean"}, {"names": ["a"]}, {"table": {"a": 1}}, {"flag": np.True_}, {"free": Ellipsis}, {},
]  # fmt: skip


@pytest.mark.parametrize("values", GOOD, ids=repr)
def test_good_values_pass(values):
    assert codes(config.config(Example, values)) == []


@pytest.mark.parametrize(
    ("values", "code", "says"),
    [
        ({"widht": 3}, "unknown_parameter", "no parameter 'widht'"),
        ({"width": 3.0}, "wrong_type", "of type float, expected a whole number"),
        ({"width": None}, "wrong_type", "of type NoneType"),
        ({"width": True}, "wrong_type", "of type bool"),
        ({"rate": "0.5"}, "wrong_type", "expected a number"),
        ({"rate": 0}, "out_of_range", "rate=0 must be greater than 0"),
        ({"rate": 1.5}, "out_of_range", "must be at most 1"),
        ({"rate": float("nan")}, "not_finite", "is not finite"),
        ({"rate": -np.inf}, "not_finite", "is not finite"),
        ({"hidden": 128}, "wrong_type", "a tuple of whole numbers"),
        ({"hidden": (128, 0)}, "out_of_range", "must be at least 1"),
        ({"pair": (1.0, "a", "b")}, "wrong_type", "expected (a number, text)"),
        ({"patience": "2"}, "wrong_type", "a whole number or None"),
        ({"patience": 0}, "out_of_range", "at least 1"),
        ({"mode": "masks"}, "wrong_type", "one of 'mask', 'sample', 3"),
        ({"fusion": "cat"}, "unknown_choice", "not one of 'concat', 'mean'"),
        ({"names": "abc"}, "wrong_type", "a tuple of names"),
        ({"table": [1]}, "wrong_type", "of type list"),
        ({"flag": 1}, "wrong_type", "True or False"),
    ],
    ids=repr,
)
def test_bad_values_are_named(values, code, says):
    problem = one(config.config(Example, values))
    assert problem.code == code
    assert problem.parameter == next(iter(values))
    assert says in problem.message


def test_all_wrong_parameters_are_told_at_once():
    assert len(list(config.config(Example, {"width": 0, "rate": "x", "nothing": 1}))) == 3


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lr", "learning_rate"), ("LR", "learning_rate"), ("epochs", "max_epochs"), ("n_epochs", "max_epochs"),
        ("n_latent", "width"), ("latent_dim", "width"), ("bs", "batch_size"), ("wd", "weight_decay"),
        ("mask_ratio", "rate"), ("gene_likelihood", "output"), ("random_state", "seed"), ("device", "accelerator"),
    ],
)  # fmt: skip
def test_what_parameters_are_called_elsewhere_is_understood(word, meant):
    from scssl._registry import METHODS

    problem = one(config.config(METHODS.get("mae").Config, {word: 1}))
    assert (problem.code, problem.fix) == ("unknown_parameter", f"Did you mean {meant!r}?")


def test_synonyms_are_of_parameters_that_exist_and_mean_one_thing():
    import inspect

    from scssl._registry import METHODS

    fields = {name for method in METHODS for name in METHODS.get(method).Config.__dataclass_fields__}
    known = fields | set(inspect.signature(ssl.tl.fit).parameters)
    words = [word for others in config.SYNONYMS.values() for word in others]
    assert set(config.SYNONYMS) <= known
    assert set(config._ARGUMENTS) <= set(inspect.signature(ssl.tl.fit).parameters)
    assert len(words) == len(set(words))
    ours = {n for m in METHODS if not METHODS.describe(m).extra for n in METHODS.get(m).Config.__dataclass_fields__}
    assert not set(words) & (
        ours | set(inspect.signature(ssl.tl.fit).parameters)
    )  # other libraries have their own words
    # a method that has no such parameter is not said to have it
    assert "temperature" not in one(config.config(METHODS.get("pca").Config, {"tau": 1})).fix


def test_unknown_parameter_lists_all_and_the_nearest():
    problem = one(config.config(Example, {"hiden": 3}))
    assert all(repr(name) in problem.message for name in Example.__dataclass_fields__)
    assert problem.fix == "Did you mean 'hidden'?"
    assert isinstance(problem.error(), ssl.KeyNotFoundError)


def test_every_default_of_every_method_passes_its_own_check():
    from dataclasses import asdict

    from scssl._registry import METHODS

    for name in METHODS:
        kind = METHODS.get(name).Config
        values = {k: v for k, v in asdict(kind()).items() if k != "views"}
        assert codes(config.config(kind, values)) == [], name


@pytest.mark.parametrize("value", [0, 5, np.int64(7), 2**62])
def test_good_seeds(value):
    assert codes(config.seed(value)) == []


# ---------------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("values", "code", "severity", "says"),
    [
        ([None] * 3 + ["a", "b"] * 98 + ["a"], "label_missing_values", ERROR, "3 of 200 cells have no value"),
        ([f"c{i}" for i in range(200)], "label_unique_per_cell", ERROR, "different in each of the 200 cells"),
        (np.linspace(0, 1, 200), "label_continuous", ERROR, "200 numbers from 0 to 1"),
        (["a"] * 200, "single_label", WARNING, "single label, 'a'"),
        (["a", "Unknown"] * 100, "unlabelled_cells", WARNING, "100 of 200 cells are called 'Unknown'"),
        (["T cell", "t cell"] * 100, "label_values_alike", WARNING, "'T cell', 't cell'"),
    ],
)
def test_labels(synthetic, values, code, severity, says):
    synthetic.obs["label"] = values
    problem = one(columns.label(synthetic, "label"))
    assert (problem.code, problem.severity, problem.parameter) == (code, severity, "label_key")
    assert says in problem.message


def test_label_and_batch(synthetic):
    assert one(columns.label(synthetic, "batch", "batch")).code == "label_is_batch"
    synthetic.obs["same"] = synthetic.obs["batch"].astype(str) + " type"
    assert one(columns.label(synthetic, "same", "batch")).code == "label_confounded"
    assert codes(columns.label(synthetic, "cell_type", "batch")) == []
    assert one(columns.label(synthetic, "cell_typ")).fix == "Did you mean 'cell_type'?"


def test_columns_of_modalities_are_found(mudata):
    mudata["rna"].obs["donor"] = ["x", "y"] * 60
    assert codes(columns.batch(mudata, "donor")) == []
    problem = one(columns.batch(mudata, "doner"))
    assert "'rna:donor'" in problem.message
    assert "nor of a modality" in problem.message


# ------------------------------------------------------------------------------------------------- names and objects


def test_names_that_are_no_text():
    adata = ad.AnnData(DENSE)
    adata.obs.index = pd.RangeIndex(80)
    adata.var.index = pd.Index([None, *map(str, range(19))])
    assert codes(names.names(adata)) == ["obs_names_not_text", "missing_var_names"]


@pytest.mark.parametrize("key", ["simclr", "my-key.1", "Zellen ä"])
def test_good_keys(synthetic, key):
    assert codes(names.key_added(synthetic, key)) == []


def test_sizes():
    assert codes(sizes.sizes(ad.AnnData(DENSE[:5]), at_least=6)) == ["too_few_cells"]
    assert codes(sizes.sizes(ad.AnnData(DENSE[:0, :0]))) == ["no_cells", "no_genes"]
    assert codes(sizes.sizes(ad.AnnData(DENSE))) == []


def test_mudata_that_was_changed(mudata):
    mudata.mod["rna"].obs_names = [f"other{i}" for i in range(120)]
    assert one(objects.container(mudata)).code == "stale_mudata"
    assert "mdata.update()" in one(objects.container(mudata)).fix


def test_mudata_with_shared_names_and_other_axis(mudata):
    import mudata as md

    mudata["prot"].var_names = mudata["rna"].var_names[:5]
    problem = one(objects.overlap(mudata))
    assert problem.code == "shared_feature_names"
    assert "5 features" in problem.message
    with warnings.catch_warnings(), calm():
        warnings.simplefilter("ignore")
        other = md.MuData({"a": mudata["rna"].copy(), "b": mudata["rna"].copy()}, axis=1)
    assert one(objects.container(other)).code == "wrong_axis"


def test_paths(tmp_path):
    assert codes(paths.target(tmp_path / "new" / "deep" / "model")) == []
    assert codes(paths.target(tmp_path, overwrite=True)) == []
    assert codes(paths.target(tmp_path, overwrite=False)) == ["path_exists"]
    (tmp_path / "file").write_text("x")
    problem = one(paths.target(tmp_path / "file" / "model", parameter="checkpoint_dir"))
    assert (problem.code, problem.parameter) == ("not_a_folder", "checkpoint_dir")


def test_folder_that_may_not_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(paths.os, "access", lambda *_: False)  # root may write everywhere
    assert codes(paths.target(tmp_path / "x")) == ["not_writable"]


# ----------------------------------------------------------------------------------------------------------- enforce


def test_enforce_raises_the_first_error_and_then_gives_no_warning():
    problems = [
        Problem("a", "x", "A little.", severity=WARNING),
        Problem("b", "x", "Wrong."),
        Problem("c", "x", "Missing.", missing=True),
    ]
    with pytest.raises(ssl.InputError, match="Wrong") as caught:
        enforce(problems)
    assert not isinstance(caught.value, ssl.KeyNotFoundError)
    with pytest.raises(KeyError, match="Missing"):
        enforce(problems[2:])
    with pytest.warns(ssl.ScsslWarning, match="A little") as warned:
        assert enforce(problems[:1]) == ["A little."]
    assert warned[0].filename == __file__

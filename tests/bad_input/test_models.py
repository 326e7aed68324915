"""Bad input to what a trained model does: genes of other cells, values, labels, and models that cannot be trusted.

Every call refuses in words, and leaves the object and the process as they were. Numbers in the ids are those of the catalogue.
"""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scssl as ssl
from scssl import _files
from scssl.data.calm import calm
from scssl.models.saved import MANIFEST, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad

CELLS, GENES = 90, 30


@dataclass(frozen=True)
class Trained:
    """Models of the same cells, and those cells."""

    cells: ad.AnnData
    contrasted: ssl.Model
    masked: ssl.Model
    typed: ssl.Model
    folder: Path


@pytest.fixture(scope="module")
def good() -> ad.AnnData:
    adata = ssl.datasets.synthetic(CELLS, GENES, n_types=3, n_batches=2)
    adata.var_names = [f"GENE{i}" for i in range(GENES)]
    ssl.pp.recipe(adata, n_top_genes=None)
    return adata


@pytest.fixture(scope="module")
def made(good, tmp_path_factory) -> Trained:
    cells = good[:60].copy()
    quick: dict[str, Any] = {"max_epochs": 1, "batch_size": 32, "hidden": (8,), "width": 4}
    contrasted = ssl.tl.fit(cells.copy(), "simclr", **quick)
    masked = ssl.tl.fit(cells.copy(), "mae", **quick)
    typed = ssl.tl.finetune(cells.copy(), contrasted, label_key="cell_type", max_epochs=1)
    folder = tmp_path_factory.mktemp("models") / "typed"
    typed.save(folder)
    return Trained(cells, contrasted, masked, typed, folder)


@pytest.fixture
def query(good) -> ad.AnnData:
    return good[60:].copy()


def beside_proteins(data: Any) -> Any:
    """A reference as `impute` takes it: what the model embeds, and the proteins to be averaged."""
    if not hasattr(data, "obs_names"):
        return data
    proteins = anndata.AnnData(np.ones((data.n_obs, 2), dtype=np.float32), obs=data.obs[[]])
    proteins.var_names = ["p1", "p2"]
    with calm(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.MuData({"rna": data.copy(), "prot": proteins})


CALLS: dict[str, Callable[[Any, Trained], Any]] = {
    "embed": lambda data, made: ssl.tl.embed(data, made.contrasted),
    "Model.embed": lambda data, made: made.contrasted.embed(data),
    "Model.classify": lambda data, made: made.typed.classify(data),
    "finetune": lambda data, made: ssl.tl.finetune(data, made.contrasted, label_key="cell_type", max_epochs=1),
    "annotate": lambda data, made: ssl.tl.annotate(data, classifier="head", model=made.typed),
    "annotate, reference": lambda data, made: ssl.tl.annotate(
        made.cells.copy(), classifier="head", model=made.contrasted, reference=data, label_key="cell_type"
    ),
    "impute": lambda data, made: ssl.tl.impute(
        data, made.contrasted, modality="prot", reference=beside_proteins(made.cells)
    ),
    "impute, reference": lambda data, made: ssl.tl.impute(
        made.cells.copy(), made.contrasted, modality="prot", reference=beside_proteins(data)
    ),
    "reconstruct": lambda data, made: ssl.tl.reconstruct(data, made.masked),
}
every_call = pytest.mark.parametrize("call", CALLS)


def refused(
    call: str, data: Any, made: Trained, unchanged: Any, kind: type[Exception] = ssl.InputError
) -> ssl.ScsslError:
    """The error of a call, which ends as all do, says it in one line, and has changed nothing."""
    with unchanged(data), pytest.raises(kind) as caught:
        CALLS[call](data, made)
    error = caught.value
    assert isinstance(error, ssl.ScsslError)
    assert str(error).endswith("Nothing was changed.")
    assert "\n" not in str(error)
    assert error.fix
    return error


# genes: F96 to F101, C50


def renamed(new: Callable[[int], str]) -> Callable[[ad.AnnData], ad.AnnData]:
    def change(adata: ad.AnnData) -> ad.AnnData:
        adata.var_names = [new(i) for i in range(adata.n_vars)]
        return adata

    return change


GENE_CASES = {
    "F96 too few": (lambda a: a[:, :20].copy(), "too_few_genes", ("Only 20 of the 30 genes", "66.7%", "at least 80%"), "all measured genes"),
    "F99 none": (renamed(lambda i: f"x{i}"), "too_few_genes", ("Only 0 of the 30 genes", "'GENE0'", "'x0'"), "model.features"),
    "F100 Ensembl ids": (renamed(lambda i: f"ENSG{i:011d}"), "too_few_genes", ("The query has Ensembl ids, the model human gene symbols",), "adata.var_names = adata.var['gene_ids']"),
    "F100 mouse": (renamed(lambda i: f"Gene{i}"), "too_few_genes", ("30 match if upper and lower case are not told apart",), "orthologs"),
    "F101 as many others": (renamed(lambda i: f"GENE{i + 15}"), "too_few_genes", ("Only 15 of the 30 genes",), "all measured genes"),
    "C50 twice": (renamed(lambda i: f"GENE{max(i, 1)}"), "duplicated_var_names", ("in 2 of 30 places", "'GENE1'"), "var_names_make_unique"),
}  # fmt: skip


@every_call
@pytest.mark.parametrize("case", GENE_CASES)
def test_genes_that_do_not_fit_are_refused(call, case, query, made, unchanged):
    change, code, says, fix = GENE_CASES[case]
    error = refused(call, change(query), made, unchanged)
    assert error.code == code
    assert all(words in error.message for words in says), error.message
    assert fix in error.fix


def reordered(adata: ad.AnnData) -> ad.AnnData:
    return adata[:, np.random.default_rng(0).permutation(adata.n_vars)].copy()


def with_more(adata: ad.AnnData) -> ad.AnnData:
    import anndata as ad

    more = adata[:, :7].copy()
    more.var_names = [f"OTHER{i}" for i in range(7)]
    return ad.concat([more, adata], axis=1, merge="same")


@pytest.mark.parametrize("change", [reordered, with_more])
def test_f97_f98_other_order_and_more_genes_are_the_same_cells(change, query, made):
    other = change(query.copy())
    np.testing.assert_allclose(made.contrasted.embed(other), made.contrasted.embed(query), atol=1e-5)
    for a, b in zip(made.typed.classify(other), made.typed.classify(query), strict=True):
        np.testing.assert_array_equal(a, b) if a.dtype.kind in "UO" else np.testing.assert_allclose(a, b, atol=1e-5)
    for data in (query, other):
        ssl.tl.reconstruct(data, made.masked)
    shared = other[:, query.var_names].layers["mae_reconstructed"]
    np.testing.assert_allclose(shared, query.layers["mae_reconstructed"], atol=1e-5)
    tuned = [ssl.tl.finetune(d.copy(), made.contrasted, label_key="cell_type", max_epochs=2) for d in (query, other)]
    np.testing.assert_allclose(tuned[0].classify(query)[1], tuned[1].classify(query)[1], atol=1e-4)


@pytest.mark.parametrize("call", [name for name in CALLS if "impute" not in name])
def test_f96_a_few_missing_genes_are_counted(call, query, made):
    with pytest.warns(ssl.ScsslWarning, match=r"27 of 30 genes of the model were found \(90\.0%\); the 3 missing ones"):
        CALLS[call](query[:, :27].copy(), made)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed(lambda i: f"x{i}"), "init knows only 0 of the 30 features of 'rna' (0.0%, at least 20% are needed)"),
        (renamed(lambda i: f"ENSG{i:011d}"), "The data have Ensembl ids, init has human gene symbols"),
        (renamed(lambda i: f"GENE{max(i, 1)}"), "1 gene names occur more than once"),
    ],
)
def test_genes_that_a_start_does_not_know_are_refused(change, words, query, made, unchanged):
    adata = change(query)
    with unchanged(adata), pytest.raises(ssl.InputError) as caught:
        ssl.tl.fit(adata, "simclr", init=made.contrasted, max_epochs=1, hidden=(8,), width=4)
    assert words in caught.value.message
    assert caught.value.fix


# values


def value_at(value: float) -> Callable[[ad.AnnData], ad.AnnData]:
    def change(adata: ad.AnnData) -> ad.AnnData:
        x = adata.X.toarray()
        x[3, 4] = value
        adata.X = sp.csr_matrix(x)
        return adata

    return change


def counts(adata: ad.AnnData) -> ad.AnnData:
    adata.X = adata.layers["counts"].copy()
    return adata


def without_a_cell(adata: ad.AnnData) -> ad.AnnData:
    x = adata.X.toarray()
    x[3] = 0
    adata.X = sp.csr_matrix(x)
    return adata


VALUE_CASES = {
    "A2 NaN": (value_at(np.nan), "not_finite_values", "1 missing (NaN)"),
    "A1 negative": (value_at(-2), "negative_values", "1 negative values, down to -2"),
    "F102 counts": (counts, "looks_like_counts", "whole numbers up to"),
    "A9 empty cell": (without_a_cell, "empty_cells", "1 of 30 cells"),
    "B34 no cells": (lambda a: a[:0].copy(), "no_cells", "0 cells"),
    "F103 layer": (lambda a: a, "unknown_layer", "layer='nowhere'"),
}


@every_call
@pytest.mark.parametrize("case", VALUE_CASES)
def test_values_that_cannot_be_used_are_refused(call, case, query, made, unchanged):
    change, code, words = VALUE_CASES[case]
    adata = change(query)
    if case.startswith("F103"):
        for model in (made.contrasted, made.typed, made.masked):
            model.record["layer"] = "nowhere"
    if case.startswith("B34") and call in ("finetune", "annotate, reference"):
        code, words = "single_label", "no cell has a label"
    try:
        error = refused(call, adata, made, unchanged)
    finally:
        for model in (made.contrasted, made.typed, made.masked):
            model.record["layer"] = ""
    assert error.code == code
    assert words in error.message


NO_CELLS = {"path": "cells.h5ad", "number": 3, "array": np.ones((3, 3)), "None": None}


@pytest.mark.parametrize(
    ("call", "what"), [(c, w) for c in CALLS for w in NO_CELLS if not (c.endswith("reference") and w == "None")]
)
def test_what_are_no_cells_is_refused(call, what, made):
    data = NO_CELLS[what]
    with pytest.raises(ssl.InputError) as caught:
        CALLS[call](data, made)
    assert caught.value.code in ("not_anndata", "no_file")
    assert caught.value.fix


@pytest.mark.parametrize("model", [3, None, np.ones(3)], ids=["number", "None", "array"])
def test_what_is_no_model_is_refused(model, query, unchanged):
    calls = [
        lambda: ssl.tl.embed(query, model),
        lambda: ssl.tl.finetune(query, model, label_key="cell_type"),
        lambda: ssl.tl.annotate(query, classifier="head", model=model),
        lambda: ssl.tl.impute(query, model, modality="prot"),
        lambda: ssl.tl.reconstruct(query, model),
        lambda: ssl.load(model),
        lambda: ssl.load_pretrained(model),
    ]
    for call in calls:
        with unchanged(query), pytest.raises(ssl.InputError) as caught:
            call()
        assert caught.value.code in ("bad_type", "needs_model")


# labels: D72 to D78, D82


def column(values: Any) -> Callable[[ad.AnnData], None]:
    def change(adata: ad.AnnData) -> None:
        adata.obs["cell_type"] = values

    return change


SOME = [None] * 5 + ["a", "b"] * 12 + ["a"]
LABEL_CASES = {  # code by a model, code by neighbours
    "D75 one label": ("a", "single_label", ""),
    "D74 no label": (pd.Series([None] * 30, dtype=object).to_numpy(), "single_label", "label_missing_values"),
    "D74 some without": (pd.Series(SOME, dtype=object).to_numpy(), "", "label_missing_values"),
    "D74 unknown": (["unknown"] * 5 + ["a", "b"] * 12 + ["a"], "", ""),
    "continuous": (np.linspace(0, 1, 30), "label_continuous", "label_continuous"),
    "D78 each its own": ([f"n{i}" for i in range(30)], "label_unique_per_cell", "label_unique_per_cell"),
    "D72 lists": (pd.Series([["a"]] * 30).to_numpy(), "label_nested", "label_nested"),
    "D82 collide": (pd.Series([1, "1"] * 15, dtype=object).to_numpy(), "label_values_collide", "label_values_collide"),
}


def neighbours(query: ad.AnnData, reference: ad.AnnData, made: Trained) -> None:
    for data in (query, reference):
        ssl.tl.embed(data, made.contrasted)
    ssl.tl.annotate(query, reference=reference, use_rep="X_simclr", label_key="cell_type", k=3)


@pytest.mark.filterwarnings("ignore::scssl._errors.ScsslWarning")
@pytest.mark.parametrize("case", LABEL_CASES)
def test_labels_that_teach_nothing_are_refused(case, query, made, unchanged):
    values, by_model, by_neighbours = LABEL_CASES[case]
    column(values)(query)
    cells = made.cells.copy()
    teach = {
        "finetune": lambda: ssl.tl.finetune(query.copy(), made.contrasted, label_key="cell_type", max_epochs=1),
        "head": lambda: ssl.tl.annotate(
            cells, classifier="head", model=made.contrasted, reference=query, label_key="cell_type"
        ),
    }
    for call in teach.values():
        if not by_model:
            call()
            continue
        with unchanged(query), unchanged(cells), pytest.raises(ssl.InputError) as caught:
            call()
        assert (caught.value.code, caught.value.parameter) == (by_model, "label_key")
    if not by_neighbours:
        neighbours(cells, query, made)
        return
    with pytest.raises(ssl.InputError) as caught:
        neighbours(cells, query, made)
    assert (caught.value.code, caught.value.parameter) == (by_neighbours, "label_key")
    assert not [name for name in cells.obs if name.endswith("_label") and name.startswith("simclr_e")]


def test_d74_cells_without_a_label_teach_nothing(query, made):
    """NaN and "unknown" are no class, and are counted."""
    for missing in (None, "Unknown", np.nan):
        labels = query.obs["cell_type"].astype(object)
        labels.iloc[:4] = missing
        adata = query.copy()
        adata.obs["cell_type"] = labels
        with pytest.warns(ssl.ScsslWarning, match="4 of 30 cells have no label"):
            tuned = ssl.tl.finetune(adata, made.contrasted, label_key="cell_type", max_epochs=1)
        assert set(tuned.classes) <= {"type1", "type2", "type3"}
        assert tuned.record["n_obs"] == 26


def test_f105_a_label_that_only_the_query_has_is_never_given(query, made):
    """The labels of the query are not looked at, whatever they are."""
    expected = made.typed.classify(query)[0]
    for values in ("martian", None, [f"n{i}" for i in range(30)]):
        adata = query.copy()
        adata.obs["cell_type"] = values
        ssl.tl.annotate(adata, classifier="head", model=made.typed)
        assert list(adata.obs["simclr_label"]) == list(expected)
        assert set(adata.obs["simclr_label"]) <= set(made.typed.classes)


def test_an_embedding_beside_a_model_is_refused(query, made, unchanged):
    with unchanged(query), pytest.raises(ssl.InputError, match="use_rep='X_pca' is not looked at") as caught:
        ssl.tl.annotate(query, classifier="head", model=made.typed, use_rep="X_pca")
    assert caught.value.code == "use_rep_with_head"


# saved models: J144 to J150, G120


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str, str]] = {
    "J147 another method": (lambda m: {"method": "vicreg"}, "damaged_model", "'vicreg', and 'simclr' in the record"),
    "J148 newer": (lambda m: {"format": 2}, "unknown_format", "model format 2"),
    "J149 older": (lambda m: {"format": 0}, "unknown_format", "model format 0"),
    "format as text": (lambda m: {"format": "1"}, "unknown_format", "model format '1'"),
    "method of nobody": (lambda m: {"method": "scgpt", "record": m["record"] | {"method": "scgpt"}}, "unknown_model", "no method 'scgpt'"),
    "G120 field of another version": (lambda m: {"config": m["config"] | {"old": 1}}, "unknown_model", "no parameter 'old'"),
    "value out of range": (lambda m: {"config": m["config"] | {"temperature": -1}}, "unknown_model", "temperature=-1"),
    "config no dictionary": (lambda m: {"config": [1]}, "damaged_model", "config is of type list, expected dict"),
    "J150 genes in another order": (lambda m: {"features": {"rna": m["features"]["rna"][::-1]}}, "damaged_model", "names or order of the features"),
    "J150 a gene less": (lambda m: {"features": {"rna": m["features"]["rna"][:-1]}}, "damaged_model", "names or order of the features"),
    "a gene twice": (lambda m: {"features": {"rna": [*m["features"]["rna"][:-1], "GENE0"]}}, "damaged_model", "features of 'rna' hold 1 names twice"),
    "genes no list": (lambda m: {"features": {"rna": None}}, "damaged_model", "features of 'rna' are no list of names"),
    "features no dictionary": (lambda m: {"features": [1]}, "damaged_model", "features is of type list"),
    "no record": (lambda m: {"record": {}}, "damaged_model", "the record lacks method, preset"),
    "record no dictionary": (lambda m: {"record": []}, "damaged_model", "record is of type list"),
    "history uneven": (lambda m: {"history": {"a": [1], "b": [1, 2]}}, "damaged_model", "columns of the history"),
    "classes no list": (lambda m: {"classes": 3}, "damaged_model", "classes is of type int"),
    "a class twice": (lambda m: {"classes": ["type0", "type0", "type1"]}, "damaged_model", "classes hold 1 names twice"),
    "a class more": (lambda m: {"classes": ["a", "b", "c", "d"]}, "damaged_model", "does not fit the method"),
    "J145 another hash": (lambda m: {"files": {WEIGHTS: m["files"][WEIGHTS] | {"sha256": "0" * 64}}}, "damaged_model", "its SHA-256 is not the one"),
    "J144 another size": (lambda m: {"files": {WEIGHTS: m["files"][WEIGHTS] | {"bytes": 9}}}, "damaged_model", "its manifest says 9"),
    "no hash": (lambda m: {"files": {WEIGHTS: {"bytes": 9}}}, "damaged_model", "with size and SHA-256"),
    "J152 a file outside": (lambda m: {"files": m["files"] | {"../../outside": m["files"][WEIGHTS]}}, "damaged_model", "has no ../../outside"),
    "files no dictionary": (lambda m: {"files": []}, "damaged_model", "files is of type list"),
}  # fmt: skip


@pytest.mark.parametrize("case", MANIFESTS)
def test_manifests_that_cannot_be_trusted_are_refused(case, made, tmp_path, query, unchanged):
    change, code, words = MANIFESTS[case]
    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    manifest = manifest_of(folder)
    (folder / MANIFEST).write_text(json.dumps(manifest | change(manifest)), encoding="utf-8")
    for call in (lambda: ssl.load(folder), lambda: ssl.tl.embed(query, folder)):
        with unchanged(query), pytest.raises(ssl.CheckpointError) as caught:
            call()
        assert (caught.value.code, caught.value.parameter) == (code, "path")
        assert words in caught.value.message
        assert caught.value.fix
        assert "\n" not in str(caught.value)


def test_every_truncation_of_a_manifest_is_refused(made, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    whole = (folder / MANIFEST).read_bytes()
    for n in range(0, len(whole) - 1, 97):
        (folder / MANIFEST).write_bytes(whole[:n])
        with pytest.raises(ssl.CheckpointError):
            ssl.load(folder)
    (folder / MANIFEST).write_bytes(b"\xff\xfe")
    with pytest.raises(ssl.CheckpointError, match="UnicodeDecodeError"):
        ssl.load(folder)


def test_weights_that_end_early_are_refused_even_with_the_right_hash(made, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    whole, manifest = (folder / WEIGHTS).read_bytes(), manifest_of(folder)
    for n in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        (folder / WEIGHTS).write_bytes(whole[:n])
        files = {WEIGHTS: {"bytes": n, "sha256": _files.sha256(folder / WEIGHTS)}}
        (folder / MANIFEST).write_text(json.dumps(manifest | {"files": files}), encoding="utf-8")
        with pytest.raises(ssl.CheckpointError, match="does not fit the method"):
            ssl.load(folder)


def test_what_is_no_folder_of_a_model_is_refused(made, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "odd" / MANIFEST).mkdir(parents=True)
    cases = [
        (made.folder / MANIFEST, "it is a file"),
        (made.folder / WEIGHTS, "it is a file"),
        (tmp_path / "folder", f"it has no {MANIFEST}"),
        (tmp_path / "odd", f"it has no {MANIFEST}"),
        (tmp_path / "nowhere", "there is no such folder"),
        (tmp_path / "model.ckpt", "looks like a pickle"),
    ]
    for path, words in cases:
        with pytest.raises(ssl.CheckpointError) as caught:
            ssl.load(path)
        assert words in caught.value.message

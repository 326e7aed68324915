"""What every method has to do, run over the registry: a method that lands without keeping this does not merge.

A test that not every method can pass chooses by what the description of a method says, never by its name. It runs over the
methods of ``fixtures.py`` too, which are of kinds that the registry does not have yet.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import contract_fixtures
import numpy as np
import pytest
import scipy.sparse as sp

import scssl as ssl
from scssl._errors import InputError
from scssl._extras import missing
from scssl._registry import METHODS
from scssl.methods._trained import Trained
from scssl.models.answers import decoded

SPECS = {name: METHODS.describe(name) for name in METHODS} | contract_fixtures.SPECS
N, GENES = 90, 60


def against(spec) -> str:
    """Why a method is not tried on RNA alone: a library that is not installed, modalities that it needs."""
    absent = missing(spec.extra)
    if absent:
        return f"not installed: {', '.join(absent)}"
    several = "modalities" in spec.needs or (spec.kinds and ("rna",) not in spec.kinds)
    return "takes other modalities: tests/contracts/test_real_data.py" if several else ""


def those(**wanted) -> list:
    """Names of the methods whose description has these values; those that cannot be tried here are skipped with a reason."""
    found = [spec for spec in SPECS.values() if all(getattr(spec, key) == value for key, value in wanted.items())]
    skips = {spec.name: [pytest.mark.skip(reason=why)] for spec in found if (why := against(spec))}
    return [pytest.param(spec.name, marks=skips.get(spec.name, [])) for spec in found]


ALL = those()
TRAINED = those(trains=True)
INDUCTIVE = those(inductive=True)


def rounding(name):
    """How far sums in another order may differ: more where layers of 512 are added up."""
    tolerance = 5e-6 if SPECS[name].decodes and SPECS[name].trains else 1e-6
    return {"rtol": tolerance, "atol": tolerance}


def quick(name: str) -> dict:
    spec = SPECS[name]
    labels = {"label_key": "cell_type"} if "labels" in spec.needs else {}
    return labels | ({"max_epochs": 2, "batch_size": 32} if spec.trains else {})


def any_kind(name: str, *modalities: str) -> bool:
    """Whether a method takes this combination of modalities."""
    return not SPECS[name].kinds or modalities in SPECS[name].kinds


def read(adata: ad.AnnData, name: str):
    """The matrix that a method reads."""
    return adata.layers["counts"] if SPECS[name].values == "counts" else adata.X


def put(adata: ad.AnnData, name: str, matrix) -> None:
    """Another matrix in its place."""
    if SPECS[name].values == "counts":
        adata.layers["counts"] = matrix
    else:
        adata.X = matrix


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    adata = ssl.datasets.synthetic(n_obs=N, n_vars=GENES, n_types=3, n_batches=2, seed=0)
    adata = adata[:, np.asarray(adata.X.sum(axis=0)).ravel() > 0].copy()
    ssl.pp.recipe(adata)
    return adata


@pytest.fixture(scope="module")
def trained(cells):
    """A model of every method, trained once."""
    models = {}
    for name, spec in SPECS.items():
        if not against(spec):
            adata = cells.copy()
            model = ssl.tl.fit(adata, name, batch_key="batch", **quick(name))
            models[name] = SimpleNamespace(model=model, adata=adata)
    return models


@pytest.mark.parametrize("name", ALL)
def test_writes_what_it_declares(name, trained, cells, unchanged):
    made = trained[name].adata
    embedding = made.obsm[f"X_{name}"]
    assert embedding.dtype == np.float32
    assert embedding.flags.c_contiguous
    assert embedding.shape == (N, trained[name].model.n_dims)
    assert np.isfinite(embedding).all()
    record = made.uns["scssl"]["models"][name]
    assert record["method"] == name
    assert record["n_obs"] == N
    assert record["seed"] == 0
    rest = made.copy()
    del rest.obsm[f"X_{name}"]
    del rest.uns["scssl"]["models"], rest.uns["scssl"]["sketches"]
    reference = cells.copy()
    with unchanged(rest) as check:
        check.against(reference)


@pytest.mark.parametrize("name", TRAINED)
def test_loss_falls(name, cells):
    adata = cells.copy()
    model = ssl.tl.fit(adata, name, batch_key="batch", **quick(name) | {"max_epochs": 20, "batch_size": 45})
    loss = model.history["loss"]
    assert loss.tail(4).mean() < loss.head(4).mean()
    watched = {"epoch", "loss"}
    if isinstance(model.module, Trained):
        watched |= {"seconds", "effective_rank", "spread"}
        views = type(model.module).compared is not Trained.compared
        watched |= {"positive_similarity", "negative_similarity"} if views else set()
    assert set(model.history) >= watched
    assert not model.record["collapsed"]


@pytest.mark.parametrize("name", ALL)
def test_gives_what_it_says(name, trained, cells):
    spec, model = SPECS[name], trained[name].model
    assert len(model.history) == (quick(name)["max_epochs"] if "history" in spec.gives else 0)
    if "values" in spec.gives:
        made = decoded(model, cells)
        assert {part: values.shape for part, values in made.items()} == {"rna": (N, len(model.features["rna"]))}
        assert made["rna"].dtype == np.float32
    else:
        with pytest.raises(InputError, match="does not reconstruct its input") as caught:
            decoded(model, cells)
        assert caught.value.code == "cannot_decode"
    assert model.record["values"] == spec.values


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_bits(name, trained, cells):
    again = ssl.tl.fit(cells.copy(), name, batch_key="batch", **quick(name))
    np.testing.assert_array_equal(again.embed(cells), trained[name].model.embed(cells))


@pytest.mark.parametrize("name", [n for n in ALL if SPECS[n.values[0]].family != "baseline"])
def test_other_seed_other_bits(name, trained, cells):
    other = ssl.tl.fit(cells.copy(), name, batch_key="batch", seed=1, **quick(name))
    assert not np.array_equal(other.embed(cells), trained[name].model.embed(cells))


@pytest.mark.parametrize("name", INDUCTIVE)
def test_embedding_of_a_cell_depends_on_this_cell_alone(name, trained, cells):
    model = trained[name].model
    whole = model.embed(cells)
    order = np.random.default_rng(0).permutation(N)
    np.testing.assert_allclose(model.embed(cells[order].copy()), whole[order], **rounding(name))
    np.testing.assert_allclose(model.embed(cells[:7].copy()), whole[:7], **rounding(name))
    for batch_size in (1, 7, 256):
        np.testing.assert_allclose(model.embed(cells, batch_size=batch_size), whole, **rounding(name))
    np.testing.assert_array_equal(model.embed(cells), whole)


@pytest.mark.parametrize("name", those(inductive=False))
def test_places_the_cells_it_was_fitted_to_and_no_others(name, trained, cells):
    model = trained[name].model
    for batch_size in (None, 7):
        np.testing.assert_array_equal(model.embed(cells, batch_size=batch_size), trained[name].adata.obsm[f"X_{name}"])
    changed, unnamed = cells.copy(), cells.copy()
    put(changed, name, read(changed, name) * 2)
    del unnamed.obs["batch"]
    for other in (cells[:7].copy(), cells[::-1].copy(), cells[:, ::-1].copy(), changed, unnamed):
        with pytest.raises(InputError, match="embeds the cells that it was fitted to and no others") as caught:
            model.embed(other)
        assert caught.value.code == "transductive"
    model.embed(cells)[:] = 0  # the user's array, not the model's
    assert model.embed(cells).any()


@pytest.mark.parametrize("name", INDUCTIVE)
def test_order_of_genes_and_extra_genes_do_not_matter(name, trained, cells):
    model = trained[name].model
    order = np.random.default_rng(0).permutation(cells.n_vars)
    wider = ad.concat([cells[:, order].copy(), noise_genes(cells)], axis=1, merge="first")
    np.testing.assert_allclose(model.embed(cells[:, order].copy()), model.embed(cells), **rounding(name))
    np.testing.assert_allclose(model.embed(wider), model.embed(cells), **rounding(name))


def noise_genes(cells: ad.AnnData) -> ad.AnnData:
    extra = ad.AnnData(sp.csr_matrix(np.random.default_rng(1).random((N, 5)).astype(np.float32)))
    extra.var_names = [f"extra{i}" for i in range(5)]
    extra.obs_names = cells.obs_names
    extra.layers["counts"] = sp.csr_matrix(np.random.default_rng(2).poisson(1.0, (N, 5)).astype(np.float32))
    return extra


@pytest.mark.parametrize("name", ALL)
def test_kinds_of_matrix_do_not_matter(name, trained, cells, tmp_path):
    model, expected = trained[name].model, trained[name].model.embed(cells)
    dense = read(cells, name).toarray()
    kinds = {
        "csc": sp.csc_matrix(dense),
        "csr_array": sp.csr_array(dense),
        "dense": dense,
        "float64": dense.astype(np.float64),
        "fortran": np.asfortranarray(dense),
    }
    for kind, matrix in kinds.items():
        adata = cells.copy()
        put(adata, name, matrix)
        np.testing.assert_allclose(model.embed(adata), expected, atol=1e-5, err_msg=kind)
    locked = cells.copy()
    put(locked, name, dense.copy())
    read(locked, name).flags.writeable = False
    np.testing.assert_allclose(model.embed(locked), expected, atol=1e-5)
    np.testing.assert_allclose(model.embed(cells[:, :]), expected, **rounding(name))
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path)
    backed = ad.read_h5ad(path, backed="r")
    np.testing.assert_allclose(model.embed(backed), expected, **rounding(name))
    backed.file.close()


@pytest.mark.parametrize("name", ALL)
def test_trains_the_same_from_any_matrix(name, trained, cells, tmp_path):
    expected = trained[name].model.embed(cells)
    for kind in ("dense", "csc", "view", "backed"):
        adata = cells.copy()
        if kind == "dense":
            put(adata, name, read(adata, name).toarray())
        if kind == "csc":
            put(adata, name, sp.csc_matrix(read(adata, name)))
        if kind == "view":
            adata = ad.concat([adata, adata[:3].copy()], index_unique="-", merge="first")[:N]
            adata.obs_names = cells.obs_names
        if kind == "backed":
            adata.write_h5ad(tmp_path / f"{name}.h5ad")
            adata = ad.read_h5ad(tmp_path / f"{name}.h5ad", backed="r")
        model = ssl.tl.fit(adata, name, batch_key="batch", key_added="other", **quick(name))
        np.testing.assert_allclose(model.embed(cells), expected, atol=1e-5, err_msg=kind)
        np.testing.assert_allclose(adata.obsm["X_other"], expected, atol=1e-5, err_msg=kind)
        if kind == "backed":
            adata.file.close()


@pytest.mark.parametrize("name", those(sees_labels=False))
def test_labels_are_never_seen(name, trained, cells):
    adata = cells.copy()
    adata.obs["cell_type"] = np.random.default_rng(0).permutation(adata.obs["cell_type"].astype(str))
    model = ssl.tl.fit(adata, name, batch_key="batch", **quick(name))
    np.testing.assert_array_equal(model.embed(cells), trained[name].model.embed(cells))


@pytest.mark.parametrize("name", ALL)
def test_names_of_batches_do_not_matter(name, trained, cells):
    adata = cells.copy()
    adata.obs["batch"] = adata.obs["batch"].astype(str).map(lambda b: {"batch1": "zebra", "batch2": "ape"}.get(b, b))
    model = ssl.tl.fit(
        adata, name, batch_key="batch", within_batch="mask" if SPECS[name].masks else None, **quick(name)
    )
    assert model.n_dims == trained[name].model.n_dims


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_survives_a_file(name, suffix, trained, tmp_path):
    made = trained[name].adata
    path = tmp_path / f"cells.{suffix}"
    if suffix == "h5ad":
        made.write_h5ad(path)
        back = ad.read_h5ad(path)
    else:
        made.write_zarr(path)
        back = ad.read_zarr(path)
    np.testing.assert_array_equal(back.obsm[f"X_{name}"], made.obsm[f"X_{name}"])
    record, kept = back.uns["scssl"]["models"][name], made.uns["scssl"]["models"][name]
    assert record["config"] == kept["config"]
    assert len(record["history"]) == len(kept["history"])


def test_saved_models_embed_the_same_in_a_new_process(trained, cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    for name, made in trained.items():
        made.model.save(tmp_path / name)
    code = (
        "import sys, anndata as ad, numpy as np, scssl as ssl\n"
        "folder, here, names = sys.argv[1], sys.argv[2], sys.argv[3:]\n"
        "sys.path.insert(0, here)\n"
        "import fixtures\n"
        "cells = ad.read_h5ad(f'{folder}/cells.h5ad')\n"
        "with fixtures.registered():\n"
        "    np.savez(f'{folder}/out.npz', **{n: ssl.load(f'{folder}/{n}').embed(cells) for n in names})\n"
    )
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", code, str(tmp_path), here, *trained], check=True, timeout=300)
    out = np.load(tmp_path / "out.npz")
    for name in trained:
        np.testing.assert_array_equal(out[name], trained[name].model.embed(cells), err_msg=name)


@pytest.mark.parametrize("name", ALL)
def test_one_batch_and_no_batch(name, cells):
    adata = cells.copy()
    if "batches" in SPECS[name].needs:
        with pytest.raises(InputError) as caught:
            ssl.tl.fit(adata, name, **quick(name))
        assert caught.value.parameter == "batch_key"
        return
    model = ssl.tl.fit(adata, name, **quick(name))
    assert model.record["within_batch"] == "off"
    assert np.isfinite(adata.obsm[f"X_{name}"]).all()


@pytest.mark.parametrize("name", [n for n in ALL if any_kind(n.values[0], "rna", "prot")])
def test_muon_data_need_no_branch(name):
    mdata = ssl.datasets.synthetic(n_obs=80, n_vars=40, n_types=3, n_batches=2, modalities=("rna", "prot"), seed=0)
    ssl.pp.recipe(mdata)
    model = ssl.tl.fit(mdata, name, batch_key="batch", **quick(name))
    assert mdata.obsm[f"X_{name}"].shape == (80, model.n_dims)
    assert set(model.features) == {"rna", "prot"}
    if not SPECS[name].inductive:
        np.testing.assert_array_equal(model.embed(mdata), mdata.obsm[f"X_{name}"])
        return
    np.testing.assert_allclose(model.embed(mdata[:9].copy()), model.embed(mdata)[:9], **rounding(name))


@pytest.mark.parametrize("name", ALL)
def test_presets_can_be_configured(name):
    kind = METHODS.get(name)
    for preset in ("default", *kind.presets):
        config = kind.configure(preset)
        assert kind.configure(**dict.fromkeys(())) == kind.configure()
        assert hash(config) == hash(kind.configure(preset))


@pytest.mark.parametrize("name", ALL)
def test_says_how_it_compares_cells(name):
    spec = SPECS[name]
    assert spec.compares in ("mask", "sample", "off")
    assert spec.masks or spec.compares != "mask"
    compares = spec.trains and not spec.decodes  # what reconstructs a cell takes it for itself
    assert compares == (spec.compares != "off")


@pytest.mark.filterwarnings("ignore:batch_key=.one. holds a single value")
@pytest.mark.parametrize("name", those(trains=True, masks=True))
def test_a_mask_is_no_more_than_a_mask(name, cells):
    """One group of all cells is no group at all, and the groups do matter where there are several."""
    adata = cells.copy()
    adata.obs["one"] = "all"
    one, several, off = (
        ssl.tl.fit(adata, name, batch_key=key, within_batch=within, **quick(name)).history["loss"].iloc[-1]
        for key, within in (("one", "mask"), ("batch", "mask"), ("batch", "off"))
    )
    assert one == pytest.approx(off, rel=1e-4)
    assert abs(several - off) > 10 * abs(one - off)


@pytest.mark.parametrize("name", list(METHODS))
def test_file_is_named_like_the_method(name):
    """Or lies in a folder of methods that share an adapter."""
    entry = METHODS._entry(name)
    if entry.origin == "scssl":
        inside = entry.module.removeprefix("scssl.methods.").split(".")
        assert inside == [name] or len(inside) == 2

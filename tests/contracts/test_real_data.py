"""Every trained method on real files: RNA, RNA with protein that some cells lack, RNA with open chromatin."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import anndata as ad
import mudata as md
import numpy as np
import pytest

import scssl as ssl
from scssl._errors import ScsslWarning
from scssl._registry import METHODS
from scssl.data.calm import calm
from scssl.methods._trained import SelfSupervised
from scssl.models.applies import obstacles

TRAINED = [name for name in METHODS.names() if issubclass(METHODS.get(name), SelfSupervised)]


@contextmanager
def no_warning_but_ours():
    """Whatever other packages have to say about what we do is ours to mend: all of it is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ScsslWarning)
        # anndata and mudata among themselves, with pandas 3.1; nothing that we could call differently
        warnings.filterwarnings("ignore", r"The 'future\.infer_string' option is deprecated")
        warnings.filterwarnings("ignore", r".*mode\.chained_assignment")
        warnings.filterwarnings("ignore", r"The inplace keyword in DataFrame")
        yield


def modalities(folder, name, cells, features):
    """Some cells and features of an h5mu, each modality with the cells that it has."""
    with calm(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata's, about what it is told to read
        whole = md.read_h5mu(folder / f"{name}.h5mu")
        some = whole.obs_names[cells]
        made = md.MuData({n: p[p.obs_names.isin(some), :features].copy() for n, p in whole.mod.items()})
        made = made[[n for n in some if n in made.obs_names]].copy()
    made.obs["batch"] = whole.obs["batch"].reindex(made.obs_names).astype(str).to_numpy()
    return made


def pancreas(folder):
    adata = ad.read_h5ad(folder / "rna_pancreas_5technologies.h5ad")
    adata = adata[::2, :1000].copy()
    return adata, (adata.obs["batch"] == "smartseq2").to_numpy()


def cite(folder):
    """Two batches; of the second one a part lacks protein."""
    mdata = modalities(folder, "cite_pbmc10k_pbmc5k", np.r_[0:160, 6855:6935, 9000:9080], 600)
    assert 100 < mdata.mod["protein"].n_obs <= mdata.n_obs - 80
    return mdata, np.arange(mdata.n_obs) % 4 == 0


def scicar(folder):
    mdata = modalities(folder, "multiome_scicar_a549", slice(None, None, 13), 800)
    return mdata, np.arange(mdata.n_obs) % 4 == 0


def forty(folder):
    mdata = modalities(folder, "multiome_10x_pbmc_40cells", slice(None), 1500)
    return mdata, np.arange(mdata.n_obs) % 4 == 0


FILES = [pancreas, cite, scicar, forty]


@pytest.fixture(scope="module", params=FILES, ids=lambda make: make.__name__)
def cells(request, shared_data):
    data, held = request.param(shared_data)
    several = len(set(data.obs["batch"])) > 1
    with calm():
        known, query = data[~held].copy(), data[held].copy()
    with no_warning_but_ours():
        ssl.pp.recipe(known, batch_key="batch" if several else None, n_top_genes=300)
        ssl.pp.recipe(query, n_top_genes=300)
    return SimpleNamespace(known=known, query=query, batch_key="batch" if several else None)


def values_of(part):
    return part.X.data if hasattr(part.X, "data") else part.X


def test_the_recipe_suits_the_modality(cells):
    parts = getattr(cells.known, "mod", {"rna": cells.known})
    for name, part in parts.items():
        counts, values = part.layers["counts"], part.X
        assert (values.sum(axis=1) > 0).all()
        if name == "protein":  # centred log ratio: log(1 + x / exp(mean(log(1 + x))))
            dense = counts.toarray()
            expected = np.log1p(dense / np.exp(np.log1p(dense).mean(axis=1, keepdims=True)))
            np.testing.assert_allclose(values.toarray(), expected, rtol=1e-4, atol=1e-5)
            assert part.var["highly_variable"].all()
        else:
            assert 300 <= part.var["highly_variable"].sum() <= 330  # ties
        if name == "atac":  # peaks of most cells
            cells_of = np.asarray((counts > 0).sum(axis=0)).ravel()
            marked = part.var["highly_variable"].to_numpy()
            assert cells_of[marked].min() >= cells_of[~marked].max()
        if name == "rna":
            np.testing.assert_allclose(np.expm1(values.toarray()).sum(axis=1), 1e4, rtol=1e-3)


@pytest.mark.parametrize("name", TRAINED)
def test_trains_embeds_and_comes_back(name, cells, tmp_path):
    with calm():
        known, query = cells.known.copy(), cells.query.copy()
    several = hasattr(known, "mod")
    side_by_side = {"fusion": "concat"} if several else {}
    with no_warning_but_ours():
        model = ssl.tl.fit(known, name, batch_key=cells.batch_key, max_epochs=2, batch_size=128, **side_by_side)
        ssl.tl.embed(query, model)
        model.save(tmp_path / "model")
        again = ssl.load(tmp_path / "model").embed(query)
    embedding = query.obsm[f"X_{name}"]
    assert embedding.shape == (query.n_obs, model.n_dims)
    assert np.isfinite(embedding).all()
    assert np.isfinite(known.obsm[f"X_{name}"]).all()
    assert embedding.std(axis=0).min() > 0
    np.testing.assert_array_equal(again, embedding)
    if several:
        first = next(iter(query.mod))
        with no_warning_but_ours():
            alone = model.embed(query.mod[first], modality=first)
        there = query.obs_names.isin(query.mod[first].obs_names)
        np.testing.assert_allclose(alone, embedding[there][:, : alone.shape[1]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in METHODS.names() if name not in TRAINED])
def test_methods_of_other_kinds_embed_and_come_back(name, cells, tmp_path):
    """What a description says decides whether a method applies, what is read, and what it can embed."""
    spec = METHODS.describe(name)
    config = {"max_epochs": 2} if spec.trains else {}
    against = list(obstacles(spec, cells.known, config=config, batch_key=cells.batch_key))
    with calm():
        known, query = cells.known.copy(), cells.query.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about small data
        if against:
            with pytest.raises(ssl.InputError, match=re.escape(against[0].message)):
                ssl.tl.fit(known, name, batch_key=cells.batch_key, **config)
            return
        model = ssl.tl.fit(known, name, batch_key=cells.batch_key, **config)
        model.save(tmp_path / "model")
        again = ssl.load(tmp_path / "model")
        np.testing.assert_array_equal(again.embed(known), known.obsm[f"X_{name}"])
        if not spec.inductive:
            with pytest.raises(ssl.InputError, match="transductive"):
                again.embed(query)
        elif not model.module.tells_batches_apart:
            assert np.isfinite(again.embed(query)).all()


@pytest.mark.parametrize(
    "options", [{"fusion": "clip"}, {"fusion": "mean"}, {"fusion": "add"}, {"batch_norm": "domain"}]
)
def test_with_every_way_to_fuse_and_norm(options, cells):
    if ("fusion" in options and not hasattr(cells.known, "mod")) or ("batch_norm" in options and not cells.batch_key):
        pytest.skip("needs several modalities, or batches")
    with calm():
        known = cells.known.copy()
    with no_warning_but_ours():
        model = ssl.tl.fit(known, "simclr", batch_key=cells.batch_key, max_epochs=2, batch_size=128, **options)
        embedding = model.embed(cells.query)
    assert np.isfinite(embedding).all()


def test_files_are_read_without_noise(cells, tmp_path):
    kind = "h5mu" if hasattr(cells.known, "mod") else "h5ad"
    path = tmp_path / f"cells.{kind}"
    with calm():
        known = cells.known.copy()
        getattr(known, f"write_{kind}")(path)
    with no_warning_but_ours():
        from_file = ssl.tl.fit(path, "pca", batch_key=cells.batch_key)
        in_memory = ssl.tl.fit(known, "pca", batch_key=cells.batch_key)
        np.testing.assert_allclose(from_file.embed(known), in_memory.embed(known), atol=1e-3)


def test_a_mosaic(shared_data):
    """No cell has both modalities, and a query may lack one altogether."""
    mdata = modalities(shared_data, "mosaic_mouse_spleen_lymph_d1protein_d2rna", slice(None, None, 110), 500)
    with no_warning_but_ours():
        ssl.pp.recipe(mdata, n_top_genes=300)
        model = ssl.tl.fit(mdata, "vicreg", batch_key="batch", fusion="mean", max_epochs=2)
    with calm():
        query = mdata[mdata.obs_names.isin(mdata.mod["rna"].obs_names)].copy()
    with no_warning_but_ours():
        embedding = model.embed(query)
    assert query.mod["protein"].n_obs == 0
    np.testing.assert_allclose(embedding, model.embed(query.mod["rna"], modality="rna"), rtol=1e-5, atol=1e-5)

"""fit and embed as a user meets them."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import scssl as ssl
from scssl._errors import InputError, KeyNotFoundError, ScsslWarning

RNA_FILES = [
    "rna_cellbench_3lines_10x_celseq2_dropseq",
    "rna_cellbench_3lines_celseq2_dropseq",
    "rna_kang_2donors_ctrl_stim",
    "rna_kang_ctrl_8donors",
    "rna_mesc_2batches_readcounts",
    "rna_pancreas_5technologies",
    "rna_pbmc_3chemistries",
    "rna_pbmc_facs_10types",
    "rna_simulated_tran2020_sim1",
]
LOGGED_FILE = "rna_villani_dc_2batches_lognorm"


def scanpy_carries_on(adata):
    import matplotlib.pyplot as plt
    import scanpy as sc

    sc.pp.neighbors(adata, use_rep="X_simclr")
    sc.tl.umap(adata)
    assert adata.obsm["X_umap"].shape == (adata.n_obs, 2)
    sc.pl.umap(adata, color=["batch", "cell_type"], show=False)
    plt.close("all")


@pytest.mark.filterwarnings("default")  # scanpy's and umap's own
@pytest.mark.parametrize("name", RNA_FILES)
def test_every_file_of_counts(shared_data, name):
    adata = ad.read_h5ad(shared_data / f"{name}.h5ad")
    if adata.n_obs > 2000:
        adata = adata[:: adata.n_obs // 1000].copy()
    ssl.pp.recipe(adata, batch_key="batch")
    ssl.tl.fit(adata, method="simclr", batch_key="batch", max_epochs=2)
    assert np.isfinite(adata.obsm["X_simclr"]).all()
    scanpy_carries_on(adata)


@pytest.mark.filterwarnings("default")
def test_scanpy_carries_on_with_more_cells():
    """From 8,192 cells on scanpy searches neighbours approximately: its libraries have to fit together."""
    import scanpy as sc

    adata = ad.AnnData(np.zeros((8200, 1), dtype=np.float32))
    adata.obsm["X_any"] = np.random.default_rng(0).normal(size=(8200, 8)).astype(np.float32)
    sc.pp.neighbors(adata, use_rep="X_any")
    assert adata.obsp["connectivities"].shape == (8200, 8200)


@pytest.mark.filterwarnings("default")
def test_the_file_without_counts(shared_data, unchanged):
    adata = ad.read_h5ad(shared_data / f"{LOGGED_FILE}.h5ad")
    with unchanged(adata), pytest.raises(InputError) as caught:
        ssl.pp.recipe(adata)
    assert "log-normalised" in str(caught.value)
    assert "ssl.tl.fit" in str(caught.value)
    ssl.tl.fit(adata, method="simclr", batch_key="batch", max_epochs=2)
    scanpy_carries_on(adata)


@pytest.mark.filterwarnings("ignore::scssl.ScsslWarning")  # genes that are zero without the batch held out
def test_simclr_within_batches_beats_pca_on_real_cells(shared_data):
    """The idea that makes it work, on the smallest set: the table of all sets is made by benchmarks/methods.py."""
    adata = ad.read_h5ad(shared_data / "rna_pancreas_5technologies.h5ad")
    ssl.pp.recipe(adata, batch_key="batch")
    methods = {"pca": {}, "simclr": {}, "mixed": {"method": "simclr", "within_batch": "off"}}
    ssl.tl.benchmark(
        adata, methods=methods, batch_key="batch", label_key="cell_type", tasks=["batch_correction"], seeds=1
    )
    total = totals(adata)
    assert total["simclr"] > total["pca"] + 0.2
    assert total["simclr"] > total["mixed"] + 0.15


def totals(adata):
    scores = ssl.get.scores(adata)
    groups = scores.groupby(["key", "group"])["value"].mean().unstack()
    return 0.6 * groups["bio"] + 0.4 * groups["batch"]


def test_it_learns_where_the_answer_is_known():
    """Types apart and batches mixed on simulated cells, far better than the untrained encoder."""
    adata = ssl.datasets.synthetic(n_obs=900, n_vars=300, n_types=5, n_batches=3, seed=0)
    ssl.pp.recipe(adata, batch_key="batch")
    ssl.tl.benchmark(
        adata,
        methods=["untrained", "simclr", "vicreg"],
        batch_key="batch",
        label_key="cell_type",
        tasks=["batch_correction"],
    )
    total = totals(adata)
    assert total["simclr"] > total["untrained"] + 0.1
    assert total["vicreg"] > total["untrained"] + 0.05


def test_a_path_is_read_and_not_written(tmp_path, pbmc):
    pbmc.write_h5ad(tmp_path / "cells.h5ad")
    before = (tmp_path / "cells.h5ad").read_bytes()
    model = ssl.tl.fit(tmp_path / "cells.h5ad", "simclr", batch_key="batch", max_epochs=1)
    in_memory = ssl.tl.fit(pbmc, "simclr", batch_key="batch", max_epochs=1)
    np.testing.assert_allclose(model.embed(pbmc), in_memory.embed(pbmc), atol=1e-6)
    assert (tmp_path / "cells.h5ad").read_bytes() == before
    with pytest.raises(InputError, match=r"no file .*nowhere\.h5ad"):
        ssl.tl.fit(tmp_path / "nowhere.h5ad")
    (tmp_path / "cells.csv").write_text("a,b")
    with pytest.raises(InputError, match=r"\.csv"):
        ssl.tl.fit(tmp_path / "cells.csv")


def expressed(adata):
    return adata[:, np.asarray(adata.X.sum(axis=0)).ravel() > 0].copy()


def test_an_unseen_batch_needs_nothing(pbmc):
    new = (pbmc.obs["batch"] == "batch3").to_numpy()
    model = ssl.tl.fit(expressed(pbmc[~new]), "simclr", batch_key="batch", max_epochs=2)
    query = pbmc[new].copy()
    ssl.tl.embed(query, model, key_added="mapped")
    assert np.isfinite(query.obsm["X_mapped"]).all()
    record = query.uns["scssl"]["embeddings"]["mapped"]
    assert record["method"] == "simclr"
    assert f'"found":{len(model.features["rna"])}' in record["coverage"]


def test_genes_that_are_missing_are_told_and_too_many_are_refused(pbmc, unchanged):
    model = ssl.tl.fit(pbmc, "simclr", max_epochs=1)
    some = pbmc[:, :700].copy()
    with pytest.warns(ScsslWarning, match="700 of 765"):
        ssl.tl.embed(some, model, key_added="some")
    few = pbmc[:, :300].copy()
    with unchanged(few), pytest.raises(InputError, match="300 of the 765"):
        ssl.tl.embed(few, model, key_added="few")


def test_within_batch_has_a_default_that_suits_the_method(pbmc):
    quick = {"max_epochs": 1, "key_added": "x"}
    kept = {
        (method, key, preset): ssl.tl.fit(pbmc, method, batch_key=key, preset=preset, **quick).record["within_batch"]
        for method in ("simclr", "vicreg")
        for key in (None, "batch")
        for preset in ("default", "paper")
    }
    assert kept["simclr", "batch", "default"] == "mask"
    assert kept["vicreg", "batch", "default"] == "sample"
    assert {v for k, v in kept.items() if k[1] is None or k[2] == "paper"} == {"off"}


def test_small_batches_are_pooled_and_the_user_is_told(pbmc):
    pbmc.obs["site"] = ["rare"] * 10 + ["a"] * 400 + ["b"] * 290
    with pytest.warns(ScsslWarning, match=r"1 batches under 32 cells were pooled \(10 cells\): 'rare'"):
        model = ssl.tl.fit(pbmc, "vicreg", batch_key="site", max_epochs=1)
    assert "pooled" in model.record["warnings"]


def test_a_collapse_is_told_and_recorded(pbmc, monkeypatch):
    from scssl.methods.simclr import SimCLR

    monkeypatch.setattr(SimCLR, "represent", lambda self, batch: self.encoder(batch)[:, :1].expand(-1, 64))
    with pytest.warns(ScsslWarning, match=r"collapsed: its effective rank is 1\.\d+ of 64"):
        model = ssl.tl.fit(pbmc, "simclr", max_epochs=1)
    assert "effective rank" in model.record["collapsed"]
    assert model.history["effective_rank"].iloc[-1] < 1.5


def test_a_view_of_an_object(pbmc):
    part = pbmc[:300, np.asarray(pbmc[:300].X.sum(axis=0)).ravel() > 0]
    with pytest.warns(Warning, match="view"):
        ssl.tl.fit(part, "pca")
    assert part.obsm["X_pca"].shape == (300, 50)
    assert "X_pca" not in pbmc.obsm


def test_keys_of_others_are_safe(pbmc, unchanged):
    pbmc.obsm["X_mine"] = np.zeros((700, 2), dtype=np.float32)
    with unchanged(pbmc), pytest.raises(InputError) as caught:
        ssl.tl.fit(pbmc, "pca", key_added="mine")
    assert caught.value.parameter == "key_added"
    ssl.tl.fit(pbmc, "pca", width=5)
    ssl.tl.fit(pbmc, "pca", width=7)  # our own key may be written again
    assert pbmc.obsm["X_pca"].shape == (700, 7)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"within_batch": "mask"}, InputError, ["needs to know the batches"]),
        ({"within_batch": "maks", "batch_key": "batch"}, InputError, ["'maks'", "'mask'", "'sample'"]),
        (
            {"method": "byol", "within_batch": "mask", "batch_key": "batch"},
            InputError,
            ["compares no cells", "'sample'"],
        ),
        ({"preset": "papr"}, InputError, ["'papr'", "'paper'"]),
        ({"accelerator": "tpu"}, InputError, ["'tpu'", "cpu"]),
        ({"precision": "fp64"}, InputError, ["'fp64'", "'bf16'"]),
        ({"devices": "two"}, InputError, ["devices='two'"]),
        ({"method": "pca", "max_epochs": 3}, KeyNotFoundError, ["'max_epochs'", "'width'"]),
    ],
)
def test_wrong_arguments(pbmc, options, kind, words, unchanged):
    with unchanged(pbmc), pytest.raises(kind) as caught:
        ssl.tl.fit(pbmc, **options)
    assert all(word in str(caught.value) for word in words)
    assert "Nothing was changed." in str(caught.value)

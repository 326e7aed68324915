"""Arguments outside of a configuration: each is refused in words before anything is computed, and nothing is written."""

from __future__ import annotations

import mudata as md
import numpy as np
import pytest

import scssl as ssl
from scssl.data.calm import calm

LONG = "x" * 5000
KEYS = {"batch_key": "batch", "label_key": "cell_type"}


@pytest.fixture(scope="module")
def made():
    adata = ssl.datasets.synthetic(60, 30, n_types=2, n_batches=2)
    ssl.pp.recipe(adata, n_top_genes=None)
    model = ssl.tl.fit(adata, "pca", width=2)
    proteins = ssl.datasets.synthetic(60, 8, n_types=2, n_batches=2)
    proteins.var_names = [f"p{i}" for i in range(8)]
    with calm():
        mdata = md.MuData({"rna": adata.copy(), "prot": proteins})
    scores = ssl.tl.evaluate(adata.copy(), use_rep="X_pca", tasks="batch_correction", **KEYS)
    return adata, mdata, model, scores


def benchmark(a, **options):
    return ssl.tl.benchmark(a, **{"methods": ["pca"], "tasks": ["batch_correction"], **KEYS, **options})


def evaluate(a, **options):
    return ssl.tl.evaluate(a, **{"use_rep": "X_pca", **KEYS, **options})


CALLS = {
    "tasks, empty": (lambda a, m, model, s: evaluate(a, tasks=[]), "no_tasks", "tasks"),
    "tasks, number": (lambda a, m, model, s: evaluate(a, tasks=3), "wrong_type", "tasks"),
    "metrics, empty": (lambda a, m, model, s: evaluate(a, metrics=[]), "no_metrics", "metrics"),
    "metrics, number": (lambda a, m, model, s: evaluate(a, metrics=[3]), "wrong_type", "metrics"),
    "use_rep, none": (lambda a, m, model, s: evaluate(a, use_rep=None), "unknown_use_rep", "use_rep"),
    "use_rep, number": (lambda a, m, model, s: evaluate(a, use_rep=3), "unknown_use_rep", "use_rep"),
    "modalities, empty": (lambda a, m, model, s: ssl.tl.fit(m, "pca", modalities=[]), "no_modalities", "modalities"),
    "modalities, number": (lambda a, m, model, s: ssl.tl.fit(m, "pca", modalities=3), "wrong_type", "modalities"),
    "modalities, twice": (
        lambda a, m, model, s: ssl.tl.fit(m, "pca", modalities=["rna", "rna"]),
        "duplicated_modalities",
        "modalities",
    ),
    "modalities of partners": (
        lambda a, m, model, s: ssl.pp.partners(m, "knn", modalities=[]),
        "no_modalities",
        "modalities",
    ),
    "mask_by, list": (lambda a, m, model, s: ssl.tl.fit(a, "pca", mask_by=["x"]), "wrong_type", "mask_by"),
    "checkpoint_dir, number": (
        lambda a, m, model, s: ssl.tl.fit(a, "simclr", checkpoint_dir=3),
        "bad_path",
        "checkpoint_dir",
    ),
    "checkpoint_dir, long": (
        lambda a, m, model, s: ssl.tl.fit(a, "simclr", checkpoint_dir=f"/tmp/{LONG}"),
        "bad_path",
        "checkpoint_dir",
    ),
    "path of data": (lambda a, m, model, s: ssl.tl.fit(f"{LONG}.h5ad", "pca"), "bad_path", "data"),
    "path of a model": (lambda a, m, model, s: ssl.tl.embed(a, LONG), "bad_path", "path"),
    "path to save": (lambda a, m, model, s: model.save("/tmp/a\0b"), "bad_path", "path"),
    "path of scores": (lambda a, m, model, s: ssl.get.scores(LONG), "bad_path", "data"),
    "path of a report": (lambda a, m, model, s: ssl.tl.report(s, None), "bad_path", "path"),
    "path of gene sets": (lambda a, m, model, s: ssl.pp.gene_sets(a, LONG), "bad_path", "source"),
    "batch_size 0": (lambda a, m, model, s: ssl.tl.embed(a, model, batch_size=0), "out_of_range", "batch_size"),
    "batch_size 2.5": (lambda a, m, model, s: model.embed(a, batch_size=2.5), "out_of_range", "batch_size"),
    "batch_size a": (lambda a, m, model, s: ssl.tl.reconstruct(a, model, batch_size="a"), "out_of_range", "batch_size"),
    "seeds": (lambda a, m, model, s: benchmark(a, seeds=[-1]), "bad_seeds", "seeds"),
    "layer": (lambda a, m, model, s: benchmark(a, layer="nope"), "unknown_layer", "layer"),
    "timeout": (lambda a, m, model, s: benchmark(a, timeout="5"), "bad_timeout", "timeout"),
    "timeout, nan": (lambda a, m, model, s: benchmark(a, timeout=np.nan), "bad_timeout", "timeout"),
    "cache_dir": (lambda a, m, model, s: benchmark(a, cache_dir=3), "bad_path", "cache_dir"),
    "cache_dir, long": (lambda a, m, model, s: benchmark(a, cache_dir=f"/tmp/{LONG}"), "bad_path", "cache_dir"),
    "accelerator": (lambda a, m, model, s: benchmark(a, accelerator="tpu"), "unknown_accelerator", "accelerator"),
    "methods": (lambda a, m, model, s: benchmark(a, methods=3), "wrong_type", "methods"),
    "embeddings": (lambda a, m, model, s: benchmark(a, embeddings=[3]), "wrong_type", "embeddings"),
    "name": (lambda a, m, model, s: benchmark(a, name=3), "wrong_type", "name"),
    "data": (lambda a, m, model, s: benchmark(3), "not_anndata", "data"),
    "fraction": (lambda a, m, model, s: ssl.pp.split(a, by="batch", fraction="a"), "out_of_range", "fraction"),
    "target_sum, huge": (
        lambda a, m, model, s: ssl.pp.recipe(a, layer="counts", target_sum=1e300),
        "beyond_float32",
        "target_sum",
    ),
    "target_sum, tiny": (
        lambda a, m, model, s: ssl.pp.recipe(a, layer="counts", target_sum=1e-300),
        "beyond_float32",
        "target_sum",
    ),
    "save": (lambda a, m, model, s: ssl.pl.benchmark(s, save=3), "bad_path", "save"),
    "save, long": (lambda a, m, model, s: ssl.pl.ranks(s, save=f"/tmp/{LONG}.png"), "bad_path", "save"),
    "cmap": (lambda a, m, model, s: ssl.pl.embedding(a, "X_pca", cmap="nope"), "unknown_cmap", "cmap"),
    "ax": (lambda a, m, model, s: ssl.pl.tradeoff(s, ax=3), "wrong_type", "ax"),
    "figsize": (lambda a, m, model, s: ssl.pl.benchmark(s, figsize=(0, 1)), "bad_figsize", "figsize"),
    "color": (lambda a, m, model, s: ssl.pl.embedding(a, "X_pca", color=[3]), "wrong_type", "color"),
    "use_rep of a figure": (lambda a, m, model, s: ssl.pl.embedding(a, []), "no_use_rep", "use_rep"),
    "seed of a figure": (lambda a, m, model, s: ssl.pl.embedding(a, "X_pca", seed=-1), "bad_seed", "seed"),
    "key of a history": (lambda a, m, model, s: ssl.pl.history(a, 3), "wrong_type", "key"),
}


@pytest.mark.parametrize("name", CALLS)
def test_refused_in_words(made, unchanged, name):
    call, code, parameter = CALLS[name]
    with unchanged(made[0]), unchanged(made[1]), pytest.raises(ssl.InputError) as caught:
        call(*made)
    assert (caught.value.code, caught.value.parameter) == (code, parameter)
    assert len(str(caught.value)) < 600  # a path that is too long is not repeated


def test_a_step_size_without_sense_stops_the_training(made):
    with pytest.raises(ssl.TrainingError, match="the loss is not finite"):
        ssl.tl.fit(made[0].copy(), "simclr", learning_rate=1e10, max_epochs=3, batch_size=32)


def test_columns_that_are_still_in_a_file_are_refused(made, tmp_path):
    anndata = pytest.importorskip("anndata")
    pytest.importorskip("xarray")
    plain = anndata.AnnData(made[0].X, obs=made[0].obs, obsm=dict(made[0].obsm))
    plain.write_h5ad(tmp_path / "a.h5ad")
    lazy = anndata.experimental.read_lazy(tmp_path / "a.h5ad")
    calls = [
        lambda: ssl.pp.recipe(lazy),
        lambda: ssl.tl.fit(lazy, "pca", key_added="p"),
        lambda: evaluate(lazy),
        lambda: benchmark(lazy),
        lambda: ssl.tl.annotate(lazy, reference=plain, use_rep="X_pca", label_key="cell_type"),
        lambda: ssl.tl.annotate(plain, reference=lazy, use_rep="X_pca", label_key="cell_type"),
        lambda: ssl.pl.embedding(lazy, "X_pca", color="cell_type"),
        lambda: ssl.pl.confusion(lazy, "batch", label_key="cell_type"),
        lambda: ssl.pl.views(lazy),
    ]
    for call in calls:
        with pytest.raises(ssl.InputError, match="still in the file") as caught:
            call()
        assert caught.value.code == "lazy_object"

"""Masks from a file: gene sets in its ``varm``, values in memory or left on disk; and a run that is continued."""

from __future__ import annotations

import numpy as np
import pytest

import scssl as ssl
from scssl._errors import CheckpointError, KeyNotFoundError

GENES = 40
SETS = {"STAT1_targets": range(3, 9), "other": range(8, 15), "third": range(20, 26)}
QUICK = {"max_epochs": 2, "batch_size": 50, "hidden": (16,), "width": 4}
KINDS = {
    "random": {},
    "gene_programme": {"mask": "gene_programme", "rate": 0.2},
    "gp_to_gp": {"mask": "gp_to_gp"},
    "gp_to_tf": {"mask": "gp_to_tf"},
    "counts": {"output": "nb"},
}


def with_sets(adata, sets, **options):
    ssl.pp.gene_sets(adata, {name: [adata.var_names[i] for i in genes] for name, genes in sets.items()}, **options)
    return adata


@pytest.fixture(scope="module")
def adata():
    adata = ssl.datasets.synthetic(n_obs=150, n_vars=GENES + 20, n_types=3, seed=0)
    adata = adata[:, np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel())[:GENES]].copy()
    adata.var_names = ["STAT1", *(f"G{i}" for i in range(1, GENES))]
    ssl.pp.recipe(adata)
    return with_sets(adata, SETS)


@pytest.fixture(scope="module", params=["h5ad", "zarr"])
def path(request, adata, tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / f"cells.{request.param}"
    getattr(adata, f"write_{request.param}")(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_mask_learns_the_same_from_a_file(adata, path, kind):
    model = ssl.tl.fit(path, "mae", **KINDS[kind], **QUICK)
    expected = ssl.tl.fit(adata.copy(), "mae", **KINDS[kind], **QUICK)
    assert model.record["data_id"] == expected.record["data_id"]
    np.testing.assert_array_equal(model.history["loss"], expected.history["loss"])
    np.testing.assert_array_equal(model.embed(path), expected.embed(adata))


@pytest.mark.parametrize("kind", KINDS)
def test_every_mask_learns_from_rows_on_disk(adata, tmp_path, kind):
    """The order of the cells is another one than in memory, what is learned is about the same."""
    learn = {**KINDS[kind], **QUICK, "hidden": (32,), "width": 8, "max_epochs": 40, "learning_rate": 5e-3}
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    with ssl.settings.override(in_memory_mb=0):
        model = ssl.tl.fit(path, "mae", **learn)
        embedding = model.embed(path)
    assert model.record["in_memory"] is False
    np.testing.assert_allclose(embedding, model.embed(adata), atol=1e-5)
    loss, expected = model.history["loss"], ssl.tl.fit(adata.copy(), "mae", **learn).history["loss"]
    assert loss.iloc[-1] < loss.iloc[0]
    assert loss.iloc[-5:].mean() == pytest.approx(expected.iloc[-5:].mean(), rel=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_on_disk_are_drawn_alike_every_time(path, kind):
    with ssl.settings.override(in_memory_mb=0):
        first, again = (ssl.tl.fit(path, "mae", **KINDS[kind], **QUICK).embed(path) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_file_with_counts_that_do_not_fit_is_refused(adata, tmp_path):
    shifted = adata.copy()
    shifted.X = shifted.X * 1.01
    shifted.write_h5ad(tmp_path / "cells.h5ad")
    for size in (1000, 0):
        with (
            ssl.settings.override(in_memory_mb=size),
            pytest.raises(ssl.InputError, match=r"in 2 of 150 cells \(first 'cell0000065'\)"),
        ):
            ssl.tl.fit(tmp_path / "cells.h5ad", "mae", output="nb", **QUICK)


def test_a_file_without_gene_sets_is_refused(adata, tmp_path):
    bare = adata.copy()
    del bare.varm["gene_sets"]
    bare.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(KeyNotFoundError, match=r"no gene sets in varm\['gene_sets'\]"):
        ssl.tl.fit(tmp_path / "cells.h5ad", "mae", mask="gp_to_gp", **QUICK)


def test_finetuned_and_labelled_from_a_file(adata, path):
    model = ssl.tl.fit(path, "mae", mask="gp_to_gp", **QUICK)
    tuned = ssl.tl.finetune(path, model, label_key="cell_type", max_epochs=30, train="all")
    labels, confidence = tuned.classify(path)
    expected, _ = tuned.classify(adata)
    np.testing.assert_array_equal(labels, expected)
    assert (labels == adata.obs["cell_type"].astype(str).to_numpy()).mean() > 0.7
    assert ((confidence > 1 / 3) & (confidence <= 1)).all()


# a run that is continued


def continued(adata, folder, **options):
    return ssl.tl.fit(adata, "mae", **{**QUICK, "mask": "gp_to_gp", **options}, checkpoint_dir=folder, resume=True)


@pytest.mark.parametrize("mask", ["gene_programme", "gp_to_gp", "gp_to_tf"])
def test_other_gene_sets_are_another_run(adata, tmp_path, mask):
    rate = {"rate": 0.3} if mask == "gene_programme" else {}
    continued(adata.copy(), tmp_path, mask=mask, **rate)
    other = with_sets(adata.copy(), {**SETS, "STAT1_targets": range(3, 10), "third": range(21, 27)})
    with pytest.raises(CheckpointError, match="gene sets differ") as caught:
        continued(other, tmp_path, mask=mask, max_epochs=3, **rate)
    assert caught.value.code == "other_run"


def test_the_same_sets_under_another_name_are_the_same_run(adata, tmp_path):
    """Of sets and their order in `varm`, what is drawn decides."""
    continued(adata.copy(), tmp_path)
    renamed = {{"other": "renamed"}.get(name, name): genes for name, genes in SETS.items()}
    longer = continued(with_sets(adata.copy(), renamed), tmp_path, max_epochs=4)
    expected = ssl.tl.fit(adata.copy(), "mae", mask="gp_to_gp", **{**QUICK, "max_epochs": 4})
    np.testing.assert_array_equal(longer.embed(adata), expected.embed(adata))


def test_sets_that_the_mask_does_not_use_do_not_matter(adata, tmp_path):
    continued(adata.copy(), tmp_path, mask="random")
    other = with_sets(adata.copy(), {"only": range(5, 12)})
    assert len(continued(other, tmp_path, mask="random", max_epochs=3).history) == 3

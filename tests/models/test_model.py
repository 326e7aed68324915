"""Saved models: complete or absent, verified, never unpickled."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - to make hostile files

import numpy as np
import pytest
import torch

import scssl as ssl
from scssl._errors import CheckpointError, InputError
from scssl.models.saved import CARD, MANIFEST, WEIGHTS


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=80, n_vars=40, n_batches=2, seed=0)
    ssl.pp.recipe(adata)
    return adata


@pytest.fixture(scope="module")
def model(cells):
    return ssl.tl.fit(cells.copy(), "simclr", batch_key="batch", max_epochs=1, batch_size=40)


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_round_trip(model, folder, cells):
    back = ssl.load(folder)
    np.testing.assert_array_equal(back.embed(cells), model.embed(cells))
    assert back.method == "simclr"
    assert back.record == {**model.record, "path": str(folder)}
    assert back.history["loss"].tolist() == model.history["loss"].tolist()
    assert repr(back) == repr(model)
    assert sorted(p.name for p in folder.iterdir()) == [CARD, MANIFEST, WEIGHTS]
    assert not list(folder.parent.glob(".*"))


def test_the_card_says_what_it_is(model, folder):
    card = (folder / CARD).read_text()
    assert card == model.card()
    for words in ("SimCLR", model.record["data_id"], "80 cells", "ssl.load", '"temperature":0.3'):
        assert words in card


def test_saving_twice_needs_permission(model, folder):
    with pytest.raises(InputError, match="exists already") as caught:
        model.save(folder)
    assert caught.value.parameter == "path"
    model.save(folder, overwrite=True)
    assert ssl.load(folder).method == "simclr"


def test_a_folder_that_is_no_model_is_never_replaced(model, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not a saved model"):
        model.save(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("part", [0, 7, 100, 0.5, 0.999])
def test_truncated_weights_are_refused(folder, part):
    content = (folder / WEIGHTS).read_bytes()
    n = int(part if part >= 1 or part == 0 else part * len(content))
    (folder / WEIGHTS).write_bytes(content[:n])
    with pytest.raises(CheckpointError, match=f"has {n} bytes, its manifest says {len(content)}"):
        ssl.load(folder)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_one_flipped_bit_is_noticed(folder, at):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[int(at * len(content))] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match="SHA-256"):
        ssl.load(folder)


def change(folder, **values):
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest |= values
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_another_method_does_not_fit(folder):
    change(folder, method="vicreg", config={})
    with pytest.raises(CheckpointError, match="does not fit the method"):
        ssl.load(folder)


def test_newer_formats_are_named(folder):
    change(folder, format=99)
    with pytest.raises(CheckpointError, match=r"format 99.*Install a newer scssl"):
        ssl.load(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "1"}', '{"format": 1}'])
def test_damaged_manifests_are_refused(folder, content):
    (folder / MANIFEST).write_text(content)
    with pytest.raises(CheckpointError):
        ssl.load(folder)


def test_missing_files_are_named(folder, tmp_path):
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=WEIGHTS):
        ssl.load(folder)
    with pytest.raises(CheckpointError, match="not a saved model"):
        ssl.load(tmp_path / "nowhere")


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "weights.ckpt"])
def test_pickles_are_refused_and_never_run(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(CheckpointError, match="by design"):
        ssl.load(tmp_path / name)
    assert not (tmp_path / "canary").exists()


def test_a_pickle_in_place_of_the_weights_is_never_run(folder, tmp_path):
    from scssl import _files

    (folder / WEIGHTS).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    size = (folder / WEIGHTS).stat().st_size
    change(folder, files={WEIGHTS: {"bytes": size, "sha256": _files.sha256(folder / WEIGHTS)}})
    with pytest.raises(CheckpointError):
        ssl.load(folder)
    assert not (tmp_path / "canary").exists()


def test_pca_equals_scikit_learn(cells):
    from sklearn.decomposition import PCA

    adata = cells.copy()
    ssl.tl.fit(adata, "pca", width=10)
    dense = adata.X.toarray().astype(np.float64)
    expected = PCA(10, svd_solver="full").fit_transform(dense)
    ours = adata.obsm["X_pca"]
    signs = np.sign((ours * expected).sum(0))
    np.testing.assert_allclose(ours * signs, expected, atol=1e-4)


def test_noise_is_standard_normal_and_belongs_to_names(cells):
    adata = cells.copy()
    ssl.tl.fit(adata, "random", width=500)
    noise = adata.obsm["X_random"]
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1, abs=0.02)
    renamed = cells.copy()
    renamed.obs_names = [f"x{n}" for n in renamed.obs_names]
    model = ssl.tl.fit(cells.copy(), "random", width=500)
    assert not np.allclose(model.embed(renamed), model.embed(cells))


def test_the_paper_preset_has_the_published_layers_and_weights():
    """Widths, heads and weights of scSSL-Bench; defaults are chosen on real cells and may move."""
    from torch import nn

    from scssl._registry import METHODS

    def shape(module):
        return [
            (type(m).__name__, getattr(m, "in_features", None), getattr(m, "out_features", None))
            for m in module
            if isinstance(m, nn.Linear | nn.BatchNorm1d | nn.ReLU)
        ]

    made = {
        name: METHODS.get(name)(METHODS.get(name).configure("paper"), {"rna": 500}) for name in ("simclr", "vicreg")
    }
    norm, relu = ("BatchNorm1d", None, None), ("ReLU", None, None)
    encoder = [("Linear", 500, 128), norm, relu, ("Linear", 128, 64), norm]
    assert all(shape(m.encoder.parts[0]) == encoder for m in made.values())
    assert shape(made["simclr"].project) == [("Linear", 64, 64), norm, relu, ("Linear", 64, 64), norm]
    assert shape(made["vicreg"].project) == [("Linear", 64, 64), norm, relu, ("Linear", 64, 256)]
    assert all(m.bias is None for m in made["simclr"].project if isinstance(m, nn.Linear))
    config = made["vicreg"].config
    assert (config.invariance, config.variance, config.covariance) == (5.0, 5.0, 1.0)
    assert made["simclr"].config.temperature == 0.5
    for m in made.values():
        assert (m.config.batch_size, m.config.learning_rate, m.config.weight_decay) == (256, 1e-4, 1e-6)


def test_numpy_numbers_are_numbers(cells, tmp_path):
    model = ssl.tl.fit(cells.copy(), "untrained", width=np.int64(16), hidden=[np.int64(8)])
    plain = ssl.tl.fit(cells.copy(), "untrained", width=16, hidden=(8,))
    assert model.record["config_id"] == plain.record["config_id"]
    model.save(tmp_path / "model")
    assert ssl.load(tmp_path / "model").module.config == plain.module.config


def test_loading_leaves_the_global_generator_alone(folder):
    import torch

    before = torch.get_rng_state()
    ssl.load(folder)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["simclr", "byol"])
def test_the_projection_head_can_be_kept(cells, tmp_path, name):
    quick = {"batch_key": "batch", "max_epochs": 1, "projector": (32, 12), "seed": 3}
    adata = cells.copy()
    kept = ssl.tl.fit(adata, name, keep_projector=True, **quick)
    encoder = ssl.tl.fit(adata, name, key_added="encoder", **quick)
    assert kept.n_dims == kept.embed(cells).shape[1] == 12
    with torch.no_grad():
        expected = encoder.module.project(torch.from_numpy(encoder.embed(cells))).numpy()
    np.testing.assert_allclose(kept.embed(cells), expected, atol=1e-6)
    kept.save(tmp_path / name)
    np.testing.assert_array_equal(ssl.load(tmp_path / name).embed(cells), kept.embed(cells))


def test_a_head_of_all_modalities_cannot_embed_one(tmp_path):
    mdata = ssl.datasets.synthetic(n_obs=40, n_vars=30, modalities=("rna", "prot"))
    ssl.pp.recipe(mdata)
    model = ssl.tl.fit(mdata, "simclr", keep_projector=True, max_epochs=1)
    with pytest.raises(InputError, match="modality"):
        model.embed(mdata, modality="rna")

"""Cells that lack a modality, and one modality alone."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pytest
import torch

import scssl as ssl
from scssl._errors import InputError, KeyNotFoundError, ScsslWarning
from scssl._registry import METHODS
from scssl.data.calm import calm
from scssl.data.cells import Cells
from scssl.methods._trained import SelfSupervised
from scssl.nn.encoders import FUSIONS, Encoder
from scssl.train.batches import Batch, Batches

N = 90
TRAINED = [name for name in METHODS.names() if issubclass(METHODS.get(name), SelfSupervised)]
QUICK = {"max_epochs": 2, "batch_size": 32}
RNA, PROT = slice(0, 70), slice(40, N)  # cells that have each modality: 30 have both


@pytest.fixture(scope="module")
def whole():
    mdata = ssl.datasets.synthetic(n_obs=N, n_vars=40, n_types=3, n_batches=2, modalities=("rna", "prot"), seed=0)
    ssl.pp.recipe(mdata)
    return mdata


def some(mdata, **cells):
    """The same cells with a modality measured in some of them only, in the order of the whole object."""
    with calm():
        made = md.MuData({name: mdata.mod[name][where].copy() for name, where in cells.items()})
    made.obs["batch"] = mdata.obs["batch"].reindex(made.obs_names).to_numpy()
    return made


@pytest.fixture
def partial(whole):
    return some(whole, rna=RNA, prot=PROT)


def fit(mdata, name="simclr", **options):
    with pytest.warns(ScsslWarning, match="not measured"):
        return ssl.tl.fit(mdata, name, batch_key="batch", **QUICK | options)


def test_rows_and_presence(partial, whole):
    cells = Batches(Cells.from_data(partial, batch_key="batch"))
    batch = cells.take(np.arange(N))
    for name in ("rna", "prot"):
        there = partial.obs_names.isin(partial.mod[name].obs_names)
        np.testing.assert_array_equal(batch.present[name].numpy(), there)
        order = whole.obs_names.get_indexer(partial.obs_names)
        np.testing.assert_array_equal(batch.x[name].numpy()[there], whole.mod[name].X.toarray()[order][there])
        assert (batch.x[name].numpy()[~there] == 0).all()
        stand_ins = cells.values(name, np.arange(N)).numpy()  # for views that mix cells
        np.testing.assert_array_equal(stand_ins[there], batch.x[name].numpy()[there])
        assert (stand_ins.sum(axis=1) > 0).all()
    assert Batches(Cells.from_data(whole)).take(np.arange(3)).present is None


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(0)
    x = {"a": torch.rand(12, 7, generator=draw), "b": torch.rand(12, 5, generator=draw)}
    present = {"b": torch.arange(12) % 3 > 0}
    return Batch(x, torch.arange(12), torch.arange(12) % 2, present=present)


@pytest.mark.parametrize("n_domains", [0, 2])
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("training", [True, False])
def test_absent_values_have_no_influence(batch, fusion, training, n_domains):
    encoder = Encoder({"a": 7, "b": 5}, hidden=(6,), width=4, fusion=fusion, n_domains=n_domains)
    states = []
    for values in (0.0, 1e3):
        changed = {"a": batch.x["a"], "b": batch.x["b"].clone()}
        changed["b"][~batch.present["b"]] = values
        other = Encoder({"a": 7, "b": 5}, hidden=(6,), width=4, fusion=fusion, n_domains=n_domains)
        other.load_state_dict(encoder.state_dict())
        other.train(training)
        states.append((other(batch.with_x(changed)), list(other.buffers())))
    torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusion_of_what_is_there(batch, fusion):
    encoder = Encoder({"a": 7, "b": 5}, hidden=(6,), width=4, fusion=fusion).eval()
    a, b = (part(batch.x[name]) for name, part in zip("ab", encoder.parts, strict=True))
    z = encoder(batch)
    for i, both in enumerate(batch.present["b"].tolist()):
        expected = {
            "concat": (side_by_side := torch.cat((a[i], b[i] if both else torch.zeros(4)))),
            "clip": side_by_side,
            "mean": (a[i] + b[i]) / 2 if both else a[i],
            "add": a[i] + b[i] if both else 2 * a[i],
        }[fusion]
        torch.testing.assert_close(z[i], expected, rtol=1e-5, atol=1e-6)


def test_gradients_reach_both_encoders(batch):
    encoder = Encoder({"a": 7, "b": 5}, hidden=(6,), width=4, fusion="mean")
    encoder(batch).square().sum().backward()
    assert all(part[0].weight.grad.abs().sum() > 0 for part in encoder.parts)


@pytest.mark.parametrize("n", [0, 1])
def test_a_mini_batch_without_a_modality(batch, n):
    """No cell or a single one has it: nothing to standardise by, and nothing breaks."""
    encoder = Encoder({"a": 7, "b": 5}, hidden=(6,), width=4)
    few = Batch(batch.x, batch.cell, batch.batch, present={"b": torch.arange(12) < n})
    z = encoder(few)
    assert torch.isfinite(z).all()
    assert (z[n:, 4:] == 0).all()
    z.sum().backward()
    assert encoder.parts[1][0].weight.grad is not None  # DDP waits for every gradient


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_trains_on_cells_that_lack_a_modality(name, partial):
    model = fit(partial, name)
    embedding = partial.obsm[f"X_{name}"]
    assert embedding.shape == (N, model.n_dims)
    assert np.isfinite(embedding).all()
    reordered = partial[np.random.default_rng(0).permutation(N)].copy()
    order = partial.obs_names.get_indexer(reordered.obs_names)
    np.testing.assert_allclose(model.embed(reordered), embedding[order], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.embed(partial[60:75].copy()), embedding[60:75], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["pca", "random", "untrained"])
def test_controls_too(name, partial):
    with pytest.warns(ScsslWarning, match="not measured"):
        ssl.tl.fit(partial, name)
    assert np.isfinite(partial.obsm[f"X_{name}"]).all()


@pytest.mark.parametrize("name", [*TRAINED, "untrained"])
def test_one_modality_alone(name, whole, unchanged):
    mdata = whole.copy()
    quick = QUICK | {"fusion": "concat", "width": 64} if name in TRAINED else {}
    model = ssl.tl.fit(mdata, name, **quick)
    ssl.tl.embed(mdata, model, modality="prot")
    alone = mdata.obsm[f"X_{name}_prot"]
    assert alone.shape == (N, 64)
    np.testing.assert_allclose(alone, mdata.obsm[f"X_{name}"][:, 64:], rtol=1e-5, atol=1e-5)  # concatenated
    protein = mdata.mod["prot"].copy()
    ssl.tl.embed(protein, model, modality="prot", key_added="mine")
    np.testing.assert_allclose(protein.obsm["X_mine"], alone, rtol=1e-5, atol=1e-5)
    with unchanged(protein), pytest.raises(InputError, match="say which one it is"):
        ssl.tl.embed(protein, model)


def test_one_modality_of_a_partial_object(partial):
    model = fit(partial)
    with pytest.raises(InputError, match=r"40 of 90 cells are measured in none of 'prot'"):
        model.embed(partial, modality="prot")
    assert model.embed(partial.mod["prot"], modality="prot").shape == (50, 64)
    with pytest.raises(KeyNotFoundError, match=r"no modality 'port'.*Did you mean 'prot'"):
        model.embed(partial, modality="port")


def test_a_method_of_all_modalities_says_so(whole):
    model = ssl.tl.fit(whole.copy(), "pca")
    with pytest.raises(InputError, match="makes one embedding of 'rna', 'prot'") as caught:
        model.embed(whole, modality="rna")
    assert caught.value.parameter == "modality"


def test_cells_with_nothing_are_refused(whole, unchanged):
    tags = whole.mod["prot"].copy()
    tags.var_names = [f"tag {i}" for i in range(tags.n_vars)]
    with calm():
        three = md.MuData({"rna": whole.mod["rna"][:30].copy(), "prot": whole.mod["prot"][10:40].copy(), "hto": tags})
    with unchanged(three), pytest.raises(InputError, match=r"50 of 90 cells are measured in none of 'rna', 'prot'"):
        ssl.tl.fit(three, modalities=("rna", "prot"))


def test_a_mosaic_trains_with_a_warning(whole):
    mosaic = some(whole, rna=slice(0, 50), prot=slice(50, N))
    assert "mosaic" in set(ssl.pp.check(mosaic)["code"])
    with pytest.warns(ScsslWarning, match=r"No cell is measured in two of 'rna', 'prot'.*Add cells that have both"):
        ssl.tl.fit(mosaic, "simclr", batch_key="batch", fusion="mean", **QUICK)
    assert np.isfinite(mosaic.obsm["X_simclr"]).all()


def test_check_and_fit_say_the_same(partial):
    found = ssl.pp.check(partial)
    assert found["code"].tolist() == ["cells_miss_modality"] * 2
    with pytest.warns(ScsslWarning) as caught:
        ssl.tl.fit(partial, "random")
    assert [str(w.message).split(".")[0] for w in caught] == [m.split(".")[0] for m in found["message"]]


def test_training_sees_present_cells_only(partial):
    """Whatever stands in the rows of cells that lack a modality, the model is the same."""
    expected = fit(partial).embed(partial)
    original = Batches.take

    def poisoned(self, index):
        batch = original(self, index)
        for name, there in (batch.present or {}).items():
            batch.x[name][~there] = 1e3
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "take", poisoned)
        model = fit(partial)
        np.testing.assert_array_equal(model.embed(partial), expected)


def test_saved_models(partial, tmp_path):
    model = fit(partial)
    model.save(tmp_path / "model")
    back = ssl.load(tmp_path / "model")
    np.testing.assert_array_equal(back.embed(partial), partial.obsm["X_simclr"])
    assert isinstance(partial.mod["rna"], ad.AnnData)

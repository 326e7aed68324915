"""What the masked autoencoder of the paper has to be: network, masks, gradients, where its published code went wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import scssl as ssl
from scssl._errors import InputError, KeyNotFoundError
from scssl._registry import METHODS
from scssl.train.batches import Batch, Batches, with_factors
from scssl.views import masks

GENES, CELLS = 40, 64
SETS = {"STAT1_targets": range(3, 9), "other": range(8, 15), "third": range(20, 26)}


def module(name="mae", genes=GENES, seed=0, **config):
    config = {"hidden": (16,), "width": 4, "hidden_dropout": 0.0} | config
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # noqa: TID251 - inside fork_rng
        kind = METHODS.get(name)
        return kind(kind.configure(**config), {"rna": genes})


def cells_of(n=CELLS, genes=GENES, seed=0):
    x = torch.rand(n, genes, generator=torch.Generator().manual_seed(seed)) * 3
    return Batch({"rna": x}, torch.arange(n))


def masked(mask, batch=None, counters=(0, 0)):
    batch = cells_of() if batch is None else batch
    return masks.Masking({"rna": mask})(batch, seed=0, counters=counters), batch


@pytest.fixture(scope="module")
def adata():
    adata = ssl.datasets.synthetic(n_obs=150, n_vars=GENES + 20, n_types=3, seed=0)
    adata = adata[:, np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel())[:GENES]].copy()
    adata.var_names = ["STAT1", *(f"G{i}" for i in range(1, GENES))]
    ssl.pp.recipe(adata)
    ssl.pp.gene_sets(adata, {name: [adata.var_names[i] for i in genes] for name, genes in SETS.items()})
    return adata


def sets_of(adata):
    from scssl.data.gene_sets import stored

    return stored(adata, adata.var_names.to_numpy().astype(str), key="gene_sets", modality="rna")


# 1: the network


def test_the_autoencoder_of_the_paper_has_20_767_683_parameters():
    kind = METHODS.get("autoencoder")
    with torch.device("meta"):
        whole = kind(kind.configure("paper"), {"rna": 19_331})
    count = lambda part: sum(p.numel() for p in part.parameters())  # noqa: E731
    assert (count(whole.encoder), count(whole.decoder), count(whole)) == (10_374_208, 10_393_475, 20_767_683)
    layers = [type(layer).__name__ for layer in whole.encoder.parts[0]]
    assert layers[:-1] == ["Linear", "SELU", "Dropout"] * 4 + ["Linear"]
    assert whole.encoder.parts[0][-1].p == 0  # the embedding itself is never dropped
    assert {layer.p for layer in whole.encoder.parts[0] if isinstance(layer, torch.nn.Dropout)} == {0.1, 0.0}
    with torch.device("meta"):
        masked = METHODS.get("mae")(METHODS.get("mae").configure("paper"), {"rna": 19_331})
    assert count(masked) == 20_767_683


def test_mae_and_its_control_differ_in_the_mask_alone():
    mae, control = (METHODS.get(name).configure() for name in ("mae", "autoencoder"))
    shared = set(control.__dataclass_fields__)
    assert {n for n in shared if getattr(mae, n) != getattr(control, n)} == set()
    assert set(mae.__dataclass_fields__) - shared == {"mask", "rate", "masked_value", "modality_rate", "gene_sets"}
    a, b = module("mae"), module("autoencoder")
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


# 2: random mask


def test_loss_depends_on_predicted_entries_alone():
    net = module()
    (given, cells) = masked(masks.RandomMask(0.5))
    out = net.decoder(net.represent(given))["rna"].detach()
    target = given.target["rna"]

    def loss(prediction):
        net.decoder.forward = lambda _: {"rna": prediction}
        return net.loss((given, cells))["loss"]

    base = loss(out)
    assert loss(torch.where(target, out, out + 100)) == base
    assert loss(torch.where(target, out + 1, out)) != base
    expected = (out - cells.x["rna"])[target].square().mean()
    torch.testing.assert_close(base, expected)
    leaf = out.clone().requires_grad_()
    loss(leaf).backward()
    assert (leaf.grad[~target] == 0).all()
    assert (leaf.grad[target] != 0).all()


def influence(net, given, cells):
    """Which values of the input, and which of the cells to be predicted, the loss of each cell depends on."""
    seen, asked = (batch.x["rna"].clone().requires_grad_() for batch in (given, cells))
    net.loss((given.with_x({"rna": seen}), cells.with_x({"rna": asked})))["loss"].backward()
    return seen.grad.numpy() != 0, asked.grad.numpy() != 0


@pytest.mark.parametrize("masked_value", ["zero", "token", "indicator"])
def test_gradients_reach_visible_inputs_and_predicted_outputs_alone(adata, masked_value):
    """Both directions: what is visible or predicted has an influence, what is not has none."""
    sets = sets_of(adata)
    kinds = {
        "random": masks.RandomMask(0.5),
        "gene_programme": masks.programmes(sets, 0.2),
        "gp_to_gp": masks.isolated(sets, to_tf=False),
        "gp_to_tf": masks.isolated(sets, to_tf=True),
    }
    for name, mask in kinds.items():
        given, cells = masked(mask)
        net = module(masked_value=masked_value, seed=1).double()
        given, cells = (batch.with_x({"rna": batch.x["rna"].double()}) for batch in (given, cells))
        seen, asked = influence(net, given, cells)
        np.testing.assert_array_equal(seen, given.visible["rna"].numpy(), err_msg=name)
        np.testing.assert_array_equal(asked, given.target["rna"].numpy(), err_msg=name)


def test_perturbation_of_single_values(adata):
    """The same without gradients: what hidden values are does not matter."""
    given = masked(masks.isolated(sets_of(adata), to_tf=True))[0]
    net = module().eval()
    visible = given.visible["rna"]
    base = net.represent(given)
    shifted = given.with_x({"rna": torch.where(visible, given.x["rna"], 1e6)})
    assert torch.equal(net.represent(shifted), base)
    one = given.x["rna"].clone()
    first = [int(np.flatnonzero(row)[0]) for row in visible.numpy()]
    one[torch.arange(CELLS), first] += 1
    assert (net.represent(given.with_x({"rna": one})) != base).any(dim=1).all()


# 3: gene programmes


def test_programmes_differ_between_the_cells_of_a_mini_batch(adata):
    given, _ = masked(masks.programmes(sets_of(adata), 0.35))
    hidden = given.target["rna"].numpy()
    assert len(np.unique(hidden, axis=0)) > 1
    members = [np.isin(np.arange(GENES), list(genes)) for genes in SETS.values()]
    unions = {tuple(np.any([m for m, c in zip(members, bits, strict=True) if c] or [np.zeros(GENES, bool)], axis=0))
              for bits in np.ndindex(2, 2, 2)}  # fmt: skip
    assert {tuple(row) for row in hidden} <= unions


# 4: isolated


def test_gp_to_tf_shows_its_targets_without_the_factor(adata):
    given, _ = masked(masks.isolated(sets_of(adata), to_tf=True))
    visible, target = given.visible["rna"].numpy(), given.target["rna"].numpy()
    assert (np.flatnonzero(target.any(axis=0)) == [0]).all()  # STAT1
    np.testing.assert_array_equal(
        visible, np.isin(np.arange(GENES), list(SETS["STAT1_targets"])) & np.ones_like(visible)
    )
    assert not visible[:, 0].any()


# the decoder starts at the means, so that a lower loss is knowledge of the cell; most genes here depend on no other one
@pytest.mark.parametrize(
    ("mask", "share"), [("random", 0.95), ("gene_programme", 0.8), ("gp_to_gp", 0.8), ("gp_to_tf", 0.8)]
)
def test_every_mask_trains(adata, mask, share):
    rate = {"rate": 0.2} if mask == "gene_programme" else {}
    made = adata.copy()
    model = ssl.tl.fit(
        made, "mae", mask=mask, max_epochs=100, batch_size=50, hidden=(32,), width=8, learning_rate=5e-3, **rate
    )
    assert model.history["loss"].iloc[-1] < share * model.history["loss"].iloc[0]
    assert np.isfinite(made.obsm["X_mae"]).all()


# no rescaling, one module


@pytest.mark.parametrize("masked_value", ["zero", "token", "indicator"])
def test_visible_values_are_not_rescaled(masked_value):
    """Unmasked cells, and those with a mask that hides nothing, are the same to the network."""
    net = module(masked_value=masked_value).eval()
    batch = cells_of()
    everything = Batch(batch.x, batch.cell, visible={"rna": torch.ones(CELLS, GENES, dtype=torch.bool)})
    assert torch.equal(net.represent(everything), net.represent(batch))
    half = Batch(batch.x, batch.cell, visible={"rna": torch.arange(GENES).expand(CELLS, -1) % 2 == 0})
    zeros = batch.with_x({"rna": batch.x["rna"] * half.visible["rna"]})
    same = torch.equal(net.represent(half), net.represent(zeros))
    assert same == (masked_value != "indicator")  # an untrained token is zero


def test_a_token_is_learned(adata):
    model = ssl.tl.fit(adata.copy(), "mae", masked_value="token", max_epochs=2, hidden=(16,), width=4)
    assert (model.module.encoder.inputs[0].token != 0).all()


def test_saved_models_are_the_same_network(adata, tmp_path):
    for masked_value in ("token", "indicator"):
        model = ssl.tl.fit(
            adata.copy(), "mae", masked_value=masked_value, max_epochs=1, hidden=(16,), width=4, output="zinb"
        )
        model.save(tmp_path / masked_value)
        again = ssl.load(tmp_path / masked_value)
        np.testing.assert_array_equal(again.embed(adata), model.embed(adata))


# 6: one module before and after labels


@pytest.mark.parametrize(
    "config", [{}, {"masked_value": "token"}, {"masked_value": "indicator"}, {"batch_norm": "shared"}]
)
def test_the_encoder_is_the_same_network_in_the_classifier(adata, config):
    """Pretrained with SELU, labelled with SELU: no bit of the embedding changes, and the head builds on exactly it."""
    model = ssl.tl.fit(adata.copy(), "mae", max_epochs=2, hidden=(16, 8), width=4, **config)
    before = model.embed(adata)
    tuned = ssl.tl.finetune(adata.copy(), model, label_key="cell_type", train="head", max_epochs=2)
    np.testing.assert_array_equal(tuned.embed(adata), before)
    logits = tuned.module.classifier(torch.from_numpy(before)).detach().numpy()
    assert list(tuned.classify(adata)[0]) == [tuned.classes[i] for i in logits.argmax(axis=1)]
    a, b = ([type(layer).__name__ for layer in m.module.encoder.modules()] for m in (model, tuned))
    assert a == b
    assert "SELU" in a
    assert "ReLU" not in a


# 9: genes in any order


def test_genes_in_another_order_are_the_same_cells(adata):
    model = ssl.tl.fit(adata.copy(), "mae", max_epochs=1, hidden=(16,), width=4)
    order = np.random.default_rng(0).permutation(adata.n_vars)
    np.testing.assert_allclose(model.embed(adata[:, order].copy()), model.embed(adata), rtol=1e-5, atol=1e-6)


# output


@pytest.mark.parametrize("output", ["linear", "nb", "zinb"])
def test_reconstruction_finds_the_types(adata, output):
    model = ssl.tl.fit(adata.copy(), "mae", output=output, max_epochs=40, batch_size=50, hidden=(64,), width=16)
    x = adata.X.toarray()
    with torch.no_grad():
        made = model.module.decode(torch.from_numpy(model.embed(adata)))["rna"].numpy()
    assert made.shape == x.shape
    types = adata.obs["cell_type"].astype(str).to_numpy()
    by_type = np.stack([x[types == label].mean(axis=0) for label in types])
    ours, known = (1 - (x - y).var(axis=0).sum() / x.var(axis=0).sum() for y in (made, by_type))
    assert ours > 0.5 * known > 0.04  # all there is to know is the type; the rest is noise of counting
    assert x.max() > 1  # what a sigmoid cannot reach


def test_counts_are_needed_for_a_likelihood_of_counts(adata, unchanged):
    bare = adata.copy()
    del bare.layers["counts"]
    with unchanged(bare), pytest.raises(InputError, match=r"layers\['counts'\] does not exist, and output='nb'"):
        ssl.tl.fit(bare, "mae", output="nb")
    shifted = adata.copy()
    shifted.X = shifted.X * 1.01
    with pytest.raises(InputError, match="do not fit"):
        ssl.tl.fit(shifted, "mae", output="zinb")


def test_counts_behind_the_values_are_found(adata):
    from scssl.data.cells import Cells
    from scssl.data.counts import factors_of
    from scssl.nn.decoders import counted

    cells, index = Cells.from_data(adata), np.arange(5, 25)
    batch = Batches(cells).take(index)
    assert batch.factor is None
    batch = with_factors(batch, factors_of(cells, who="a test", parameter="output"), index)
    counts, _ = counted(batch.x["rna"], batch.factor["rna"])
    chosen = adata[5:25, cells.genes["rna"]]
    np.testing.assert_array_equal(counts.numpy(), chosen.layers["counts"].toarray())


# refused in words


def test_a_mask_without_what_it_needs_is_refused(adata, unchanged):
    bare = adata.copy()
    del bare.varm["gene_sets"]
    cases = [
        (adata, {"rate": None}, InputError, "nothing would be hidden"),
        (adata, {"mask": "gene_programme", "rate": None}, InputError, "rate=None"),
        (adata, {"mask": "gene_programme", "rate": 0.9}, InputError, "Pass a rate below"),
        (adata, {"rate": 1.0}, InputError, "less than 1"),
        (adata, {"mask": "gp"}, InputError, "not one of 'random'"),
        (bare, {"mask": "gp_to_gp"}, KeyNotFoundError, "pp.gene_sets"),
        (adata, {"mask": "gp_to_gp", "gene_sets": "gene_set"}, KeyNotFoundError, "Did you mean 'gene_sets'"),
    ]
    for data, config, error, text in cases:
        with unchanged(data), pytest.raises(error, match=text):
            ssl.tl.fit(data, "mae", **config)


def test_gene_sets_of_another_modality():
    mdata = ssl.datasets.synthetic(n_obs=60, n_vars=40, modalities=("rna", "prot"), seed=0)
    ssl.pp.recipe(mdata)
    genes = mdata.mod["rna"].var_names[mdata.mod["rna"].var["highly_variable"]]
    ssl.pp.gene_sets(mdata.mod["rna"], {"a": genes[:5], "b": genes[4:12]})
    with pytest.raises(KeyNotFoundError, match="Modality 'prot': there are no gene sets"):
        ssl.tl.fit(mdata, "mae", mask="gp_to_gp")
    ssl.tl.fit(mdata, "mae", mask="gp_to_gp", modalities=["rna"], max_epochs=1, hidden=(16,), width=4)
    assert mdata.obsm["X_mae"].shape == (60, 4)


# the loop


def run(adata, **options):
    options = {"max_epochs": 3, "batch_size": 50, "hidden": (16,), "width": 4, "hidden_dropout": 0.1} | options
    return ssl.tl.fit(adata.copy(), "mae", mask="gene_programme", rate=0.3, **options)


def test_resumes_to_the_same_bits(adata, tmp_path):
    run(adata, checkpoint_dir=tmp_path, max_epochs=1)
    resumed = run(adata, checkpoint_dir=tmp_path, resume=True)
    np.testing.assert_array_equal(resumed.embed(adata), run(adata).embed(adata))


def test_masks_do_not_depend_on_threads(adata):
    from scssl.data.cells import Cells
    from scssl.train.loop import Run, _made_ahead
    from scssl.train.sampler import Sampler

    cells, mae = Cells.from_data(adata), module()
    prepared = type(mae).prepare(mae.config, cells)
    job = Run("mae", 0, torch.device("cpu"), Sampler.mixed(cells.n_obs, 50), 1, 1e-3, 0.0, prepared=prepared)
    shares, made = job.sampler.epoch(0, 0), []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        steps = _made_ahead(mae, cells, shares, job, 0)
        made.append([(given.visible["rna"], whole.x["rna"]) for given, whole in steps])
    torch.set_num_threads(before)
    for one, two in zip(*made, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_what_is_reconstructed_are_the_cells_before_views(adata):
    """With views the network sees changed cells, and has to give back the unchanged ones."""
    from scssl.data.cells import Cells
    from scssl.train.loop import Run, _inputs
    from scssl.train.sampler import Sampler

    cells, made = Cells.from_data(adata), module("autoencoder", views="gaussian:0.8")
    prepared = type(made).prepare(made.config, cells)
    job = Run("autoencoder", 0, torch.device("cpu"), Sampler.mixed(cells.n_obs, 50), 1, 1e-3, 0.0, prepared=prepared)
    given, whole = _inputs(made, cells, job, (0, 0), np.arange(50))
    genes = pd.Index(adata.var_names).get_indexer(cells.genes["rna"])
    np.testing.assert_array_equal(whole.x["rna"].numpy(), adata.X[:50][:, genes].toarray())
    assert (given.x["rna"] != whole.x["rna"]).any()


def test_default_sees_no_views_and_compares_no_batches():
    adata = ssl.datasets.synthetic(n_obs=80, n_vars=40, n_batches=2, seed=0)
    adata = adata[:, np.asarray(adata.X.sum(axis=0)).ravel() > 0].copy()
    ssl.pp.recipe(adata)
    model = ssl.tl.fit(adata, "mae", batch_key="batch", max_epochs=1)
    assert model.module.config.views == ()
    assert model.record["within_batch"] == "off"
    with pytest.raises(InputError, match="compares no cells"):
        ssl.tl.fit(adata, "mae", batch_key="batch", within_batch="mask")

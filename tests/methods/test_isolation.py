"""Isolated masks, by perturbation of the whole model: encoder, decoder and loss, and of a whole run.

What is not visible has no influence on what is predicted; what is not predicted has none on the loss; everything else has.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scssl as ssl
from scssl._registry import METHODS
from scssl.data.gene_sets import GeneSets
from scssl.nn.decoders import OUTPUTS
from scssl.train.batches import Batch
from scssl.views import masks

GENES, CELLS = 24, 5
MEMBERS = np.zeros((3, GENES), dtype=bool)
for row, genes in enumerate((range(2, 8), range(6, 12), range(14, 19))):
    MEMBERS[row, list(genes)] = True
MEMBERS[2, 1] = True  # a factor that is in its own set
SETS = GeneSets(["F0_targets", "none", "F1_targets"], MEMBERS, np.array([0, -1, 1]))
KINDS = {
    "gp_to_gp": lambda: masks.isolated(SETS, to_tf=False),
    "gp_to_tf": lambda: masks.isolated(SETS, to_tf=True),
    "gene_programme": lambda: masks.programmes(SETS, 0.4),
    "random": lambda: masks.RandomMask(0.5),
}
kinds = pytest.mark.parametrize("kind", KINDS)
outputs = pytest.mark.parametrize("output", ["linear", "nb", "zinb"])
values_of_hidden = pytest.mark.parametrize("masked_value", ["zero", "token", "indicator"])


def network(**config):
    """A network without dropout, in training mode and double precision, with random tokens."""
    config = {"hidden": (10,), "width": 5, "hidden_dropout": 0.0, **config}
    with torch.random.fork_rng():
        torch.manual_seed(1)  # noqa: TID251 - inside fork_rng
        net = METHODS.get("mae")(METHODS.get("mae").configure(**config), {"rna": GENES}).double().train()
        for entry in net.encoder.inputs:
            if entry.token is not None:
                torch.nn.init.normal_(entry.token)
    return net


def masked(kind):
    """Some cells, what is visible of them and what is to be predicted."""
    counts = torch.poisson(torch.full((CELLS, GENES), 3.0), generator=torch.Generator().manual_seed(2))
    x = counts.double().log1p()
    batch = Batch({"rna": x}, torch.arange(CELLS), factor={"rna": torch.ones(CELLS, dtype=torch.float64)})
    return masks.Masking({"rna": KINDS[kind]()})(batch, seed=4, counters=(0, 0)), batch


def cell(batch, i):
    """One cell as a batch of its own."""
    part = {
        name: None if (found := getattr(batch, name)) is None else {"rna": found["rna"][i : i + 1]}
        for name in ("x", "visible", "target", "factor")
    }
    return replace(batch, cell=batch.cell[i : i + 1], **part)


def moved(batch, gene):
    x = batch.x["rna"].clone()
    x[:, gene] += 1
    return batch.with_x({"rna": x})


def test_sets_are_as_meant():
    for kind in ("gp_to_gp", "gp_to_tf"):
        given, _ = masked(kind)
        visible, target = given.visible["rna"].numpy(), given.target["rna"].numpy()
        assert (visible.any(axis=1) & ~visible.all(axis=1)).all()
        if kind == "gp_to_gp":
            np.testing.assert_array_equal(visible, target)
        else:
            assert not (visible & target).any()
            assert (target.sum(axis=1) == 1).all()
            assert set(np.flatnonzero(target.any(axis=0))) <= {0, 1}


@kinds
@values_of_hidden
def test_predictions_depend_on_all_that_is_visible_and_on_nothing_else(kind, masked_value):
    net = network(masked_value=masked_value)
    given, _ = masked(kind)
    base = net.decoder(net.represent(given))["rna"]
    reaches = np.zeros((CELLS, GENES), dtype=bool)
    for gene in range(GENES):
        changed = net.decoder(net.represent(moved(given, gene)))["rna"] != base
        np.testing.assert_array_equal(changed.any(dim=1), changed.all(dim=1))  # every output, or none
        reaches[:, gene] = changed.any(dim=1)
    np.testing.assert_array_equal(reaches, given.visible["rna"])


@kinds
@outputs
def test_the_loss_of_a_cell_depends_on_the_truth_of_what_is_predicted_alone(kind, output):
    net = network(output=output)
    given, cells = masked(kind)
    for i in range(CELLS):
        one, truth = cell(given, i), cell(cells, i)
        base = net.loss((one, truth))["loss"]
        by_truth = [bool(net.loss((one, moved(truth, gene)))["loss"] != base) for gene in range(GENES)]
        np.testing.assert_array_equal(by_truth, given.target["rna"][i])
        by_input = [bool(net.loss((moved(one, gene), truth))["loss"] != base) for gene in range(GENES)]
        np.testing.assert_array_equal(by_input, given.visible["rna"][i])
        both = [bool(net.loss((moved(one, gene), moved(truth, gene)))["loss"] != base) for gene in range(GENES)]
        np.testing.assert_array_equal(both, given.visible["rna"][i] | given.target["rna"][i])


@kinds
@outputs
def test_the_loss_of_a_cell_depends_on_the_outputs_that_are_predicted_alone(kind, output):
    """Each output of the decoder is moved by its bias."""
    net = network(output=output)
    given, cells = masked(kind)
    last = [layer for layer in net.decoder.parts[0].modules() if isinstance(layer, torch.nn.Linear)][-1]
    times = OUTPUTS[output].outputs
    for i in range(CELLS):
        one, truth = cell(given, i), cell(cells, i)
        base = net.loss((one, truth))["loss"]
        reaches = []
        for place in range(GENES * times):
            with torch.no_grad():
                last.bias[place] += 1
            reaches.append(bool(net.loss((one, truth))["loss"] != base))
            with torch.no_grad():
                last.bias[place] -= 1
        np.testing.assert_array_equal(reaches, np.tile(given.target["rna"][i], times))


def test_a_mask_that_leaks_would_be_found():
    """The tests above can fail: with one gene more visible than the mask says, they do."""
    net = network()
    given, _ = masked("gp_to_tf")
    leaky = replace(given, visible={"rna": given.visible["rna"] | given.target["rna"]})
    factor = int(given.target["rna"][0].nonzero())
    base = net.decoder(net.represent(leaky))["rna"][0]
    assert (net.decoder(net.represent(moved(leaky, factor)))["rna"][0] != base).any()


# several modalities

MANY = 60


def two(alone, present=None):
    """Cells of two modalities, each masked at random, some seen by one of them alone; and a network for them."""
    draw = torch.Generator().manual_seed(5)
    x = {name: torch.rand(MANY, n, generator=draw, dtype=torch.float64) for name, n in (("rna", 9), ("prot", 4))}
    batch = Batch(x, torch.arange(MANY), present=present)
    given = masks.Masking(dict.fromkeys(x, masks.RandomMask(0.5)), alone)(batch, seed=1, counters=(0, 0))
    with torch.random.fork_rng():
        torch.manual_seed(1)  # noqa: TID251 - inside fork_rng
        config = METHODS.get("mae").configure(hidden=(10,), width=5, hidden_dropout=0.0)
        net = METHODS.get("mae")(config, {"rna": 9, "prot": 4}).double()
    return net, given, batch


def test_a_hidden_modality_is_predicted_and_not_seen():
    """By gradients through encoder, fusion, decoder and loss: values in, and values to be predicted."""
    lacks = torch.arange(MANY) % 4 == 0  # cells without protein
    net, given, batch = two(0.5, {"prot": ~lacks})
    assert 3 < int((~given.present["rna"]).sum()) < MANY - 3
    seen, asked = ({n: v.clone().requires_grad_() for n, v in batch.x.items()} for _ in range(2))
    net.loss((given.with_x(seen), batch.with_x(asked)))["loss"].backward()
    for name in batch.x:
        there = given.present[name][:, None]
        # a cell of which nothing is to be predicted (protein was not measured, RNA is shown) teaches nothing
        predicted = {n: given.target[n] & (torch.ones_like(lacks) if n == "rna" else ~lacks)[:, None] for n in batch.x}
        teaches = torch.stack([t.any(dim=1) for t in predicted.values()]).any(dim=0)[:, None]
        assert torch.equal(seen[name].grad != 0, given.visible[name] & there & teaches), name
        assert torch.equal(asked[name].grad != 0, predicted[name]), name


def test_isolated_masks_hide_no_modality():
    """They say themselves what is seen."""
    mdata = ssl.datasets.synthetic(60, {"rna": 30, "prot": 12}, modalities=("rna", "prot"), seed=0)
    ssl.pp.recipe(mdata, n_top_genes=None)
    for part in mdata.mod.values():
        ssl.pp.gene_sets(
            part, {name: list(part.var_names[i : i + 3]) for i, name in enumerate("abcdefgh")}, min_genes=3
        )
    from scssl.data.cells import Cells

    cells = Cells.from_data(mdata)
    kind = METHODS.get("mae")
    shares = {
        mask: kind.prepare(kind.configure(mask=mask, rate=0.25), cells).masking.alone
        for mask in ("random", "gene_programme", "gp_to_gp")
    }
    assert shares == {"random": 0.5, "gene_programme": 0.5, "gp_to_gp": 0.0}


@pytest.mark.parametrize("norm", ["none", "shared"])
def test_small_mini_batches_of_which_a_modality_is_hidden(norm):
    mdata = ssl.datasets.synthetic(30, {"rna": 30, "prot": 12}, modalities=("rna", "prot"), seed=0)
    ssl.pp.recipe(mdata, n_top_genes=None)
    quick = {"max_epochs": 3, "batch_size": 3, "hidden": (8,), "width": 4, "batch_norm": norm}
    model = ssl.tl.fit(mdata, "mae", modality_rate=1.0, **quick)
    assert np.isfinite(model.history["loss"]).all()


# a whole run


@pytest.fixture(scope="module")
def adata():
    adata = ssl.datasets.synthetic(n_obs=80, n_vars=40, n_types=3, seed=0)
    adata = adata[:, np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel())[:GENES]].copy()
    adata.var_names = ["F0", "F1", *(f"G{i}" for i in range(2, GENES))]
    ssl.pp.recipe(adata)
    del adata.layers["counts"]
    ssl.pp.gene_sets(adata, {name: list(adata.var_names[row]) for name, row in zip(SETS.names, MEMBERS, strict=True)})
    return adata


def other_cells_at(adata, genes):
    """The same object with the values of some genes handed round among the cells."""
    made, x = adata.copy(), adata.X.toarray()
    x[:, genes] = np.roll(x[:, genes], 1, axis=0)
    made.X = sp.csr_matrix(x)
    return made


def trained(adata, mask):
    options = {"max_epochs": 3, "batch_size": 16, "hidden": (10,), "width": 5, "hidden_dropout": 0.1}
    return ssl.tl.fit(adata.copy(), "mae", mask=mask, **options).module.state_dict()


@pytest.mark.parametrize(("mask", "used"), [("gp_to_gp", MEMBERS.any(0)), ("gp_to_tf", MEMBERS[[0, 2]].any(0))])
def test_a_run_learns_nothing_from_genes_that_are_neither_visible_nor_predicted(adata, mask, used):
    used = used.copy()
    used[:2] |= mask == "gp_to_tf"
    outside, inside = np.flatnonzero(~used), np.flatnonzero(used)
    assert len(outside) > 4
    base, same = trained(adata, mask), trained(other_cells_at(adata, outside), mask)
    (means,) = [name for name, value in base.items() if value.shape == (GENES,)]  # the decoder starts at them
    for name, value in base.items():
        rows = inside if name == means else slice(None)
        assert torch.equal(value[rows], same[name][rows]), name
    for gene in inside:
        other = trained(other_cells_at(adata, [gene]), mask)
        assert not all(torch.equal(value, other[name]) for name, value in base.items()), gene

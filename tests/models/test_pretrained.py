"""Published weights: tiny checkpoints in exactly their layout, and files that are not to be trusted."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.metrics import f1_score
from torch import nn

import scssl as ssl
from scssl._errors import CheckpointError, InputError, KeyNotFoundError

GENES, HIDDEN, WIDTH = 30, (12, 12, 8, 8), 5


def stack(sizes):
    layers = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.SELU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers[:-2])  # indices 0, 3, 6, 9, 12


@pytest.fixture
def nets():
    with torch.random.fork_rng():
        torch.manual_seed(3)  # noqa: TID251 - inside fork_rng
        encoder = stack((GENES, *HIDDEN, WIDTH)).eval()
        decoder = stack((WIDTH, *HIDDEN[::-1], GENES)).eval()
    return encoder, decoder


@pytest.fixture
def home(tmp_path, nets):
    """A folder as it is published: two Lightning checkpoints, a bare state dict, the genes."""
    encoder, decoder = nets
    whole = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    whole |= {f"decoder.{k}": v for k, v in decoder.state_dict().items()}
    torch.save({"state_dict": whole, "epoch": 7, "global_step": 70, "loops": {}}, tmp_path / "RandomMask.ckpt")
    wrapped = {f"inner_model.{name}": value for name, value in whole.items()}
    torch.save({"state_dict": wrapped, "epoch": 7}, tmp_path / "GPMask.ckpt")
    torch.save({f"backbone.{k}": v for k, v in encoder.state_dict().items()}, tmp_path / "BarlowTwins.ckpt")
    genes = {"feature_id": [f"ENSG{i:011d}" for i in range(GENES)], "feature_name": [f"GENE{i}" for i in range(GENES)]}
    pd.DataFrame(genes).to_csv(tmp_path / "var.csv")
    return tmp_path


@pytest.fixture
def adata():
    """Counts of all genes of the model but one, in another order, and of others."""
    draw = np.random.default_rng(0)
    counts = sp.csr_matrix(draw.poisson(1.5, (20, GENES + 9)).astype(np.float32))
    adata = ad.AnnData(counts)
    adata.var_names = [*(f"ENSG{i:011d}" for i in draw.permutation(GENES)[:-1]), *(f"extra{i}" for i in range(10))]
    ssl.pp.recipe(adata, target_sum=500.0)
    return adata


def expected(net, adata):
    """By hand: genes in order, absent ones zero, 10,000 counts a cell, logarithm, SELU network."""
    names = [f"ENSG{i:011d}" for i in range(GENES)]
    counts = adata.to_df(layer="counts").reindex(columns=names, fill_value=0).to_numpy(dtype=np.float64)
    x = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    with torch.no_grad():
        return net(torch.from_numpy(x).float())


@pytest.mark.filterwarnings("ignore:29 of 30 genes")
@pytest.mark.parametrize("name", ["RandomMask", "GPMask", "BarlowTwins"])
def test_cells_are_embedded_as_by_the_published_network(home, nets, adata, name, tmp_path):
    model = ssl.load_pretrained(home / f"{name}.ckpt")
    assert model.method == ("barlow_twins" if name == "BarlowTwins" else "mae")
    ours, theirs = model.embed(adata), expected(nets[0], adata)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-4)
    shuffled = adata[:, np.random.default_rng(1).permutation(adata.n_vars)].copy()
    np.testing.assert_allclose(model.embed(shuffled), ours, rtol=1e-5, atol=1e-5)
    if name != "BarlowTwins":
        with torch.no_grad():
            made = model.module.decode(torch.from_numpy(ours))["rna"]
            torch.testing.assert_close(made, nets[1](theirs).sigmoid(), rtol=1e-3, atol=1e-3)
    model.save(tmp_path / "saved")
    np.testing.assert_array_equal(ssl.load(tmp_path / "saved").embed(adata), ours)
    assert json.loads(model.record["source"])["file"] == f"{name}.ckpt"


def test_symbols_and_a_table_elsewhere(home):
    (home / "var.csv").rename(home / "genes.csv")
    with pytest.raises(InputError, match=r"no var\.parquet beside"):
        ssl.load_pretrained(home / "GPMask.ckpt")
    model = ssl.load_pretrained(home / "GPMask.ckpt", genes=home / "genes.csv", gene_names="feature_name")
    assert model.features["rna"][:2].tolist() == ["GENE0", "GENE1"]


def test_parquet_with_and_without_a_reader(home, monkeypatch):
    table = pd.read_csv(home / "var.csv")
    (home / "var.parquet").write_bytes(b"PAR1")

    def absent(*_args):
        raise ImportError

    monkeypatch.setattr(pd, "read_parquet", absent)
    with pytest.raises(
        InputError, match=r"neither pyarrow nor fastparquet.*pip install pyarrow.*a csv table"
    ) as caught:
        ssl.load_pretrained(home / "RandomMask.ckpt")
    assert caught.value.code == "needs_pyarrow"
    monkeypatch.setattr(pd, "read_parquet", lambda _file: table)
    assert ssl.load_pretrained(home / "RandomMask.ckpt").features["rna"][0] == "ENSG00000000000"


def test_parquet_as_this_environment_reads_it(home):
    """Without stand-ins: the table is read, or the message says what to install."""
    if importlib.util.find_spec("pyarrow") is None and importlib.util.find_spec("fastparquet") is None:
        (home / "var.parquet").write_bytes(b"PAR1")
        with pytest.raises(InputError, match="pip install pyarrow"):
            ssl.load_pretrained(home / "RandomMask.ckpt")
        return
    pd.read_csv(home / "var.csv").to_parquet(home / "var.parquet")
    (home / "var.csv").unlink()
    assert ssl.load_pretrained(home / "RandomMask.ckpt").features["rna"][0] == "ENSG00000000000"


class Hostile:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def test_a_pickle_that_would_run_code_is_refused(home, tmp_path):
    trap = tmp_path / "was_run"
    torch.save({"state_dict": {"encoder.0.weight": Hostile(trap)}}, home / "hostile.ckpt")
    with pytest.raises(CheckpointError, match=r"more than tensors.*nothing was run"):
        ssl.load_pretrained(home / "hostile.ckpt")
    assert not trap.exists()


def changed(home, change, name="RandomMask.ckpt"):
    loaded = torch.load(home / name, weights_only=True)
    change(loaded["state_dict"])
    torch.save(loaded, home / "changed.ckpt")
    return home / "changed.ckpt"


def test_every_tensor_without_a_place_is_named(home):
    def more(state):
        state["classifier.weight"] = state["projector_bn"] = torch.zeros(3)

    with pytest.raises(CheckpointError, match=r"'classifier\.weight', 'projector_bn'"):
        ssl.load_pretrained(changed(home, more))
    with pytest.raises(CheckpointError, match=r"without weight or bias: 'decoder\.3'"):
        ssl.load_pretrained(changed(home, lambda state: state.pop("decoder.3.bias")))
    with pytest.raises(CheckpointError, match=r"decoder layer 3 weight: absent|decoder layer 5 weight: absent"):
        ssl.load_pretrained(
            changed(home, lambda state: [state.pop(f"decoder.6.{what}") for what in ("weight", "bias")])
        )

    def wide(state):
        state["decoder.12.weight"], state["decoder.12.bias"] = torch.zeros(2 * GENES, 12), torch.zeros(2 * GENES)

    with pytest.raises(CheckpointError, match=r"decoder layer 5 weight: \(60, 12\), expected \(30, 12\).*layer 5 bias"):
        ssl.load_pretrained(changed(home, wide))

    def broken(state):
        state["encoder.3.weight"][0, 0] = torch.nan

    with pytest.raises(CheckpointError, match="not finite: 'encoder"):
        ssl.load_pretrained(changed(home, broken))
    with pytest.raises(CheckpointError, match="There is no encoder"):
        ssl.load_pretrained(changed(home, lambda state: [state.pop(k) for k in list(state) if "encoder" in k]))


def test_files_that_are_none(home):
    whole = (home / "RandomMask.ckpt").read_bytes()
    (home / "truncated.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"\d+ bytes\) cannot be read"):
        ssl.load_pretrained(home / "truncated.ckpt")
    (home / "page.ckpt").write_text("<html>404</html>")
    with pytest.raises(CheckpointError, match="cannot be read"):
        ssl.load_pretrained(home / "page.ckpt")
    torch.save(torch.zeros(3), home / "tensor.ckpt")
    with pytest.raises(CheckpointError, match="holds Tensor"):
        ssl.load_pretrained(home / "tensor.ckpt")
    torch.save({"encoder.0.weight": 3}, home / "number.ckpt")
    with pytest.raises(CheckpointError, match=r"no tensors: 'encoder\.0\.weight'"):
        ssl.load_pretrained(home / "number.ckpt")
    with pytest.raises(CheckpointError, match="is not a file"):
        ssl.load_pretrained(home / "absent.ckpt")
    with pytest.raises(KeyNotFoundError, match="ssl_in_scg"):
        ssl.load_pretrained(home / "RandomMask.ckpt", format="scgpt")


def test_genes_that_are_not_those_of_the_weights(home):
    table = pd.read_csv(home / "var.csv")
    table.iloc[:-1].to_csv(home / "fewer.csv")
    table.assign(feature_name="SAME").to_csv(home / "twice.csv")
    cases = [
        ({"genes": home / "fewer.csv"}, "take 30 genes, the table of genes has 29"),
        ({"genes": home / "twice.csv", "gene_names": "feature_name"}, "more than once: 'SAME'"),
        ({"gene_names": "symbol"}, "no column 'symbol'"),
        ({"genes": home / "absent.csv"}, "is not a file"),
    ]
    for options, text in cases:
        with pytest.raises(InputError, match=text):
            ssl.load_pretrained(home / "RandomMask.ckpt", **options)


WEIGHTS, CELLS = "SCSSL_SSL_IN_SCG", "SCSSL_SSL_IN_SCG_PBMC"
# macro F1 of zero-shot and fine-tuned embeddings of the PBMC data (id 41) that the reusability report found
REPORTED = {"RandomMask": (0.570, 0.705), "GPMask": (0.523, 0.688), "BarlowTwins": (0.439, 0.696)}


def macro_f1_of_both_stages(model, adata, *, seed=42, max_epochs=100):
    """The protocol of the report: 70 % of the cells teach, 15 % say when to stop, 15 % are asked; five neighbours.

    Their weight decay is that of AdamW, 0.05 times the step size a step; ours is added to the gradient, and is left out.
    """
    order = np.random.default_rng(seed).permutation(adata.n_obs)
    known, asked = adata[order[: int(0.85 * adata.n_obs)]].copy(), adata[order[int(0.85 * adata.n_obs) :]].copy()
    truth = asked.obs["cell_type"].astype(str)
    found = []
    tuned = ssl.tl.finetune(
        known.copy(), model, label_key="cell_type", train="all", class_weight=None, learning_rate=9e-4, batch_size=128,
        patience=20, max_epochs=max_epochs, seed=seed,
    )  # fmt: skip
    for stage, encoder in (("zero", model), ("tuned", tuned)):
        for cells in (known, asked):
            ssl.tl.embed(cells, encoder, key_added=stage)
        ssl.tl.annotate(asked, reference=known, use_rep=stage, label_key="cell_type", k=5)
        found.append(f1_score(truth, asked.obs[f"{stage}_label"].astype(str), average="macro"))
    return tuple(found)


@pytest.mark.filterwarnings("ignore::scssl._errors.ScsslWarning")
def test_the_protocol_of_the_anchors_runs(home):
    """What the test below does with the real files, on stand-ins: types that differ are found, types that do not are not."""
    draw = np.random.default_rng(0)
    types = draw.integers(0, 3, 200)
    rate = np.exp(draw.normal(size=(3, GENES)))[types]
    for rates, low, high in ((rate, 0.75, 1.0), (np.ones_like(rate), 0.0, 0.6)):
        adata = ad.AnnData(sp.csr_matrix(draw.poisson(5 * rates).astype(np.float32)))
        adata.var_names = [f"ENSG{i:011d}" for i in range(GENES)]
        adata.obs["cell_type"] = [f"t{t}" for t in types]
        ssl.pp.recipe(adata, n_top_genes=None)
        zero_shot, tuned = macro_f1_of_both_stages(ssl.load_pretrained(home / "RandomMask.ckpt"), adata, max_epochs=120)
        assert low < tuned <= high
        assert zero_shot <= high


@pytest.fixture(scope="module", params=list(REPORTED))
def published(request):
    folder = os.environ.get(WEIGHTS)
    if not folder:
        pytest.skip(f"{WEIGHTS} does not name the folder of the published weights")
    return request.param, Path(folder)


def test_the_real_files(published):
    """Every tensor finds its place, and the network is the published one."""
    name, folder = published
    model = ssl.load_pretrained(folder / f"{name}.ckpt")
    assert (len(model.features["rna"]), model.n_dims) == (19_331, 64)
    assert sum(p.numel() for p in model.module.encoder.parameters()) == 10_374_208
    if name != "BarlowTwins":
        assert sum(p.numel() for p in model.module.parameters()) == 20_767_683


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::scssl._errors.ScsslWarning")
def test_the_anchors_of_the_real_files(published):
    """Public numbers on public cells: an h5ad of the PBMC data (id 41), counts in X, ``cell_type``, symbols or Ensembl ids."""
    name, folder = published
    if not os.environ.get(CELLS):
        pytest.skip(f"{CELLS} does not name the h5ad file of the PBMC data (id 41)")
    adata = ad.read_h5ad(os.environ[CELLS])
    ssl.pp.recipe(adata, n_top_genes=None)
    ensembl = adata.var_names.str.startswith("ENSG").mean() > 0.5
    model = ssl.load_pretrained(folder / f"{name}.ckpt", gene_names="feature_id" if ensembl else "feature_name")
    zero_shot, tuned = macro_f1_of_both_stages(model, adata)
    assert zero_shot == pytest.approx(REPORTED[name][0], abs=0.08)
    assert tuned == pytest.approx(REPORTED[name][1], abs=0.08)
    assert tuned > zero_shot

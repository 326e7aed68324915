"""Warm start: what is known is kept, by name; what is new starts from nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import scssl as ssl
from scssl._errors import InputError, ScsslWarning
from scssl._registry import METHODS
from scssl.models.model import Model
from scssl.models.transfer import transfer

QUICK = {"max_epochs": 2, "batch_size": 64}


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=200, n_vars=64, n_types=3, n_batches=2, seed=0)
    ssl.pp.recipe(adata)
    adata.var["highly_variable"] = True
    return adata


@pytest.fixture(scope="module", params=["simclr", "byol", "moco", "vicreg"])
def init(request, cells):
    """64 genes, and 64 dimensions: shapes alone do not tell which is which."""
    return ssl.tl.fit(cells[:, :60].copy(), request.param, **QUICK)


def fresh(init, names, **config):
    """A new model on other genes, before its first step."""
    kind = METHODS.get(init.method)
    torch.manual_seed(1)  # noqa: TID251 - the start of the layers
    module = kind(kind.configure(**{**init.module.plain_config(), **config}), {"rna": len(names)})
    features = {"rna": np.asarray(names, dtype=str)}
    coverage = transfer(module, features, init)
    return Model(module.eval(), features, init.record, init.history), coverage


@pytest.mark.filterwarnings("ignore::scssl._errors.ScsslWarning")
def test_before_the_first_step_cells_are_embedded_as_by_init(cells, init):
    names = np.random.default_rng(0).permutation(cells.var_names)  # 60 that init knows and 4 that it does not
    warm, coverage = fresh(init, names)
    assert coverage == {"rna": {"found": 60, "of": 64}}
    np.testing.assert_allclose(warm.embed(cells), init.embed(cells), atol=1e-5)
    rest = init.module.state_dict().keys() - {n for n, axes in warm.module.feature_axes().items() if axes}
    for name in rest:
        assert torch.equal(warm.module.state_dict()[name], init.module.state_dict()[name]), name


def test_genes_that_the_data_lack_are_dropped(cells, init):
    warm, coverage = fresh(init, cells.var_names[:50])
    assert coverage == {"rna": {"found": 50, "of": 50}}
    known = cells[:, :50].copy()
    with pytest.warns(ScsslWarning, match="50 of 60"):
        expected = init.embed(known)
    np.testing.assert_allclose(warm.embed(known), expected, atol=1e-5)


def test_fit_from_a_model_and_from_its_folder(cells, tmp_path):
    init = ssl.tl.fit(cells[:, :60].copy(), "simclr", **QUICK)
    before = {n: v.clone() for n, v in init.module.state_dict().items()}
    with pytest.warns(ScsslWarning, match=r"init knows 60 of 64 features of 'rna' \(94%\)"):
        warm = ssl.tl.fit(cells.copy(), "simclr", init=init, **QUICK)
    init.save(tmp_path / "init")
    with pytest.warns(ScsslWarning, match="init knows"):
        again = ssl.tl.fit(cells.copy(), "simclr", init=tmp_path / "init", **QUICK)
    np.testing.assert_array_equal(warm.embed(cells), again.embed(cells))
    cold = ssl.tl.fit(cells.copy(), "simclr", **QUICK)
    assert not np.allclose(warm.embed(cells), cold.embed(cells), atol=1e-3)
    assert warm.history["loss"].iloc[0] < cold.history["loss"].iloc[0]
    assert all(torch.equal(before[n], v) for n, v in init.module.state_dict().items())
    record = json.loads(warm.record["init"])
    assert record["coverage"] == {"rna": {"found": 60, "of": 64}}
    assert record["data_id"] == init.record["data_id"]
    assert cold.record["init"] == ""
    assert "init knows" in warm.record["warnings"]


def test_axes_are_found_by_trial(cells):
    kind = METHODS.get("simclr")
    module = kind(kind.configure(width=64, hidden=(64,), batch_norm="domain"), {"rna": 64, "prot": 64}, ("a", "b"))
    axes = module.feature_axes()
    assert axes["encoder.parts.0.0.weight"] == {1: ("rna", 1)}
    assert axes["encoder.parts.1.0.weight"] == {1: ("prot", 1)}
    assert axes["encoder.parts.0.1.domain_mean"] == {0: ("batches", 1)}
    assert axes["encoder.parts.0.3.weight"] == {}


@pytest.mark.filterwarnings("ignore::scssl._errors.ScsslWarning")
def test_statistics_of_batches_are_found_by_name(cells):
    one = cells.copy()
    init = ssl.tl.fit(one, "vicreg", batch_key="batch", batch_norm="domain", **QUICK)
    kind = METHODS.get("vicreg")
    batches = (init.module.batches[1], "new")
    module = kind(init.module.config, init.module.sizes, batches)
    transfer(module, init.features, init)
    name = "encoder.parts.0.1.domain_mean"
    mine, theirs = module.state_dict()[name], init.module.state_dict()[name]
    assert torch.equal(mine[0], theirs[1])
    assert (mine[1] == 0).all()


@pytest.mark.parametrize(
    ("method", "options", "code", "words"),
    [
        ("vicreg", {}, "init_of_another_method", "init was made by method 'simclr', this call trains 'vicreg'"),
        ("simclr", {"width": 32}, "init_of_another_shape", "has shape (64, 128) in init and (32, 128) here"),
        ("simclr", {"hidden": (128, 64)}, "init_of_another_shape", "has other layers"),
        ("simclr", {"projector": (64, 64, 64)}, "init_of_another_shape", "is not in init"),
    ],
)
def test_what_does_not_fit_is_refused(cells, unchanged, method, options, code, words):
    init = ssl.tl.fit(cells.copy(), "simclr", max_epochs=1)
    adata = cells.copy()
    with unchanged(adata), pytest.raises(InputError) as caught:
        ssl.tl.fit(adata, method, init=init, max_epochs=1, **options)
    assert caught.value.code == code
    assert words in caught.value.message


def test_genes_of_another_kind_are_refused(cells, unchanged):
    init = ssl.tl.fit(cells.copy(), "simclr", max_epochs=1)
    adata = cells.copy()
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    with unchanged(adata), pytest.raises(InputError, match=r"init knows only 0 of the 64.*Ensembl ids"):
        ssl.tl.fit(adata, "simclr", init=init, max_epochs=1)


def test_a_method_without_steps_takes_no_start(cells, unchanged):
    init = ssl.tl.fit(cells.copy(), "pca", width=5)
    adata = cells.copy()
    with unchanged(adata), pytest.raises(InputError, match="not trained step by step"):
        ssl.tl.fit(adata, "pca", width=5, init=init)


def test_a_warm_run_is_another_run_than_a_cold_one(cells, tmp_path):
    from scssl._errors import CheckpointError

    init = ssl.tl.fit(cells.copy(), "simclr", max_epochs=1)
    ssl.tl.fit(cells.copy(), "simclr", init=init, checkpoint_dir=tmp_path, **QUICK)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        ssl.tl.fit(cells.copy(), "simclr", checkpoint_dir=tmp_path, resume=True, **QUICK)

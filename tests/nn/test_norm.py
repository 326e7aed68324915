"""Domain batch norm: a loop of torch's own norms gives the same, and no cell is lost."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import scssl as ssl
from scssl._errors import InputError, ScsslWarning
from scssl._registry import METHODS
from scssl.methods._trained import SelfSupervised
from scssl.nn.norm import BatchNorm1d, DomainBatchNorm1d

F = 5


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(0)
    return lambda n: torch.randn(n, F, generator=generator) * torch.arange(1, F + 1) + torch.arange(F)


def norm(n_domains: int) -> DomainBatchNorm1d:
    made = DomainBatchNorm1d(F, n_domains)
    with torch.no_grad():
        made.weight.copy_(torch.linspace(0.5, 2, F))
        made.bias.copy_(torch.linspace(-1, 1, F))
    return made


def naive(made: DomainBatchNorm1d) -> list[nn.BatchNorm1d]:
    """One norm of torch for each domain, with the same scale and shift."""
    loop = [nn.BatchNorm1d(F) for _ in range(made.n_domains)]
    for part in loop:
        part.weight, part.bias = made.weight, made.bias
    return loop


def test_training_equals_a_loop_over_the_domains(draw):
    made = norm(3)
    loop = naive(made)
    for seed in range(4):
        x, domain = draw(30), torch.randint(3, (30,), generator=torch.Generator().manual_seed(seed))
        x = x + 10 * domain[:, None]
        expected = torch.empty_like(x)
        for d, part in enumerate(loop):
            expected[domain == d] = part(x[domain == d])
        torch.testing.assert_close(made(x, domain), expected, rtol=1e-4, atol=1e-5)
    for d, part in enumerate(loop):  # what running statistics are without their start of 0 and 1
        torch.testing.assert_close(made.domain_mean[d], part.running_mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(made.domain_var[d], part.running_var - 0.9**4, rtol=1e-4, atol=1e-5)
        assert made.domain_weight[d].item() == pytest.approx(1 - 0.9**4)


def test_gradients_equal_those_of_the_loop(draw):
    made, x, domain = norm(2), draw(20), torch.arange(20) % 2
    theirs = x.clone().requires_grad_()
    ours = x.clone().requires_grad_()
    target = draw(20)
    parts = naive(made)
    expected = torch.empty_like(x).index_copy(0, torch.arange(0, 20, 2), parts[0](theirs[::2]))
    expected = expected.index_copy(0, torch.arange(1, 20, 2), parts[1](theirs[1::2]))
    (expected * target).sum().backward()
    (made(ours, domain) * target).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_one_domain_is_plain_batch_norm(draw):
    made, plain = norm(1), nn.BatchNorm1d(F)
    plain.weight, plain.bias = made.weight, made.bias
    for _ in range(200):
        x = draw(16)
        torch.testing.assert_close(made(x, torch.zeros(16, dtype=torch.long)), plain(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made.running_mean, plain.running_mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made.running_var, plain.running_var, rtol=1e-4, atol=1e-5)
    assert made.num_batches_tracked == plain.num_batches_tracked == 200
    x = draw(7)
    torch.testing.assert_close(made.eval()(x, torch.zeros(7, dtype=torch.long)), plain.eval()(x), rtol=1e-4, atol=1e-5)


def test_a_domain_of_one_cell_gets_pooled_statistics(draw):
    made, x = norm(3), draw(21)
    domain = torch.tensor([0] * 10 + [1] * 10 + [2])
    expected = nn.functional.batch_norm(x, None, None, made.weight, made.bias, training=True)[-1]
    got = made(x, domain)
    torch.testing.assert_close(got[-1], expected, rtol=1e-4, atol=1e-5)
    assert made.domain_weight.flatten().tolist() == pytest.approx([0.1, 0.1, 0])
    assert torch.isfinite(got).all()


def test_a_mini_batch_of_one_cell_uses_what_is_known(draw):
    for made in (norm(2), BatchNorm1d(F)):
        known = (torch.zeros(8, dtype=torch.long),) if isinstance(made, DomainBatchNorm1d) else ()
        made(draw(8), *known)
        before = made.running_mean.clone()
        cell = draw(1)
        expected = copy.deepcopy(made).eval()(cell)
        torch.testing.assert_close(made(cell, *(k[:1] for k in known)), expected)
        assert torch.equal(made.running_mean, before)


def test_unseen_and_unknown_domains_get_the_pooled_statistics(draw):
    made = norm(3)
    for _ in range(5):
        made(torch.cat((draw(8), draw(8) + 50)), torch.tensor([0] * 8 + [1] * 8))
    made.eval()
    x = draw(6)
    pooled = nn.functional.batch_norm(x, made.running_mean, made.running_var, made.weight, made.bias)
    for domain in (torch.full((6,), -1), torch.full((6,), 2), None):  # unknown, never met in training, not told
        torch.testing.assert_close(made(x, domain), pooled, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(made(x, torch.zeros(6, dtype=torch.long)), pooled)


def test_each_cell_is_on_its_own_in_eval_mode(draw):
    made = norm(3)
    made(draw(30), torch.arange(30) % 3)
    made.eval()
    x, domain = draw(12), torch.arange(12) % 4 - 1
    whole = made(x, domain)
    for i in range(12):
        torch.testing.assert_close(made(x[i : i + 1], domain[i : i + 1])[0], whole[i])


QUICK = {"batch_key": "batch", "batch_norm": "domain", "max_epochs": 3, "batch_size": 32}


@pytest.fixture(scope="module")
def cells():
    adata = ssl.datasets.synthetic(n_obs=150, n_vars=60, n_types=3, n_batches=3, seed=0)
    ssl.pp.recipe(adata)
    return adata


TRAINED = [name for name in METHODS.names() if issubclass(METHODS.get(name), SelfSupervised)]


@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_method_can_use_it(name, cells, tmp_path):
    adata = cells.copy()
    model = ssl.tl.fit(adata, name, **QUICK)
    embedding = adata.obsm[f"X_{name}"]
    assert np.isfinite(embedding).all()
    shared = ssl.tl.fit(cells.copy(), name, **QUICK | {"batch_norm": "shared"})
    assert not np.allclose(shared.embed(cells), embedding)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(ssl.load(tmp_path / "model").embed(cells), embedding)
    np.testing.assert_allclose(model.embed(cells[:7].copy()), embedding[:7], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.embed(cells[::-1].copy()), embedding[::-1], rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def model(cells):
    return ssl.tl.fit(cells.copy(), "simclr", **QUICK)


def test_batches_are_found_by_name(model, cells):
    part = cells[cells.obs["batch"] != "batch1"].copy()  # whose codes start at another batch
    part.obs["batch"] = part.obs["batch"].astype(str)
    kept = (cells.obs["batch"] != "batch1").to_numpy()
    np.testing.assert_allclose(model.embed(part), model.embed(cells)[kept], rtol=1e-5, atol=1e-5)


def test_an_unseen_batch_is_embedded_with_pooled_statistics(model, cells):
    new, other, nameless = cells.copy(), cells.copy(), cells.copy()
    new.obs["batch"] = "somewhere else"
    other.obs["batch"] = ["a new one", *["batch1"] * 149]
    del nameless.obs["batch"]
    with pytest.warns(ScsslWarning, match=r"None of the batches is known to the model \('somewhere else'"):
        pooled = model.embed(new)
    assert np.isfinite(pooled).all()
    assert np.abs(pooled).sum(axis=1).min() > 0.1
    with pytest.warns(ScsslWarning, match=r"no column 'batch'.*It knows 'batch1', 'batch2', 'batch3'"):
        np.testing.assert_array_equal(model.embed(nameless), pooled)
    with pytest.warns(ScsslWarning, match=r"1 of 2 of the batches are not known to the model \('a new one'"):
        mixed = model.embed(other)
    np.testing.assert_allclose(mixed[0], pooled[0], rtol=1e-5, atol=1e-5)
    assert not np.allclose(model.embed(cells), pooled)


def test_shifts_of_a_batch_are_removed():
    """Two batches that differ by a shift alone: domain statistics bring them together."""
    generator = torch.Generator().manual_seed(0)
    made, x = DomainBatchNorm1d(F, 2), torch.randn(400, F, generator=generator)
    domain = torch.arange(400) % 2
    shifted = x + 3.0 * domain[:, None]
    for _ in range(60):
        made(shifted, domain)
    z = made.eval()(shifted, domain)
    assert (z[::2].mean(0) - z[1::2].mean(0)).abs().max() < 0.02
    assert (made(shifted)[::2].mean(0) - made(shifted)[1::2].mean(0)).abs().min() > 1


def test_without_a_batch_key_it_is_refused(cells, unchanged):
    with unchanged(cells), pytest.raises(InputError, match="needs to know the batches") as caught:
        ssl.tl.fit(cells, "simclr", batch_norm="domain")
    assert caught.value.code == "needs_batch_key"


def test_resume_keeps_the_statistics(cells, tmp_path):
    ssl.tl.fit(cells.copy(), "simclr", **QUICK | {"max_epochs": 1}, checkpoint_dir=tmp_path)
    resumed = ssl.tl.fit(cells.copy(), "simclr", **QUICK, checkpoint_dir=tmp_path, resume=True)
    np.testing.assert_array_equal(resumed.embed(cells), ssl.tl.fit(cells.copy(), "simclr", **QUICK).embed(cells))


def test_several_modalities(mudata):
    ssl.pp.recipe(mudata)
    model = ssl.tl.fit(mudata, "vicreg", **QUICK | {"within_batch": "off"})
    assert np.isfinite(mudata.obsm["X_vicreg"]).all()
    np.testing.assert_allclose(model.embed(mudata[:9].copy()), mudata.obsm["X_vicreg"][:9], rtol=1e-5, atol=1e-5)

"""The loss of ``fusion="clip"``: equal to a loop, and the modalities of a cell find each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import scssl as ssl
from scssl._errors import InputError
from scssl._registry import METHODS
from scssl.methods._trained import SelfSupervised
from scssl.nn.alignment import Alignment, clip
from scssl.train.batches import Batch

TRAINED = [name for name in METHODS.names() if issubclass(METHODS.get(name), SelfSupervised)]


@pytest.fixture
def codes():
    return torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0))


def naive(a, b, scale, group=None):
    """Cell by cell, in both directions."""
    a, b = ([row / row.norm() for row in x] for x in (a, b))
    terms = []
    for one, other in ((a, b), (b, a)):
        for i in range(len(one)):
            near = [j for j in range(len(other)) if group is None or group[i] == group[j]]
            exps = [math.exp(scale * float(one[i] @ other[j])) for j in near]
            terms.append(-math.log(exps[near.index(i)] / sum(exps)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("group", [None, torch.tensor([0, 0, 1, 1, 1, 2, 0, 1])])
def test_equals_a_loop(codes, group):
    a, b, _ = codes
    assert float(clip(a, b, torch.tensor(5.0), group)) == pytest.approx(naive(a, b, 5.0, group), rel=1e-5)
    torch.testing.assert_close(clip(a, b, torch.tensor(5.0), group), clip(b, a, torch.tensor(5.0), group))


def test_guessing_and_perfection():
    assert float(clip(torch.ones(8, 3), torch.ones(8, 3), torch.tensor(1.0))) == pytest.approx(math.log(8))
    assert float(clip(torch.eye(8), torch.eye(8), torch.tensor(100.0))) == pytest.approx(0, abs=1e-6)
    nothing = torch.zeros(0, 3, requires_grad=True)
    loss = clip(nothing, nothing, torch.tensor(1.0))
    loss.backward()
    assert loss.item() == 0


def test_scale_starts_as_published_is_learned_and_bounded(codes):
    align = Alignment()
    assert float(align.log_scale.exp().detach()) == pytest.approx(1 / 0.07)
    batch = Batch({}, torch.arange(8))
    align(batch, {"a": codes[0], "b": codes[1]}).backward()
    assert align.log_scale.grad.abs() > 0
    with torch.no_grad():
        align.log_scale.fill_(50.0)
    expected = naive(codes[0], codes[1], 100.0)
    assert float(align(batch, {"a": codes[0], "b": codes[1]}).detach()) == pytest.approx(expected, rel=1e-5)


def test_only_cells_with_both_and_all_pairs(codes):
    align, scale = Alignment(), 1 / 0.07
    present = {"b": torch.arange(8) < 6, "c": torch.arange(8) > 1}
    group = torch.arange(8) % 2
    batch = Batch({}, torch.arange(8), group=group, present=present)
    a, b, c = codes
    pairs = ((a, b, slice(0, 6)), (a, c, slice(2, 8)), (b, c, slice(2, 6)))
    expected = np.mean([naive(x[s], y[s], scale, group[s]) for x, y, s in pairs])
    found = align(batch, {"a": a, "b": b, "c": c})
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4)
    poisoned = b.clone()
    poisoned[6:] = 1e3
    torch.testing.assert_close(align(batch, {"a": a, "b": poisoned, "c": c}), found, rtol=0, atol=0)


@pytest.fixture(scope="module")
def cells():
    mdata = ssl.datasets.synthetic(n_obs=120, n_vars=60, n_types=4, modalities=("rna", "prot"), seed=0)
    ssl.pp.recipe(mdata)
    return mdata


@pytest.mark.parametrize("name", TRAINED)
def test_no_method_knows_of_it(name, cells, tmp_path):
    mdata = cells.copy()
    model = ssl.tl.fit(mdata, name, fusion="clip", width=64, max_epochs=10, batch_size=40)
    assert mdata.obsm[f"X_{name}"].shape == (120, 128)
    assert (model.history["loss"] - model.history["alignment"]).abs().min() > 0
    assert model.history["alignment"].iloc[-1] < model.history["alignment"].iloc[0]
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(ssl.load(tmp_path / "model").embed(cells), mdata.obsm[f"X_{name}"])


def ranks(model, mdata):
    """For each cell the share of other cells whose protein is nearer to its RNA than its own is: 0.5 by chance."""
    rna, prot = (torch.as_tensor(model.embed(mdata, modality=name)) for name in ("rna", "prot"))
    cosines = torch.nn.functional.normalize(rna, dim=1) @ torch.nn.functional.normalize(prot, dim=1).T
    return (cosines > cosines.diag()[:, None]).float().mean(dim=1).numpy()


def test_the_modalities_of_a_cell_find_each_other():
    """Cells of which both modalities are driven by the same six factors; a third of them is never trained on."""
    import anndata as ad
    import mudata as md

    from scssl.data.calm import calm

    draw = np.random.default_rng(0)
    factors = draw.normal(size=(450, 6))
    values = {
        name: np.log1p(np.exp(factors @ draw.normal(size=(6, n)) + draw.normal(0, 0.3, (450, n)))).astype(np.float32)
        for name, n in (("rna", 80), ("prot", 30))
    }
    parts = {name: ad.AnnData(x, var={"name": [f"{name}{i}" for i in range(x.shape[1])]}) for name, x in values.items()}
    for part in parts.values():
        part.var_names = part.var["name"]
    with calm():
        mdata = md.MuData(parts)
    known, unseen = mdata[:300].copy(), mdata[300:].copy()
    found = {
        fusion: ranks(
            ssl.tl.fit(known.copy(), "simclr", fusion=fusion, views="mask", max_epochs=40, batch_size=100), unseen
        )
        for fusion in ("clip", "concat")
    }
    assert 0.3 < found["concat"].mean() < 0.7  # nothing else makes the spaces comparable
    assert found["clip"].mean() < 0.05
    assert (found["clip"] == 0).mean() > 0.3  # the nearest of 150 by chance: 0.007


def test_it_needs_two_modalities(synthetic, unchanged):
    ssl.pp.recipe(synthetic)
    with unchanged(synthetic), pytest.raises(InputError, match=r"there is one: 'rna'") as caught:
        ssl.tl.fit(synthetic, fusion="clip")
    assert caught.value.parameter == "fusion"

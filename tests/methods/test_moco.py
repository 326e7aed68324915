"""MoCo: which keys a cell is compared with, and the copies that follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import scssl as ssl
from scssl._registry import METHODS
from scssl.nn.momentum import momentum_at
from scssl.train.batches import Batch
from scssl.train.device import seeded


def module(**values):
    kind = METHODS.get("moco")
    with seeded(0, torch.device("cpu")):
        return kind(kind.configure(queue=20, projector=(8, 5), **values), {"rna": 20}).train()


def two_views(cell, *, seed=0, group=False):
    generator = torch.Generator().manual_seed(seed)
    cell = torch.tensor(cell)
    batch = cell % 3
    made = [
        Batch({"rna": torch.rand(len(cell), 20, generator=generator)}, cell, batch, batch if group else None)
        for _ in range(2)
    ]
    return made[0], made[1]


def naive(queries, keys, queue, views, *, group):
    """The mean cross-entropy by loops; `queue` as ``(key, cell, batch)``."""
    total = 0.0
    for q, k, cell, batch in zip(queries, keys, views[0].cell.tolist(), views[0].batch.tolist(), strict=True):
        others = [key for key, of, other in queue if of != cell and (other == batch or not group)]
        own = math.exp(float(F.cosine_similarity(q, k, dim=0)) / 0.5)
        rest = sum(math.exp(float(F.cosine_similarity(q, key, dim=0)) / 0.5) for key in others)
        total -= math.log(own / (own + rest)) - math.log(21 / (1 + len(others)))
    return total / len(queries)


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_loss_and_the_queue_equal_loops_over_several_steps(group, symmetric):
    made, queue = module(symmetric=symmetric), []
    for step, cell in enumerate(([1, 2, 3, 4], [3, 9, 10], [1, 4, 7, 8, 11, 12, 13], [1, 2, 3, 20], [5, 6])):
        views = two_views(cell, seed=step, group=group)
        with torch.no_grad():
            queries = [made.project(made.represent(view)) for view in views]
            encoder, project = made.target
            keys = [project(encoder(view)) for view in views]
        pairs = [(0, 1), (1, 0)] if symmetric else [(0, 1)]
        terms = [naive(queries[q], keys[k], queue, views, group=group) for q, k in pairs]
        assert float(made.loss(views)["loss"].detach()) == pytest.approx(np.mean(terms), rel=1e-4)
        for _, k in pairs:
            queue += zip(keys[k], cell, views[0].batch.tolist(), strict=True)
        queue = queue[-20:]
        assert made.queue.cell[: len(queue)].tolist() == [of for _, of, _ in queue[::-1]]
        expected = F.normalize(torch.stack([key for key, *_ in queue[::-1]]), dim=1)
        torch.testing.assert_close(made.queue.keys[: len(queue)], expected)


def test_no_gradient_reaches_keys_and_queue():
    made = module()
    for step in range(2):
        loss = made.loss(two_views([step * 4 + i for i in range(4)], seed=step))["loss"]
    loss.backward()
    assert all(p.grad is None for p in made.target.parameters())
    assert all(p.grad is not None for p in made.encoder.parameters())


@pytest.mark.parametrize("name", ["moco", "byol"])
def test_after_a_run_the_copy_is_the_closed_form(name, monkeypatch):
    """Through the real loop: weights after every step, momentum by the schedule over the whole run."""
    adata = ssl.datasets.synthetic(n_obs=90, n_vars=40, seed=0)
    ssl.pp.recipe(adata)
    kind, online, start = METHODS.get(name), [], []
    follow_up = kind.after_step

    def watched(self, progress):
        start[:] = start or [p.clone() for p in self.target.parameters()]
        online.append([p.detach().clone() for p in self._online().parameters()])
        follow_up(self, progress)

    monkeypatch.setattr(kind, "after_step", watched)
    made = ssl.tl.fit(adata, name, max_epochs=3, batch_size=30, momentum=0.7).module
    assert len(online) == 9
    expected = start
    for step, weights in enumerate(online):
        m = momentum_at((step + 1) / 9, 0.7)
        expected = [m * slow + (1 - m) * fast for slow, fast in zip(expected, weights, strict=True)]
    for slow, closed in zip(made.target.parameters(), expected, strict=True):
        torch.testing.assert_close(slow, closed)


def test_a_saved_model_holds_no_cells(tmp_path):
    from safetensors.torch import load_file

    adata = ssl.datasets.synthetic(n_obs=90, n_vars=40, seed=0)
    ssl.pp.recipe(adata)
    model = ssl.tl.fit(adata, "moco", max_epochs=1)
    assert bool(model.module.queue.filled.any())
    model.save(tmp_path / "model")
    assert not [name for name in load_file(tmp_path / "model" / "model.safetensors") if "queue" in name]
    back = ssl.load(tmp_path / "model")
    np.testing.assert_array_equal(back.embed(adata), model.embed(adata))
    assert not bool(back.module.queue.filled.any())

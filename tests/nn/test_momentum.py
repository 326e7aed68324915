from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from scssl.nn.momentum import follow, follower, momentum_at


def test_momentum_rises_to_one_along_half_a_cosine():
    assert momentum_at(0.0, 0.996) == pytest.approx(0.996)
    assert momentum_at(0.5, 0.996) == pytest.approx(0.998)
    assert momentum_at(1.0, 0.996) == pytest.approx(1.0)
    assert momentum_at(0.25, 0.9) == pytest.approx(1 - 0.1 * (math.cos(math.pi / 4) + 1) / 2)


def test_after_k_steps_the_copy_is_the_closed_form():
    online = nn.Linear(4, 3)
    copy = follower(online)
    expected = copy.weight.clone()
    for step, momentum in enumerate((0.9, 0.5, 0.99, 0.0, 0.7)):
        with torch.no_grad():
            online.weight.fill_(float(step))
        follow(copy, online, momentum)
        expected = momentum * expected + (1 - momentum) * float(step)
    torch.testing.assert_close(copy.weight, expected)
    assert not any(p.requires_grad for p in copy.parameters())
    assert all(p.requires_grad for p in online.parameters())


def test_the_target_of_byol_moves_and_gets_no_gradient(pbmc, monkeypatch):
    import scssl as ssl
    from scssl.methods.byol import BYOL

    start = []
    original = BYOL.build_heads

    def remembering(self, width):
        original(self, width)
        start.append(self.target[0].parts[0][0].weight.clone())

    monkeypatch.setattr(BYOL, "build_heads", remembering)
    module = ssl.tl.fit(pbmc, "byol", max_epochs=2).module
    target, online = module.target[0].parts[0][0].weight, module.encoder.parts[0][0].weight
    assert target.grad is None
    assert not torch.equal(target, start[0])
    assert not torch.equal(target, online)
    assert torch.dist(target, online) < torch.dist(start[0], online)


def test_one_step_of_byol_moves_the_target_and_reaches_the_embedding_layer():
    """The layer that makes the embedding learns; the copy follows by the closed form, and never by a gradient."""
    from scssl._registry import METHODS
    from scssl.train.batches import Batch

    kind = METHODS.get("byol")
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251 - inside fork_rng
        net = kind(kind.configure(hidden=(16,), width=8, projector=(12, 6), predictor=(12,)), {"rna": 20}).train()
        x = torch.rand(32, 20)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = [value.clone() for value in net.target.parameters()]
    a, b = (Batch({"rna": x * (1 + 0.1 * i)}, torch.arange(32)) for i in range(2))
    net.loss((a, b))["loss"].backward()
    last = [layer for layer in net.encoder.parts[0] if isinstance(layer, nn.Linear)][-1]
    assert last.out_features == net.n_dims  # what is embedded is what learns
    assert (last.weight.grad.abs().sum(dim=1) > 0).all()
    assert all(value.grad is None for value in net.target.parameters())
    optimizer.step()
    assert all(torch.equal(value, old) for value, old in zip(net.target.parameters(), before, strict=True))
    net.after_step(0.0)
    online = [*net.encoder.parameters(), *net.project.parameters()]
    momentum = net.config.momentum
    for value, old, new in zip(net.target.parameters(), before, online, strict=True):
        torch.testing.assert_close(value, momentum * old + (1 - momentum) * new)
    moved = [not torch.equal(value, old) for value, old in zip(net.target.parameters(), before, strict=True)]
    assert sum(moved) > len(moved) / 2

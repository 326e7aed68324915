from __future__ import annotations

import math

import pytest
import torch

from scssl._errors import TrainingError
from scssl.train import monitor


def test_effective_rank_of_known_spectra():
    n = 64
    basis, _ = torch.linalg.qr(torch.randn(n, 8, generator=torch.Generator().manual_seed(0)))
    basis = basis - basis.mean(0)
    basis, _ = torch.linalg.qr(basis)
    assert monitor.spectrum(basis)["effective_rank"] == pytest.approx(8, rel=1e-4)
    weights = torch.tensor([3.0, 1.0] + [0.0] * 6)
    p = torch.tensor([0.75, 0.25])
    expected = math.exp(-float((p * p.log()).sum()))
    assert monitor.spectrum(basis * weights)["effective_rank"] == pytest.approx(expected, rel=1e-4)


def test_spread_is_the_mean_standard_deviation():
    z = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * 3
    assert monitor.spectrum(z)["spread"] == pytest.approx(float(z.std(0).mean()), rel=1e-5)


def test_similarities_equal_a_loop_over_pairs():
    a, b = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0))
    cosines = [[float(torch.cosine_similarity(x, y, dim=0)) for y in b] for x in a]
    same = [cosines[i][i] for i in range(9)]
    others = [cosines[i][j] for i in range(9) for j in range(9) if i != j]
    found = monitor.similarities(a, b)
    assert found["positive_similarity"] == pytest.approx(sum(same) / 9)
    assert found["negative_similarity"] == pytest.approx(sum(others) / 72)
    assert monitor.similarities(a[:1], a[:1]) == pytest.approx({"positive_similarity": 1, "negative_similarity": 0})


@pytest.mark.parametrize("z", [torch.ones(50, 8), torch.full((50, 8), 1e6) + 1e-3 * torch.randn(50, 8)])
def test_a_point_is_a_collapse(z):
    rank = monitor.spectrum(z)["effective_rank"]
    assert rank == 0.0
    assert "collapsed" in monitor.collapse_note(rank, 8)


def test_a_line_is_a_collapse_and_a_healthy_embedding_is_not():
    line = torch.arange(50.0)[:, None] * torch.ones(1, 8)
    assert monitor.collapse_note(monitor.spectrum(line)["effective_rank"], 8)
    healthy = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    assert monitor.collapse_note(monitor.spectrum(healthy)["effective_rank"], 8) == ""


def test_not_a_number_is_named():
    with pytest.raises(TrainingError, match=r"'simclr' stopped in epoch 3, step 7: the loss is not finite \(loss=nan"):
        monitor.check_finite("simclr", {"loss": torch.tensor(float("nan"))}, epoch=3, step=7)
    with pytest.raises(TrainingError, match="the gradient is not finite"):
        monitor.check_gradient("simclr", torch.tensor(float("inf")), epoch=0, step=0)
    monitor.check_finite("simclr", {"loss": torch.tensor(1.0)}, epoch=0, step=0)


def test_patience_counts_epochs_without_improvement():
    patience = monitor.Patience(2)
    assert [patience.over(x) for x in (5.0, 4.0, 4.0, 3.999, 3.0, 3.0, 3.0)] == [False] * 3 + [True] + [False] * 2 + [
        True
    ]
    assert not any(monitor.Patience(None).over(1.0) for _ in range(100))

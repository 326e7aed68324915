"""Phases of a run: how epochs are shared out, what each turn moves, by which optimiser."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
import torch
from torch import nn

from scssl._errors import InputError
from scssl.train.phase import ONE_PHASE, Optimizer, Phase, Turn, phase_at


def lengths(shares, max_epochs):
    """Epochs of each phase, of those that have any; they come in the order in which they are given."""
    phases = [Phase(f"p{i}", share) for i, share in enumerate(shares)]
    names = [phase_at(phases, epoch, max_epochs).name for epoch in range(max_epochs)]
    runs = [(name, len(list(of))) for name, of in groupby(names)]
    assert [name for name, _ in runs] == sorted({name for name, _ in runs})  # no phase comes twice
    return dict(runs)


@pytest.mark.parametrize(
    ("shares", "max_epochs", "expected"),
    [
        ((1,), 7, [7]),
        ((1, 1), 10, [5, 5]),
        ((1, 3), 100, [25, 75]),
        ((10, 30), 100, [25, 75]),  # relative to each other
        ((1, 1, 1), 10, [3, 4, 3]),
        ((0.2, 0.5, 0.3), 10, [2, 5, 3]),
    ],
)
def test_shares_are_shares_of_the_epochs(shares, max_epochs, expected):
    assert list(lengths(shares, max_epochs).values()) == expected


@pytest.mark.parametrize("seed", range(40))
def test_every_phase_has_an_epoch_as_long_as_there_are_epochs_for_all(seed):
    draw = np.random.default_rng(seed)
    shares = draw.choice([0.001, 0.1, 1.0, 50.0], size=draw.integers(2, 6)) * draw.random()
    for max_epochs in range(len(shares), 30):
        found = lengths(shares, max_epochs)
        assert len(found) == len(shares), (shares, max_epochs)
        assert sum(found.values()) == max_epochs


def test_a_small_share_between_two_large_ones_is_not_rounded_away():
    assert lengths((5, 0.01, 4.99), 10) == {"p0": 5, "p1": 1, "p2": 4}
    assert lengths((100, 1, 1), 3) == lengths((1, 100, 1), 3) == {"p0": 1, "p1": 1, "p2": 1}


def test_a_run_shorter_than_its_phases_begins_with_the_first():
    assert lengths((1, 1, 1), 2) == {"p0": 1, "p1": 1}
    assert lengths((1, 1, 1), 1) == {"p0": 1}


def test_there_is_a_phase_after_the_last_epoch_and_in_a_run_of_none():
    phases = (Phase("a"), Phase("b"))
    assert phase_at(phases, 10, 10).name == "b"
    assert phase_at(phases, 0, 0).name == "b"
    assert phase_at(ONE_PHASE, 3, 7) is ONE_PHASE[0]  # the very object: a phase that goes on is not opened again


class Net(nn.Module):
    """Names that begin alike, a layer within a layer, a weight that two parts share."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        self.encoder2 = nn.Linear(2, 2)
        self.token = nn.Parameter(torch.zeros(2))
        self.decoder = nn.Linear(3, 2)
        self.decoder.weight = self.encoder[1].weight


def named(net, *trains):
    known = {id(p): name for name, p in net.named_parameters()}
    return [known[id(p)] for p in Turn(trains).weights(net)]


def test_a_turn_moves_the_weights_of_the_submodules_it_names():
    net = Net()
    first, second = ["encoder.0.weight", "encoder.0.bias"], ["encoder.1.weight", "encoder.1.bias"]
    assert named(net, "encoder") == [*first, *second]
    assert named(net, "encoder.0") == first
    assert named(net, "encoder2", "encoder.0") == [*first, "encoder2.weight", "encoder2.bias"]  # as in the module
    assert named(net, "decoder") == ["encoder.1.weight", "decoder.bias"]  # a shared weight is the decoder's, too
    assert named(net) == [name for name, _ in net.named_parameters()]


@pytest.mark.parametrize("name", ["encodr", "token", "encoder.2", "encoder.0.weight"])
def test_a_turn_that_names_no_submodule_is_refused(name):
    with pytest.raises(
        InputError, match=rf"A turn trains '{name}', and the module has encoder, encoder2, decoder\."
    ) as e:
        Turn(("encoder", name)).weights(Net())
    assert (e.value.code, e.value.parameter) == ("unknown_part", "phases")


def test_each_turn_has_an_optimizer_of_its_own_by_the_name_of_the_phase():
    net = Net()
    turns = (
        Turn(("encoder",), optimizer=Optimizer("sgd", learning_rate=0.1, momentum=0.9)),
        Turn(("encoder2",), optimizer=Optimizer("adamw", weight_decay=0.3)),
        Turn(("decoder",)),
    )
    made = Phase("contest", turns=turns).optimizers(net, learning_rate=0.01, weight_decay=0.001)
    assert list(made) == ["contest/0", "contest/1", "contest/2"]
    assert [type(optimizer) for optimizer in made.values()] == [torch.optim.SGD, torch.optim.AdamW, torch.optim.Adam]
    groups = [optimizer.param_groups[0] for optimizer in made.values()]
    assert [group["lr"] for group in groups] == [0.1, 0.01, 0.01]  # the run's where nothing is said
    assert [group["weight_decay"] for group in groups] == [0.001, 0.3, 0.001]
    assert groups[0]["momentum"] == 0.9
    assert [len(group["params"]) for group in groups] == [4, 2, 2]

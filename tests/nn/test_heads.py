from __future__ import annotations

import pytest
from torch import nn

from scssl._registry import METHODS
from scssl.nn.heads import head


def shape(module):
    """Layers in words: ``10>4b`` a linear layer with a bias, ``N4`` a batch norm, ``n4`` one without scale, ``R`` a ReLU."""
    words = {
        nn.Linear: lambda m: f"{m.in_features}>{m.out_features}" + "b" * (m.bias is not None),
        nn.BatchNorm1d: lambda m: ("N" if m.affine else "n") + str(m.num_features),
        nn.ReLU: lambda m: "R",
    }
    return " ".join(words[type(m)](m) for m in module)


def test_no_bias_before_a_norm():
    assert shape(head((10, 4))) == "10>4b"
    assert shape(head((10, 4, 3))) == "10>4 N4 R 4>3b"
    assert shape(head((10, 4, 3), last_norm=True)) == "10>4 N4 R 4>3 N3"
    assert shape(head((10, 4, 3), last_norm=True, last_affine=False)) == "10>4 N4 R 4>3 n3"
    assert shape(head((10, 4, 5, 3), norm=False)) == "10>4b R 4>5b R 5>3b"


PUBLISHED = {
    "simclr": ("64>64 N64 R 64>64 N64", None, {"temperature": 0.5}),
    "moco": ("64>64b R 64>64b", None, {"temperature": 0.5, "queue": 2048, "momentum": 0.996, "symmetric": False}),
    "nnclr": (
        "64>64 N64 R 64>64 N64 R 64>64 N64",
        "64>64 N64 R 64>64b",
        {"temperature": 0.5, "bank": 2048, "neighbors": "any"},
    ),
    "simsiam": ("64>64 N64 R 64>64 N64 R 64>32 n32", "32>16 N16 R 16>32b", {}),
    "byol": ("64>256 N256 R 256>64b", "64>256 N256 R 256>64b", {"momentum": 0.996}),
    "vicreg": ("64>64 N64 R 64>256b", None, {"invariance": 5.0, "variance": 5.0, "covariance": 1.0}),
    "barlow_twins": ("64>256 N256 R 256>256 N256 R 256>256b", None, {"redundancy": 0.005}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_preset_of_the_paper_is_scssl_bench(name):
    """Heads, widths and weights of scSSL-Bench; whoever changes one changes this table too."""
    projector, predictor, values = PUBLISHED[name]
    kind = METHODS.get(name)
    config = kind.configure("paper")
    made = kind(config, {"rna": 500})
    assert shape(made.project) == projector
    assert predictor is None or shape(made.predict) == predictor
    assert {key: getattr(config, key) for key in values} == values
    shared = (config.learning_rate, config.max_epochs, config.batch_size, config.weight_decay, config.dropout)
    assert shared == (1e-4, 200, 256, 1e-6, 0.0)


def test_the_head_takes_the_width_of_all_modalities():
    for name in PUBLISHED:
        kind = METHODS.get(name)
        for fusion, width in (("concat", 128), ("mean", 64)):
            made = kind(kind.configure("paper", fusion=fusion), {"rna": 50, "prot": 10})
            assert made.project[0].in_features == width
            assert made.n_dims == width

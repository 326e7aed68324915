from __future__ import annotations

from torch import nn

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

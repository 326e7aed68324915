from __future__ import annotations

from types import SimpleNamespace

from scssl import _keys


def test_slots_have_the_names_of_the_contract():
    assert _keys.embedding("simclr") == "X_simclr"
    assert _keys.bare("X_simclr") == _keys.bare("simclr") == "simclr"
    assert _keys.label("simclr") == "simclr_label"
    assert _keys.confidence("simclr") == "simclr_confidence"


def test_store_is_made_once_and_peek_makes_nothing():
    data = SimpleNamespace(uns={})
    assert _keys.peek(data) == {}
    assert data.uns == {}
    _keys.shelf(data, _keys.MODELS)["a"] = 1
    assert _keys.shelf(data, _keys.MODELS) == {"a": 1}
    assert data.uns == {"scssl": {"schema": _keys.SCHEMA, "models": {"a": 1}}}

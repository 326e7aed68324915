"""The table of extras says what pyproject.toml says, and a missing one is named with the command that installs it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import scssl as ssl
from scssl import _extras

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", requirement)[0] for requirement in requirements}


def test_the_table_is_that_of_the_project():
    declared = {extra: names(needed) for extra, needed in PROJECT["optional-dependencies"].items() if extra != "all"}
    assert declared == {extra: set(libraries.values()) for extra, libraries in _extras.EXTRAS.items()}
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert set(everything.removeprefix("scssl[").rstrip("]").split(",")) == set(declared)
    assert not names(PROJECT["dependencies"]) & set().union(*declared.values())


def test_an_engine_that_is_not_installed_is_named_with_its_extra(synthetic, monkeypatch):
    synthetic.obsm["X_some"] = synthetic.X.toarray()[:, :5]
    monkeypatch.setitem(_extras.EXTRAS, "scib", {"no_such_library": "scib-metrics"})
    with pytest.raises(ssl.InputError, match=r"pip install 'scssl\[scib\]'"):
        ssl.tl.evaluate(synthetic, use_rep="some", batch_key="batch", label_key="cell_type", engine="scib-metrics")


def test_a_method_that_is_not_installed_is_named_with_its_extra(mudata, monkeypatch):
    ssl.pp.recipe(mudata)
    monkeypatch.setitem(_extras.EXTRAS, "mofa", {"no_such_library": "mofapy2"})
    with pytest.raises(ssl.InputError, match=r"needs mofapy2.*pip install 'scssl\[mofa\]'"):
        ssl.tl.fit(mudata, "mofa")

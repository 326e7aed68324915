"""The methods of ``fixtures.py`` stand in the registry beside its own, for the time of a test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("contract_fixtures", Path(__file__).parent / "fixtures.py")
fixtures = importlib.util.module_from_spec(_spec)
sys.modules["contract_fixtures"] = fixtures  # under this name the tests import it
_spec.loader.exec_module(fixtures)


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    with fixtures.registered():
        yield

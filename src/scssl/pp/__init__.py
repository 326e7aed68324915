"""Preparation: check what is there, make it what methods are made for, keep cells apart for testing."""

from __future__ import annotations

from scssl.pp._check import check
from scssl.pp._neighbors import partners
from scssl.pp._recipe import recipe
from scssl.pp._split import split

__all__ = ["check", "partners", "recipe", "split"]

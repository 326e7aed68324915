"""Preparation: check what is there, make it what methods are made for, keep cells apart for testing."""

from __future__ import annotations

from scssl.pp._check import check
from scssl.pp._gene_sets import gene_sets
from scssl.pp._neighbors import partners
from scssl.pp._recipe import recipe
from scssl.pp._split import split

__all__ = ["check", "gene_sets", "partners", "recipe", "split"]

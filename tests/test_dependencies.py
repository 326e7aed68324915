"""What is imported is declared, what is declared is imported, and both sets of pinned versions are within the ranges."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import scssl

REPO = Path(__file__).parents[1]
IMPORTED_AS = {"scikit-learn": "sklearn", "scvi-tools": "scvi"}
"""Import names that are not the name at PyPI with another hyphen."""
NOT_IMPORTED = {
    "mofapy2": "muon runs it",
    "dask": "joblib starts its backend of this name",
    "distributed": "joblib starts its backend of this name",
    "pyarrow": "pandas reads parquet with it",
}
"""Declared dependencies that no line of the package imports, and why they are declared."""
STACKS = {"constraints.txt": "3.11", "constraints-newest.txt": "3.13"}


@cache
def project() -> dict:
    return tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def required() -> list[Requirement]:
    return [Requirement(text) for text in project()["dependencies"]]


def extras() -> list[Requirement]:
    found = [Requirement(text) for texts in project()["optional-dependencies"].values() for text in texts]
    return [requirement for requirement in found if requirement.name != "scssl"]  # the extra that asks for all others


def module_of(name: str) -> str:
    return IMPORTED_AS.get(name, name.replace("-", "_"))


@cache
def imported() -> frozenset[str]:
    """First part of every third-party module that the package imports, also inside functions and for types."""
    found = set()
    for path in Path(scssl.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return frozenset(found - set(sys.stdlib_module_names) - {"scssl"})


def test_every_import_is_declared():
    declared = {module_of(requirement.name) for requirement in [*required(), *extras()]}
    assert sorted(imported() - declared) == []


@pytest.mark.parametrize("requirement", [*required(), *extras()], ids=lambda r: r.name)
def test_what_is_declared_is_imported(requirement):
    assert (module_of(requirement.name) in imported()) != (requirement.name in NOT_IMPORTED)


def test_every_exception_is_declared():
    assert sorted(set(NOT_IMPORTED) - {requirement.name for requirement in [*required(), *extras()]}) == []


@cache
def pinned(file: str) -> dict[str, str]:
    lines = (REPO / file).read_text(encoding="utf-8").splitlines()
    return {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)$", "\n".join(lines), re.M)
    }


@pytest.mark.parametrize("file", STACKS)
@pytest.mark.parametrize("requirement", [*required(), *extras()], ids=lambda r: r.name)
def test_both_stacks_are_pinned_within_the_ranges(requirement, file):
    assert requirement.specifier.contains(pinned(file)[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("version", STACKS.values())
def test_python_of_both_stacks_is_declared(version):
    assert Requirement(f"python{project()['requires-python']}").specifier.contains(version)
    assert f"Programming Language :: Python :: {version}" in project()["classifiers"]

"""The rules that keep the design: who may import whom, budgets, documentation, nothing unpickled, nothing printed."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import scssl

ROOT = Path(scssl.__file__).parent
REPO = Path(__file__).parents[1]
FILES = sorted(p for p in ROOT.rglob("*.py"))

BELOW = {
    "nn": set(), "metrics": set(), "data": set(),
    "datasets": {"data"},
    "views": {"data", "nn"}, "train": {"data", "nn", "views"}, "table": set(),
    "methods": {"data", "nn", "views", "train"},
    "tasks": {"data", "metrics"},
    "models": {"data", "nn", "views", "train", "methods"},
    "bench": {"data", "datasets", "metrics", "nn", "views", "train", "methods", "tasks", "models"},
    "pp": {"data", "datasets", "views", "models"},
    "tl": {"data", "datasets", "metrics", "views", "train", "methods", "tasks", "models", "bench", "table"},
    "pl": {"table", "data", "views"},
    "get": {"table", "data"},
    "extend": {"data", "nn", "views", "train", "methods", "tasks", "metrics"},
    "__init__": {"datasets", "get", "pl", "pp", "tl", "views", "methods", "models", "extend"},
    "__main__": {"datasets", "get", "pl", "pp", "tl", "data", "bench", "models"},
}  # fmt: skip
"""Which rooms each room may import, beside itself and the foundation (files ``_*.py`` and ``_validate``)."""
HEAVY = {"torch", "scanpy", "matplotlib", "jax", "scvi", "scib_metrics", "lightning", "muon", "umap", "numba"}
NEVER = {  # at any place of the file, also inside functions
    "metrics": {"torch", "anndata", "mudata"},
    "datasets": {"torch"},
    "table": {"torch", "anndata", "mudata", "lightning"},
    "nn": {"anndata", "mudata", "lightning"},
    "tasks": {"torch", "anndata", "mudata"},
    "pl": {"torch", "lightning"},
}
LIGHT = {"pp", "tl", "pl", "get", "cite", "__init__", "__main__"}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def foundation(name: str) -> bool:
    return name.startswith("_") and name not in BELOW


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def typing_only(path: Path) -> set[int]:
    """Lines below ``if TYPE_CHECKING``."""
    lines: set[int] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            lines |= {n.lineno for n in ast.walk(node) if hasattr(n, "lineno")}
    return lines


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """(module, line, at the top) of every import that runs."""
    top = {id(n) for n in tree(path).body}
    skip = typing_only(path)
    found = []
    for node in ast.walk(tree(path)):
        if getattr(node, "lineno", 0) in skip:
            continue
        if isinstance(node, ast.Import):
            found += [(a.name, node.lineno, id(node) in top) for a in node.names]
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [(f"{node.module}.{a.name}", node.lineno, id(node) in top) for a in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    here = room(path)
    wrong = []
    for module, line, _ in imports(path):
        parts = module.split(".")
        if parts[0] == "scssl" and len(parts) > 1:
            there = parts[1]
            if there != here and not foundation(there) and there not in BELOW.get(here, set()):
                wrong.append(f"line {line}: {here} imports {module}")
        if parts[0] in NEVER.get(here, set()):
            wrong.append(f"line {line}: {here} imports {parts[0]}")
    assert wrong == []


@pytest.mark.parametrize(
    "path", [p for p in FILES if foundation(room(p)) or room(p) in LIGHT], ids=lambda p: str(p.relative_to(ROOT))
)
def test_light_rooms_import_heavy_libraries_late(path):
    heavy = HEAVY - ({"matplotlib"} if room(path) == "pl" else set())
    wrong = [f"line {line}: {m}" for m, line, top in imports(path) if top and m.split(".")[0] in heavy]
    assert wrong == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_budgets(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 400, f"{lines} lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 80, f"{node.name} has {length} lines"
            positional = [a for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
            assert len(positional) <= 5, f"{node.name} has {len(positional)} positional parameters"


def test_modules_are_short():
    lengths = [path.read_text(encoding="utf-8").count("\n") for path in FILES]
    assert statistics.median(lengths) <= 110
    assert statistics.quantiles(lengths, n=10)[-1] <= 250


ANY_BUDGET = 100
"""Annotations of parameters and results that say nothing: where a library or a plug-in decides."""


def test_any_budget():
    found = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef):
                given = [
                    *node.args.posonlyargs,
                    *node.args.args,
                    *node.args.kwonlyargs,
                    node.args.vararg,
                    node.args.kwarg,
                ]
                said = [a.annotation for a in given if a is not None] + [node.returns]
                found += [f"{path.relative_to(ROOT)}: {node.name}" for note in said if note and says_any(note)]
    assert len(found) <= ANY_BUDGET, f"{len(found)}: {found}"


def says_any(annotation: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(annotation))


ASKED_ONCE = {  # what is decided in one place, and is not asked for elsewhere
    r"\bprofile\s*[!=]=|[!=]=\s*(PAPER|CLEAN)\b": set(),  # a protocol is a value
    r"is_mudata|(get|has)attr\(\w+, .mod.": {"_parts.py"},  # parts(), part(), modalities()
    r"kind_of\([^)]*\)\s*[!=]=": set(),  # a kind knows what is true of it
}


@pytest.mark.parametrize("pattern", ASKED_ONCE)
def test_what_is_decided_in_one_place_is_not_asked_elsewhere(pattern):
    allowed = ASKED_ONCE[pattern]
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}
    assert [name for name, text in texts.items() if re.search(pattern, text) and name not in allowed] == []


def test_functions_are_short():
    lengths = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lengths.append(body[-1].end_lineno - body[0].lineno + 1 if body else 0)
    assert statistics.median(lengths) <= 14
    assert statistics.quantiles(lengths, n=10)[-1] <= 35


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_signature_is_annotated_and_public_things_are_documented(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert bare == [], f"{node.name}: {bare} without annotation"
            assert node.returns is not None, f"{node.name} has no return annotation"
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


BANNED = {
    "print": "use scssl._settings.info",
    "eval": "no evaluation of text",
    "exec": "no evaluation of text",
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_printed_or_unpickled(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bimport (pickle|cloudpickle|dill)\b|joblib\.load|allow_pickle=True", text)
    assert not re.search(r"torch\.load\((?!.*weights_only=True)", text)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and room(path) != "__main__":
            assert node.func.id not in BANNED, f"line {node.lineno}: {BANNED.get(node.func.id)}"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
            assert not (len(node.body) == 1 and isinstance(node.body[0], ast.Pass)), f"line {node.lineno}: swallowed"


DOORS = {"data/matrix.py", "methods/scvi_tools/shell.py"}
"""Where sparse arrays become matrices: for objects of the user and scanpy, and for scvi-tools."""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sparse_values_are_arrays(path):
    if str(path.relative_to(ROOT)) not in DOORS:
        assert (
            re.findall(r"\b(?:csr|csc|coo)_matrix\b|\bsp\.(?:diags|eye|identity)\(", path.read_text(encoding="utf-8"))
            == []
        )


@pytest.mark.parametrize("name", [n for n in scssl.__all__ if n != "settings"])
def test_public_names_resolve_and_are_documented(name):
    thing = getattr(scssl, name)
    assert inspect.getdoc(thing)
    assert name in dir(scssl)


def public_functions() -> list[str]:
    from scssl._registry import DATASETS

    found = [f"datasets.{name}" for name in (*DATASETS.names(), "table")]
    for space in ("pp", "tl", "pl", "get"):
        found += [f"{space}.{name}" for name in importlib.import_module(f"scssl.{space}").__all__]
    return found


@pytest.mark.parametrize("name", public_functions())
def test_public_functions_keep_the_dialect(name):
    space, _, attribute = name.partition(".")
    thing = getattr(importlib.import_module(f"scssl.{space}"), attribute)
    assert inspect.isfunction(thing)
    doc = inspect.getdoc(thing)
    assert doc
    assert "Returns\n" in doc
    assert "Examples\n" in doc, f"{name} shows no example"
    parameters = inspect.signature(thing).parameters
    for parameter in list(parameters.values())[2:]:
        assert parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD), f"{parameter.name} is positional"
    named = {p for p, v in parameters.items() if v.kind is not v.VAR_KEYWORD}
    missing = {p for p in named if not re.search(rf"^\s*(\w+, )*{p}(, \w+)*\s*$", doc, re.MULTILINE)}
    assert missing == set(), f"{name} does not document {missing}"


def test_public_functions_stand_in_the_api_pages():
    pages = "\n".join(p.read_text(encoding="utf-8") for p in (REPO / "docs" / "api").glob("*.md"))
    missing = [name for name in public_functions() if name.split(".")[1] not in re.findall(r"\w+", pages)]
    assert missing == []


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_import_is_light():
    loaded = run(
        "import numpy, pandas, time; t = time.perf_counter()\n"
        "import scssl, sys\n"
        f"print([m for m in {sorted(HEAVY | {'anndata', 'sklearn'})!r} if m in sys.modules])"
    )
    assert loaded == "[]"


def test_listing_does_not_import_torch():
    loaded = run(
        "import scssl as ssl, sys\n"
        "n = len(ssl.tl.methods()), len(ssl.tl.metrics()), len(ssl.tl.tasks()), len(ssl.datasets.table())\n"
        "print(all(n), 'torch' in sys.modules, 'jax' in sys.modules)"
    )
    assert loaded == "True False False"

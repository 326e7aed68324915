"""Code that decides a result, as a hash: syntax trees of the modules that are really imported, versions of their libraries.

Docstrings, comments and imports for type checkers do not count, nor do modules that only speak (messages, checks, clocks): a
corrected sentence leaves every cache as it is, a changed line of what trains or scores does not.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from scssl import _files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OURS = "scssl"
SPEAKING = (
    "_cite",
    "_clock",
    "_errors",
    "_files",
    "_registry",
    "_results",
    "_settings",
    "_specs",
    "_types",
    "_validate",
    "_words",
)
"""Foundation that says, checks and writes: no number depends on it."""
RECORDING = (
    "models.card",
    "models.model",
    "models.record",
    "models.saved",
    "bench.cache",
    "bench.identity",
    "bench.code",
)
"""Modules that keep and describe what others computed."""
_SILENT = tuple(f"{OURS}.{name}" for name in (*SPEAKING, *RECORDING))
_IMPORTS = (ast.Import, ast.ImportFrom)


def hash_of(things: Iterable[type | Callable[..., object]], modules: Iterable[str] = ()) -> str:
    """Hash of the code below some classes or functions, and some modules by name, and of the libraries that it imports."""
    typed, names = [], list(modules)
    for thing in things:
        if has_file(thing.__module__):
            names.append(thing.__module__)
        else:
            typed.append(_typed(thing))
    return _files.fingerprint([sorted(typed), *_below(tuple(sorted(set(names))))])


def has_file(module: str) -> bool:
    """Whether a module was read from a source file: not what was typed in a notebook, nor compiled."""
    return module != "__main__" and _file(module) is not None


def _typed(thing: type | Callable[..., object]) -> str:
    """The text of a class or function that stands in no module; its name where no text is kept."""
    try:
        return hashlib.sha256(
            ast.dump(_bare(ast.parse(inspect.cleandoc(inspect.getsource(thing))))).encode()
        ).hexdigest()
    except (OSError, TypeError, SyntaxError):
        return f"{thing.__module__}.{getattr(thing, '__qualname__', '')}"


@cache
def _below(roots: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Every module that the roots import, directly or not, with the hash of its tree; and the libraries, with versions."""
    seen: dict[str, str] = {}
    libraries: set[str] = set()
    todo = list(roots)
    own = {OURS, *(root.partition(".")[0] for root in roots)}
    while todo:
        module = todo.pop()
        file = _file(module)
        if module in seen or module.startswith(_SILENT) or file is None:
            continue
        seen[module] = tree_hash(file)
        for name in imported(file):
            top = name.partition(".")[0]
            if top in own:
                todo.append(_module(name))
            elif top not in sys.stdlib_module_names:
                libraries.add(top)
    return seen, versions(tuple(sorted(libraries)))


def imported(file: Path) -> Iterator[str]:
    """Dotted names that a source file imports when it runs, at its top or inside of functions."""
    tree = _bare(ast.parse(file.read_text(encoding="utf-8")))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def tree_hash(file: Path) -> str:
    """Hash of the syntax of a file without docstrings, comments and imports for type checkers."""
    return hashlib.sha256(ast.dump(_bare(ast.parse(file.read_text(encoding="utf-8")))).encode()).hexdigest()


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Versions of the distributions that import names belong to."""
    known = _distributions()
    found = {distribution for name in libraries for distribution in known.get(name, [])}
    return {name: importlib.metadata.version(name) for name in sorted(found)}


@cache
def _distributions() -> dict[str, list[str]]:
    return {name: list(of) for name, of in importlib.metadata.packages_distributions().items()}


class _Stripped(ast.NodeTransformer):
    """Removes docstrings and blocks for type checkers."""

    def visit(self, node: ast.AST) -> ast.AST:
        """The node without what has no effect."""
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            body = [part for part in node.body if not _is_text(part) and not _for_type_checkers(part)]
            node.body = body or [ast.Pass()]
        return node


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _bare(tree: ast.Module) -> ast.Module:
    stripped = _Stripped().visit(tree)
    assert isinstance(stripped, ast.Module)
    return stripped


def _module(name: str) -> str:
    """The module that a dotted name of an import means: itself, or what it is an attribute of."""
    return name if _file(name) is not None else name.rpartition(".")[0]


@cache
def _file(module: str) -> Path | None:
    """The source file of a module; ``None`` if there is none."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        file = spec.origin if spec else None
    return Path(file) if file and file.endswith(".py") else None

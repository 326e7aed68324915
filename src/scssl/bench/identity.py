"""What decides a result, as hashes: content of the data, source of the code, versions of the libraries below it.

Nobody has to remember to raise a version number: a changed line in what trains or scores gives other hashes, a changed
figure or sentence does not.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import inspect
import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import scssl
from scssl import _files, _keys
from scssl._registry import METRICS, TASKS
from scssl.data.columns import is_mudata
from scssl.data.gene_sets import identity_of as identity_of_sets
from scssl.data.identity import data_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_IMPORTS = (ast.Import, ast.ImportFrom)
_ROOT = Path(scssl.__file__).parent
_TRAINING = (
    "_random.py",
    "_neighbors.py",
    "data/*.py",
    "nn/*.py",
    "views/*.py",
    "train/*.py",
    "methods/_*.py",
    "models/*.py",
)
_SCORING = ("_random.py", "_neighbors.py", "metrics/_*.py", "tasks/_*.py", "data/*.py")
_CHOICE = ("flavor", "n_top_genes", "batch_key")
"""What of a recipe is done again without the cells that are held out."""
_TRAINING_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")
_SCORING_LIBRARIES = ("numpy", "scipy", "scikit-learn", "igraph", "pynndescent")


def content(data: Any, *, layer: str | None, identity: str) -> str:
    """Hash of the data and of what is chosen from them: `identity`, marked genes, recipe and what it chose from, gene sets."""
    parts = data.mod if is_mudata(data) else {_keys.DEFAULT_MODALITY: data}
    about: dict[str, Any] = {}
    for name, part in parts.items():
        marked = part.var.get(_keys.HIGHLY_VARIABLE, [])
        done = json.loads(_keys.peek(part).get(_keys.RECIPE, "{}"))
        recipe = [done.get(name) for name in _CHOICE]  # not when it was run
        counts = data_id(part, layer=_keys.COUNTS_LAYER) if str(done.get("flavor")).startswith("seurat_v3") else ""
        about[name] = [hashlib.sha256(np.asarray(marked, dtype=bool).tobytes()).hexdigest(), recipe, counts]
        sets = identity_of_sets(part)  # which masks draw from; absent where there are none
        about[name] += [sets] if sets else []
    return _files.fingerprint([identity, layer, about])


def training(method: Any) -> str:
    """Hash of the code and the libraries that train a method."""
    return _files.fingerprint([_source(_TRAINING), source_of(method), _versions(_TRAINING_LIBRARIES)])


def scoring(task: str, metrics: Sequence[str] | None = None) -> str:
    """Hash of the code and the libraries that score a task, and of the metrics that it computes."""
    asked = TASKS.get(task)
    names = asked().metrics() if metrics is None else metrics
    about = [[name, source_of(METRICS.get(name))] for name in names]
    return _files.fingerprint([_source(_SCORING), source_of(asked), about, _versions(_SCORING_LIBRARIES)])


def source_of(thing: Any) -> str:
    """Hash of the file that defines a class or function, and of the versions of what that imports.

    Of its own lines alone if it was typed in a notebook.
    """
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    if file is not None and thing.__module__ != "__main__":
        return _files.fingerprint([_hash([Path(file)]), _versions(_imported(Path(file)))])
    try:
        return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()
    except (OSError, TypeError):  # typed where no source is kept
        return f"{thing.__module__}.{thing.__qualname__}"


@cache
def _imported(file: Path) -> tuple[str, ...]:
    """Distributions that a source file imports from, at its top or inside of functions; none if it is compiled."""
    if file.suffix != ".py":
        return ()
    asked = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, _IMPORTS)]
    names = {alias.name for node in asked if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in asked if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    packages = {name.partition(".")[0] for name in names} - {scssl.__name__, *sys.stdlib_module_names}
    known = importlib.metadata.packages_distributions() if packages else {}
    return tuple(sorted({distribution for package in packages for distribution in known.get(package, [])}))


@cache
def _source(patterns: tuple[str, ...]) -> str:
    return _hash(sorted(file for pattern in patterns for file in _ROOT.glob(pattern)))


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


@cache
def _versions(libraries: tuple[str, ...]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in libraries}

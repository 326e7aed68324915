"""Tools: train, embed, annotate, evaluate, benchmark, report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scssl.tl._ablate import ablate, pairs
    from scssl.tl._annotate import annotate
    from scssl.tl._benchmark import benchmark
    from scssl.tl._evaluate import evaluate
    from scssl.tl._finetune import finetune
    from scssl.tl._impute import impute
    from scssl.tl._list import methods, metrics, tasks, views
    from scssl.tl._recommend import recommend
    from scssl.tl._reconstruct import reconstruct
    from scssl.tl._report import report
    from scssl.tl._train import embed, fit

_HOME = {
    "ablate": "_ablate",
    "annotate": "_annotate",
    "benchmark": "_benchmark",
    "embed": "_train",
    "evaluate": "_evaluate",
    "finetune": "_finetune",
    "fit": "_train",
    "impute": "_impute",
    "methods": "_list",
    "metrics": "_list",
    "pairs": "_ablate",
    "recommend": "_recommend",
    "reconstruct": "_reconstruct",
    "report": "_report",
    "tasks": "_list",
    "views": "_list",
}

__all__ = [
    "ablate",
    "annotate",
    "benchmark",
    "embed",
    "evaluate",
    "finetune",
    "fit",
    "impute",
    "methods",
    "metrics",
    "pairs",
    "recommend",
    "reconstruct",
    "report",
    "tasks",
    "views",
]


def __getattr__(name: str) -> Any:
    # torch is imported by the functions that need it, not by looking at the module
    if name not in _HOME:
        msg = f"module 'scssl.tl' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"scssl.tl.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)

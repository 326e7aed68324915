"""Everything that a package which adds to scssl imports: registries, contracts, and the parts that methods are made of.

The names here are stable; modules with a leading underscore are not.
"""

from __future__ import annotations

import importlib
from typing import Any

_FROM = {
    "scssl._errors": ("InputError", "TrainingError"),
    "scssl._protocol": ("Protocol",),
    "scssl._registry": ("DATASETS", "METHODS", "METRICS", "TASKS", "VIEWS"),
    "scssl._specs": ("DatasetSpec", "MethodSpec", "MetricSpec", "TaskSpec", "ViewSpec"),
    "scssl.data.cells": ("Cells", "Codes"),
    "scssl.methods._base": ("Config", "Method", "Prepared", "State", "Transductive"),
    "scssl.methods._decoding": ("Decoding", "DecodingConfig"),
    "scssl.methods._network": ("Network",),
    "scssl.methods._trained": ("SelfSupervised", "Trained", "TrainedConfig"),
    "scssl.metrics": ("Inputs", "Measured", "NotApplicable", "measure"),
    "scssl.nn.encoders": ("MLP", "Encoder"),
    "scssl.nn.heads": ("head",),
    "scssl.nn.losses": ("info_nce", "nt_xent"),
    "scssl.nn.momentum": ("follow", "follower", "momentum_at"),
    "scssl.nn.queue": ("Queue",),
    "scssl.tasks": ("Score", "Task"),
    "scssl.tasks._base": ("measured",),
    "scssl.train.batches": ("Batch", "Batches", "Draw"),
    "scssl.train.loop": ("History", "Run"),
    "scssl.train.phase": ("Optimizer", "Phase", "Turn"),
    "scssl.views": ("Context", "View"),
}  # fmt: skip
_LAZY = {name: (module, name) for module, names in _FROM.items() for name in names}
_LAZY["TaskCells"] = ("scssl.tasks", "Cells")

__all__ = sorted(_LAZY)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module 'scssl.extend' has no attribute {name!r}"
        raise AttributeError(msg)
    module, attribute = _LAZY[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(_LAZY)

"""Self-supervised learning for single cells: ``import scssl as ssl``.

Names are resolved when they are used: importing scssl loads neither torch nor scanpy nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from scssl._errors import (
    CheckpointError,
    DownloadError,
    InputError,
    KeyNotFoundError,
    NotFittedError,
    ScsslError,
    ScsslWarning,
    TrainingError,
)
from scssl._settings import settings

if TYPE_CHECKING:
    from scssl import datasets, get, pl, pp, tl
    from scssl._cite import cite
    from scssl.models.model import Model, load
    from scssl.models.pretrained import load_pretrained

__version__ = "0.1.0"

_LAZY = {
    "Model": ("scssl.models.model", "Model"),
    "load": ("scssl.models.model", "load"),
    "load_pretrained": ("scssl.models.pretrained", "load_pretrained"),
    "cite": ("scssl._cite", "cite"),
    **{name: (f"scssl.{name}", None) for name in ("datasets", "get", "pl", "pp", "tl", "views")},
}

__all__ = [
    "CheckpointError",
    "DownloadError",
    "InputError",
    "KeyNotFoundError",
    "Model",
    "NotFittedError",
    "ScsslError",
    "ScsslWarning",
    "TrainingError",
    "cite",
    "datasets",
    "get",
    "load",
    "load_pretrained",
    "pl",
    "pp",
    "settings",
    "tl",
    "views",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module 'scssl' has no attribute {name!r}"
        raise AttributeError(msg)
    module, attribute = _LAZY[name]
    loaded = importlib.import_module(module)
    value = loaded if attribute is None else getattr(loaded, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

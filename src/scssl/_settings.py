"""Package settings, the logger, the progress bar."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scssl._errors import InputError, KeyNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

logger = logging.getLogger("scssl")

_LEVELS = {"error": 0, "warning": 1, "info": 2, "hint": 3, "debug": 4}
_LOGGING = (logging.ERROR, logging.WARNING, logging.INFO, logging.INFO, logging.DEBUG)


@dataclass
class Settings:
    """What applies to every call; change a value by assignment or for a block with :meth:`override`.

    Examples
    --------
    >>> import scssl as ssl
    >>> with ssl.settings.override(verbosity="warning", progress=False):
    ...     adata = ssl.datasets.pbmc68k()
    """

    verbosity: int | str = 2
    """How much is logged: 0 errors, 1 warnings, 2 what was written (default), 3 hints, 4 debug; or these names."""
    progress: bool | str = "auto"
    """Progress bars: ``"auto"`` shows them in terminals and notebooks only."""
    figdir: Path = field(default_factory=lambda: Path("figures"))
    """Folder for figures whose ``save`` is a bare name."""
    cachedir: Path = field(default_factory=lambda: Path("~/.cache/scssl").expanduser())
    """Folder for caches of benchmarks."""
    datasetdir: Path = field(default_factory=lambda: Path("~/.cache/scssl/datasets").expanduser())
    """Folder for downloaded data sets."""
    n_jobs: int = 1
    """Processes for work that runs side by side."""
    accelerator: str = "auto"
    """Where models are trained if a call does not say: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"mps"``."""
    in_memory_mb: float = 1000
    """Matrices of files above this size (8 bytes a value that is not zero) stay on disk in training and embedding."""

    def __setattr__(self, name: str, value: Any) -> None:
        known = [f.name for f in fields(self)]
        if name not in known:
            msg = f"settings has no {name!r}. It has: {', '.join(known)}."
            raise KeyNotFoundError(msg, code="unknown_setting", parameter=name)
        if name == "verbosity":
            value = self._level(value)
        if name.endswith("dir"):
            value = Path(value).expanduser()
        object.__setattr__(self, name, value)
        if name == "verbosity":
            logger.setLevel(_LOGGING[value])

    @staticmethod
    def _level(value: int | str) -> int:
        level = _LEVELS.get(value, -1) if isinstance(value, str) else int(value)
        if not 0 <= level < len(_LOGGING):
            msg = f"verbosity={value!r} is not one of 0 to 4 or {', '.join(map(repr, _LEVELS))}."
            raise InputError(msg, code="bad_setting", parameter="verbosity")
        return level

    @contextmanager
    def override(self, **values: object) -> Iterator[Settings]:
        """Change settings for a ``with`` block."""
        before = replace(self)
        try:
            for name, value in values.items():
                setattr(self, name, value)
            yield self
        finally:
            for f in fields(self):
                setattr(self, f.name, getattr(before, f.name))


settings = Settings()


class _Handler(logging.StreamHandler):
    """Writes to whatever ``sys.stderr`` is now, so that captured streams and notebooks see the lines."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr


def _handle() -> None:
    """Attach our handler at first use; nobody else's logger is touched."""
    if not logger.handlers:
        handler = _Handler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.propagate = False


def info(message: str) -> None:
    """Log what was done."""
    _handle()
    logger.info(message)


def hint(message: str) -> None:
    """Log what may be of interest (verbosity 3)."""
    if settings.verbosity >= 3:  # type: ignore[operator]  # __setattr__ made it an int
        info(message)


def wrote(*slots: str) -> None:
    """Log the slots that a writer filled."""
    info(f"    added {', '.join(slots)}")


def progress(items: Iterable[object], *, description: str, total: int | None = None, show: bool | None = None) -> Any:
    """Wrap an iterable in a progress bar; `show` overrides the setting."""
    from importlib.util import find_spec

    if find_spec("ipywidgets"):
        from tqdm.auto import tqdm
    else:  # tqdm.auto would warn in every notebook
        from tqdm import tqdm

    wanted = settings.progress if show is None else show
    disable = None if wanted == "auto" else not wanted  # None: tqdm hides the bar where there is no terminal
    return tqdm(items, desc=description, total=total, disable=disable, leave=False)

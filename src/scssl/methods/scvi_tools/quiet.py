"""Everything that scvi-tools and Lightning change in a process, put back when the block ends."""

from __future__ import annotations

import logging
import os
import random
import warnings
from contextlib import ExitStack, contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import torch

from scssl import _settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOUD = ("scvi", "lightning", "pytorch_lightning")


@contextmanager
def quietly(seed: int | None = None) -> Iterator[None]:
    """Global generators, environment, switches of torch, warnings and loggers are as before when the block ends.

    Inside, the libraries warn, log and print nothing, and ``scvi.settings.seed`` is `seed` (as it was, if ``None``).
    Importing scvi-tools is part of it: that alone sets environment variables and warning filters.
    """
    printed = StringIO()
    with ExitStack() as stack:
        for guard in (_environment, _generators, _switches, warnings.catch_warnings):
            stack.enter_context(guard())
        warnings.simplefilter("ignore")
        import scvi  # noqa: F401 - in the order that matters: its import is undone, its loggers are there

        stack.enter_context(_loggers())
        stack.enter_context(redirect_stdout(printed))
        stack.enter_context(_seeded(seed))
        yield
    for line in filter(None, map(str.strip, printed.getvalue().splitlines())):  # why a training stopped early
        _settings.hint(line)


@contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


@contextmanager
def _generators() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's own
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _switches() -> Iterator[None]:
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    strict, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)
        torch.set_float32_matmul_precision(precision)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextmanager
def _loggers() -> Iterator[None]:
    known = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    loud = [logger for logger in known if logger.name.partition(".")[0] in _LOUD]
    before = [(logger, logger.level, logger.propagate, [*logger.handlers]) for logger in [*loud, logging.root]]
    try:
        for logger in loud:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level, propagate, handlers in before:
            logger.setLevel(level)
            logger.propagate, logger.handlers[:] = propagate, handlers


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    from scvi import settings

    before = settings.seed
    try:
        if seed is not None:
            settings.seed = seed
        yield
    finally:
        if seed is not None:
            settings.seed = before  # this draws the generators anew; they are put back after it

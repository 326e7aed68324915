"""Methods that do not work, each in its own way, and one that does. Importable by the processes of a benchmark."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from scssl._registry import METHODS
from scssl.methods._network import Network

LOG = "SCSSL_TEST_LOG"


class Projection(Network):
    """A random projection; says in a file that it was trained."""

    def build(self):
        self.register_buffer("weights", torch.randn(sum(self.sizes.values()), self.config.width))

    def represent(self, batch):
        return torch.cat(list(batch.x.values()), dim=1) @ self.weights

    def fit(self, cells, run):
        if LOG in os.environ:
            with Path(os.environ[LOG]).open("a") as log:
                log.write(f"{type(self).__name__}\n")
        return []


def bad(name):
    return METHODS.register(name, title=name, family="control", compares="off", summary=f"{name}, for tests")


@bad("works")
class Works(Projection):
    pass


@bad("raises")
class Raises(Projection):
    def fit(self, cells, run):
        raise RuntimeError("out to lunch")


@bad("gives_nan")
class GivesNan(Projection):
    def represent(self, batch):
        return super().represent(batch) * float("nan")


@bad("collapses")
class Collapses(Projection):
    def represent(self, batch):
        return torch.zeros_like(super().represent(batch))


@bad("runs_out_of_memory")
class RunsOutOfMemory(Projection):
    def fit(self, cells, run):
        raise MemoryError("Unable to allocate 1 PiB")


@bad("hangs")
class Hangs(Projection):
    def fit(self, cells, run):
        while True:
            time.sleep(0.05)


@bad("dies")
class Dies(Projection):
    def fit(self, cells, run):
        os.kill(os.getpid(), 9)


@bad("is_slow")
class IsSlow(Projection):
    def fit(self, cells, run):
        time.sleep(0.3)
        return super().fit(cells, run)


NAMES = ("works", "raises", "gives_nan", "collapses", "runs_out_of_memory", "hangs", "dies", "is_slow")

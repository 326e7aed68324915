"""Methods that do not work, each in its own way, and one that does. Importable by the processes of a benchmark."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from scssl._registry import METHODS
from scssl.methods._base import Method

LOG = "SCSSL_TEST_LOG"


class Projection(Method):
    """A random projection; says in a file that it was trained."""

    def build(self):
        self.register_buffer("weights", torch.randn(sum(self.sizes.values()), self.config.width))

    def represent(self, batch):
        return torch.cat(list(batch.x.values()), dim=1) @ self.weights

    def learn(self, source, run):
        if LOG in os.environ:
            with Path(os.environ[LOG]).open("a") as log:
                log.write(f"{type(self).__name__}\n")
        return []


def bad(name):
    return METHODS.register(name, title=name, family="control", trains=False, summary=f"{name}, for tests")


@bad("works")
class Works(Projection):
    pass


@bad("raises")
class Raises(Projection):
    def learn(self, source, run):
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
    def learn(self, source, run):
        raise MemoryError("Unable to allocate 1 PiB")


@bad("hangs")
class Hangs(Projection):
    def learn(self, source, run):
        while True:
            time.sleep(0.05)


@bad("dies")
class Dies(Projection):
    def learn(self, source, run):
        os.kill(os.getpid(), 9)


@bad("is_slow")
class IsSlow(Projection):
    def learn(self, source, run):
        time.sleep(0.3)
        return super().learn(source, run)


NAMES = ("works", "raises", "gives_nan", "collapses", "runs_out_of_memory", "hangs", "dies", "is_slow")

"""Where and in which precision to compute."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch

from scssl._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


def available() -> list[str]:
    """Names of the devices found."""
    found = ["cpu"]
    found += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return found + (["mps"] if torch.backends.mps.is_available() else [])


def resolve(accelerator: str) -> torch.device:
    """The device that `accelerator` means; ``auto`` takes a GPU if there is one and never fails.

    Raises
    ------
    InputError
        If the device asked for does not exist; lists those that do.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if accelerator == "auto":
        return torch.device("cuda" if cuda else "cpu")
    if accelerator in ("gpu", "cuda") and cuda:
        return torch.device("cuda")
    if accelerator in ("gpu", "mps") and mps:
        return torch.device("mps")
    if accelerator == "cpu":
        return torch.device("cpu")
    wrong = "is not known" if accelerator not in ACCELERATORS else "was not found"
    msg = f"accelerator={accelerator!r} {wrong}. Devices here: {', '.join(available())}."
    raise InputError(msg, code="no_such_device", parameter="accelerator", fix="Use accelerator='auto'.")


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global generators start from `seed` inside the block and are as before after it.

    For code that draws from global generators only: initialisation of layers, dropout.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)  # noqa: TID251 - the one place, and it is undone
        yield


@contextmanager
def sharing_threads(device: torch.device) -> Iterator[None]:
    """On the CPU, half of the threads for the network, so that the thread that makes the views has the other half.

    Small matrices gain little from many threads, and threads that wait for each other lose a lot where other programs
    use the same cores.
    """
    before = torch.get_num_threads()
    try:
        if device.type == "cpu":
            torch.set_num_threads(max(1, before // 2))
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Compute in ``bf16`` or ``fp32``; ``auto`` is fp32 by the fastest route of this processor that is exact."""
    if name not in PRECISIONS:
        msg = f"precision={name!r} is not one of {', '.join(map(repr, PRECISIONS))}."
        raise InputError(msg, code="bad_precision", parameter="precision", fix="Use precision='auto'.")
    before = torch.get_float32_matmul_precision()
    try:
        if name == "auto" and device.type == "cpu" and _onednn_is_exact():
            torch.set_float32_matmul_precision("medium")
        # without the cache, which keeps the rounded weights of the first step as long as the block lasts: an epoch
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=name == "bf16", cache_enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def _onednn_is_exact() -> bool:
    """Whether ``medium`` only changes the library (oneDNN, twice as fast here), not the accuracy.

    On processors with bf16 matrix units the same switch rounds the factors to bf16, so it is tested, not assumed.
    """
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(64, 512, generator=generator)
    b = torch.rand(512, 64, generator=generator)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        error = (a @ b - (a.double() @ b.double())).abs().max() / 512
    finally:
        torch.set_float32_matmul_precision(before)
    return bool(error < 1e-6)

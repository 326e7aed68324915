"""Named random streams: every draw is a function of (seed, name, counters) and of nothing else.

Two consequences: a run that was stopped continues with the very numbers that it would have drawn, and no other
method, worker or library in the process can change a result. Global generators are never touched.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, name: str, *counters: int) -> int:
    """A 63-bit seed for the stream `name` at the given counters (epoch, step, ...)."""
    text = ":".join((str(int(seed)), name, *(str(int(c)) for c in counters)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, name: str, *counters: int) -> np.random.Generator:
    """A NumPy generator for the stream `name` at the given counters."""
    return np.random.Generator(np.random.Philox(derive(seed, name, *counters)))


def mix(values: np.ndarray, salt: int) -> np.ndarray:
    """Hash 64-bit integers (splitmix64): independent-looking 64-bit integers, the same for the same value and salt."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + np.uint64(salt) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def noise(keys: np.ndarray, width: int, seed: int) -> np.ndarray:
    """Standard normal numbers that belong to a key, not to a position: shape ``(len(keys), width)``, float32.

    Each row depends on its own key (the hash of a cell name) and the seed alone, so noise survives reordering and
    subsetting.
    """
    salts = generator(seed, "noise").integers(1, 2**62, size=(2, width))
    u, v = (mix(keys[:, None], s[None, :].astype(np.uint64)).astype(np.float64) / 2.0**64 for s in salts)
    return (np.sqrt(-2.0 * np.log(np.maximum(u, 1e-300))) * np.cos(2.0 * np.pi * v)).astype(np.float32)

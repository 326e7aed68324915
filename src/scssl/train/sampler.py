"""Which cells make a mini-batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scssl import _random

OFF, MASK, SAMPLE = WITHIN_BATCH = ("off", "mask", "sample")
SMALLEST_BATCH = 32


@dataclass(frozen=True)
class Sampler:
    """Every cell once an epoch, in mini-batches of equal size (they differ by one cell at most).

    Equal sizes instead of a short last batch: no mini-batch is too small for batch statistics.

    Parameters
    ----------
    n_obs
        Number of cells.
    batch_size
        Largest number of cells in a mini-batch.
    pools
        Cells that may meet in a mini-batch, as arrays of positions.
    note
        What was pooled, for the report; empty if nothing was.
    """

    n_obs: int
    batch_size: int
    pools: tuple[np.ndarray, ...]
    note: str = ""

    @classmethod
    def mixed(cls, n_obs: int, batch_size: int) -> Sampler:
        """Any cells may meet."""
        return cls(n_obs, batch_size, (np.arange(n_obs),))

    @classmethod
    def by_batch(cls, codes: np.ndarray, names: list[str], batch_size: int) -> Sampler:
        """Only cells of one experimental batch meet; batches under 32 cells are pooled."""
        groups = [np.flatnonzero(codes == code) for code in range(len(names))]
        large = [cells for cells in groups if len(cells) >= SMALLEST_BATCH]
        small = [i for i, cells in enumerate(groups) if len(cells) < SMALLEST_BATCH]
        note = ""
        if small:
            pooled = np.sort(np.concatenate([groups[i] for i in small]))
            note = f"{len(small)} batches under {SMALLEST_BATCH} cells were pooled ({len(pooled)} cells): "
            note += ", ".join(repr(names[i]) for i in small[:5]) + ("..." if len(small) > 5 else "") + "."
            if large and len(pooled) < SMALLEST_BATCH:  # still too few for statistics of their own
                smallest = min(range(len(large)), key=lambda i: len(large[i]))
                large[smallest] = np.sort(np.concatenate([large[smallest], pooled]))
                note += f" They train together with the smallest other batch ({len(large[smallest])} cells in all)."
            else:
                large.append(pooled)
        return cls(len(codes), batch_size, tuple(large), note)

    def epoch(self, seed: int, epoch: int) -> list[np.ndarray]:
        """The mini-batches of an epoch, shuffled, as arrays of positions."""
        rng = _random.generator(seed, "order", epoch)
        parts: list[np.ndarray] = []
        for pool in self.pools:
            n_parts = max(1, min(-(-len(pool) // self.batch_size), len(pool) // 2))  # no part of a single cell
            parts += np.array_split(rng.permutation(pool), n_parts)
        return [parts[i] for i in rng.permutation(len(parts))]

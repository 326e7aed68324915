"""Which cells make a mini-batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scssl import _random

OFF, MASK, SAMPLE = WITHIN_BATCH = ("off", "mask", "sample")
SMALLEST_BATCH = 32
BUFFER = 16_384  # cells on disk that are shuffled among each other
BLOCKS = 32  # and from how many places of the file they come at least


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
    block, per_buffer
        For cells on disk: blocks of so many cells, which stand close together there, and the number of blocks that are
        shuffled among each other. 0: all cells are.
    """

    n_obs: int
    batch_size: int
    pools: tuple[np.ndarray, ...]
    note: str = ""
    block: int = 0
    per_buffer: int = 0

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

    def without(self, cells: np.ndarray) -> Sampler:
        """The same without some of the cells."""
        pools = [np.setdiff1d(pool, cells) for pool in self.pools]
        kept = tuple(pool for pool in pools if len(pool))
        return replace(self, n_obs=sum(map(len, kept)), pools=kept)

    def only(self, cells: np.ndarray) -> Sampler:
        """The same with some of the cells alone."""
        pools = [np.intersect1d(pool, cells) for pool in self.pools]
        kept = tuple(pool for pool in pools if len(pool))
        return replace(self, n_obs=sum(map(len, kept)), pools=kept)

    def in_blocks(self, block: int) -> Sampler:
        """The same for cells on disk: shuffled within a buffer of blocks of so many cells."""
        return replace(self, block=block, per_buffer=max(BUFFER // block, BLOCKS))

    def epoch(self, seed: int, epoch: int) -> list[np.ndarray]:
        """The mini-batches of an epoch, shuffled, as arrays of positions."""
        return [part for parts in self.buffers(seed, epoch) for part in parts]

    def buffers(self, seed: int, epoch: int) -> list[list[np.ndarray]]:
        """The same, together those that have to be in memory at the same time."""
        rng = _random.generator(seed, "order", epoch)
        return [self._shuffled(pools, rng) for pools in self._together(rng)]

    def _together(self, rng: np.random.Generator) -> list[list[np.ndarray]]:
        """Cells of each pool that are in memory at the same time: all, or those of blocks drawn from all over the file."""
        if not self.block:
            return [list(self.pools)]
        blocks = [
            (pool, cells)
            for pool, members in enumerate(self.pools)
            for cells in np.array_split(np.sort(members), -(-len(members) // self.block))
        ]
        order = rng.permutation(len(blocks))
        buffers = []
        for few in np.array_split(order, -(-len(order) // self.per_buffer)):
            together: dict[int, list[np.ndarray]] = {}
            for i in few:
                together.setdefault(blocks[i][0], []).append(blocks[i][1])
            buffers.append([np.concatenate(cells) for cells in together.values()])
        return buffers

    def _shuffled(self, pools: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
        parts: list[np.ndarray] = []
        for pool in pools:
            n_parts = max(1, min(-(-len(pool) // self.batch_size), len(pool) // 2))  # no part of a single cell
            parts += np.array_split(rng.permutation(pool), n_parts)
        return [parts[i] for i in rng.permutation(len(parts))]

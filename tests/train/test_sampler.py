from __future__ import annotations

import numpy as np
import pytest

from scssl.train.sampler import Sampler


@pytest.mark.parametrize("n", [2, 31, 256, 257, 1000])
def test_every_cell_once_in_even_parts(n):
    parts = Sampler.mixed(n, 256).epoch(0, 0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    sizes = [len(p) for p in parts]
    assert max(sizes) <= 256
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("n", [3, 5, 101])
def test_the_smallest_batch_size_leaves_no_cell_alone(n):
    parts = Sampler.mixed(n, 2).epoch(0, 0)
    assert min(map(len, parts)) >= 2
    assert sum(map(len, parts)) == n


def test_order_depends_on_seed_and_epoch_alone():
    sampler = Sampler.mixed(1000, 256)
    first, again, epoch, seed = (sampler.epoch(*at) for at in ((0, 0), (0, 0), (0, 1), (1, 0)))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], epoch[0])
    assert not np.array_equal(first[0], seed[0])


def test_a_mini_batch_holds_one_batch():
    codes = np.repeat([0, 1, 2], [300, 100, 40])
    sampler = Sampler.by_batch(codes, ["a", "b", "c"], 64)
    parts = sampler.epoch(0, 0)
    assert all(len(set(codes[p])) == 1 for p in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(440))
    assert sampler.note == ""
    assert len({codes[p[0]] for p in parts[:4]}) > 1  # batches take turns


def test_small_batches_are_pooled_and_reported():
    codes = np.repeat([0, 1, 2, 3], [300, 20, 10, 5])
    sampler = Sampler.by_batch(codes, ["a", "b", "c", "d"], 64)
    pooled = [p for p in sampler.epoch(0, 0) if len(set(codes[p])) > 1]
    assert len(pooled) == 1
    assert len(pooled[0]) == 35
    assert "3 batches under 32 cells were pooled (35 cells): 'b', 'c', 'd'" in sampler.note


def test_a_pool_too_small_for_statistics_joins_the_smallest_batch():
    codes = np.repeat([0, 1, 2], [300, 50, 1])
    sampler = Sampler.by_batch(codes, ["a", "b", "c"], 256)
    parts = sampler.epoch(0, 0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(351))
    assert min(map(len, parts)) == 51
    assert "smallest other batch (51 cells" in sampler.note


def test_only_small_batches():
    sampler = Sampler.by_batch(np.repeat([0, 1], [10, 12]), ["a", "b"], 256)
    assert [len(p) for p in sampler.epoch(0, 0)] == [22]

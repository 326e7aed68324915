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


def test_some_cells_alone():
    codes = np.repeat([0, 1, 2], [300, 100, 40])
    sampler = Sampler.by_batch(codes, ["a", "b", "c"], 64)
    some = np.random.default_rng(0).permutation(440)[:200]
    parts = sampler.only(some).epoch(3, 1)
    assert sorted(np.concatenate(parts).tolist()) == sorted(some.tolist())
    assert all(len(set(codes[p])) == 1 for p in parts)
    assert max(map(len, parts)) <= 64
    assert sampler.only(some).n_obs == 200
    rest = np.setdiff1d(np.arange(440), some)
    for kept, left_out in zip(sampler.only(some).pools, sampler.without(rest).pools, strict=True):
        np.testing.assert_array_equal(kept, left_out)


def test_only_all_cells_is_no_change():
    for sampler in (Sampler.mixed(101, 20), Sampler.mixed(5000, 64).in_blocks(100)):
        everything = sampler.only(np.arange(sampler.n_obs)[::-1])
        assert everything.n_obs == sampler.n_obs
        assert all(map(np.array_equal, everything.epoch(2, 5), sampler.epoch(2, 5)))


def test_batches_without_any_of_the_cells_are_not_drawn():
    sampler = Sampler.by_batch(np.repeat([0, 1], [50, 60]), ["a", "b"], 32).only(np.arange(60, 70))
    assert [len(pool) for pool in sampler.pools] == [10]
    assert [len(part) for part in sampler.epoch(0, 0)] == [10]


def test_some_cells_of_a_file_stay_in_blocks():
    sampler = Sampler.mixed(10_000, 64).in_blocks(100)
    some = np.arange(0, 10_000, 3)
    buffers = sampler.only(some).buffers(0, 0)
    assert (sampler.only(some).block, sampler.only(some).per_buffer) == (sampler.block, sampler.per_buffer)
    assert sorted(np.concatenate([part for parts in buffers for part in parts]).tolist()) == some.tolist()

from __future__ import annotations

import numpy as np
import pytest

from scssl import _random


def test_a_stream_is_a_function_of_its_name_and_counters():
    a, b = (_random.generator(0, "mask", 3, 7).random(5) for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "other", [(1, "mask", 3, 7), (0, "gauss", 3, 7), (0, "mask", 4, 7), (0, "mask", 3, 8), (0, "mask", 3)]
)
def test_any_difference_gives_another_stream(other):
    assert _random.derive(*other) != _random.derive(0, "mask", 3, 7)


def test_counters_do_not_run_into_each_other():
    assert _random.derive(0, "a", 1, 23) != _random.derive(0, "a", 12, 3)


def test_seeds_fit_a_signed_integer():
    seeds = [_random.derive(seed, "x") for seed in range(1000)]
    assert len(set(seeds)) == 1000
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_derived_seeds_stay_the_same_for_ever():
    # changing these changes every published number
    assert _random.derive(0, "view", 1, 2) == 3799025431514586199


def test_global_generators_are_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what is tested
    _random.generator(0, "x").random(10)
    _random.noise(np.arange(4, dtype=np.uint64), 3, seed=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_noise_belongs_to_the_key_not_to_the_place():
    keys = _random.mix(np.arange(200, dtype=np.uint64), 1)
    order = np.random.default_rng(0).permutation(200)
    noise = _random.noise(keys, 8, seed=3)
    np.testing.assert_array_equal(_random.noise(keys[order], 8, seed=3), noise[order])
    assert noise.dtype == np.float32
    assert not np.allclose(_random.noise(keys, 8, seed=4), noise)


def test_noise_is_standard_normal():
    noise = _random.noise(_random.mix(np.arange(20_000, dtype=np.uint64), 1), 6, seed=0).astype(float)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert np.abs(np.corrcoef(noise.T) - np.eye(6)).max() < 0.03
    assert 0.040 < (np.abs(noise) > 1.96).mean() < 0.060

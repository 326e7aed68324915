"""Intervals and ranks hold their level at the number of repeats that people can afford: simulated, not assumed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from scssl.table.inference import difference, half_width, holm, rank_intervals

BOARDS = 20_000
REPEATS = pytest.mark.parametrize("n", [3, 5, 10])


def draw(*what):
    return np.random.default_rng([2026, *what])


def covered(values, truth=0.0):
    """Share of the intervals of the mean that hold the truth."""
    mean, wide = (
        values.mean(axis=-1),
        half_width(values.std(axis=-1, ddof=1), np.full(values.shape[:-1], values.shape[-1])),
    )
    return (np.abs(mean - truth) <= wide).mean()


@REPEATS
def test_intervals_over_seeds_cover(n):
    assert 0.93 <= covered(draw(n).normal(0, 0.02, (BOARDS, n))) <= 0.97


@REPEATS
def test_intervals_over_data_sets_and_seeds_cover(n):
    """Data sets differ, and seeds within them: means of data sets are repeats, however many seeds each has."""
    rng = draw(n, 1)
    values = rng.normal(0, 0.08, (BOARDS, n, 1)) + rng.normal(0, 0.03, (BOARDS, n, 3))
    assert 0.93 <= covered(values.mean(axis=-1)) <= 0.97


@REPEATS
def test_intervals_cover_scores_that_are_bounded_and_skewed(n):
    values = draw(n, 2).beta(14, 6, (BOARDS, n))  # mean 0.7, s.d. 0.1
    assert 0.93 <= covered(values, 0.7) <= 0.97


@pytest.mark.parametrize(("n", "most"), [(3, 0.85), (5, 0.90)])
def test_a_percentile_bootstrap_would_not(n, most):
    """Why it is not used."""
    rng = draw(n, 3)
    values = rng.normal(0, 1, (1_000, n))
    means = values[:, rng.integers(0, n, (500, n))].mean(axis=-1)
    low, high = np.percentile(means, [2.5, 97.5], axis=1)
    assert ((low <= 0) & (high >= 0)).mean() < most


def test_the_page_on_results_says_what_the_simulation_gives():
    page = (Path(__file__).parents[2] / "docs" / "concepts" / "results.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) % \| (\d+) % \| (\d+) % \|$", page, flags=re.MULTILINE)
    assert [int(row[0]) for row in rows] == [3, 5, 10]
    for n, student, welch, bootstrap in (map(int, row) for row in rows):
        rng = draw(n, 9)
        values = rng.normal(0, 1, (BOARDS, n))
        apart = difference(values, rng.normal(0, 1, values.shape), paired=False)
        means = values[:2_000, rng.integers(0, n, (400, n))].mean(axis=-1)
        low, high = np.percentile(means, [2.5, 97.5], axis=1)
        assert abs(100 * covered(values) - student) < 1
        assert abs(100 * ((apart.low <= 0) & (apart.high >= 0)).mean() - welch) < 1
        assert abs(100 * ((low <= 0) & (high >= 0)).mean() - bootstrap) < 2.5


@REPEATS
@pytest.mark.parametrize("spread", [0.01, 0.03, 0.0])
def test_differences_over_seeds_cover(n, spread):
    """Equal spreads, unequal spreads, and a method without any (PCA)."""
    rng = draw(n, 4, int(1000 * spread))
    found = difference(rng.normal(0.7, 0.01, (BOARDS, n)), rng.normal(0.6, spread, (BOARDS, n)), paired=False)
    assert 0.93 <= ((found.low <= 0.1) & (found.high >= 0.1)).mean() <= 0.975


@REPEATS
def test_differences_over_data_sets_cover_though_data_sets_differ_more_than_methods(n):
    rng = draw(n, 5)
    hard = rng.normal(0, 0.2, (BOARDS, n))
    a, b = (hard + rng.normal(level, 0.02, (BOARDS, n)) for level in (0.65, 0.6))
    found = difference(a, b, paired=True)
    assert 0.93 <= ((found.low <= 0.05) & (found.high >= 0.05)).mean() <= 0.97
    assert (found.high - found.low).mean() < 0.25 * (
        difference(a, b, paired=False).high - difference(a, b, paired=False).low
    ).mean()


@REPEATS
@pytest.mark.parametrize("paired", [True, False])
def test_equal_methods_have_no_winner(n, paired):
    """A false winner on at most one board in twenty, of 2,000 on which all methods are equal."""
    boards = draw(n, 6).normal(0.6, 0.02, (2_000, 5, n))
    ranks = np.array([rank_intervals(board, paired=paired) for board in boards])
    winners = (ranks == 1).all(axis=2).any(axis=1)
    whole = (ranks == [1, 5]).all(axis=(1, 2))
    assert winners.mean() <= 0.05
    assert whole.mean() >= 0.93  # every interval holds every rank


@REPEATS
def test_rank_intervals_hold_the_true_ranks_all_at_once(n):
    truth = np.array([0.70, 0.69, 0.66, 0.60, 0.50])
    spread = np.array([0.02, 0.01, 0.02, 0.0, 0.03])[:, None]  # one of them draws nothing
    rng = draw(n, 7)
    held, width = [], []
    for _ in range(500):
        ranks = rank_intervals(rng.normal(truth[:, None], spread, (5, n)), paired=False)
        held.append(((ranks[:, 0] <= np.arange(1, 6)) & (ranks[:, 1] >= np.arange(1, 6))).all())
        width.append((ranks[:, 1] - ranks[:, 0]).mean())
    assert np.mean(held) >= 0.95
    assert np.mean(width) < {3: 3.2, 5: 1.9, 10: 1.0}[n]  # and they are not simply wide


def test_half_width_is_that_of_students_t():
    values = np.array([0.2, 0.5, 0.4, 0.3])
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    wide = half_width(values.std(ddof=1), 4)
    np.testing.assert_allclose([values.mean() - wide, values.mean() + wide], [low, high])
    np.testing.assert_array_equal(half_width([np.nan, 0.1], [1, 1]), [np.nan, np.nan])


@pytest.mark.parametrize("paired", [True, False])
def test_a_difference_is_that_of_scipy(paired):
    rng = draw(8)
    a, b = rng.normal(0.6, 0.1, 6), rng.normal(0.5, 0.2, 6)
    ours = difference(a, b, paired=paired)
    theirs = stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b, equal_var=False)
    bounds = theirs.confidence_interval(0.95)
    np.testing.assert_allclose([ours.p, ours.low, ours.high], [theirs.pvalue, bounds.low, bounds.high])


def test_missing_repeats_are_fewer_repeats():
    a, b = np.array([0.7, 0.8, np.nan, 0.75]), np.array([0.5, 0.63, 0.55, np.nan])
    ours = difference(a, b, paired=False)
    assert ours.p == pytest.approx(stats.ttest_ind(a[[0, 1, 3]], b[:3], equal_var=False).pvalue)
    assert difference(a, b, paired=True).p == pytest.approx(stats.ttest_rel(a[:2], b[:2]).pvalue)


def test_what_does_not_vary_is_certain_and_what_was_done_once_is_not():
    once, twice = np.array([0.6, np.nan]), np.array([0.6, 0.6])
    assert difference(twice, twice + 0.1, paired=False).p == 0
    assert difference(twice, twice + 1e-12, paired=False).p == 1
    assert np.isnan(difference(once, twice + 0.1, paired=False).p)
    np.testing.assert_array_equal(rank_intervals(np.stack([once, twice + 0.1]), paired=False), [[1, 2], [1, 2]])


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, np.nan, 0.03])), [0.03, 0.06, np.nan, 0.06])
    assert holm(np.array([0.5, 0.9])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).size == 0


def test_ranks_of_methods_far_apart_are_their_places():
    values = np.array([0.5, 0.9, 0.7])[:, None] + 0.001 * draw(9).normal(size=(3, 5))
    np.testing.assert_array_equal(rank_intervals(values, paired=False), [[3, 3], [1, 1], [2, 2]])
    assert rank_intervals(np.empty((0, 3)), paired=False).shape == (0, 2)

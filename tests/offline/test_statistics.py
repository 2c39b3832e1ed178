"""Intervals and scores against published and hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.errors import SpecError
from offline.statistics import balanced_accuracy, cluster_bootstrap, confusion_matrix, mean_interval, wilson_interval


@pytest.mark.parametrize(
    ("n_correct", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(n_correct, n, low, high):
    """Newcombe (1998), table I, method 3, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E."""
    np.testing.assert_allclose(wilson_interval(n_correct, n), (low, high), atol=5e-5)


@pytest.mark.parametrize(("n_correct", "n"), [(1, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(n_correct, n):
    with pytest.raises(SpecError, match="0 <= n_correct <= n and n > 0"):
        wilson_interval(n_correct, n)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_bootstrap_stays_between_the_extremes(values):
    low, high = cluster_bootstrap(values, np.random.default_rng(0), n_draws=200)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12


def test_bootstrap_approaches_the_normal_interval_for_many_people():
    values = np.random.default_rng(1).normal(0.7, 0.1, 400)
    low, high = cluster_bootstrap(list(values), np.random.default_rng(2))
    half = 1.96 * values.std() / np.sqrt(400)
    np.testing.assert_allclose((low, high), (values.mean() - half, values.mean() + half), atol=1e-3)


def test_bootstrap_without_people_is_refused():
    with pytest.raises(SpecError, match="at least one value, got none"):
        cluster_bootstrap([], np.random.default_rng(0))


def test_few_people_get_students_interval():
    """Of 1, 2, 3: mean 2, standard deviation 1, and 4.3027 standard errors (t, 2 degrees of freedom, 97.5 %)."""
    rng = np.random.default_rng(0)
    half = 4.302653 / np.sqrt(3)
    assert mean_interval([1, 2, 3], rng, (-9, 9)) == (pytest.approx(2 - half), pytest.approx(2 + half), "t")
    assert mean_interval([1, 2, 3], rng, (1, 2.5)) == (1, 2.5, "t")
    assert mean_interval([0.5] * 9 + [0.6], rng, (0, 1))[2] == "bootstrap"
    with pytest.raises(SpecError, match="needs at least two of them, got 1"):
        mean_interval([0.5], rng, (0, 1))


def test_confusion_has_the_truth_in_rows():
    confusion = confusion_matrix(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0]), 3)
    np.testing.assert_array_equal(confusion, [[1, 1, 0], [1, 2, 0], [0, 0, 0]])
    assert balanced_accuracy(confusion) == pytest.approx((1 / 2 + 2 / 3) / 2)

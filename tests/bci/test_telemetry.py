"""Latencies are counted in constant memory, and their percentiles are right within one percent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.telemetry import LatencyHistogram, Percentiles, Telemetry


@given(st.lists(st.floats(1e-6, 3600.0), min_size=1, max_size=300))
def test_percentiles_are_right_within_a_bucket(seconds):
    """Nearest rank, as numpy's ``inverted_cdf``; the maximum is exact."""
    histogram = LatencyHistogram()
    for s in seconds:
        histogram.add(s)
    found = histogram.percentiles()
    assert found.count == len(seconds)
    assert found.max == pytest.approx(max(seconds) * 1e3)
    wanted = np.quantile(seconds, [0.5, 0.9, 0.99, 0.999], method="inverted_cdf") * 1e3
    np.testing.assert_allclose([found.p50, found.p90, found.p99, found.p999], wanted, rtol=0.0101)
    assert found.p50 <= found.p90 <= found.p99 <= found.p999 <= found.max


def test_rare_latencies_show_at_p999_and_not_before():
    """Eight of 4000 are slow, and one is very slow: fewer samples could not tell p99.9 from p99 or the maximum."""
    histogram = LatencyHistogram()
    for ms in [1.0] * 3991 + [50.0] * 8 + [900.0]:
        histogram.add(ms / 1e3)
    found = histogram.percentiles()
    assert (found.p50, found.p90, found.p99) == pytest.approx((1.0, 1.0, 1.0), rel=0.0101)
    assert found.p999 == pytest.approx(50.0, rel=0.0101)
    assert found.max == pytest.approx(900.0)


@pytest.mark.parametrize("seconds", [0.0, -0.5, 1e-9])
def test_what_is_too_short_to_measure_is_the_shortest(seconds):
    """Two clocks may put the receipt before the stamp: that is counted, not an error."""
    histogram = LatencyHistogram()
    histogram.add(seconds)
    assert histogram.percentiles().count == 1
    assert 0 <= histogram.percentiles().p50 <= 1e-3


def test_a_day_is_the_longest_bucket():
    histogram = LatencyHistogram()
    histogram.add(86_400.0)
    found = histogram.percentiles()
    assert found.max == 86_400e3
    assert 3600e3 < found.p50 <= found.max


def test_nothing_counted_is_zero():
    assert LatencyHistogram().percentiles() == Percentiles(0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_clear_forgets():
    histogram = LatencyHistogram()
    histogram.add(2.0)
    histogram.clear()
    histogram.add(0.001)
    assert histogram.percentiles().count == 1
    assert histogram.percentiles().max == 1.0


def test_recent_starts_anew_and_the_session_goes_on():
    telemetry = Telemetry()
    telemetry.time("engine", 0.002)
    first = telemetry.take_recent()
    telemetry.time("engine", 0.004)
    second = telemetry.take_recent()
    assert (first["engine"].max, second["engine"].max, telemetry.take_recent()["engine"].count) == (2.0, 4.0, 0)
    assert telemetry.summary()["engine"].count == 2
    assert set(telemetry.summary()) == set(first) == set(Telemetry.STAGES)


def test_counts_add_up_by_kind():
    telemetry = Telemetry()
    for n in (1, 8):
        telemetry.count("samples", n)
    telemetry.count("gap")
    assert telemetry.counts == {"samples": 9, "predictions": 0, "gap": 1}

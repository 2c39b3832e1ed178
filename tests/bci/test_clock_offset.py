"""Offset of a sender's clock: measured again and again, in force without a step."""

from __future__ import annotations

import numpy as np
import pytest

from bci.chunk import Signal
from bci.clock import SampleClock
from bci.sources.clock_offset import SLEW, ClockOffset

SFREQ = 1280.0


def test_a_marker_has_the_time_of_its_sample_when_the_clock_offset_changes():
    """Markers and samples come in either order; a sample's time must not depend on it."""
    offset = ClockOffset(0.5)
    marker_first = offset.local(np.array([10.0]))
    offset.change(0.601)
    offset.change(0.6)
    np.testing.assert_array_equal(offset.local(np.array([9.0, 10.0, 11.0])), [9.5, 10.5, 11.6])
    assert marker_first == 10.5
    offset.change(0.699)
    offset.change(0.7)
    np.testing.assert_array_equal(offset.local(np.array([11.0, 11.5])), [11.6, 12.2])
    assert offset.newest_s == 0.7


@pytest.mark.parametrize("error_s", [5e-4, -5e-4, 0.019])
def test_a_better_measurement_comes_into_force_bit_by_bit(error_s):
    offset = ClockOffset(-error_s)
    stamps = 100.0 + np.arange(30 * int(SFREQ)) / SFREQ
    head = offset.local(stamps[:1280])
    offset.change(0.0)
    again = offset.local(stamps[1000:1280])  # a marker of a sample that was read before
    tail = offset.local(stamps[1280:])
    np.testing.assert_array_equal(again, head[1000:])
    np.testing.assert_array_equal(head, stamps[:1280] - error_s)
    assert np.abs(np.diff(np.concatenate([head, tail])) * SFREQ - 1).max() < 1.01 * SLEW
    assert offset.newest_s == 0.0
    np.testing.assert_array_equal(tail[-1:], stamps[-1:])


@pytest.mark.parametrize("error_s", [-0.0527, 0.021, 3.0])
def test_a_single_measurement_that_is_far_off_changes_nothing(error_s):
    """As measured on an overloaded computer: wrong once, right again two seconds later."""
    offset = ClockOffset(1e-4)
    stamps = np.arange(100.0, 104.0, 1 / SFREQ)
    head = offset.local(stamps[:2000])
    offset.change(error_s)
    offset.change(error_s)  # asked for again, not measured again
    middle = offset.local(stamps[2000:4000])
    offset.change(1e-4)
    assert offset.newest_s == 1e-4
    np.testing.assert_array_equal(np.concatenate([head, middle, offset.local(stamps[4000:])]), stamps + 1e-4)


def test_two_measurements_that_are_far_off_and_agree_are_a_clock_that_was_set():
    offset = ClockOffset(0.0)
    offset.local(np.array([10.0]))
    offset.change(3.0)
    assert offset.local(np.array([11.0])) == 11.0
    offset.change(3.001)
    np.testing.assert_array_equal(offset.local(np.array([11.0, 12.0])), [11.0, 15.001])
    assert offset.newest_s == 3.001


def test_two_measurements_that_are_far_off_each_other_wait_for_a_third():
    offset = ClockOffset(0.0)
    offset.local(np.array([10.0]))
    for far_off_s in (0.05, -0.05, 0.1):
        offset.change(far_off_s)
    assert offset.local(np.array([11.0])) == 11.0
    assert offset.newest_s == 0.0


def test_a_change_amid_another_goes_on_from_where_it_is():
    offset = ClockOffset(0.0)
    offset.local(np.array([10.0]))
    offset.change(0.01)
    before = offset.local(np.array([12.0]))
    offset.change(-0.01)
    np.testing.assert_allclose(before, 12.0 + 2 * SLEW)
    np.testing.assert_array_equal(offset.local(np.array([12.0])), before)
    np.testing.assert_allclose(offset.local(np.array([13.0, 40.0])), [13.0 + SLEW, 39.99])


def test_before_the_first_stamp_and_with_none_nothing_is_in_force():
    offset = ClockOffset(0.001)
    offset.change(0.002)
    assert offset.local(np.empty(0)).size == 0
    assert offset.local(np.array([5.0])) == 5.002


@pytest.mark.parametrize("exact", [True, False])
def test_a_refreshed_offset_loses_no_sample_of_a_fast_stream(exact):
    """Half a millisecond is 0.64 samples at 1280 Hz: in force at once, it would insert one and shift all others."""
    offset = ClockOffset(-5e-4)
    clock = SampleClock(Signal(SFREQ, ("C3",)), exact=exact)
    stamps = 100.0 + np.arange(4 * int(SFREQ)) / SFREQ
    breaks = []
    for start in range(0, len(stamps), 8):
        if start == 2560:
            offset.change(0.0)
        piece = stamps[start : start + 8]
        breaks += clock.number(np.zeros((1, 8), np.float32), offset.local(piece))[1]
    assert breaks == []
    assert clock.next_sample == len(stamps)

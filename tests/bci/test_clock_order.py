"""Samples that come twice, late or by another clock: none is fed twice, and each is told with its number."""

from __future__ import annotations

import numpy as np
import pytest

from bci.chunk import Signal
from bci.clock import ClockSpec, Gap, Jump, SampleClock
from bci.recent import Repeat
from tests.bci.test_clock import START_S, assert_numbered, feed, regular, stream

SIGNAL = Signal(250.0, ("C3", "C4"))
SIZES = [1, 3, 8, 50, 2000]


def shuffled(order, size=8, n_samples=1000):
    """Return a stream whose chunks of `size` are sent in `order`."""
    data, times = stream(n_samples)
    index = np.concatenate([np.arange(n * size, (n + 1) * size) for n in order])
    return data[:, index], times[index]


@pytest.mark.parametrize("read_size", SIZES)
@pytest.mark.parametrize("repeated", [[40, 40], [40, 41, 40, 41], [40, 41, 42, 39], [40, 40, 40]])
def test_what_comes_twice_is_dropped_and_counted(read_size, repeated):
    order = [*range(40), *repeated, *range(max(repeated) + 1, 80)]
    data, times = shuffled(order)
    clock = SampleClock(SIGNAL)
    chunks, breaks = feed(clock, data, times, regular(data.shape[1], read_size))
    assert all(isinstance(b, Repeat) and not b.late for b in breaks)
    assert sum(b.n_samples for b in breaks) == data.shape[1] - 80 * 8
    assert_numbered(chunks)
    np.testing.assert_array_equal(np.concatenate([c.data[0] for c in chunks]), np.arange(640))
    assert (clock.next_sample, clock.n_received) == (640, data.shape[1])


@pytest.mark.parametrize("read_size", SIZES)
def test_what_comes_after_its_place_was_lost_and_is_late(read_size):
    """Its place was filled when the next chunk came: the numbers of all others stay right."""
    data, times = shuffled([*range(40), 41, 40, *range(42, 80)])
    chunks, breaks = feed(SampleClock(SIGNAL), data, times, regular(data.shape[1], read_size))
    gap, *repeats = breaks
    assert (gap.n_lost, gap.filled) == (8, True)
    assert sum(b.n_samples for b in repeats) == 8
    assert all(b.late for b in repeats)
    assert (repeats[0].start_s, repeats[-1].stop_s) == (times[328], times[335])
    assert_numbered(chunks)


def test_equal_values_are_no_repetition_and_equal_stamps_neither():
    """A flat stream goes on; samples with old stamps and new values are those of a clock that was put back."""
    _, times = stream(1000)
    flat = np.zeros((2, 1000), np.float32)
    assert feed(SampleClock(SIGNAL), flat, times, regular(1000))[1] == []
    data, times = stream(1000)
    times[500:] -= 0.4
    (jump,) = feed(SampleClock(SIGNAL), data, times, regular(1000))[1]
    assert isinstance(jump, Jump)


def test_what_came_long_ago_is_not_remembered():
    data, times = shuffled([*range(100), 10, *range(100, 120)])
    spec = ClockSpec(memory_s=1.0)
    first = feed(SampleClock(SIGNAL, spec=spec), data, times, regular(data.shape[1]))[1][0]
    assert isinstance(first, Jump)
    assert isinstance(feed(SampleClock(SIGNAL, spec=ClockSpec(memory_s=4.0)), data, times, [(0, 968)])[1][0], Repeat)


def deliver(clock, data, times, delay_s, size=8):
    """Number the samples in reads that arrive `delay_s` after each read's last sample happened."""
    breaks = []
    for start in range(0, data.shape[1], size):
        stop = min(start + size, data.shape[1])
        breaks += clock.number(data[:, start:stop], times[start:stop], delay_s[stop - 1])[1]
    return breaks


@pytest.mark.parametrize("ahead_s", [0.05, 1.0, 3600.0])
def test_a_clock_that_is_put_forward_loses_nothing(ahead_s):
    data, happened = stream(2000)
    times = happened.copy()
    times[800:] += ahead_s
    clock = SampleClock(SIGNAL)
    (jump,) = deliver(clock, data, times, happened + 0.01)
    assert (type(jump), jump.sample, jump.jump_s) == (Jump, 800, pytest.approx(ahead_s))
    assert clock.next_sample == 2000
    kept = np.r_[0:800, 900:2000]  # the same stamps where time has passed, too
    (gap,) = deliver(SampleClock(SIGNAL), data[:, kept], happened[kept], happened[kept] + 0.01)
    assert (type(gap), gap.n_lost) == (Gap, 100)


def test_samples_that_wait_are_lost_samples_all_the_same():
    """The receiver was busy: what comes after the gap is old when it is read, but no older than its stamp says."""
    data, happened = stream(2000)
    received = happened + 0.01 + 0.5 * (np.arange(2000) >= 900)
    kept = np.r_[0:800, 900:2000]
    (gap,) = deliver(SampleClock(SIGNAL), data[:, kept], happened[kept], received[kept])
    assert gap.n_lost == 100


def test_a_sender_that_was_away_is_a_gap_that_is_never_filled():
    data, times = stream(1000)
    clock = SampleClock(SIGNAL, exact=True)
    feed(clock, data, times, regular(400))
    clock.rejoin(1.0)
    _, (gap,) = feed(clock, data, times, [(410, 500)])
    assert (gap.n_lost, gap.filled, gap.start_s) == (10, False, pytest.approx(times[399]))
    assert clock.next_sample == 500


def rate_of(true_hz, n_samples, clock=None, read_size=8, start_s=START_S):
    data, times = stream(n_samples, true_hz, start_s=start_s)
    clock = clock or SampleClock(SIGNAL)
    return clock, feed(clock, data, times, regular(n_samples, read_size))[1]


@pytest.mark.parametrize("read_size", [1, 8, 777])
def test_a_rate_that_drifts_is_told_once_and_so_is_its_return(read_size):
    """One percent fast for 30 s, then as it should be."""
    periods = np.r_[np.full(5000, 1 / 250), np.full(7500, 1 / 252.5), np.full(7500, 1 / 250)]
    data, times = stream(20_000)[0], START_S + np.cumsum(periods)
    _, breaks = feed(SampleClock(SIGNAL), data, times, regular(20_000, read_size))
    away, back = breaks
    assert (away.within, back.within) == (False, True)
    assert away.rate == pytest.approx(251.5, abs=0.3)
    assert times[5000] + 4 < away.time_s < times[5000] + 8
    assert back.rate == pytest.approx(250.0, abs=0.7)
    assert times[12_500] < back.time_s < times[12_500] + 10


@pytest.mark.parametrize("true_hz", [250.0, 250.9, 249.1])
def test_a_rate_within_its_tolerance_is_right(true_hz):
    assert rate_of(true_hz, 10_000)[1] == []


@pytest.mark.parametrize("true_hz", [252.0, 248.0])
def test_a_rate_beyond_its_tolerance_is_told_after_one_window(true_hz):
    (drift,) = rate_of(true_hz, 10_000)[1]
    assert drift.rate == pytest.approx(true_hz, rel=1e-6)
    assert drift.time_s == pytest.approx(START_S + 2500 / true_hz)
    assert rate_of(true_hz, 10_000, SampleClock(SIGNAL, spec=ClockSpec(rate_tolerance=0.01)))[1] == []


def test_stamps_that_vary_do_not_make_a_rate():
    rng = np.random.default_rng(5)
    data, times = stream(20_000)
    times += np.repeat(rng.uniform(0.0, 0.03, 625), 32)
    breaks = feed(SampleClock(SIGNAL), data, times, regular(20_000, 32))[1]
    assert [b for b in breaks if not isinstance(b, Gap)] == []

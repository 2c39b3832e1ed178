"""Stamps from packet numbers: every lost sample shows, whatever else happens on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.clock import Gap, Jump, SampleClock
from bci.errors import SpecError
from bci.sources.packet_stamps import SLEW, PacketCounter, PacketStamps

SFREQ = 250.0
BYTE = PacketCounter(256)
DAISY = PacketCounter(256, step=2)
MUSE = PacketCounter(65536, n_rows=12)
SIGNAL = Signal(SFREQ, ("Cz",))


def numbers_of(index, counter):
    """Return the packet numbers of samples, as BrainFlow delivers them."""
    return (index // counter.n_rows * counter.step % counter.modulus).astype(np.float64)


def cut(n_samples, size):
    return [slice(start, start + size) for start in range(0, n_samples, size)]


def stamped(index, arrivals, counter=BYTE, size=8, sfreq=SFREQ):
    """Return the stamps of samples that are delivered `size` at a time, and how many were found to be lost."""
    stamps = PacketStamps(counter, sfreq)
    numbers = numbers_of(index, counter)
    parts = [stamps.stamp(numbers[part], arrivals[part]) for part in cut(len(index), size)]
    return np.concatenate(parts), stamps.n_lost


def gaps_of(times, size=8):
    """Return the gaps that a session's clock finds in stamps."""
    clock, found = SampleClock(SIGNAL, exact=True), []
    for part in cut(len(times), size):
        _, breaks = clock.number(np.zeros((1, len(times[part])), np.float32), times[part])
        found += breaks
    assert not any(isinstance(item, Jump) for item in found)
    return [item.n_lost for item in found if isinstance(item, Gap)]


@pytest.mark.parametrize("counter", [BYTE, DAISY, MUSE], ids=["byte", "daisy", "muse"])
@pytest.mark.parametrize("jitter_s", [0.0, 0.02], ids=["regular", "late by up to 20 ms"])
def test_late_arrivals_leave_no_gap(counter, jitter_s):
    index = np.arange(5000)
    late = np.random.default_rng(1).uniform(0, jitter_s, len(index)) if jitter_s else np.zeros(len(index))
    arrivals = np.maximum.accumulate(100.0 + index / SFREQ + late)
    times, n_lost = stamped(index, arrivals, counter)
    assert n_lost == 0
    assert gaps_of(times) == []
    np.testing.assert_allclose(np.diff(times) * SFREQ, 1.0, atol=1.01 * SLEW)
    assert abs(times[-1] - (100.0 + index[-1] / SFREQ)) < 0.001 + jitter_s / 4  # as if nothing had been late


@settings(max_examples=60, deadline=None)
@given(
    losses=st.lists(st.tuples(st.integers(5, 120), st.integers(1, 900)), min_size=1, max_size=8),
    size=st.integers(1, 40),
    seed=st.integers(0, 2**16),
)
def test_every_loss_is_counted(losses, size, seed):
    """Also whole cycles of the counter, which only the arrival times show; also in the first second."""
    index, at, wanted = [], 0, []
    for n_kept, n_lost in losses:
        index += range(at, at + n_kept)
        at += n_kept + n_lost
        wanted.append(n_lost)
    index = np.array([*index, *range(at, at + 30)])
    late = np.random.default_rng(seed).uniform(0, 0.01, len(index))
    times, n_lost = stamped(index, np.maximum.accumulate(7.0 + index / SFREQ + late), size=size)
    assert n_lost == sum(wanted)
    assert gaps_of(times) == wanted


@pytest.mark.parametrize("n_packets", [1, 3, 40])
def test_lost_packets_of_several_samples(n_packets):
    """A Muse loses twelve samples at once."""
    index = np.r_[0:600, 600 + 12 * n_packets : 1800]
    times, n_lost = stamped(index, 5.0 + index / SFREQ, MUSE, size=7)
    assert n_lost == 12 * n_packets
    assert gaps_of(times) == [12 * n_packets]


def test_the_counter_of_a_daisy_grows_by_two():
    index = np.r_[0:300, 305:900]
    times, n_lost = stamped(index, 5.0 + index / 125.0, DAISY, sfreq=125.0)
    assert n_lost == 5
    assert np.argmax(np.diff(times)) == 299


@pytest.mark.parametrize("stall", [30, 256, 700])
def test_a_heap_after_a_stall_is_no_loss(stall):
    """All samples came, `stall` of them at once and late."""
    index = np.arange(3000)
    arrivals = 50.0 + index / SFREQ
    arrivals[1000 : 1000 + stall] = arrivals[1000 + stall]
    stamps = PacketStamps(BYTE, SFREQ)
    parts = [slice(0, 1000), slice(1000, 1001 + stall), slice(1001 + stall, 3000)]
    times = np.concatenate([stamps.stamp(numbers_of(index, BYTE)[part], arrivals[part]) for part in parts])
    assert stamps.n_lost == 0
    np.testing.assert_allclose(np.diff(times) * SFREQ, 1.0, atol=1.01 * SLEW)


def test_swapped_samples_keep_their_places():
    index = np.arange(400)
    index[[100, 101]] = index[[101, 100]]
    times, n_lost = stamped(index, 50.0 + np.arange(400) / SFREQ, size=5)
    assert n_lost == 0
    np.testing.assert_allclose(np.diff(np.sort(times)) * SFREQ, 1.0, atol=2 * SLEW)
    assert times[101] < times[100]


@pytest.mark.parametrize("ppm", [-8000, -300, 300, 8000])
def test_stamps_follow_the_clock_of_the_board(ppm):
    """A board that is 0.8 % off stays within 10 ms for a minute."""
    index = np.arange(15000)
    arrivals = 10.0 + index / SFREQ * (1 + ppm * 1e-6)
    times, n_lost = stamped(index, arrivals)
    assert n_lost == 0
    assert np.abs(times - arrivals).max() < 0.01 + abs(ppm) * 1e-6 * 9.0  # what the last blocks remember
    assert gaps_of(times) == []


def test_stamps_start_anew_when_they_can_only_be_wrong():
    """A board that runs at three quarters of its rate is out of reach; its stamps jump instead of falling behind."""
    index = np.arange(10000)
    arrivals = 10.0 + index / (0.75 * SFREQ)
    times, _ = stamped(index, arrivals)
    assert np.abs(times - arrivals).max() < 4.0
    assert np.abs(np.diff(times)).max() > 0.2


def test_no_samples_no_stamps():
    assert PacketStamps(BYTE, SFREQ).stamp(np.empty(0), np.empty(0)).shape == (0,)


@pytest.mark.parametrize("numbers", [(0, 1, 1), (256, 0, 1), (256, 1, 0), (256, 3, 1)])
def test_a_counter_that_cannot_be(numbers):
    with pytest.raises(SpecError, match="modulus, step and n_rows of at least 1, and a modulus that is a multiple of"):
        PacketCounter(*numbers)

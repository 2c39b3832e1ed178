"""What flows, and durations in samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.chunk import Chunk, Signal, samples
from bci.errors import SignalError, SpecError


def test_a_signal_knows_the_shape_of_a_column():
    assert Signal(256.0, ("a", "b")).shape == (2,)
    assert Signal(16.0, ("a", "b"), "dB", n_features=64).shape == (2, 64)
    assert Signal(256.0, ("a", "b")).n_channels == 2
    assert Signal(256.0, ("a", "b")).unit == "uV"


@pytest.mark.parametrize("sfreq", [0.0, -1.0, np.nan, np.inf])
def test_a_rate_that_is_none_is_refused(sfreq):
    with pytest.raises(SpecError, match="A signal needs a sampling rate above 0 Hz, got"):
        Signal(sfreq, ("a",))


def test_names_must_be_there_and_differ():
    with pytest.raises(SpecError, match="A signal needs at least one channel name, got none"):
        Signal(256.0, ())
    with pytest.raises(SpecError, match=r"must differ, got repeated: b, c\. Rename them at the source"):
        Signal(256.0, ("c", "b", "a", "b", "c"))


def test_a_chunk_counts_its_samples():
    assert Chunk(np.zeros((2, 5), np.float32), 7, np.zeros(5)).n_samples == 5
    assert Chunk(np.zeros((2, 0), np.float32), 7, np.zeros(0)).n_samples == 0


@pytest.mark.parametrize(("data", "times"), [((2, 5), (4,)), ((5,), (5,)), ((2, 5), (5, 1)), ((1, 2, 5), (5,))])
def test_a_chunk_has_one_time_per_sample(data, times):
    with pytest.raises(SignalError, match=r"data of shape \(n_channels, n_samples\) and one time per sample, got"):
        Chunk(np.zeros(data, np.float32), 0, np.zeros(times))


def test_a_chunk_has_one_flag_per_sample():
    with pytest.raises(SignalError, match=r"A chunk of 5 samples needs one flag per sample in filled, got \(1,\)"):
        Chunk(np.zeros((2, 5), np.float32), 0, np.zeros(5), np.zeros(1, bool))


@given(st.integers(0, 10**7), st.sampled_from([100, 128, 160, 200, 250, 256, 300, 400, 500, 512, 1000, 2048, 2400]))
def test_whole_samples_survive_the_way_through_seconds(n, sfreq):
    """``int(seconds * sfreq)`` loses one: 0.29 s at 100 Hz is 28.999999999999996."""
    assert samples(n / sfreq, sfreq, "The window") == n


def test_seconds_that_truncation_gets_wrong():
    assert samples(0.29, 100.0, "x") == 29
    assert int(0.29 * 100.0) == 28


def test_part_of_a_sample_is_refused_with_a_duration_that_works():
    with pytest.raises(SpecError, match=r"The hop must be .* at 256 Hz, got 0\.1 s = 25\.6 samples\. Use 0\.1015625 s"):
        samples(0.1, 256.0, "The hop")
    assert samples(0.1015625, 256.0, "The hop") == 26


@pytest.mark.parametrize("seconds", [np.nan, np.inf, -np.inf])
def test_a_duration_that_is_no_number_is_refused(seconds):
    with pytest.raises(SpecError, match=r"The window must be a finite duration, got .* s at 256 Hz"):
        samples(seconds, 256.0, "The window")

"""Numbering: every sample gets its place in the stream, whatever was lost and however the stamps jitter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.clock import ClockSpec, Gap, Jump, SampleClock
from bci.errors import SpecError
from bci.recent import Repeat

SIGNAL = Signal(250.0, ("C3", "C4"))
START_S = 1000.0


def stream(n_samples, sfreq=250.0, speed=1.0, start_s=START_S):
    """Return samples whose first channel is their number, and their exact stamps."""
    index = np.arange(n_samples)
    return np.stack([index, -index]).astype(np.float32), start_s + index / (sfreq * speed)


def feed(clock, data, times, spans):
    """Deliver the samples ``[start, stop)`` of each span in one read."""
    chunks, gaps = [], []
    for start, stop in spans:
        new_chunks, new_gaps = clock.number(data[:, start:stop], times[start:stop])
        chunks += new_chunks
        gaps += new_gaps
    return chunks, gaps


def regular(n_samples, size=8):
    return [(start, min(start + size, n_samples)) for start in range(0, n_samples, size)]


def assert_numbered(chunks, offset=0):
    """The received samples bear their own number; the chunks never go back."""
    at = None
    for chunk in chunks:
        assert at is None or chunk.first_sample >= at
        at = chunk.first_sample + chunk.n_samples
        if chunk.filled is None:
            np.testing.assert_array_equal(chunk.data[0], np.arange(chunk.first_sample, at) + offset)


def test_a_stream_without_gaps_passes_unchanged():
    """Not a stamp is touched: the arrays that come out are those that went in."""
    data, times = stream(1000)
    clock = SampleClock(SIGNAL)
    chunks, gaps = feed(clock, data, times, regular(1000))
    assert gaps == []
    assert clock.n_received == 1000
    assert all(chunk.filled is None for chunk in chunks)
    np.testing.assert_array_equal(np.concatenate([c.times for c in chunks]), times)
    np.testing.assert_array_equal(np.concatenate([c.data for c in chunks], axis=1), data)
    assert_numbered(chunks)


@pytest.mark.parametrize("n_lost", [1, 2, 5, 24, 25])
def test_a_short_gap_is_filled_linearly_and_marked(n_lost):
    """0.1 s are 25 samples at 250 Hz."""
    data, times = stream(1000)
    clock = SampleClock(SIGNAL)
    chunks, gaps = feed(clock, data, times, [*regular(400), (400 + n_lost, 408 + n_lost)])
    assert gaps == [Gap(n_lost, times[399], times[400 + n_lost], filled=True)]
    filling, after = chunks[-2:]
    assert (filling.first_sample, filling.n_samples) == (400, n_lost)
    assert filling.filled.all()
    np.testing.assert_allclose(filling.data, data[:, 400 : 400 + n_lost], rtol=1e-6)  # the data are a line
    np.testing.assert_allclose(filling.times, times[400 : 400 + n_lost])
    assert (after.first_sample, after.filled) == (400 + n_lost, None)


@pytest.mark.parametrize("n_lost", [26, 250, 100_000])
def test_a_long_gap_is_a_jump_of_the_number(n_lost):
    data, times = stream(n_lost + 500)
    chunks, gaps = feed(SampleClock(SIGNAL), data, times, [*regular(400), (400 + n_lost, 408 + n_lost)])
    (gap,) = gaps
    assert (gap.n_lost, gap.filled) == (n_lost, False)
    assert (gap.start_s, gap.stop_s) == pytest.approx((times[399], times[400 + n_lost]), abs=1e-9)
    assert all(chunk.filled is None for chunk in chunks)
    assert_numbered(chunks)


def test_the_limit_of_filling_is_in_seconds_of_signal():
    """At 20 times the speed, the same samples are filled."""
    data, times = stream(1000, speed=20.0)
    clock = SampleClock(SIGNAL, speed=20.0, spec=ClockSpec(max_fill_s=0.02))
    chunks, gaps = feed(clock, data, times, [*regular(400), (405, 500), (506, 600)])
    assert [(g.n_lost, g.filled) for g in gaps] == [(5, True), (6, False)]
    assert_numbered(chunks)


def test_nothing_is_filled_if_the_user_wants_that():
    data, times = stream(1000)
    clock = SampleClock(SIGNAL, spec=ClockSpec(max_fill_s=0.0))
    chunks, gaps = feed(clock, data, times, [*regular(400), (401, 409)])
    assert [(g.n_lost, g.filled) for g in gaps] == [(1, False)]
    assert_numbered(chunks)


def test_several_gaps_in_one_read():
    data, times = stream(1000)
    kept = np.r_[0:100, 103:200, 300:400, 401:500]
    clock = SampleClock(SIGNAL)
    feed(clock, data, times, [])
    chunks, gaps = clock.number(data[:, :40], times[:40])
    for span in [(40, 60), (60, 80)]:
        more = clock.number(data[:, span[0] : span[1]], times[span[0] : span[1]])
        chunks, gaps = chunks + more[0], gaps + more[1]
    more = clock.number(data[:, kept[80:]], times[kept[80:]])
    chunks, gaps = chunks + more[0], gaps + more[1]
    assert [(g.n_lost, g.filled) for g in gaps] == [(3, True), (100, False), (1, True)]
    assert_numbered(chunks)
    assert clock.n_received == kept.size


@st.composite
def losses(draw):
    """Draw an exact stream in chunks, of which some (never the first) are lost."""
    sizes = draw(st.lists(st.integers(1, 60), min_size=8, max_size=40))
    stops = np.cumsum(sizes)
    spans = [(int(stop - size), int(stop)) for size, stop in zip(sizes, stops, strict=True)]
    kept = draw(st.lists(st.booleans(), min_size=len(spans) - 2, max_size=len(spans) - 2))
    sfreq = draw(st.sampled_from([100.0, 160.0, 256.0, 1000.0, 4096.0]))
    speed = draw(st.sampled_from([0.5, 1.0, 20.0]))
    start_s = draw(st.floats(0.0, 1e6))
    return (
        spans[:1] + [s for s, keep in zip(spans[1:-1], kept, strict=True) if keep] + spans[-1:],
        sfreq,
        speed,
        start_s,
    )


@settings(max_examples=150, deadline=None)
@given(losses())
def test_numbers_survive_any_loss_of_chunks(case):
    """Whatever is lost from a regular stream, what comes after bears its own number, and the losses add up."""
    spans, sfreq, speed, start_s = case
    n_samples = spans[-1][1]
    data, times = stream(n_samples, sfreq, speed, start_s)
    clock = SampleClock(Signal(sfreq, SIGNAL.names), speed, exact=True)
    chunks, gaps = feed(clock, data, times, spans)
    assert_numbered(chunks)
    n_received = sum(stop - start for start, stop in spans)
    assert clock.n_received == n_received
    assert sum(gap.n_lost for gap in gaps) == n_samples - n_received
    holes = [(a, b) for (_, a), (b, _) in itertools.pairwise(spans) if b > a]
    assert [gap.n_lost for gap in gaps] == [b - a for a, b in holes]
    assert [gap.filled for gap in gaps] == [b - a <= 0.1 * sfreq for a, b in holes]
    received = [c for c in chunks if c.filled is None]
    kept = np.concatenate([times[a:b] for a, b in spans])
    np.testing.assert_array_equal(np.concatenate([c.times for c in received]), kept)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), jitter_ms=st.floats(0.0, 4.9), size=st.integers(2, 64))
def test_late_chunks_are_no_gaps(seed, jitter_ms, size):
    """The stamps of whole chunks come late by up to 5 ms, as a busy amplifier computer makes them; nothing was lost."""
    data, times = stream(2000)
    rng = np.random.default_rng(seed)
    spans = regular(2000, size)
    for start, stop in spans:
        times[start:stop] += rng.uniform(0.0, jitter_ms * 1e-3)
    chunks, gaps = feed(SampleClock(SIGNAL), data, times, spans)
    assert gaps == []
    np.testing.assert_array_equal(np.concatenate([c.times for c in chunks]), times)  # raw
    assert_numbered(chunks)


def test_a_gap_is_seen_through_jitter():
    """Half a second is missing while the stamps of chunks vary by 4 ms; the count is right within that."""
    rng = np.random.default_rng(3)
    data, times = stream(3000)
    spans = regular(3000)
    for start, stop in spans:
        times[start:stop] += rng.uniform(0.0, 0.004)
    _, gaps = feed(SampleClock(SIGNAL), data, times, [s for s in spans if not 1600 <= s[0] < 1720])
    (gap,) = gaps
    assert abs(gap.n_lost - 120) <= 1


def test_a_slightly_wrong_rate_is_no_gap():
    """A quartz is off by 100 ppm: after ten minutes that is 15 samples, none of them lost."""
    data, times = stream(150_000, sfreq=250.0 / (1 + 1e-4))
    _, gaps = feed(SampleClock(SIGNAL), data, times, regular(150_000, 250))
    assert gaps == []


def rounded(seconds):
    """Round to microseconds, not where whole periods would be ties."""
    return round(seconds + 3e-7, 6)


def described(breaks):
    """Gaps and jumps in order, and how many samples were late; these are told read by read."""
    told = []
    for b in breaks:
        if isinstance(b, Gap):
            told.append((b.n_lost, b.filled, rounded(b.stop_s)))
        elif isinstance(b, Jump):
            told.append((b.sample, rounded(b.jump_s)))
    return told, sum(b.n_samples for b in breaks if isinstance(b, Repeat))


LOSSES = {
    "after one sample": [(1, 3)],
    "after two": [(2, 3)],
    "after three": [(3, 53)],
    "a few": [(1, 2), (30, 31), (400, 410), (900, 1500)],
}


@pytest.mark.parametrize("lost", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("speed", [1.0, 20.0])
@pytest.mark.parametrize("sfreq", [160.0, 256.0, 1000.0])
@pytest.mark.parametrize("size", [1, 8, 32, 100, 500, 1000])
def test_an_exact_stream_shows_each_loss_however_it_is_cut(size, sfreq, speed, lost):
    data, times = stream(2500, sfreq, speed)
    kept = np.setdiff1d(np.arange(2500), np.concatenate([np.arange(a, b) for a, b in lost]))
    clock = SampleClock(Signal(sfreq, SIGNAL.names), speed, exact=True)
    chunks, gaps = feed(clock, data[:, kept], times[kept], regular(kept.size, size))
    assert [g.n_lost for g in gaps] == [b - a for a, b in lost]
    assert_numbered(chunks)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sfreq=st.sampled_from([160.0, 256.0, 1000.0]),
    speed=st.sampled_from([1.0, 20.0]),
    exact=st.booleans(),
)
def test_gaps_and_numbers_do_not_depend_on_the_cut(seed, sfreq, speed, exact):
    """Losses, jitter, steps back, what comes twice or late: the clock sees samples, not reads."""
    rng = np.random.default_rng(seed)
    data, times = stream(3000, sfreq, speed)
    times += np.repeat(rng.choice([0.0, 0.0, 0.002], 300), 10) * rng.uniform(0, 1)
    times[rng.integers(1, 3000) :] -= rng.choice([0.0, 0.3, 40.0])
    starts = rng.choice(np.r_[1:20, 20:2900], 6)
    kept = np.setdiff1d(np.arange(3000), np.concatenate([np.arange(s, s + rng.integers(1, 80)) for s in starts]))
    parts = np.array_split(kept, 300)
    for n in rng.integers(5, 290, 3):
        parts[n], parts[n + 1] = parts[n + 1], parts[n]
        parts.insert(n + 5, parts[n + 5])
    kept = np.concatenate(parts)
    found = []
    for size in (1, 8, 32, 100, 500, 1000, 3000):
        clock = SampleClock(Signal(sfreq, SIGNAL.names), speed, exact=exact)
        chunks, breaks = feed(clock, data[:, kept], times[kept], regular(kept.size, size))
        numbers = [np.arange(c.first_sample, c.first_sample + c.n_samples) for c in chunks if c.filled is None]
        found.append((described(breaks), np.concatenate(numbers).tolist()))
    assert all(one == found[0] for one in found[1:])


@pytest.mark.parametrize("back_s", [0.03, 1.0, 30.0])
@pytest.mark.parametrize("size", [1, 100, 1000])
def test_a_step_back_of_the_clock_is_reported_and_does_not_hide_later_gaps(back_s, size):
    """No sample was lost, and the jump is no jitter: a single lost sample right after it shows."""
    data, times = stream(2000)
    times[500:] -= back_s
    kept = np.r_[0:510, 511:1000, 1100:1108]
    chunks, (jump, *gaps) = feed(SampleClock(SIGNAL), data[:, kept], times[kept], regular(kept.size, size))
    assert (type(jump), jump.sample) == (Jump, 500)
    assert (jump.jump_s, jump.start_s, jump.stop_s) == pytest.approx((-back_s, times[499], times[500]), abs=1e-9)
    assert [(g.n_lost, g.filled) for g in gaps] == [(1, True), (100, False)]
    assert_numbered(chunks)
    assert any(chunk.first_sample == 500 for chunk in chunks)


def test_a_small_step_back_is_jitter():
    """A refreshed clock offset must not start the decoder anew."""
    data, times = stream(2000)
    times[500:] -= 0.01
    assert feed(SampleClock(SIGNAL), data, times, regular(2000))[1] == []


def test_an_empty_read_changes_nothing():
    data, times = stream(100)
    chunks, gaps = feed(SampleClock(SIGNAL), data, times, [(0, 0), (0, 50), (50, 50), (50, 100)])
    assert [c.n_samples for c in chunks] == [50, 50]
    assert gaps == []


def test_the_first_stamp_may_be_anything():
    data, times = stream(16, start_s=-5.0)
    chunks, gaps = feed(SampleClock(SIGNAL), data, times, [(8, 16)])
    assert chunks[0].first_sample == 0
    assert gaps == []


def test_a_gap_to_nan_is_filled_with_nan_and_marked():
    """The gate holds the last finite value; the clock check does not judge values."""
    data, times = stream(500)
    data[:, 402] = np.nan
    chunks, _ = feed(SampleClock(SIGNAL), data, times, [*regular(400), (402, 410)])
    filling = next(c for c in chunks if c.filled is not None)
    assert np.isnan(filling.data).all()
    assert filling.filled.all()


@pytest.mark.parametrize("name", ["max_fill_s", "start_jitter_s", "min_jump_s", "memory_s"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_negative_tolerances_are_refused(name, value):
    with pytest.raises(SpecError, match=rf"A clock check needs {name} of at least 0 s, got"):
        ClockSpec(**{name: value})


@pytest.mark.parametrize("settings", [{"rate_tolerance": 0.0}, {"rate_window_s": 0.5}, {"rate_window_s": 1e9}])
def test_a_rate_needs_a_tolerance_and_a_window(settings):
    with pytest.raises(SpecError, match=r"needs 0 < rate_tolerance < 1 and rate_window_s within 1 to 3600 s, got"):
        ClockSpec(**settings)

"""What is lost: a stream that goes silent or away, gaps, and values that are no numbers; none passes in silence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bci.clock import ClockSpec
from bci.errors import SignalError, StreamError, StreamLost
from tests.bci.scripted import (
    SFREQ,
    START_S,
    samples,
    session_of,
)


def test_a_lost_stream_is_an_event_and_in_the_summary():
    session, tape, source = session_of([samples(120), StreamLost("The cable is out.")])
    summary = session.run()
    assert (summary.ended, summary.lost) == ("The cable is out.", True)
    lost, fault, ended = tape.events("status")
    assert [e.kind for e in (lost, fault, ended)] == ["lost", "fault", "ended"]
    assert lost.fields == {"reason": "The cable is out."}
    assert fault.fields == {"last_sample": 99, "level": 0.0, "quality": 0.0, "muted": False}
    assert fault.time == lost.time
    assert summary.counts["lost"] == 1
    assert source.calls[-1] == "close"


def test_a_stream_lost_before_its_first_sample():
    session, tape, _ = session_of([StreamLost("The cable is out.")])
    summary = session.run()
    assert (summary.lost, summary.counts["predictions"]) == (True, 0)
    assert tape.said == [("close", None)]


def test_silence_is_reported_once_and_so_is_its_end():
    """The samples that were not sent are a gap; the session goes on."""
    session, tape, _ = session_of([samples(150), *[0.2] * 40, samples(150), "end"], silence_s=3.0)
    summary = session.run()
    lost, recovered, gap, ended = tape.events("status", "fault")
    assert [e.kind for e in (lost, recovered, gap, ended)] == ["lost", "recovered", "gap", "ended"]
    assert lost.fields == {"reason": "no sample for 3 s"}
    assert lost.time == pytest.approx(START_S + 1.5 + 3.0, abs=0.3)
    assert recovered.fields["silent_s"] == pytest.approx(8.0 + 1.5, abs=0.1)
    assert (gap.fields["n_lost"], gap.fields["filled"]) == (800, False)
    assert not summary.lost
    last = [output.prediction.last_sample for output in tape.of("prediction")]
    assert last == [99, 149, 950 + 99, 950 + 149]


def test_silence_after_the_end_is_no_loss():
    session, tape, _ = session_of([samples(150), 2.9, "end"], silence_s=3.0)
    session.run()
    assert [e.kind for e in tape.events("status")] == ["ended"]


def test_a_stream_that_never_starts():
    session, tape, source = session_of(itertools.repeat(0.2), start_timeout_s=7.0)
    with pytest.raises(StreamError, match=r"Stream 'script' must send samples, got none in 7 s\. Start the sender"):
        session.run()
    assert tape.said == [("close", None)]
    assert source.calls == ["open", "close"]


def test_a_stream_that_ends_before_it_starts():
    session, _, _ = session_of(["end"])
    with pytest.raises(StreamError, match=r"Stream 'script' must send samples, it ended without one"):
        session.run()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("n_reads", [3, 200], ids=["short", "endless"])
def test_a_stream_without_a_finite_sample(value, n_reads):
    dead = np.full((3, 10), value, np.float32)
    session, tape, _ = session_of([dead] * n_reads, silence_s=5.0)
    with pytest.raises(SignalError, match=r"A stream needs finite samples, got \d+ without one\. Check the amplifier"):
        session.run()
    assert tape.said[-1] == ("close", None)
    assert session.telemetry.counts["samples"] == min(n_reads * 10, 500)


def test_one_finite_value_is_enough_to_go_on():
    dead = np.full((3, 10), np.nan, np.float32)
    first = dead.copy()
    first[1, 3] = 0.0
    session, tape, _ = session_of([first, *[dead] * 100], silence_s=5.0)
    assert session.run().ended == "end of stream"
    assert {output.prediction.quality for output in tape.of("prediction")} == {0.0}
    assert [e.kind for e in tape.events("status")] == ["invalid", "fault", "ended"]


@pytest.mark.parametrize("sizes", [[1000], [10] * 100, [1] * 1000, [290, 20, 290, 400]])
def test_values_that_are_no_numbers_are_counted_and_their_runs_reported(sizes):
    """A dropout of one channel, a flickering one, and one at the end; however the samples arrive."""
    data = samples(1000)
    data[1, 300:420] = np.nan
    data[0, 600:620:4] = np.inf
    data[:, 990:] = np.nan
    steps = [data[:, stop - size : stop] for size, stop in zip(sizes, np.cumsum(sizes), strict=True)]
    session, tape, _ = session_of(steps)
    summary = session.run()
    assert [(e.kind, dict(e.fields)) for e in tape.events("status", "fault", "ended")] == [
        ("invalid", {"sample": 300}),
        ("valid", {"sample": 420, "n_samples": 120}),
        ("invalid", {"sample": 600}),
        ("valid", {"sample": 617, "n_samples": 5}),
        ("invalid", {"sample": 990}),
    ]
    times = [e.time for e in tape.events("status", "fault", "ended")]
    assert times == pytest.approx([START_S + n / SFREQ for n in (300, 420, 600, 617, 990)])
    assert summary.n_held == tape.events()[-2].fields["held"] == 120 + 5 + 30


def test_empty_reads_change_nothing():
    empty = np.empty((3, 0), np.float32)
    plain, tape, _ = session_of([samples(30, 30 * i) for i in range(10)])
    plain.run()
    steps = [step for i in range(10) for step in (empty, samples(30, 30 * i), empty)]
    other, others, _ = session_of(steps)
    other.run()
    wanted = [output.prediction for output in tape.of("prediction")]
    found = [output.prediction for output in others.of("prediction")]
    np.testing.assert_array_equal([p.probabilities for p in found], [p.probabilities for p in wanted])
    assert [p.last_sample for p in found] == [p.last_sample for p in wanted]


def test_a_short_gap_is_filled_and_a_long_one_restarts():
    session, tape, _ = session_of([*[samples(10)] * 20, 0.05, samples(100), 1.0, samples(100)], clock=ClockSpec(0.1))
    session.run()
    first, second = (e for e in tape.events() if e.kind == "gap")
    assert (first.fields["n_lost"], first.fields["filled"]) == (5, True)
    assert (second.fields["n_lost"], second.fields["filled"]) == (100, False)
    assert set(first.fields) == {"n_lost", "t0", "t1", "filled"}
    assert first.fields["t0"] == pytest.approx(START_S + 1.99)
    assert first.time == first.fields["t1"] == pytest.approx(START_S + 2.05)
    predictions = [output.prediction for output in tape.of("prediction")]
    assert [p.last_sample for p in predictions] == [99, 149, 199, 249, 299, 504]
    assert [p.quality for p in predictions] == pytest.approx([1, 1, 1, 0.95, 0.95, 1])

"""The session: what arrives is decoded, what is missing is reported, and it always ends in order."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest

import bci.session
from bci.chunk import Signal
from bci.clock import ClockSpec
from bci.decision import AlarmSpec, DecisionSpec
from bci.decoder import Decoder
from bci.errors import ChannelMismatch, Overflow, SignalError, SpecError, StreamError, StreamLost
from bci.events import Event
from bci.identity import Identity
from bci.pipeline import PipelineSpec, Window
from bci.session import Session, SessionSettings
from bci.sources.base import Marker, Received, StreamInfo
from bci.stages.quality import ReportQuality
from bci.stages.scale import Scale

SFREQ = 100.0
SIGNAL = Signal(SFREQ, ("C3", "Cz", "C4"))
START_S = 500.0
IDENTITY = Identity("tiny", "ab" * 32, "eager", "fp32")


class Clock:
    """A clock that the source moves: no test waits."""

    def __init__(self, now_s=START_S):
        self.now_s = now_s

    def __call__(self):
        self.now_s += 1e-6  # every look takes a microsecond
        return self.now_s


class Script:
    """A source that plays steps: an array of samples, seconds of silence, markers, or an error to raise.

    Sample n happens at ``START_S + n / sfreq``; what arrives has just happened.
    """

    def __init__(self, clock, steps, signal=SIGNAL, speed=1.0, offset_s=0.0):
        self.clock, self.steps, self.signal, self.speed = clock, iter(steps), signal, speed
        self.offset_s = offset_s
        self.at = 0
        self.calls = []

    def open(self):
        self.calls.append("open")
        return StreamInfo("script", self.signal, speed=self.speed)

    def stamp(self, sample):
        return START_S + sample / (self.signal.sfreq * self.speed)

    def read(self, timeout_s):
        step = next(self.steps, "end")
        data, markers, ended = np.empty((self.signal.n_channels, 0), np.float32), (), False
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step = step() or data
        if isinstance(step, tuple):  # markers, and the samples that follow
            *markers, step = step
        if isinstance(step, str):
            ended = True
        elif isinstance(step, float):
            self.clock.now_s += step
            self.at += round(step * self.signal.sfreq * self.speed)
        else:
            data = step
        n = data.shape[1]
        times = np.array([self.stamp(i) for i in range(self.at, self.at + n)])
        self.at += n
        self.clock.now_s = max(self.clock.now_s, self.stamp(self.at))
        return Received(data, times, self.clock.now_s, tuple(markers), ended, self.offset_s)

    def close(self):
        self.calls.append("close")


class Tape:
    """A sink that keeps what it is told, in order."""

    def __init__(self):
        self.said = []

    def open(self, info):
        self.said.append(("open", info))

    def prediction(self, output):
        self.said.append(("prediction", output))

    def event(self, event):
        event.to_json()  # strict: fails if a field is no JSON value
        self.said.append(("event", event))

    def close(self):
        self.said.append(("close", None))

    def of(self, what):
        return [value for kind, value in self.said if kind == what]

    def events(self, *without):
        return [e for e in self.of("event") if e.kind not in without]


class Sums:
    """An engine that shows the first and the last sample of the window."""

    name, precision = "sums", "fp32"

    def __call__(self, batch):
        return np.stack([batch[:, 0, 0], batch[:, 0, -1]], axis=1).astype(np.float32)


def samples(n, start=0.0):
    return (start + np.arange(n) + np.zeros((3, 1))).astype(np.float32)


def decoder_of(decision=None, stages=()):
    pipeline = PipelineSpec(SIGNAL, (*stages, Scale(0.01)), Window(1.0, 0.5))
    return Decoder(pipeline.build(), Sums(), decision or DecisionSpec(("a", "b")))


def session_of(steps, *, decoder=None, publisher=None, logs=None, **changes):
    """Return a session over a script, its tape, and its source."""
    clock = Clock()
    source_changes = {k: changes.pop(k) for k in ("signal", "speed", "offset_s") if k in changes}
    source = Script(clock, steps, **source_changes)
    parts = {k: changes.pop(k) for k in ("recorder", "watches") if k in changes}
    tape = Tape()
    settings = SessionSettings("out", **changes)
    session = Session(source, decoder or decoder_of(), IDENTITY, settings, publisher, logs or [tape], clock, **parts)
    return session, tape, source


def test_a_stream_from_start_to_end():
    """Sinks open before the first prediction, close after the last event; the source is closed."""
    session, tape, source = session_of([samples(30) for _ in range(10)])
    summary = session.run()
    assert (summary.ended, summary.lost) == ("end of stream", False)
    assert (tape.said[0][0], tape.said[-1][0]) == ("open", "close")
    predictions = [output.prediction for output in tape.of("prediction")]
    assert [p.last_sample for p in predictions] == [99, 149, 199, 249, 299]
    np.testing.assert_allclose([p.time for p in predictions], [START_S + (n / SFREQ) for n in (99, 149, 199, 249, 299)])
    assert summary.counts["samples"] == 300
    assert summary.counts["predictions"] == 5
    assert [e.kind for e in tape.events()][-2:] == ["status", "ended"]
    assert tape.events()[-1].fields == {"reason": "end of stream"}
    assert source.calls == ["open", "close"]
    assert session.newest.prediction is predictions[-1]


def test_what_the_sinks_are_told_first():
    decision = DecisionSpec(("a", "b"), smoothing_s=0.5, alarm=AlarmSpec("b", 0.9, 0.7))
    session, tape, _ = session_of([samples(300)], decoder=decoder_of(decision), speed=2.0)
    session.run()
    (info,) = tape.of("open")
    assert (info.name, info.stream, info.bundle, info.bundle_sha256) == ("out", "script", "tiny", "ab" * 32)
    assert (info.classes, info.alarm_class, info.on_threshold, info.off_threshold) == (("a", "b"), "b", 0.9, 0.7)
    assert (info.hop_s, info.window_s, info.delay_s, info.reference_hz, info.smoothing_s) == (0.5, 1.0, 0.0, 10.0, 0.5)
    assert (info.engine, info.precision, info.sfreq, info.speed) == ("eager", "fp32", 100.0, 2.0)
    assert info.first_sample_time == START_S


def test_without_an_alarm_thresholds_are_zero():
    session, tape, _ = session_of([samples(10)])
    session.run()
    (info,) = tape.of("open")
    assert (info.alarm_class, info.on_threshold, info.off_threshold) == ("", 0.0, 0.0)


def test_the_publisher_comes_first_and_its_time_is_in_the_ledger():
    order = []
    publisher, log = Tape(), Tape()
    publisher.prediction = lambda output: order.append(("publisher", output.published_s))
    log.prediction = lambda output: order.append(("log", output.published_s))
    session, _, _ = session_of([samples(100)], publisher=publisher, logs=[log])
    summary = session.run()
    assert [who for who, _ in order] == ["publisher", "log"]
    assert order[0][1] is None
    assert order[1][1] > START_S
    assert {stage: p.count for stage, p in summary.latency.items()} == dict.fromkeys(
        ("receive", "filter", "features", "engine", "decision", "publish", "total"), 1
    )
    assert summary.latency["publish"].max > 0
    assert summary.latency["total"].max >= summary.latency["receive"].max


def test_the_duration_ends_a_stream_that_goes_on():
    session, _, _ = session_of((samples(10) for _ in itertools.count()), duration_s=3.0)
    summary = session.run()
    assert (summary.ended, summary.lost) == ("duration", False)
    assert summary.counts["samples"] == 310


def test_the_duration_counts_from_the_receipt_of_the_first_samples():
    session, _, _ = session_of(itertools.chain([5.0], (samples(10) for _ in itertools.count())), duration_s=1.0)
    assert session.run().counts["samples"] == 110


@pytest.mark.parametrize("epoch_s", [1.7e9, -60.0, -450.0])
def test_stamps_of_another_clock_change_nothing_but_are_reported(epoch_s):
    """Unix time, or one that is a minute old: duration, status and silence are in the time of this computer."""
    session, tape, source = session_of((samples(10) for _ in itertools.count()), duration_s=3.0)
    stamp, read, now = source.stamp, source.read, source.clock
    source.stamp = lambda sample: stamp(sample) + epoch_s

    def read_in_local_time(timeout_s):
        at = now.now_s
        received = read(timeout_s)
        now.now_s = at + 0.1
        return dataclasses.replace(received, received_s=now.now_s)

    source.read = read_in_local_time
    summary = session.run()
    assert (summary.ended, summary.counts["samples"]) == ("duration", 310)
    kinds = [event.kind for event in tape.events()]
    assert kinds == ["clock_offset", *["status"] * 4, "ended"]
    (info,) = tape.of("open")
    assert info.first_sample_time == START_S + epoch_s
    assert tape.events()[0].fields["offset_s"] == summary.clock_offset_s == pytest.approx(-epoch_s, abs=0.2)
    assert [e.fields["rate"] for e in tape.events("clock_offset", "ended")[:3]] == pytest.approx([100.0] * 3, rel=0.02)


def test_an_ordinary_delay_is_no_other_clock():
    session, tape, _ = session_of([samples(100)])
    assert session.run().clock_offset_s is None
    assert "clock_offset" not in [event.kind for event in tape.events()]


def test_the_duration_also_ends_a_silent_stream():
    session, tape, _ = session_of(itertools.chain([samples(10)], itertools.repeat(0.2)), duration_s=3.0)
    assert session.run().ended == "duration"
    assert tape.events("status")[-1].kind == "ended"


def test_stop_ends_it_from_another_thread():
    asked = threading.Event()

    def endless():
        for n in itertools.count():
            if n == 20:
                thread = threading.Thread(target=session.stop)
                thread.start()
                thread.join()
                asked.set()
            yield samples(10)

    session, tape, source = session_of(endless())
    summary = session.run()
    assert asked.is_set()
    assert summary.ended == "stopped"
    assert tape.events()[-1].fields == {"reason": "stopped"}
    assert source.calls[-1] == "close"


def test_a_session_stopped_before_the_first_sample_publishes_nothing():
    session, tape, _ = session_of([])
    session.stop()
    assert session.run().counts == {"samples": 0, "predictions": 0}
    assert tape.said == [("close", None)]


# a stream that is not as it should be


def test_a_lost_stream_is_an_event_and_in_the_summary():
    session, tape, source = session_of([samples(120), StreamLost("The cable is out.")])
    summary = session.run()
    assert (summary.ended, summary.lost) == ("The cable is out.", True)
    lost, fault, ended = tape.events("status")
    assert [e.kind for e in (lost, fault, ended)] == ["lost", "fault", "ended"]
    assert lost.fields == {"reason": "The cable is out."}
    assert fault.fields == {"last_sample": 99, "level": 0.0, "quality": 0.0}
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


# replay markers


@pytest.mark.parametrize("kind", ["loop", "seek"])
@pytest.mark.parametrize("sizes", [[250, 250], [10] * 50, [230, 40, 230], [500]])
def test_a_marker_resets_exactly_at_its_sample(kind, sizes):
    """No window contains samples from both sides, however the samples arrive; the marker may come early."""
    at = 230
    marker = Marker(kind, START_S + at / SFREQ)
    steps, start = [], 0
    for size in sizes:
        chunk = samples(size, start)
        covers = start <= at < start + size
        steps.append((marker, chunk) if covers else chunk)
        start += size
    session, tape, _ = session_of(steps)
    session.run()
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [99, 149, 199, 329, 379, 429, 479]
    (event,) = (e for e in tape.events() if e.kind == kind)
    assert event.fields == {"sample": at}
    assert event.time == pytest.approx(START_S + 2.3)
    order = [
        value.prediction.last_sample if what == "prediction" else value.kind
        for what, value in tape.said
        if what == "prediction" or (what == "event" and value.kind == kind)
    ]
    assert order == [99, 149, 199, kind, 329, 379, 429, 479]


def test_a_marker_ahead_of_its_samples_waits_for_them():
    marker = Marker("loop", START_S + 2.3)
    session, tape, _ = session_of([samples(100), (marker, samples(20, 100)), samples(380, 120)])
    session.run()
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [99, 149, 199, 329, 379, 429, 479]


def test_a_loop_ends_a_running_alarm():
    """What comes after a loop is another stream: nothing is held over it."""
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)
    flat = np.zeros((3, 200), np.float32)
    session, tape, _ = session_of([high, (Marker("loop", START_S + 2.0), flat)], decoder=decoder_of(decision))
    session.run()
    states = [int(o.prediction.state) for o in tape.of("prediction")]
    assert states[:3] == [3, 3, 3]
    assert 3 not in states[3:]
    assert [e.kind for e in tape.events("status")] == ["alarm_on", "alarm_off", "loop", "ended"]
    alarm, off = tape.events("status")[:2]
    assert set(alarm.fields) == {"last_sample", "level", "quality"}
    assert off.fields == {"last_sample": 199, "level": pytest.approx(1.0, abs=1e-3), "quality": 1.0, "reason": "loop"}
    assert off.time == tape.of("prediction")[2].prediction.time
    assert alarm.time == tape.of("prediction")[0].prediction.time


@pytest.mark.parametrize(("last", "reason"), [("end", "ended"), (StreamLost("The cable is out."), "ended")])
def test_the_end_of_a_session_ends_a_running_alarm(last, reason):
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)
    session, tape, _ = session_of([high, last], decoder=decoder_of(decision))
    session.run()
    on, off, ended = tape.events("status", "lost", "fault")
    assert [e.kind for e in (on, off, ended)] == ["alarm_on", "alarm_off", "ended"]
    assert off.fields["reason"] == reason
    assert off.time >= on.time


def test_an_alarm_that_is_over_is_not_ended_again():
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)
    session, tape, _ = session_of([high, np.zeros((3, 400), np.float32)], decoder=decoder_of(decision))
    session.run()
    assert [e.kind for e in tape.events("status")] == ["alarm_on", "alarm_off", "ended"]
    assert tape.events("status")[1].fields["reason"] == "cleared"


@pytest.mark.parametrize("sizes", [[500], [10] * 50, [230, 40, 230]])
def test_a_step_back_of_the_clock_restarts_the_decoder_and_holds_the_alarm(sizes):
    """No window spans the step; the sample numbers go on; the alarm is neither lost nor raised again."""
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 9000.0, 500), (3, 1)).astype(np.float32)
    steps = [high[:, stop - size : stop] for size, stop in zip(sizes, np.cumsum(sizes), strict=True)]
    session, tape, source = session_of(steps, decoder=decoder_of(decision))
    stamp = source.stamp
    source.stamp = lambda sample: stamp(sample) - (60.0 if sample >= 230 else 0.0)
    session.run()
    on, jump, off, _ = tape.events("status")
    assert [e.kind for e in (on, jump, off)] == ["alarm_on", "clock_jump", "alarm_off"]
    assert jump.fields == {
        "jump_s": pytest.approx(-60.0), "t0": pytest.approx(START_S + 2.29), "t1": pytest.approx(START_S - 57.7)
    }  # fmt: skip
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [99, 149, 199, 329, 379, 429, 479]
    assert {int(o.prediction.state) for o in tape.of("prediction")} == {3}


def test_other_markers_are_ignored():
    markers = [Marker(kind, START_S + 1.0, {"n_samples": 3}) for kind in ("annotation", "unheard of")]
    session, tape, _ = session_of([(*markers, samples(300))])
    session.run()
    assert [e.kind for e in tape.events("status")] == ["ended"]


# channels


def test_channels_are_put_in_order_and_extra_ones_left_out():
    wide = Signal(SFREQ, ("EMG", "C4", "Cz", "C3"))
    data = np.stack([np.full(200, 9e9), np.full(200, 4.0), np.full(200, 2.0), np.arange(200.0)]).astype(np.float32)
    session, tape, _ = session_of([data], signal=wide)
    plain, wanted, _ = session_of([data[[3, 2, 1]]])
    session.run()
    plain.run()
    found = [o.prediction.logits.tolist() for o in tape.of("prediction")]
    assert found == [o.prediction.logits.tolist() for o in wanted.of("prediction")]
    assert found[0] == pytest.approx([0.0, 0.99])


@pytest.mark.parametrize(
    ("offered", "message"),
    [
        (Signal(200.0, SIGNAL.names), r"needs 100 Hz, the stream has 200 Hz"),
        (Signal(SFREQ, ("C3", "C4", "O1")), r"lacks: Cz\. The stream also has: O1"),
        (Signal(SFREQ, SIGNAL.names, "fT"), r"needs uV, the stream has fT"),
    ],
)
def test_a_stream_that_does_not_fit_is_refused_before_anything_opens(offered, message):
    session, tape, source = session_of([samples(10)], signal=offered)
    with pytest.raises(ChannelMismatch, match=message):
        session.run()
    assert tape.said == [("close", None)]
    assert source.calls == ["open", "close"]


def test_an_error_of_a_sink_closes_the_others():
    class Full(Tape):
        def open(self, info):
            raise OSError(28, "No space left on device")

    first, last = Full(), Tape()
    session, _, source = session_of([samples(10)], logs=[first, last])
    with pytest.raises(OSError, match="No space left"):
        session.run()
    assert last.said == [("close", None)]
    assert source.calls[-1] == "close"


# status


def test_status_comes_once_a_second_with_its_keys():
    session, tape, _ = session_of([samples(10) for _ in range(100)], offset_s=0.25)
    session.run()
    statuses = [e for e in tape.of("event") if e.kind == "status"]
    assert len(statuses) == 9 + 1  # one at the end
    np.testing.assert_allclose(np.diff([e.time for e in statuses[:-1]]), 1.0, atol=0.11)
    for status in statuses:
        assert set(status.fields) == {
            "latency", "samples", "predictions", "dropped", "gaps", "bad_channels", "held", "rate", "nominal_rate",
            "clock_offset_s", "engine", "precision",
        }  # fmt: skip
        assert set(status.fields["latency"]) == set(session.telemetry.STAGES)
        assert set(status.fields["latency"]["total"]) == {"p50_ms", "p99_ms", "max_ms"}
        assert status.fields["clock_offset_s"] == 0.25
        assert (status.fields["engine"], status.fields["precision"]) == ("eager", "fp32")
    assert [e.fields["rate"] for e in statuses[1:-1]] == pytest.approx([100.0] * 8, rel=0.02)
    assert statuses[-1].fields["samples"] == 1000
    assert json.loads(statuses[0].to_json())["kind"] == "status"


def test_the_nominal_rate_of_a_fast_replay():
    session, tape, _ = session_of([samples(10) for _ in range(100)], speed=2.0)
    session.run()
    status = tape.events()[-2]
    assert status.fields["nominal_rate"] == 200.0


# commands and settings


def test_a_command_becomes_an_event_and_stop_ends_the_session():
    def steps():
        yield samples(100)
        session.command("mute", {"seconds": 30})
        yield samples(100)
        session.command("stop")
        yield from itertools.repeat(samples(10))

    session, tape, _ = session_of(steps())
    assert session.run().ended == "stopped"
    assert [(e.kind, e.fields) for e in tape.events("status")] == [
        ("mute", {"seconds": 30}),
        ("stop", {}),
        ("ended", {"reason": "stopped"}),
    ]


def test_acknowledge_and_mute_reach_the_alarm():
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4, latch=True))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)

    def steps():
        yield high
        session.command("mute", {"seconds": 30})
        yield np.zeros((3, 300), np.float32)
        flags.append(decoder.decision.flags)
        session.command("acknowledge")
        yield np.zeros((3, 10), np.float32)

    flags, decoder = [], decoder_of(decision)
    session, tape, _ = session_of(steps(), decoder=decoder)
    session.run()
    assert (flags[0].on, flags[0].latched, flags[0].muted) == (True, True, True)
    assert [e.kind for e in tape.events("status")] == ["alarm_on", "mute", "acknowledge", "alarm_off", "ended"]
    assert tape.events("status")[-2].fields["reason"] == "acknowledged"
    assert not decoder.decision.alarmed


def test_a_recorder_gets_what_arrives_before_it_is_decoded():
    """Channels as sent, also those that no model needs; markers too; nothing before the first sample."""

    class Recorder:
        def __init__(self):
            self.said = []

        def open(self, stream):
            self.said.append(stream)

        def samples(self, received):
            self.said.append((received.data.copy(), len(received.markers), len(tape.of("prediction"))))

        def close(self):
            self.said.append("close")

    wide = Signal(SFREQ, ("EMG", "C4", "Cz", "C3"))
    recorder = Recorder()
    data = np.arange(800, dtype=np.float32).reshape(4, 200)
    marker = Marker("annotation", START_S + 2.0, {})
    steps = [0.2, data[:, :100], np.empty((4, 0), np.float32), (marker, data[:, 100:]), "end"]
    session, tape, _ = session_of(steps, signal=wide, recorder=recorder)
    session.run()
    info, *parts, last = recorder.said
    assert (info.signal, last) == (wide, "close")
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts], axis=1), data)
    assert [part[1:] for part in parts] == [(0, 0), (1, 1)]


def test_watches_are_asked_a_few_times_a_second_and_at_the_end():
    asked = []

    def watch():
        asked.append(session.telemetry.counts["samples"])
        return [Event("sink_failed", START_S, {"sink": "x", "reason": str(len(asked))})]

    session, tape, _ = session_of([samples(10)] * 20, watches=[watch])
    session.run()
    assert 8 <= len(asked) <= 11
    assert asked[-1] == 200
    told = [e.fields["reason"] for e in tape.events() if e.kind == "sink_failed"]
    assert told == [str(n + 1) for n in range(len(asked))]
    assert tape.events()[-1].kind == "ended"


def test_commands_before_the_first_sample_are_kept_but_not_without_end(monkeypatch):
    monkeypatch.setattr(bci.session, "MAX_COMMANDS", 3)
    session, tape, _ = session_of([0.2, samples(10)])
    for _ in range(3):
        session.command("acknowledge")
    with pytest.raises(Overflow, match=r"A session keeps at most 3 commands until it can publish them"):
        session.command("acknowledge")
    session.run()
    assert [e.kind for e in tape.events("status")] == ["acknowledge"] * 3 + ["ended"]


@pytest.mark.parametrize("duration_s", [0.0, -1.0, float("nan")])
def test_a_duration_is_above_zero(duration_s):
    with pytest.raises(SpecError, match=r"A session needs a duration above 0 s, or none, got"):
        SessionSettings("out", duration_s=duration_s)


@pytest.mark.parametrize("wait_s", [-1.0, float("nan")])
def test_a_wait_is_not_negative(wait_s):
    with pytest.raises(SpecError, match=r"A session needs a wait for the first sample of 0 s or more, got"):
        SessionSettings("out", start_timeout_s=wait_s)


def documented():
    """Return the required keys of each kind of event, as the table in docs/streams.md has them."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "streams.md").read_text(encoding="utf-8")
    table = text.partition("| kind | required keys | when |")[2].partition("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    return {row[1].strip(" `"): set(re.findall(r"`(\w+)`", row[2])) for row in rows}


def test_events_have_the_keys_of_the_documented_table():
    """One session in which everything happens; each kind that it reports stands in the table, with exactly its keys."""
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)
    flat, dead = samples(200) * 0, samples(200) * np.float32(np.nan)

    def marker(kind, **fields):
        return Marker(kind, source.stamp(source.at), fields)

    def steps():
        yield from [samples(10)] * 5
        yield high
        yield flat
        yield dead
        yield 0.05
        yield flat
        session.command("acknowledge")
        session.command("mute", {"seconds": 3})
        yield (marker("pause"), samples(0))
        yield 2.0
        yield (marker("resume"), flat)
        yield (marker("speed", speed=1.0), flat)
        yield (marker("seek", sample=5), flat)
        yield (marker("loop"), flat)
        yield from [0.2] * 20
        yield flat
        source.stamp = lambda sample, stamp=source.stamp: stamp(sample) - 60.0
        yield flat
        session.command("stop")
        yield flat

    session, tape, source = session_of(
        steps(), decoder=decoder_of(decision, [ReportQuality(bad_after=1)]), silence_s=3.0
    )
    source.clock.now_s += 11.0  # the first samples are old
    assert session.run().ended == "stopped"
    table = documented()
    found = {event.kind: set(event.fields) for event in tape.events()}
    assert found == {kind: table[kind] for kind in found}
    assert set(table) == set(found)

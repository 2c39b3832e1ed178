"""A session from start to end: sinks, times, channels, status, and what it is asked for."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading

import numpy as np
import pytest

from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.decoder import Decoder
from bci.errors import ChannelMismatch, SpecError, StreamNotFound
from bci.pipeline import PipelineSpec, Window
from bci.session import SessionSettings
from bci.stages.quality import MaskBad
from tests.bci.scripted import (
    SFREQ,
    SIGNAL,
    START_S,
    Sums,
    Tape,
    decoder_of,
    samples,
    session_of,
)


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
    alarm = AlarmSpec("b", 0.9, 0.7, k=2, n=3, min_duration_s=4.0, refractory_s=5.0, latch=True)
    decision = DecisionSpec(("a", "b"), smoothing_s=0.5, alarm=alarm)
    decoder = decoder_of(decision, (MaskBad(min_valid_channels=2),))
    session, tape, _ = session_of([samples(300)], decoder=decoder, speed=2.0)
    session.run()
    (info,) = tape.of("open")
    assert (info.name, info.stream, info.bundle, info.bundle_sha256) == ("out", "script", "tiny", "ab" * 32)
    assert (info.classes, info.alarm_class, info.on_threshold, info.off_threshold) == (("a", "b"), "b", 0.9, 0.7)
    assert (info.hop_s, info.window_s, info.delay_s, info.reference_hz, info.smoothing_s) == (0.5, 1.0, 0.0, 10.0, 0.5)
    assert (info.engine, info.precision, info.sfreq, info.speed) == ("eager", "fp32", 100.0, 2.0)
    assert (info.k, info.n, info.min_duration_s, info.refractory_s, info.latch) == (2, 3, 4.0, 5.0, True)
    assert (info.quality, info.min_channels) == ("mask", 2)
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


@pytest.fixture
def seeking():
    """A session whose stream does not come, its tape, its source, and what is set while it looks."""
    session, tape, source = session_of([])
    looking, given_up = threading.Event(), threading.Event()

    def look():
        looking.set()
        given_up.wait(60.0)
        raise StreamNotFound("none came")

    source.open, source.interrupt = look, given_up.set
    return session, tape, source, looking


def test_a_session_that_is_stopped_while_it_looks_for_its_stream_ends_in_order(seeking):
    session, tape, source, looking = seeking
    stopper = threading.Thread(target=lambda: looking.wait(60.0) and session.stop())
    stopper.start()
    summary = session.run()
    stopper.join()
    assert (summary.ended, summary.lost, summary.counts) == ("stopped", False, {"samples": 0, "predictions": 0})
    assert tape.said == [("close", None)]
    assert source.calls == ["close"]


def test_a_session_without_its_stream_fails(seeking):
    session, _, source, _ = seeking
    source.interrupt()
    with pytest.raises(StreamNotFound, match="none came"):
        session.run()


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


def test_who_cannot_be_closed_keeps_nobody_else_open():
    class Stuck(Tape):
        def close(self):
            super().close()
            raise OSError(5, "Input/output error")

    stuck, last, recorder = Stuck(), Tape(), RawTape()
    session, _, source = session_of([samples(10)], logs=[stuck, last], recorder=recorder)
    with pytest.raises(OSError, match="Input/output error"):
        session.run()
    assert last.said[-1] == ("close", None)
    assert recorder.closed
    assert source.calls[-1] == "close"


class RawTape:
    """A recorder that only knows whether it was closed."""

    closed = False

    def open(self, stream):
        pass

    def samples(self, received):
        pass

    def close(self):
        self.closed = True


@pytest.mark.parametrize("error", [RuntimeError("the graph has gone"), KeyboardInterrupt("again")], ids=repr)
def test_a_session_that_fails_ends_its_alarm_and_says_why(error):
    """An alarm that nobody ends would stay on every display."""

    class Failing(Sums):
        fails = False

        def __call__(self, batch):
            if self.fails:
                raise error
            return super().__call__(batch)

    engine = Failing()
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.5, 0.1))
    decoder = Decoder(PipelineSpec(SIGNAL, (), Window(1.0, 0.5)).build(), engine, decision)

    def fail():
        engine.fails = True

    session, tape, _ = session_of([samples(120), fail, samples(120)], decoder=decoder)
    with pytest.raises(type(error), match=str(error)):
        session.run()
    told = [(event.kind, event.fields.get("reason")) for event in tape.events("status")]
    assert told == [("alarm_on", None), ("alarm_off", "ended"), ("ended", str(error))]
    assert tape.said[-1] == ("close", None)


def test_status_comes_once_a_second_with_its_keys():
    session, tape, _ = session_of([samples(10) for _ in range(100)], offset_s=0.25)
    session.run()
    statuses = [e for e in tape.of("event") if e.kind == "status"]
    assert len(statuses) == 9 + 1  # one at the end
    np.testing.assert_allclose(np.diff([e.time for e in statuses[:-1]]), 1.0, atol=0.11)
    for status in statuses:
        assert set(status.fields) == {
            "latency", "samples", "predictions", "dropped", "gaps", "bad_channels", "held", "rate", "nominal_rate",
            "clock_offset_s", "engine", "precision", "alarm", "alarm_figures",
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


@pytest.mark.parametrize("duration_s", [0.0, -1.0, float("nan")])
def test_a_duration_is_above_zero(duration_s):
    with pytest.raises(SpecError, match=r"A session needs a duration above 0 s, or none, got"):
        SessionSettings("out", duration_s=duration_s)


@pytest.mark.parametrize("wait_s", [-1.0, float("nan")])
def test_a_wait_is_not_negative(wait_s):
    with pytest.raises(SpecError, match=r"A session needs a wait for the first sample of 0 s or more, got"):
        SessionSettings("out", start_timeout_s=wait_s)

"""A stream that goes away and comes back: the session lives on, and says what was lost, however long it took."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec, State
from bci.errors import ChannelMismatch, SpecError, StreamError, StreamLost
from bci.session import SessionSettings
from bci.sources.base import Marker
from tests.bci.scripted import SFREQ, SIGNAL, START_S, Tape, decoder_of, samples, session_of

GONE = StreamLost("The cable is out.")


def rising(n, level=100.0):
    """Return samples with which the probability of ``b`` is nearly 1: the last of a window is above the first."""
    return np.tile(np.linspace(0.0, level * n / 10, n), (3, 1)).astype(np.float32)


@pytest.mark.parametrize("away_s", [1.0, 600.0], ids=["one second", "ten minutes"])
def test_the_stream_comes_back_and_the_session_goes_on(away_s):
    waits = [0.2] * round(away_s / 0.2)
    session, tape, source = session_of([samples(150), GONE, *waits, "offer", samples(250), "end"], offers=[SIGNAL])
    summary = session.run()
    assert (summary.ended, summary.lost) == ("end of stream", False)
    lost, fault, recovered, gap, _ = tape.events("status")
    assert [e.kind for e in (lost, fault, recovered, gap)] == ["lost", "fault", "recovered", "gap"]
    assert lost.fields == {"reason": "The cable is out."}
    assert recovered.fields["silent_s"] == pytest.approx(away_s + 2.5, abs=0.1)  # a read takes as long as its samples
    assert recovered.fields["reordered"] is False
    assert (gap.fields["n_lost"], gap.fields["filled"]) == (round(away_s * SFREQ), False)
    assert gap.fields["t0"] == pytest.approx(START_S + 1.49)
    assert gap.fields["t1"] == pytest.approx(START_S + 1.5 + away_s)
    first = 150 + round(away_s * SFREQ)
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [99, 149, *range(first + 99, first + 250, 50)]
    assert (summary.n_lost, summary.longest_silence_s) == (gap.fields["n_lost"], recovered.fields["silent_s"])
    assert summary.counts["lost"] == summary.counts["recovered"] == 1
    assert source.calls == ["open", "reopen", "close"]
    statuses = [e.time for e in tape.events() if e.kind == "status"]
    assert np.diff(statuses).max() < 3.0  # also while there was nothing


def test_a_short_absence_is_never_filled():
    """The sender has started anew: its first samples may be anything."""
    session, tape, _ = session_of([*[samples(10)] * 20, GONE, 0.05, "offer", samples(100)], offers=[SIGNAL])
    session.run()
    (gap,) = (e for e in tape.events() if e.kind == "gap")
    assert (gap.fields["n_lost"], gap.fields["filled"]) == (5, False)
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [99, 149, 199, 304]


def test_a_return_without_a_gap_starts_the_pipeline_anew():
    session, tape, _ = session_of([samples(150), GONE, "offer", samples(150)], offers=[SIGNAL])
    session.run()
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [99, 149, 249, 299]
    assert "gap" not in {e.kind for e in tape.events()}


def test_an_alarm_is_held_over_a_loss():
    """Neither cleared nor raised again; FAULT meanwhile; what comes after the settling decides."""
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    decoder = decoder_of(decision)
    states = []

    def steps():
        yield rising(200)
        yield GONE
        for _ in range(50):
            states.append((decoder.decision.now, decoder.decision.alarmed))
            yield 0.2
        yield "offer"
        yield rising(200)
        yield np.zeros((3, 300), np.float32)

    session, tape, _ = session_of(steps(), decoder=decoder, offers=[SIGNAL])
    session.run()
    kinds = [e.kind for e in tape.events("status")]
    assert kinds == ["alarm_on", "lost", "fault", "recovered", "gap", "alarm_off", "ended"]
    assert set(states) == {(State.FAULT, True)}


def test_channels_that_come_back_in_another_order_are_put_right_for_everybody():
    class Recorder:
        data = np.empty((4, 0))

        def open(self, stream):
            self.stream = stream

        def samples(self, received):
            self.data = np.concatenate([self.data, received.data], axis=1)

        def close(self):
            pass

    first, then = Signal(SFREQ, ("EMG", "C4", "Cz", "C3")), Signal(SFREQ, ("Cz", "C3", "EMG", "C4"))
    data = np.random.default_rng(1).normal(size=(4, 600)).astype(np.float32)
    rows = [first.names.index(name) for name in then.names]
    steps = [data[:, :300], GONE, "offer", data[rows, 300:]]
    recorder = Recorder()
    session, tape, _ = session_of(steps, signal=first, offers=[then], recorder=recorder)
    session.run()
    plain, wanted, _ = session_of([data[:, :300], GONE, "offer", data[:, 300:]], signal=first, offers=[first])
    plain.run()
    logits = [[o.prediction.logits.tolist() for o in t.of("prediction")] for t in (tape, wanted)]
    assert logits[0] == logits[1]
    np.testing.assert_array_equal(recorder.data, data)
    (recovered,) = (e for e in tape.events() if e.kind == "recovered")
    assert recovered.fields["reordered"] is True


OTHERS = {
    "rate": (Signal(200.0, SIGNAL.names), r"must come back as it was, got 200 Hz instead of 100 Hz\."),
    "unit": (Signal(SFREQ, SIGNAL.names, "fT"), r"got fT instead of uV\."),
    "count": (Signal(SFREQ, ("C3", "Cz")), r"got 2 channels instead of 3 \(missing: C4; new: none\)\."),
    "names": (Signal(SFREQ, ("C3", "Cz", "O1")), r"got 3 channels instead of 3 \(missing: C4; new: O1\)\."),
}


@pytest.mark.parametrize(("other", "message"), OTHERS.values(), ids=OTHERS)
def test_another_stream_ends_the_session_with_a_named_error(other, message):
    session, tape, source = session_of([samples(150), GONE, 0.2, "offer"], offers=[other])
    with pytest.raises(ChannelMismatch, match=message + " Start the sender with its former settings"):
        session.run()
    assert [e.kind for e in tape.events("status")] == ["lost", "fault", "ended"]
    assert tape.said[-1] == ("close", None)
    assert source.calls[-1] == "close"


def test_another_stream_is_told_once_while_the_right_one_is_waited_for():
    offers = [OTHERS["rate"][0]] * 5 + [SIGNAL]
    steps = [samples(150), GONE, *["offer", 0.2] * 5, "offer", samples(150)]
    session, tape, _ = session_of(steps, offers=offers, on_mismatch="wait")
    assert session.run().ended == "end of stream"
    kinds = [e.kind for e in tape.events("status")]
    assert kinds == ["lost", "fault", "mismatch", "recovered", "gap", "ended"]
    assert "200 Hz instead of 100 Hz" in tape.events("status")[2].fields["reason"]


def test_two_candidates_are_another_stream_too():
    two = StreamError("One LSL stream must answer, got 2.")
    with pytest.raises(StreamError, match="must answer, got 2"):
        session_of([samples(150), GONE, two], offers=[])[0].run()
    session, tape, _ = session_of([samples(10), GONE, two, two, "offer"], offers=[SIGNAL], on_mismatch="wait")
    session.run()
    assert [e.kind for e in tape.events("status")] == ["lost", "mismatch", "ended"]


def test_a_candidate_that_leaves_again_is_waited_for():
    session, tape, _ = session_of([samples(150), GONE, GONE, 0.2, GONE, "offer", samples(10)], offers=[SIGNAL])
    assert session.run().ended == "end of stream"
    assert [e.kind for e in tape.events("status", "fault")] == ["lost", "recovered", "gap", "ended"]


@pytest.mark.parametrize("reconnect_s", [0.0, 3.0])
def test_the_wait_for_a_lost_stream_has_a_limit(reconnect_s):
    steps = itertools.chain([samples(150), GONE], itertools.repeat(0.2))
    session, tape, source = session_of(steps, offers=[], reconnect_s=reconnect_s)
    summary = session.run()
    assert summary.lost
    if reconnect_s:
        assert summary.ended.startswith("Stream 'script' must come back within 3 s, it has not. Start the sender again")
        assert summary.longest_silence_s == pytest.approx(3.0, abs=0.3)
    else:
        assert summary.ended == "The cable is out."
    assert summary.counts["lost"] == 1
    assert source.calls == ["open", "close"]
    assert tape.events()[-1].fields["reason"] == summary.ended


def test_a_session_that_waits_can_be_stopped_and_obeys():
    def steps():
        yield samples(150)
        yield GONE
        yield 0.2
        session.command("mute", {"seconds": 60})
        yield from [0.2] * 10
        session.stop()
        yield 0.2

    session, tape, _ = session_of(steps(), offers=[])
    summary = session.run()
    assert (summary.ended, summary.lost) == ("stopped", False)
    assert [e.kind for e in tape.events("status")] == ["lost", "fault", "mute", "ended"]
    assert summary.longest_silence_s == pytest.approx(2.4, abs=0.1)


def test_a_loss_after_silence_is_one_loss():
    steps = [samples(150), *[0.2] * 20, GONE, 0.2, "offer", samples(150)]
    session, tape, _ = session_of(steps, offers=[SIGNAL], silence_s=3.0)
    session.run()
    assert [e.kind for e in tape.events("status")] == ["lost", "fault", "recovered", "gap", "ended"]


def test_a_pause_ends_with_its_sender():
    """Who comes back has not paused: his silence counts again."""
    pause = Marker("pause", START_S + 1.5)
    steps = [samples(150), (pause, samples(0)), GONE, 0.2, "offer", samples(50), *[0.2] * 30]
    session, tape, _ = session_of(steps, offers=[SIGNAL], silence_s=3.0)
    session.run()
    assert [e.kind for e in tape.events("status", "fault")] == ["pause", "lost", "recovered", "gap", "lost", "ended"]


@pytest.mark.parametrize("wait_s", [-1.0, float("nan")])
def test_the_wait_for_a_lost_stream_is_not_negative(wait_s):
    with pytest.raises(SpecError, match=r"A session needs a wait for a lost stream of 0 s or more, or none, got"):
        SessionSettings("out", reconnect_s=wait_s)


def test_sinks_stay_open_while_the_stream_is_away():
    tape = Tape()
    session, _, _ = session_of([samples(150), GONE, *[0.2] * 10, "offer", samples(150)], offers=[SIGNAL], logs=[tape])
    session.run()
    assert [what for what, _ in tape.said if what in ("open", "close")] == ["open", "close"]

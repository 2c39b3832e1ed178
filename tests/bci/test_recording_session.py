"""`bci record` from inside: what a source delivers is in the files, and what happens is told."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import ChannelMismatch, StreamError, StreamLost
from bci.events import Event
from bci.recorder import Recorder, RecorderSettings, RecordingName
from bci.recording_session import RecordingSession
from bci.session_settings import SessionSettings
from bci.sources.base import Marker, Received, StreamInfo
from bci.sources.recording import open_recording

SFREQ = 100.0
INFO = StreamInfo("amp", Signal(SFREQ, ("C3", "Cz")), n_samples=1000, units=("uV", "uV"))


class Source:
    """Plays steps: samples ``(start, stop)``, markers, seconds of silence, or what `read` raises."""

    def __init__(self, steps):
        self.steps, self.now, self.is_open = list(steps), 50.0, False
        self.offers = []

    def open(self):
        self.is_open = True
        return INFO

    def read(self, timeout_s):
        if not self.steps:
            return Received(np.empty((2, 0), np.float32), np.empty(0), self.now, (), ended=True)
        step = self.steps.pop(0)
        data, times, markers = np.empty((2, 0), np.float32), np.empty(0), ()
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Marker):
            markers = (step,)
        elif isinstance(step, float):
            self.now += step
        else:
            numbers = np.arange(*step)
            data = np.stack([numbers, -numbers]).astype(np.float32)
            times = 50.0 + numbers / SFREQ
            self.now = float(times[-1])
        return Received(data, times, self.now, markers)

    def reopen(self, timeout_s, accept):
        self.now += timeout_s
        if self.offers:
            accept(self.offers[0])
            return self.offers.pop(0)
        return None

    def close(self):
        self.is_open = False


def session(folder, steps, watches=(), **settings):
    source = Source(steps)
    recorder = Recorder(folder, RecordingName(), lambda: source.now, RecorderSettings(flush_s=0.02))
    made = RecordingSession(source, recorder, SessionSettings("amp", **settings), lambda: source.now, watches)
    return made, source, recorder


def log_of(folder):
    (path,) = folder.glob("*_log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_stream_is_recorded_to_its_end(tmp_path):
    note = Marker("annotation", 50.0, {"description": "begin", "duration": 1.0})
    made, source, recorder = session(tmp_path, [note, (0, 50), (50, 80), (120, 200)])
    summary = made.run()
    assert (summary.ended, summary.lost, summary.n_samples, source.is_open) == ("end of stream", False, 160, False)
    assert {"gap", "ended"} <= set(summary.counts)
    recording = open_recording(recorder.recorded().paths[0])
    assert recording.gaps == ((80, 120),)
    np.testing.assert_array_equal(recording.read(120, 200)[0], np.arange(120, 200))
    assert (recording.annotations[0].description, recording.annotations[0].onset_s) == ("begin", 0.0)
    assert [line["kind"] for line in log_of(tmp_path) if line["kind"] != "recording"] == ["gap", "ended"]


def test_a_stream_that_comes_back_goes_on_in_the_same_file(tmp_path):
    made, source, recorder = session(tmp_path, [(0, 50), StreamLost("gone"), (150, 200)])
    source.offers = [INFO]
    summary = made.run()
    assert (summary.counts["lost"], summary.counts["recovered"], summary.counts["gap"]) == (1, 1, 1)
    recording = open_recording(recorder.recorded().paths[0])
    assert (recording.n_samples, recording.gaps) == (200, ((50, 150),))


def test_a_stream_that_does_not_come_back_is_lost_and_what_came_is_there(tmp_path):
    made, _, recorder = session(tmp_path, [(0, 50), StreamLost("gone")], reconnect_s=3.0)
    summary = made.run()
    assert summary.lost
    assert "must come back within 3 s" in summary.ended
    assert open_recording(recorder.recorded().paths[0]).n_samples == 50
    assert [line["kind"] for line in log_of(tmp_path)][-2:] == ["lost", "ended"]


def test_another_stream_ends_the_recording_and_the_log_says_why(tmp_path):
    made, source, recorder = session(tmp_path, [(0, 50), StreamLost("gone")])
    source.offers = [dataclasses.replace(INFO, signal=Signal(2 * SFREQ, INFO.signal.names))]
    with pytest.raises(ChannelMismatch, match=r"must come back as it was, got 200 Hz instead of 100 Hz") as caught:
        made.run()
    assert open_recording(recorder.recorded().paths[0]).n_samples == 50
    assert log_of(tmp_path)[-1]["reason"] == str(caught.value)


def test_it_ends_after_its_duration_when_stopped_and_tells_of_silence(tmp_path):
    made, *_ = session(tmp_path / "a", [(0, 50), (50, 100), (100, 200)], duration_s=1.2)
    assert made.run().ended == "duration"
    told = [[Event("battery_low", 51.0, {"level": 3})]]
    made, *_ = session(tmp_path / "b", [(0, 50), 6.0, (650, 700)], watches=[lambda: told.pop() if told else []])
    summary = made.run()
    assert {"lost": 1, "recovered": 1, "battery_low": 1, "gap": 1}.items() <= summary.counts.items()
    made, source, _ = session(tmp_path / "c", [(0, 50)])
    source.steps.insert(1, Marker("x", 50.0))
    made.stop()
    assert made.run().ended == "stopped"


@pytest.mark.parametrize("steps", [[], [6.0, 6.0]])
def test_a_stream_without_a_sample_leaves_nothing(tmp_path, steps):
    made, source, _ = session(tmp_path / "new", steps, start_timeout_s=10.0)
    with pytest.raises(StreamError, match="'amp' must send samples to be recorded, got none in"):
        made.run()
    assert not source.is_open
    assert not (tmp_path / "new").exists()

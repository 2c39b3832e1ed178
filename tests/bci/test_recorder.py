"""A recording holds every sample that was received, at its place, whatever the stream and the disk do."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
import time

import numpy as np
import pytest

from bci.chunk import Signal
from bci.clock import ClockSpec
from bci.errors import SpecError, UsageError
from bci.events import Event
from bci.recorder import Recorder, RecorderSettings, RecordingName
from bci.recorder_files import read_stamps
from bci.sources.base import Marker, Received, StreamInfo
from bci.sources.file_source import FileSource
from bci.sources.recording import open_recording

SFREQ = 128.0
STREAM = StreamInfo("amp", Signal(SFREQ, ("C3", "Cz")), "id-1", units=("uV", "uV"), n_samples=10_000)
NAME = RecordingName("S1", "a", "rest")
BEGUN_S = 1000.0


class Feed:
    """Sends samples that say which they are to a recorder."""

    def __init__(self, recorder, stream=STREAM):
        self.recorder, self._stream = recorder, stream
        recorder.open(stream)

    def send(self, start, stop, shift_s=0.0, markers=(), chunk=8):
        events = []
        for at in range(start, stop, chunk):
            numbers = np.arange(at, min(at + chunk, stop))
            data = np.stack([numbers, -numbers]).astype(np.float32)
            times = BEGUN_S + numbers / SFREQ + shift_s
            arrived_s = BEGUN_S + numbers[-1] / SFREQ
            events += self.recorder.take(Received(data, times, arrived_s, tuple(markers)))
            markers = ()
        return [event.kind for event in events]


def recorder(folder, name=NAME, about=None, **settings):
    made = Recorder(folder, name, lambda: BEGUN_S, RecorderSettings(**{"flush_s": 0.02, **settings}))
    made.describe(about or {})
    return made


def wait_for(condition, timeout_s=20.0):
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        threading.Event().wait(0.01)


def recorded(path):
    """Return the numbers of the samples in a file, -1 in its gaps."""
    recording = open_recording(path)
    data = recording.read(0, recording.n_samples)
    np.testing.assert_array_equal(data[0], -data[1])
    numbers = data[0].astype(int)
    for start, stop in recording.gaps:
        assert (numbers[start:stop] == 0).all()
        numbers[start:stop] = -1
    recording.close()
    return numbers


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_recording_has_samples_stamps_markers_and_a_description(tmp_path):
    folder = tmp_path / "new" / "folder"
    rec = recorder(folder, about={"Decoder": {"bundle": "tiny"}})
    feed = Feed(rec)
    note = Marker("annotation", BEGUN_S + 20 / SFREQ, {"description": "ψ: a\nb", "duration": 0.5})
    odd = Marker("strange", BEGUN_S + 40.2 / SFREQ, {"x": float("nan"), "kind": "fake"})
    rec.log.event(Event("status", 1.0, {"a": 1}))
    assert feed.send(0, 64, markers=(note, odd)) == []
    assert feed.send(70, 100) == ["gap"]  # filled by the session, a gap here
    assert feed.send(1000, 1050) == ["gap"]
    feed.recorder.samples(Received(np.empty((2, 0), np.float32), np.empty(0), 0.0, (Marker("end", 2000.0, {}),)))
    rec.close()
    rec.close()
    base = folder / "sub-S1_ses-a_task-rest_run-01"
    want = np.full(1050, -1)
    want[:64], want[70:100], want[1000:] = np.arange(64), np.arange(70, 100), np.arange(1000, 1050)
    np.testing.assert_array_equal(recorded(f"{base}_eeg.fif"), want)
    stamps = read_stamps(base.with_name(base.name + "_times.bin"))
    np.testing.assert_array_equal(stamps["sample"], want[want >= 0])
    np.testing.assert_array_equal(stamps["time"], BEGUN_S + want[want >= 0] / SFREQ)
    marks = lines(base.with_name(base.name + "_markers.jsonl"))
    assert [(m["kind"], m["sample"]) for m in marks] == [("annotation", 20), ("strange", 41), ("end", 1050)]
    assert marks[0] == {
        "description": "ψ: a\nb",
        "duration": 0.5,
        "kind": "annotation",
        "t": note.time,
        "sample": 20,
        "onset": 20 / SFREQ,
    }
    assert marks[1]["x"] is None
    (found,) = [a for a in open_recording(f"{base}_eeg.fif").annotations if "SKIP" not in a.description]
    assert (found.onset_s, found.duration_s) == (20 / SFREQ, 0.5)
    about = json.loads(base.with_name(base.name + "_eeg.json").read_text())
    assert about["IsComplete"] is True
    assert (about["SampleCount"], about["ReceivedSampleCount"]) == (1050, 144)
    assert about["Stream"]["channels"] == ["C3", "Cz"]
    assert about["Decoder"] == {"bundle": "tiny"}
    assert lines(base.with_name(base.name + "_log.jsonl")) == [{"kind": "status", "t": 1.0, "a": 1}]
    names = {p.name.removeprefix(base.name) for p in folder.iterdir()}
    assert names == {"_eeg.fif", "_eeg.json", "_times.bin", "_markers.jsonl", "_log.jsonl"}
    done = rec.recorded()
    assert (done.paths, done.n_written, done.n_missed) == ((base.with_name(base.name + "_eeg.fif"),), 144, 0)
    assert [e.kind for e in rec.events()] == []


def test_a_killed_recorder_has_left_all_that_was_flushed(tmp_path):
    """Nothing is closed: the files are those of a program that was killed now."""
    rec = recorder(tmp_path)
    feed = Feed(rec)
    feed.send(0, 100, markers=(Marker("annotation", BEGUN_S + 20 / SFREQ, {"description": "sz", "duration": 0.5}),))
    feed.send(200, 512)
    path = tmp_path / "sub-S1_ses-a_task-rest_run-01_eeg.fif"
    wait_for(lambda: rec.recorded().n_written == 412)
    np.testing.assert_array_equal(recorded(path), np.r_[np.arange(100), np.full(100, -1), np.arange(200, 512)])
    killed = open_recording(path).annotations
    assert json.loads(path.with_suffix(".json").read_text())["IsComplete"] is False
    rec.close()
    assert [(a.description, a.onset_s, a.duration_s) for a in killed if "SKIP" not in a.description] == [
        ("sz", 20 / SFREQ, 0.5)
    ]
    assert [a.description for a in open_recording(path).annotations] == [a.description for a in killed]  # not twice


@pytest.mark.parametrize("kind", ["loop", "seek", "clock_jump"])
def test_where_decoding_starts_anew_a_run_begins(tmp_path, kind):
    rec = recorder(tmp_path)
    feed = Feed(rec)
    feed.send(0, 400)
    if kind == "clock_jump":
        assert feed.send(400, 500, shift_s=-5.0) == ["clock_jump"]
    else:
        at_s = BEGUN_S + 400 / SFREQ
        assert feed.send(400, 500, markers=[Marker(kind, at_s, {})]) == [kind]
    rec.close()
    first, second = rec.recorded().paths
    assert second.name == "sub-S1_ses-a_task-rest_run-02_eeg.fif"
    np.testing.assert_array_equal(recorded(first), np.arange(400))
    np.testing.assert_array_equal(recorded(second), np.arange(400, 500))
    assert json.loads(second.with_suffix(".json").read_text())["FirstSample"] == 400
    assert read_stamps(tmp_path / "sub-S1_ses-a_task-rest_run-02_times.bin")["sample"][0] == 0


def test_a_gap_of_hours_begins_a_run(tmp_path):
    rec = recorder(tmp_path)
    feed = Feed(rec)
    feed.send(0, 64)
    feed.send(64 + 3601 * 128, 128 + 3601 * 128)
    rec.close()
    assert len(rec.recorded().paths) == 2


def test_a_stream_that_comes_back_is_the_same_recording(tmp_path):
    rec = recorder(tmp_path)
    feed = Feed(rec)
    feed.send(0, 64)
    rec.open(STREAM)
    assert feed.send(500, 564) == ["gap"]
    rec.close()
    want = np.r_[np.arange(64), np.full(436, -1), np.arange(500, 564)]
    np.testing.assert_array_equal(recorded(rec.recorded().paths[0]), want)


def test_numbers_do_not_depend_on_how_the_stream_is_cut(tmp_path):
    sent = [(0, 301), (310, 500), (2000, 2300)]
    found = []
    for chunk in (1, 7, 400):
        folder = tmp_path / str(chunk)
        rec = recorder(folder)
        feed = Feed(rec)
        for start, stop in sent:
            feed.send(start, stop, chunk=chunk)
        rec.close()
        found.append(recorded(rec.recorded().paths[0]))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_a_board_that_counts_is_recorded_as_the_session_numbers_it(tmp_path):
    """One lost sample shows from the first on: counted stamps are not jittery."""
    rec = recorder(tmp_path)
    feed = Feed(rec, dataclasses.replace(STREAM, n_samples=None, counted=True))
    assert feed.send(0, 5) == []
    assert feed.send(6, 64) == ["gap"]
    rec.close()
    np.testing.assert_array_equal(recorded(rec.recorded().paths[0]), np.r_[0:5, -1, 6:64])


class Disk:
    """Stands before the disk: can be full, or slow."""

    def __init__(self, patch):
        self.error: OSError | None = None
        self.open = threading.Event()
        self.open.set()
        self.waiting = threading.Event()
        for name in ("write", "pwrite"):
            patch.setattr(os, name, self._guarded(getattr(os, name)))

    def _guarded(self, write):
        def guarded(fd, contents, *rest):
            if threading.current_thread().name != "recorder":
                return write(fd, contents, *rest)
            if not self.open.is_set():
                self.waiting.set()
                self.open.wait(30.0)
            if self.error is not None:
                raise self.error
            return write(fd, contents, *rest)

        return guarded


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EIO, "record_failed")]
)
def test_a_full_disk_is_told_and_recording_goes_on_when_there_is_space(tmp_path, monkeypatch, number, kind):
    disk = Disk(monkeypatch)
    rec = recorder(tmp_path, retry_s=0.0)
    feed = Feed(rec)
    told = []

    def tell(wanted):
        told.extend(rec.events())
        return any(event.kind == wanted for event in told)

    feed.send(0, 128)
    wait_for(lambda: rec.recorded().n_written == 128)
    rec.log.event(Event("status", 1.0))
    disk.error = OSError(number, os.strerror(number))
    feed.send(128, 256)
    wait_for(lambda: tell(kind))
    feed.send(256, 384)
    rec.log.event(Event("status", 2.0))
    wait_for(lambda: rec.recorded().n_missed == 256)
    disk.error = None
    feed.send(384, 512)
    wait_for(lambda: tell("record_resumed"))
    rec.close()
    first, *_, last = rec.recorded().paths
    np.testing.assert_array_equal(recorded(first), np.arange(128))
    np.testing.assert_array_equal(recorded(last), np.arange(384, 512))
    assert [e.kind for e in told] == ["recording", kind, "record_resumed"]
    assert told[1].fields == {"reason": os.strerror(number), "file": first.name, "n_recorded": 128}
    assert told[2].fields == {"file": last.name, "sample": 384, "n_missed": 256, "n_missed_lines": 0}
    assert rec.recorded().n_missed == 256
    assert [line["t"] for line in lines(tmp_path / "sub-S1_ses-a_task-rest_run-01_log.jsonl")] == [1.0, 2.0]
    runs = sorted(p.name for p in tmp_path.glob("*.json"))
    assert runs == [p.with_suffix(".json").name for p in (first, last)]  # nothing of attempts that failed


def test_recording_waits_for_free_space(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    rec = recorder(tmp_path, retry_s=0.0, min_free_bytes=1 << 62)
    feed = Feed(rec)
    feed.send(0, 128)
    wait_for(lambda: rec.recorded().n_written == 128)
    disk.error = OSError(errno.ENOSPC, "full")
    feed.send(128, 256)
    wait_for(lambda: rec.recorded().n_missed == 128)
    disk.error = None
    feed.send(256, 384)
    rec.close()
    assert (rec.recorded().n_written, rec.recorded().n_missed) == (128, 256)


def test_a_slow_disk_never_makes_anybody_wait(tmp_path, monkeypatch):
    """What finds no room is a gap of exactly its length, and is told."""
    disk = Disk(monkeypatch)
    rec = recorder(tmp_path, queue_s=2.0)
    feed = Feed(rec)
    feed.send(0, 128)
    wait_for(lambda: rec.recorded().n_written == 128)
    disk.open.clear()
    feed.send(128, 256)
    assert disk.waiting.wait(20.0)
    feed.send(256, 1000)  # with what is being written, 256 fit; returns at once
    overflow = [event for event in rec.events() if event.kind == "record_overflow"]
    assert [event.fields for event in overflow] == [{"n_samples": 872 - 256, "n_lines": 0}]
    disk.open.set()
    wait_for(lambda: rec.recorded().n_written == 384)
    feed.send(1000, 1064)
    rec.close()
    want = np.r_[np.arange(384), np.full(616, -1), np.arange(1000, 1064)]
    np.testing.assert_array_equal(recorded(rec.recorded().paths[0]), want)
    assert (rec.recorded().n_written, rec.recorded().n_missed) == (448, 616)


def test_a_run_that_begins_while_the_queue_is_full_still_begins(tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    rec = recorder(tmp_path, queue_s=1.0)
    feed = Feed(rec)
    disk.open.clear()
    feed.send(0, 128)
    assert disk.waiting.wait(20.0)
    feed.send(128, 256, markers=[Marker("loop", BEGUN_S + 1.0, {})])
    disk.open.set()
    wait_for(lambda: rec.recorded().n_written == 128)
    feed.send(256, 320)
    rec.close()
    assert [len(recorded(path)) for path in rec.recorded().paths] == [128, 64]


def test_a_recording_never_overwrites(tmp_path):
    for run in (1, 2, 3):
        (tmp_path / "sub-S1_ses-a_task-rest_run-07_note.txt").touch()
        rec = recorder(tmp_path)
        Feed(rec).send(0, 64)
        rec.close()
        assert rec.recorded().paths[0].name == f"sub-S1_ses-a_task-rest_run-{7 + run:02d}_eeg.fif"


def test_a_recorder_without_a_sample_leaves_nothing(tmp_path):
    rec = recorder(tmp_path)
    rec.log.event(Event("ended", 0.0))
    rec.close()
    rec = recorder(tmp_path)
    rec.open(STREAM)
    rec.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "label", ["", "../x", "a/b", "a_b", "a-b", "a.b", "ä", "a b", "a\n", "\0", "x" * 41, "..", "%2e"]
)
@pytest.mark.parametrize("part", ["subject", "session", "task"])
def test_names_that_could_lead_elsewhere_are_refused(part, label):
    with pytest.raises(UsageError, match=rf"--{part} needs 1 to 40 letters and digits \(A-Z, a-z, 0-9\), got "):
        RecordingName(**{part: label})


def test_folders_that_cannot_be_used_are_refused(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        with pytest.raises(UsageError, match=r"needs a folder that can be made and written, got .*file.*Take another"):
            recorder(folder)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="needs a folder that can be made and written, got"):
        recorder(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(SpecError, match=r"needs 0 < flush_s <= queue_s, .* got flush_s=0"):
        RecorderSettings(flush_s=0.0)


def test_a_recording_is_what_a_source_gives_again(tmp_path):
    """Gaps are gaps: the stamps jump, and the samples are those that were received, with one clock's numbers."""
    rec = recorder(tmp_path, clock=ClockSpec())
    feed = Feed(rec)
    for start, stop in [(0, 300), (303, 400), (900, 1000)]:
        feed.send(start, stop)
    rec.close()
    source = FileSource(open_recording(rec.recorded().paths[0]), first_stamp_s=BEGUN_S)
    source.open()
    numbers, times = [], []
    while True:
        received = source.read(0.0)
        numbers.append(received.data[0])
        times.append(received.times)
        if received.ended:
            break
    want = np.r_[0:300, 303:400, 900:1000]
    np.testing.assert_array_equal(np.concatenate(numbers), want)
    np.testing.assert_allclose(np.concatenate(times), BEGUN_S + want / SFREQ, rtol=0, atol=1e-9)

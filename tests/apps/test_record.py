"""Recordings over real LSL: killed at any moment, and decoded again as they were live."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import numpy as np
import pylsl
import pytest

from bci.chunk import Signal
from bci.fif_header import fif_header
from bci.fif_writer import FifWriter
from bci.recorder_files import read_stamps
from bci.sources.base import Annotation, StreamInfo
from bci.sources.recording import open_recording
from tests.bundles import noise, write_random_bundle

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(120)]

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
COUNT = itertools.count()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield str(write_random_bundle(folder / "tiny", SIGNAL).path)


class Counter:
    """Sends samples whose first channel says which they are, in chunks of 4 at 128 Hz, until left."""

    def __init__(self):
        self.name = f"count-{next(COUNT)}"
        info = pylsl.StreamInfo(self.name, "EEG", 3, SIGNAL.sfreq, "float32", self.name)
        channels = info.desc().append_child("channels")
        for label in SIGNAL.names:
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", "uV")
        self._outlet = pylsl.StreamOutlet(info)
        self.sent = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self):
        begun = pylsl.local_clock()
        while not self._done.wait(max(0.0, begun + (self.sent + 4) / SIGNAL.sfreq - pylsl.local_clock())):
            numbers = np.arange(self.sent, self.sent + 4)
            rows = np.stack([numbers, np.sin(numbers), -numbers], axis=1).astype(np.float32)
            self._outlet.push_chunk(rows.tolist(), begun + numbers[-1] / SIGNAL.sfreq)
            self.sent += 4

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self._outlet = None


def start(*options, max_bytes=None):
    """Start a command, which may write only files of `max_bytes`."""
    limit = [] if max_bytes is None else ["prlimit", f"--fsize={max_bytes}"]
    command = [*limit, sys.executable, "-m", "apps", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    try:
        out, err = process.communicate(timeout=180)
    finally:
        process.kill()
    return process.returncode, out, err


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_until(condition, process, timeout_s=60.0):
    """Wait while `process` runs; one that does not go on is ended, and says what it has said."""
    until = time.monotonic() + timeout_s
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(str(finish(process)))
        threading.Event().wait(0.02)


def wait_for(folder, pattern, process):
    wait_until(lambda: any(folder.glob(pattern)), process)
    return next(folder.glob(pattern))


def check_counter(path):
    """Return the number of the last sample, all of which must be there and exact."""
    recording = open_recording(path)
    data = recording.read(0, recording.n_samples)
    recording.close()
    numbers = data[0].astype(np.int64)
    np.testing.assert_array_equal(np.diff(numbers), 1)
    np.testing.assert_array_equal(data, np.stack([numbers, np.sin(numbers), -numbers]).astype(np.float32))
    return int(numbers[-1])


@pytest.mark.parametrize("moment_s", [0.03, 0.41, 0.77, 1.23])
def test_a_killed_recording_lacks_at_most_the_last_second(tmp_path, moment_s):
    with Counter() as sender:
        process = start("record", tmp_path, "--stream", sender.name)
        path = wait_for(tmp_path, "*_eeg.fif", process)
        threading.Event().wait(moment_s)
        sent = sender.sent
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
    assert check_counter(path) >= sent - 1 - SIGNAL.sfreq
    stamps = read_stamps(path.with_name("sub-unknown_task-live_run-01_times.bin"))
    assert len(stamps) >= open_recording(path).n_samples
    np.testing.assert_allclose(np.diff(stamps["time"]), 1 / SIGNAL.sfreq, rtol=0, atol=1e-3)


def test_a_killed_session_lacks_at_most_the_last_second(model, tmp_path):
    with Counter() as sender:
        process = start("run", "--stream", sender.name, "--model", model, "--record", tmp_path, "--session", "2")
        path = wait_for(tmp_path, "*_eeg.fif", process)
        log_path = path.with_name("sub-unknown_ses-2_task-live_run-01_log.jsonl")
        wait_until(lambda: log_path.exists() and '"prediction"' in log_path.read_text(), process)
        sent = sender.sent
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
    assert check_counter(path) >= sent - 1 - SIGNAL.sfreq
    log = lines(log_path)
    predictions = [line for line in log if line["kind"] == "prediction"]
    assert predictions
    assert {"session", "recording", "status"} <= {line["kind"] for line in log}
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["Decoder"]["bundle"] == "tiny"
    assert about["IsComplete"] is False


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit of util-linux")
def test_decoding_goes_on_when_nothing_more_can_be_written(model, tmp_path):
    with Counter() as sender:
        options = ("--stream", sender.name, "--model", model, "--record", tmp_path, "--engine", "eager")
        returned, out, err = finish(start("run", *options, "--duration", "7", max_bytes=6000))
    assert (returned, err) == (0, "")
    assert "record_failed 1" in out
    assert "received samples are missing" in out
    assert int(re.search(r"(\d+) windows from", out)[1]) >= 12  # the last is 3 s after the failure
    path = next(tmp_path.glob("*_eeg.fif"))
    assert check_counter(path) > 100


def test_a_signal_ends_a_recording_in_order(tmp_path):
    with Counter() as sender:
        process = start("record", tmp_path, "--stream", sender.name, "--subject", "S1", "--task", "rest")
        path = wait_for(tmp_path, "*_eeg.fif", process)
        process.send_signal(signal.SIGINT)
        returned, out, err = finish(process)
    assert (returned, err) == (0, "")
    assert f"Recording: {path}" in out
    assert "Events: recording 1. Ended: stopped." in out
    assert path.name == "sub-S1_task-rest_run-01_eeg.fif"
    assert json.loads(path.with_suffix(".json").read_text())["IsComplete"] is True
    check_counter(path)


def write_source(path):
    """Write a recording with gaps, one that is filled and one that is not; return its samples and where they lie."""
    stream = StreamInfo("source", SIGNAL, units=("uV",) * 3)
    begun = datetime(2026, 1, 2, tzinfo=UTC)
    data = noise(SIGNAL, 14.0)
    fif = FifWriter(path, fif_header(stream, begun), 3, begun)
    kept = [(0, 700), (706, 1100), (1190, data.shape[1])]
    for start_at, stop_at in kept:
        fif.append(start_at, data[:, start_at:stop_at])
    fif.close([Annotation(3.0, 0.5, "note")])
    return data, kept


def replayed_and_decoded(model, file, folder):
    """Replay a file over LSL, decode and record it; return the predictions and the recording."""
    name = f"replayed-{next(COUNT)}"
    player = start("replay", file, "--name", name, "--wait", "--speed", 4, "--linger", 20)
    try:
        options = ("--stream", name, "--model", model, "--record", folder, "--engine", "eager", "--timeout", 60)
        returned, out, err = finish(start("run", *options))
        assert (returned, err) == (0, ""), out + err
        assert finish(player)[0] == 0
    finally:
        player.kill()
    (log,) = folder.glob("*_log.jsonl")
    (path,) = folder.glob("*_eeg.fif")
    return [line for line in lines(log) if line["kind"] == "prediction"], path


def test_a_replayed_recording_gives_the_predictions_of_the_live_session(model, tmp_path):
    """One by one, over real LSL, across a filled gap and one that restarts the pipeline."""
    data, kept = write_source(tmp_path / "source_eeg.fif")
    first, path = replayed_and_decoded(model, tmp_path / "source_eeg.fif", tmp_path / "first")
    recording = open_recording(path)
    got = recording.read(0, recording.n_samples)
    assert recording.gaps == ((700, 706), (1100, 1190))
    for begin, end in kept:
        np.testing.assert_array_equal(got[:, begin:end].view(np.uint32), data[:, begin:end].view(np.uint32))
    assert [(a.onset_s, a.description) for a in recording.annotations if "SKIP" not in a.description] == [(3.0, "note")]
    again, _ = replayed_and_decoded(model, path, tmp_path / "again")
    assert len(first) == len(again) > 20
    for one, other in zip(first, again, strict=True):
        for key in ("index", "last_sample", "state", "quality"):
            assert one[key] == other[key]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("record", "DIR", "--stream", "x", "--subject", "../../etc"), "--subject needs 1 to 40 letters and digits"),
        (("record", "DIR", "--stream", "x", "--task", "a_run-1"), "--task needs 1 to 40 letters and digits"),
        (("record", "/dev/null/x", "--stream", "x"), "Recording needs a folder that can be made and written, got"),
        (("record", "DIR", "--stream", "x", "--duration", "0"), "a duration above 0 s"),
        (("record", "DIR"), "Exactly one of --stream and --board is needed"),
        (("run", "--stream", "x", "--model", "m", "--task", "a"), "--task names a recording, which needs --record DIR"),
        (("run", "--stream", "x", "--model", "m", "--record", "DIR", "--session", "é"), "--session needs 1 to 40"),
    ],
)
def test_wrong_usage_is_refused_and_leaves_nothing(tmp_path, options, words):
    folder = tmp_path / "new"
    returned, out, err = finish(start(*(str(folder) if word == "DIR" else word for word in options)))
    assert (returned, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not folder.exists()

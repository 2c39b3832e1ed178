"""A replayed file gives the table of seizures that decoding the file gives; a kill leaves one that is valid."""

from __future__ import annotations

import signal
import threading

import pytest

from bci.seizure_table import read_table
from bci.sources.recording import open_recording
from tests.bundles import mel_pipeline, write_random_bundle
from tests.real.test_live_equals_offline import BCI, FILES, finish, start

pytestmark = [pytest.mark.real, pytest.mark.lsl, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def case(data_dir, tmp_path_factory):
    """A recording and a bundle whose output varies over it."""
    folder = tmp_path_factory.mktemp("events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        recording = open_recording(data_dir / FILES["eegmmidb"])
        signal, data = recording.signal, recording.read(0, recording.n_samples)
        bundle = write_random_bundle(folder / "model", signal, mel_pipeline(signal), data)
        yield recording.path, bundle.path


def undated(path):
    """Return the lines without dateTime: a replay has a date of its own."""
    return [[*cells[:5], cells[6]] for cells in (line.split("\t") for line in path.read_text().splitlines())]


def run_and_replay(case, name, events, *options):
    file, bundle = case
    model = ["--model", bundle, "--engine", "onnx"]
    run = start([*BCI, "run", "--stream", name, *model, "--timeout", 60, "--events", events, "--no-view"])
    replay = start([*BCI, "replay", file, "--name", name, "--wait", "--linger", 1, *options])
    return run, replay


def test_a_replay_gives_the_table_of_the_file(case, tmp_path):
    file, bundle = case
    offline, live = tmp_path / "offline_events.tsv", tmp_path / "live_events.tsv"
    finish(start([*BCI, "decode", file, "--model", bundle, "--engine", "onnx", "--events", offline]))
    run, replay = run_and_replay(case, "events-equal", live, "--speed", 10)
    try:
        assert f"Events: {live}" in finish(run)
        finish(replay)
    finally:
        run.kill()
        replay.kill()
    assert undated(live) == undated(offline)
    table = read_table(live)
    assert len(table.seizures) > 1
    assert table.date_time != "n/a"
    assert read_table(offline).date_time == "2009-08-12 16:15:00"  # as the file says


def test_a_killed_session_leaves_its_alarms(case, tmp_path):
    """The alarm that ran is there, with a length that the file admits."""
    live = tmp_path / "live_events.tsv"
    run, replay = run_and_replay(case, "events-killed", live, "--speed", 5)
    waiting = threading.Event()
    try:
        while not (live.exists() and read_table(live).seizures):
            assert run.poll() is None
            waiting.wait(0.05)
        run.send_signal(signal.SIGKILL)
        run.wait()
    finally:
        for process in (run, replay):
            process.kill()
            process.communicate()
    table = read_table(live)
    assert table.seizures
    assert 0 < table.duration_s < 61

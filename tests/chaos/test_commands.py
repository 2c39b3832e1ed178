"""The commands together: `bci replay --fault` into `bci run --record`, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import mne
import numpy as np
import pytest

from apps.bench.counted import EEG, SFREQ, CountedFeed
from bci.sources.recording import open_recording
from tests.bundles import write_random_bundle

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(120)]

BCI = [sys.executable, "-m", "apps"]
SECONDS = 24.0
TIMEOUT_S = 100.0


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """A file whose last channel counts its samples, and a bundle for its other channels."""
    folder = tmp_path_factory.mktemp("counted")
    feed = CountedFeed(SECONDS)
    info = mne.create_info(list(feed.signal.names), SFREQ, "eeg")
    data = feed.read(0, feed.n_samples)
    mne.io.RawArray(data.astype(np.float64) * 1e-6, info, verbose="error").save(
        folder / "counted_raw.fif", fmt="double", verbose="error"
    )
    bundle = write_random_bundle(folder / "bundle", EEG, data=data[: EEG.n_channels])
    return folder / "counted_raw.fif", bundle.path


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_rehearsal_is_reported_and_recorded_sample_by_sample(counted, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file, bundle = counted
    injected, log = tmp_path / "injected.jsonl", tmp_path / "session.jsonl"
    faults = ["--fault", "drop:0.02", "--fault", "drop:12,1.5", "--fault-seed", "3", "--fault-log", injected]
    play = [*BCI, "replay", file, "--name", "rehearsal", "--picks", "all", "--wait", "--speed", "3", *faults]
    options = ["--engine", "eager", "--timeout", "60", "--no-view", "--log", log, "--record", tmp_path / "recorded"]
    listen = [*BCI, "run", "--stream", "rehearsal", "--model", bundle, *options]
    processes = [
        subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL) for command in (play, listen)
    ]
    try:
        assert [process.wait(TIMEOUT_S) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    spans = [np.arange(i["sample"], i["sample"] + i["n_samples"]) for i in lines_of(injected) if i["kind"] == "drop"]
    lost = np.unique(np.concatenate(spans))
    sent = np.setdiff1d(np.arange(round(SECONDS * SFREQ)), lost)
    gaps = [line for line in lines_of(log) if line["kind"] == "gap"]
    assert sum(gap["n_lost"] for gap in gaps) == np.count_nonzero((lost > sent[0]) & (lost < sent[-1])) > 0
    (run,) = sorted((tmp_path / "recorded").rglob("*.fif"))
    recording = open_recording(run, picks="all")
    kept = np.ones(recording.n_samples, dtype=bool)
    for start, stop in recording.gaps:
        kept[start:stop] = False
    np.testing.assert_array_equal(recording.read(0, recording.n_samples)[-1, kept], sent)
    recording.close()


def test_a_rehearsed_kill_ends_the_session_that_does_not_wait_and_names_it(counted, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file, bundle = counted
    play = [*BCI, "replay", file, "--name", "killed", "--picks", "all", "--wait", "--speed", "3", "--fault", "kill:9"]
    options = ["--engine", "eager", "--timeout", "60", "--no-view", "--reconnect", "0"]
    listen = [*BCI, "run", "--stream", "killed", "--model", bundle, *options]
    sender = subprocess.Popen([str(word) for word in play], stdout=subprocess.DEVNULL)
    try:
        session = subprocess.run([str(word) for word in listen], capture_output=True, text=True, timeout=TIMEOUT_S)
        assert sender.wait(TIMEOUT_S) == -9
    finally:
        sender.kill()
    assert session.returncode == 1
    assert "Start the sender again" in session.stderr.splitlines()[-1]

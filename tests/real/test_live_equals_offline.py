"""The promise: a replayed file gives, one by one, the predictions that offline scoring of the file gives."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pylsl
import pytest

from bci.decision import State
from bci.sources.recording import open_recording
from tests.bundles import CLASSES, mel_pipeline, raw_pipeline, write_random_bundle

pytestmark = [pytest.mark.real, pytest.mark.lsl, pytest.mark.timeout(180)]

BCI = [sys.executable, "-m", "apps"]
FILES = {"ssvep": "ssvep/sub-01_run-1_raw.fif", "eegmmidb": "eegmmidb/S001R01.edf"}  # 8 ch, 256 Hz; 64 ch, 160 Hz
PIPELINES = {"mel": mel_pipeline, "raw": raw_pipeline}
LIMIT = 1e-5
TIMEOUT_S = 180


@dataclass(frozen=True)
class Case:
    """A recording, the bundle for it, and what `bci decode` says."""

    file: Path
    bundle: Path
    sfreq: float
    offline: list[dict]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A place for bundles and logs, and a cache of engines that is nobody's."""
    folder = tmp_path_factory.mktemp("promise")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


@pytest.fixture(scope="module")
def case_of(data_dir, folder):
    """Return what makes a case, once for each recording and pipeline."""
    made = {}

    def case(name, kind):
        if (name, kind) not in made:
            recording = open_recording(data_dir / FILES[name])
            signal, data = recording.signal, recording.read(0, recording.n_samples)
            bundle = write_random_bundle(folder / f"{name}-{kind}", signal, PIPELINES[kind](signal), data)
            log = folder / f"{name}-{kind}.jsonl"
            decode = [*BCI, "decode", str(recording.path), "--model", str(bundle.path), "--engine", "onnx"]
            finish(start([*decode, "--log", str(log)]))
            made[name, kind] = Case(recording.path, bundle.path, signal.sfreq, read_log(log)["prediction"])
        return made[name, kind]

    return case


def start(command):
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Wait for a command that must succeed without a word on stderr."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")
    return out


def read_log(path):
    """Return the lines of a log by kind."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {kind: [r for r in lines if r["kind"] == kind] for kind in {r["kind"] for r in lines}}


def listen(name, received, done):
    """Collect what a prediction stream publishes until it leaves, or until `done`."""
    resolver = pylsl.ContinuousResolver(pred=f"name='{name}'")
    while not (found := resolver.results()):
        if done.wait(0.02):
            return
    inlet = pylsl.StreamInlet(found[0], recover=False)
    with contextlib.suppress(pylsl.util.LostError):
        while not done.is_set():
            values, stamps = inlet.pull_chunk(0.2)
            received += zip(stamps, values, strict=True)


def play(case, folder, name, *options):
    """Replay a file to `bci run`, both in processes of their own.

    Returns
    -------
    log : dict
        The log of the session.
    received : list of (float, list)
        Stamps and values that came over LSL from the moment that this process was connected.
    """
    log, received, done = folder / f"{name}.jsonl", [], threading.Event()
    listener = threading.Thread(target=listen, args=(f"{name}-pred", received, done))
    listener.start()
    model = ["--model", case.bundle, "--engine", "onnx"]
    run = start([*BCI, "run", "--stream", name, *model, "--timeout", 60, "--log", log])
    replay = start([*BCI, "replay", case.file, "--name", name, "--wait", *options])
    try:
        out = finish(run)
        finish(replay)
    finally:
        run.kill()
        replay.kill()
        done.set()
        listener.join()
    assert "Ended: end of stream." in out
    return read_log(log), received


def table(predictions):
    return np.array([[p["probabilities"][name] for name in CLASSES] for p in predictions])


@pytest.mark.parametrize(
    ("name", "kind", "chunk_size", "speed", "stop_s"),
    [
        ("ssvep", "mel", 8, 20, 100),
        ("ssvep", "raw", 37, 20, 60),
        ("ssvep", "mel", 1, 5, 20),
        ("eegmmidb", "mel", 37, 20, None),
        ("eegmmidb", "raw", 8, 20, None),
        ("eegmmidb", "raw", 1, 5, 20),
    ],
)
def test_a_replay_gives_the_predictions_of_offline_scoring(case_of, folder, name, kind, chunk_size, speed, stop_s):
    case = case_of(name, kind)
    offline = case.offline
    stop = () if stop_s is None else ("--stop", stop_s)
    if stop_s is not None:  # the future changes no prediction
        offline = [p for p in offline if p["last_sample"] < round(stop_s * case.sfreq)]
    stream = f"promise-{name}-{kind}-{chunk_size}"
    log, received = play(case, folder, stream, "--chunk-size", chunk_size, "--speed", speed, *stop)
    live = log["prediction"]
    assert not {"gap", "lost"} & set(log)
    assert len(live) == len(offline) > 50
    for key in ("index", "last_sample", "state"):
        assert [p[key] for p in live] == [p[key] for p in offline]
    np.testing.assert_allclose([p["quality"] for p in live], [p["quality"] for p in offline], atol=1e-6)
    np.testing.assert_allclose([p["level"] for p in live], [p["level"] for p in offline], atol=LIMIT)
    found, wanted = table(live), table(offline)
    assert (wanted.std(axis=0) > 0.05).all()  # a constant would be equal for nothing
    assert np.abs(found - wanted).max() <= LIMIT
    (session,) = log["session"]
    stamps = np.array([p["t"] for p in live]) - session["first_sample_time"]
    np.testing.assert_allclose(stamps * speed * case.sfreq, [p["last_sample"] for p in live], atol=0.5)
    assert_published(received, live)


def assert_published(received, live):
    """From the moment that somebody listens to the very last prediction, nothing is lost, late or rounded twice."""
    assert len(received) > 10
    logged = live[-len(received) :]
    np.testing.assert_array_equal([stamp for stamp, _ in received], [p["t"] for p in logged])
    values = np.array([value for _, value in received], np.float32)
    np.testing.assert_array_equal(values[:, :2], table(logged).astype(np.float32))
    np.testing.assert_array_equal(values[:, 2], np.float32([p["quality"] for p in logged]))
    np.testing.assert_array_equal(values[:, 3], [State[p["state"].upper()] for p in logged])
    assert (values[:, 4] > 0).all()

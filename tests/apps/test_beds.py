"""`bci run` with several streams: each is decoded as by a command of its own, whatever becomes of the others."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import subprocess
import sys
import threading
import time

import mne
import numpy as np
import pylsl
import pytest

from bci.chunk import Chunk, Signal
from bci.serving import serve
from bci.sources.recording import open_recording
from tests.bundles import CLASSES, noise, write_random_bundle

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(300)]

BCI = [sys.executable, "-m", "apps"]
SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
SECONDS, SPEED = 12.0, 4
TIMEOUT_S = 180
LIMIT = 1e-5
COUNT = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


@pytest.fixture(scope="module")
def model(folder):
    return write_random_bundle(folder / "tiny", SIGNAL).path


@pytest.fixture(scope="module")
def files(folder):
    """Three recordings, of different signals and lengths."""
    paths = [folder / f"patient-{seed}_raw.fif" for seed in range(3)]
    for seed, path in enumerate(paths):
        data = noise(SIGNAL, SECONDS - seed, seed) * 1e-6
        info = mne.create_info(list(SIGNAL.names), SIGNAL.sfreq, "eeg", verbose="error")
        mne.io.RawArray(data, info, verbose="error").save(path, verbose="error")
    return paths


@contextlib.contextmanager
def started(*command):
    """A command in a process of its own, ended in any case."""
    words = [*BCI, *map(str, command)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process):
    out, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out, err


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def of_kind(path, kind):
    return [line for line in lines(path) if line["kind"] == kind]


def alone(served, file):
    """Return what a decoder makes of a recording by itself."""
    recording = open_recording(file)
    decoder = served.decoder()
    n = recording.n_samples
    return decoder.push(Chunk(recording.read(0, n), 0, np.arange(n) / SIGNAL.sfreq))


def assert_same(logged, wanted):
    assert [(p["index"], p["last_sample"]) for p in logged] == [(p.index, p.last_sample) for p in wanted]
    assert [p["state"] for p in logged] == [p.state.name.lower() for p in wanted]
    table = np.array([[p["probabilities"][name] for name in CLASSES] for p in logged])
    np.testing.assert_allclose(table, [p.probabilities for p in wanted], rtol=0, atol=LIMIT)


def test_three_players_are_decoded_as_one_by_one(model, files, tmp_path):
    """One process, one engine; logs, summaries and records of each, and a fourth stream that never comes."""
    names = [f"bed-{next(COUNT)}" for _ in files]
    asked = [word for name in (*names, "nobody") for word in ("--stream", name)]
    outputs = ["--log", tmp_path / "{stream}.jsonl", "--summary", tmp_path / "{stream}.json"]
    outputs += ["--record", tmp_path / "{stream}"]
    with contextlib.ExitStack() as stack:
        for name, file in zip(names, files, strict=True):
            options = ["--name", name, "--speed", SPEED, "--wait"]
            stack.enter_context(started("replay", file, *options))
        run = stack.enter_context(
            started("run", *asked, "--model", model, "--engine", "eager", "--timeout", 6, *outputs)
        )
        code, out, err = finish(run)
    served = serve(str(model), "eager")
    assert code == 1
    assert err.startswith("bci: error: All 4 streams must be decoded to their end, 1 got an error: nobody.")
    assert "nobody: error: No LSL stream answered to 'nobody' within 6 s." in out
    for name, file in zip(names, files, strict=True):
        assert f"{name}: ended: end of stream." in out
        log = tmp_path / f"{name}.jsonl"
        assert_same(of_kind(log, "prediction"), alone(served, file))
        (session,) = of_kind(log, "session")
        assert (session["stream"], session["name"]) == (name, f"{name}-pred")
        summary = json.loads((tmp_path / f"{name}.json").read_text())
        assert summary["counts"]["samples"] == open_recording(file).n_samples
        assert summary["latency"]["engine"]["count"] == len(of_kind(log, "prediction"))
        assert list((tmp_path / name).rglob("*.fif"))
    assert "Engine: eager, fp32" in out
    assert "windows in" in out
    assert not (tmp_path / "nobody.jsonl").exists()


class Sender:
    """Sends noise in chunks of 8 at its rate until left; late chunks of a busy machine are stamped as if in time."""

    def __init__(self, name, labels=SIGNAL.names, kind="EEG"):
        info = pylsl.StreamInfo(name, kind, len(labels), SIGNAL.sfreq, "float32", f"sid-{name}")
        channels = info.desc().append_child("channels")
        for label in labels:
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", "uV")
        self._outlet, self.name = pylsl.StreamOutlet(info), name
        self._rows = noise(SIGNAL, 60.0)[: len(labels)].T
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self):
        since_s = pylsl.local_clock()
        for start in itertools.count(0, 8):
            at = start % (len(self._rows) - 8)
            due_s = since_s + start / SIGNAL.sfreq
            if self._done.wait(max(0.0, due_s - pylsl.local_clock())):
                return
            self._outlet.push_chunk(self._rows[at : at + 8].tolist(), due_s)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self._outlet = None


def told(process, text):
    """Read what a command prints until a line has `text`, and return all of it."""
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(seen)


def until(condition):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def appears(name):
    assert pylsl.resolve_bypred(f"name='{name}'", 1, TIMEOUT_S)


def test_streams_of_a_type_come_and_go(model, tmp_path):
    """The first is decoded when the second comes; one that does not fit and one that leaves disturb neither."""
    kind, log = f"kind-{next(COUNT)}", tmp_path / "{stream}.jsonl"
    with contextlib.ExitStack() as stack:
        stack.enter_context(Sender("first/of all", kind=kind))
        run = stack.enter_context(
            started("run", "--all-streams", kind, "--model", model, "--engine", "eager", "--log", log, "--reconnect", 0)
        )
        appears("first/of all-pred")
        with Sender("second", kind=kind), Sender("other", labels=("A1", "A2"), kind=kind):
            told(run, "other: error: The model needs channels that the stream lacks: C3, Cz, C4.")
            appears("second-pred")
        told(run, "second: error: The session has ended early.")
        stack.enter_context(Sender("second", kind=kind))  # it comes back after its session has given up
        appears("second-2-pred")
        first = tmp_path / "first_of_all.jsonl"
        until(lambda: first.exists() and len(of_kind(first, "prediction")) > 3)
        run.send_signal(signal.SIGTERM)
        code, rest, err = finish(run)
    assert code == 1
    assert "first/of all: ended: stopped." in rest
    (last,) = [line for line in err.splitlines() if "ERR|" not in line]  # liblsl tells of what is lost
    assert last == (
        "bci: error: All 4 streams must be decoded to their end, 2 got an error: other, second. "
        "Their lines above say why."
    )
    samples = [p["last_sample"] for p in of_kind(first, "prediction")]
    assert np.diff(samples).tolist() == [32] * (len(samples) - 1)  # nothing was skipped
    assert not of_kind(first, "gap")


def test_commands_of_each_bed(model):
    """Ports count up; a stop ends one bed and leaves the other."""
    with contextlib.ExitStack() as stack:
        senders = [stack.enter_context(Sender(f"bed-{next(COUNT)}")) for _ in range(2)]
        asked = [word for sender in senders for word in ("--stream", sender.name)]
        run = stack.enter_context(started("run", *asked, "--model", model, "--engine", "eager", "--control", 0))
        ports = {}
        for sender in senders:
            told(run, f"{sender.name}:")
            ports[sender.name] = told(run, "control: ").split()
        for sender in senders:
            appears(f"{sender.name}-pred")
        said = ports[senders[0].name]
        port, token = said[said.index("control:") + 1].rpartition(":")[2], said[-1]
        with started("control", port, "stop", "--token", token) as control:
            assert finish(control)[0] == 0
        told(run, f"{senders[0].name}: ended: stopped.")
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        code, out, err = finish(run)
    assert (code, err) == (0, "")
    assert f"{senders[1].name}: ended: stopped." in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_search_for_a_stream_that_does_not_come(model, tmp_path, number):
    """One bed decodes, the other would look for ten minutes; both end in order."""
    log = tmp_path / "{stream}.jsonl"
    with Sender(f"bed-{next(COUNT)}") as sender:
        words = ["--stream", sender.name, "--stream", "nobody", "--model", model, "--engine", "eager", "--log", log]
        with started("run", *words, "--timeout", 600) as run:
            appears(f"{sender.name}-pred")
            run.send_signal(number)
            code, out, err = finish(run)
    assert (code, err) == (0, "")
    assert f"{sender.name}: ended: stopped." in out
    assert "nobody: ended: stopped." in out
    assert [file.name for file in tmp_path.iterdir()] == [f"{sender.name}.jsonl"]

"""`bci run`: decodes what a stream sends, and refuses in one line what it cannot decode."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading

import pylsl
import pytest

from bci.chunk import Signal
from tests.bundles import noise, write_random_bundle

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(120)]

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
COUNT = itertools.count()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield str(write_random_bundle(folder / "tiny", SIGNAL).path)


def outlet(labels=SIGNAL.names, units=("uV", "uV", "uV"), sfreq=128.0, name=None):
    """Return a stream in this process that sends nothing by itself."""
    info = pylsl.StreamInfo(name or f"run-{next(COUNT)}", "EEG", len(labels), sfreq, "float32", "test-run")
    channels = info.desc().append_child("channels")
    for label, unit in zip(labels, units, strict=True):
        channel = channels.append_child("channel")
        for key, value in (("label", label), ("unit", unit)):
            if value:
                channel.append_child_value(key, value)
    return pylsl.StreamOutlet(info), info.name()


class Sender:
    """Sends noise in chunks of 8 at its rate once somebody listens, until left."""

    def __init__(self, data=None, **description):
        self._outlet, self.name = outlet(**description)
        self._rows = noise(SIGNAL, 60.0).T if data is None else data.T
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self):
        while not self._outlet.wait_for_consumers(0.1):
            if self._done.is_set():
                return
        for start in range(0, len(self._rows) - 8, 8):
            self._outlet.push_chunk(self._rows[start : start + 8].tolist())
            if self._done.wait(8 / 128.0):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self._outlet = None


def start(*options):
    command = [sys.executable, "-m", "apps", "run", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    try:
        out, err = process.communicate(timeout=180)
    finally:
        process.kill()
    return process.returncode, out, err


def assert_refused(process, code, *words):
    """One line, the code, and nothing on standard output but what computes."""
    returned, out, err = finish(process)
    assert returned == code
    assert out.startswith("Engine: ")
    assert out.count("\n") == 1
    assert err.startswith("bci: error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_live_stream_is_decoded_for_the_duration(model, tmp_path):
    log = tmp_path / "log.jsonl"
    with Sender() as sender:
        returned, out, err = finish(start("--stream", sender.name, "--model", model, "--duration", 5, "--log", log))
    assert (returned, err) == (0, "")
    assert out.startswith(("Engine: onnx, fp32, built in ", "Engine: eager, fp32, built in "))
    session, *rest = lines(log)
    predictions = [line for line in rest if line["kind"] == "prediction"]
    assert session["name"] == f"{sender.name}-pred"  # the default
    assert session["stream"] == sender.name
    assert 3 <= len(predictions) <= 9  # the first window needs 2.94 s, then four a second; a busy machine starts late
    assert all((p["last_sample"] - predictions[0]["last_sample"]) % 32 == 0 for p in predictions)
    assert [p["index"] for p in predictions] == list(range(len(predictions)))
    stages = {"receive", "filter", "features", "engine", "decision", "publish", "total"}
    assert all(set(p["ledger"]) == {f"{stage}_ms" for stage in stages} for p in predictions)
    assert rest[-1]["kind"] == "ended"
    assert rest[-1]["reason"] == "duration"
    assert f"{len(predictions)} windows from" in out
    assert "Ended: duration." in out
    assert f"Log: {log}" in out.replace("\n", "")
    for column in ("p50 ms", "p99 ms", "p99.9 ms", "max ms", "total"):
        assert column in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(model, tmp_path, number):
    """The log is complete, the summary is printed, the exit code says success."""
    log = tmp_path / "log.jsonl"
    with Sender() as sender:
        process = start("--stream", sender.name, "--model", model, "--out", "signalled", "--log", log)
        found = pylsl.resolve_bypred("name='signalled'", 1, 30.0)  # it publishes: it runs
        assert found
        process.send_signal(number)
        returned, out, err = finish(process)
    assert (returned, err) == (0, "")
    assert "Ended: stopped." in out
    assert lines(log)[-1]["reason"] == "stopped"


@pytest.mark.parametrize(("wait_s", "message"), [(0, "must go on sending"), (1, "must come back within 1 s")])
def test_a_stream_that_goes_away_is_a_failure(model, tmp_path, wait_s, message):
    log = tmp_path / "log.jsonl"
    with Sender() as sender:
        process = start("--stream", sender.name, "--model", model, "--out", "left", "--log", log, "--reconnect", wait_s)
        assert pylsl.resolve_bypred("name='left'", 1, 30.0)
    returned, out, err = finish(process)
    assert returned == 1
    *of_liblsl, last = err.splitlines()
    assert last.startswith("bci: error: ")
    assert "The session has ended early. Stream" in last
    assert message in last
    assert all("ERR|" in line for line in of_liblsl)
    assert "windows from" in out  # the summary comes first
    kinds = [line["kind"] for line in lines(log) if line["kind"] not in ("status", "fault")]
    assert kinds[-2:] == ["lost", "ended"]


def test_a_stream_that_comes_back_is_decoded_further(model, tmp_path):
    """Another outlet of the same name and source_id, a moment later; by default there is no end to the wait."""
    log = tmp_path / "log.jsonl"
    with Sender() as sender:
        process = start("--stream", sender.name, "--model", model, "--out", "back", "--log", log, "--duration", 12)
        assert pylsl.resolve_bypred("name='back'", 1, 30.0)
    with Sender(name=sender.name):
        returned, out, _ = finish(process)
    assert returned == 0
    assert "Ended: duration." in out
    kinds = [line["kind"] for line in lines(log)]
    assert kinds.index("lost") < kinds.index("recovered") < kinds.index("gap")
    assert "prediction" in kinds[kinds.index("gap") :]


def test_a_stream_without_a_finite_sample(model, tmp_path):
    dead = noise(SIGNAL, 30.0) * float("nan")
    with Sender(dead) as sender:
        log = tmp_path / "log.jsonl"
        process = start("--stream", sender.name, "--model", model, "--timeout", 20, "--log", log)
        assert_refused(process, 1, "A stream needs finite samples, got", "Check the amplifier")
    assert not list(tmp_path.iterdir())


def test_a_log_that_exists_is_refused_before_anything_else(model, tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("precious\n")
    returned, out, err = finish(start("--stream", "nowhere", "--model", "nothing", "--log", log))
    assert (returned, out, err.count("\n")) == (2, "", 1)
    assert "The log needs a file that does not exist yet, got" in err
    assert "--overwrite" in err
    assert log.read_text() == "precious\n"


def test_a_log_is_replaced_if_asked_for(model, tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("old\n")
    with Sender() as sender:
        options = ("--stream", sender.name, "--model", model, "--duration", 1, "--log", log, "--overwrite")
        returned, _, err = finish(start(*options))
    assert (returned, err) == (0, "")
    assert [line["kind"] for line in lines(log)][:: len(lines(log)) - 1] == ["session", "ended"]


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"labels": ("", "", "")}, ["must name its 3 channels", "Set the labels in the sender"]),
        ({"units": ("", "", "")}, ["must state the unit of its channels", "--unit uV"]),
        ({"sfreq": 256.0}, ["needs 128 Hz, the stream has 256 Hz"]),
        ({"labels": ("C3", "Cz", "T7")}, ["lacks: C4. The stream also has: T7"]),
        ({"units": ("fT", "fT", "fT")}, ["needs uV, the stream has fT"]),
    ],
    ids=["names", "units", "rate", "channels", "unit"],
)
def test_a_stream_that_cannot_be_decoded(model, tmp_path, description, words):
    _kept, name = outlet(**description)
    process = start("--stream", name, "--model", model, "--log", tmp_path / "log.jsonl")
    assert_refused(process, 1, *words)
    assert not list(tmp_path.iterdir())


def test_a_unit_can_be_given(model):
    with Sender(units=("", "", "")) as sender:
        returned, _, err = finish(
            start("--stream", sender.name, "--model", model, "--unit", "uV", "--duration", 2.5, "--engine", "eager")
        )
    assert (returned, err) == (0, "")


def test_a_stream_that_never_starts(model, tmp_path):
    _kept, name = outlet()
    process = start("--stream", name, "--model", model, "--timeout", 2, "--log", tmp_path / "log.jsonl")
    assert_refused(process, 1, f"Stream '{name}' must send samples, got none in 2 s. Start the sender")
    assert not list(tmp_path.iterdir())


def test_a_stream_that_is_not_there(model, tmp_path):
    process = start("--stream", "nowhere", "--model", model, "--timeout", 0.5, "--log", tmp_path / "log.jsonl")
    assert_refused(process, 1, "nowhere")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--model", "nothing"), 1, ["There is no bundle 'nothing'"]),
        (("--model", "."), 1, ["is not a bundle: it has no manifest.json"]),
        (("--log", "/nowhere/log.jsonl"), 2, ["The log needs a file in a folder", "/nowhere/log.jsonl"]),
        (("--engine", "abacus"), 2, ["no engine 'abacus'. Known: auto, tensorrt, cuda-graph, onnx, eager"]),
        (("--duration", "-1"), 2, ["a duration above 0 s"]),
        (("--duration", "nan"), 2, ["a duration above 0 s"]),
        (("--duration", "long"), 2, ["--duration", "invalid float value"]),
        (("--timeout", "-1"), 2, ["a wait for the first sample of 0 s or more"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_refused_before_the_network_is_asked(model, options, code, words):
    process = start("--stream", "nowhere", "--model", model, "--timeout", 300, *options)
    returned, out, err = finish(process)
    assert (returned, out, err.count("\n")) == (code, "", 1)
    assert all(word in err for word in words)

"""Control: who knows the token is obeyed, and nobody else."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading

import mne
import numpy as np
import pylsl
import pytest

import bci.control
from bci.chunk import Signal
from bci.control import MAX_CLIENTS, MAX_LINE_BYTES, Command, ControlServer, Number
from bci.errors import SpecError, UsageError
from tests.bundles import write_random_bundle

TIMEOUT_S = 60.0
BCI = [sys.executable, "-m", "apps"]


class Client:
    """A connection that sends lines and reads answers."""

    def __init__(self, port, token=None):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.answers = self.socket.makefile("rb")
        self.token = token

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answers.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        """Return the next answer; None if the connection was closed."""
        line = self.answers.readline()
        return json.loads(line) if line else None

    def ask(self, command, **arguments):
        self.send(json.dumps({"token": self.token, "command": command, **arguments}).encode() + b"\n")
        return self.answer()


@pytest.fixture
def server():
    """A server whose commands keep what they were given."""
    said = []

    def fail(x):
        raise SpecError(f"The test refuses {x:g}.")

    commands = {
        "note": Command(lambda: said.append("note")),
        "mute": Command(lambda seconds: said.append(seconds), Number("seconds", 0.0, 60.0)),
        "fail": Command(fail, Number("x", 0.0, 1.0)),
    }
    with ControlServer(commands, 0) as running:
        running.said = said
        yield running


def test_a_command_is_obeyed_and_answered(server):
    with Client(server.port, server.token) as client:
        assert client.ask("note") == {"ok": True}
        assert client.ask("mute", seconds=2) == {"ok": True}
        assert client.ask("mute", seconds=60.0) == {"ok": True}
    assert server.said == ["note", 2.0, 60.0]
    assert all(type(value) is not int for value in server.said)


def test_a_token_never_looks_like_an_option(monkeypatch):
    """One in 64 would begin with a dash, and `--token` would refuse it."""
    drawn = iter(["-a", "--b", "c-"])
    monkeypatch.setattr(bci.control.secrets, "token_urlsafe", lambda _: next(drawn))
    with ControlServer({}, 0) as server:
        assert server.token == "c-"


def test_lines_may_come_in_pieces_or_together(server):
    line = json.dumps({"token": server.token, "command": "note"}).encode() + b"\n"
    with Client(server.port) as client:
        for byte in line:
            client.send(bytes([byte]))
        assert client.answer() == {"ok": True}
        client.send(line * 5)
        assert [client.answer() for _ in range(5)] == [{"ok": True}] * 5
    assert server.said == ["note"] * 6


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"command": "fly"}, r'needs a command out of note, mute, fail, got "fly"'),
        ({}, r"needs a command out of note, mute, fail, got null"),
        ({"command": ["note"]}, r'needs a command out of .* got \["note"\]'),
        ({"command": "x" * 500}, r"got \"x{59}…\."),
        ({"command": "note", "seconds": 1}, r'note needs no argument, got \["seconds"\]'),
        ({"command": "mute"}, r"mute needs seconds, got null\. Write token, command and its argument"),
        ({"command": "mute", "seconds": 1, "and": 2}, r'mute needs seconds, got \["and", "seconds"\]'),
        ({"command": "mute", "seconds": True}, r"seconds as a number from 0 to 60, got true"),
        ({"command": "mute", "seconds": "1"}, r'seconds as a number from 0 to 60, got "1"'),
        ({"command": "mute", "seconds": None}, r"seconds as a number from 0 to 60, got null"),
        ({"command": "mute", "seconds": float("nan")}, r"seconds as a number from 0 to 60, got NaN"),
        ({"command": "mute", "seconds": float("inf")}, r"seconds as a number from 0 to 60, got Infinity"),
        ({"command": "mute", "seconds": 10**400}, r"seconds as a number from 0 to 60, got 10+…"),
        ({"command": "mute", "seconds": -1}, r"seconds as a number from 0 to 60, got -1"),
        ({"command": "fail", "x": 0.5}, r"The test refuses 0\.5\."),
    ],
)
def test_a_wrong_request_is_refused_and_the_next_is_heard(server, request_, message):
    with Client(server.port, server.token) as client:
        client.send(json.dumps({"token": server.token, **request_}).encode() + b"\n")
        answer = client.answer()
        assert answer["ok"] is False
        assert re.search(message, answer["error"])
        assert client.ask("note") == {"ok": True}
    assert server.said == ["note"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"token": "wrong", "command": "note"}', "Control needs the token printed at start, got another or none"),
        (b'{"command": "note"}', "Control needs the token printed at start"),
        (b'{"token": null, "command": "note"}', "Control needs the token printed at start"),
        (b'{"token": "\\ud800", "command": "note"}', "Control needs the token printed at start"),
        (b'{"token": "' + b"x" * MAX_LINE_BYTES + b'"}', rf"lines of at most {MAX_LINE_BYTES} bytes, got"),
        (b"GET / HTTP/1.1\r", "A control request needs JSON, got a syntax error"),
        (b"\xff\x00", "A control request needs JSON, got a syntax error"),
        (b"", "A control request needs JSON, got a syntax error"),
        (b"[" * 3000, "A control request needs JSON, got a syntax error"),
        (b'["note"]', "A control request needs a JSON object, got list"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_a_stranger_is_answered_once_and_closed(server, line, message):
    with Client(server.port) as client:
        client.send(line + b"\n" + json.dumps({"token": server.token, "command": "note"}).encode() + b"\n")
        answer = client.answer()
        assert answer["ok"] is False
        assert re.search(message, answer["error"])
        assert client.answer() is None
    assert server.said == []


def test_a_line_without_end_is_refused(server):
    with Client(server.port) as client:
        client.send(b"x" * (MAX_LINE_BYTES + 1))
        assert "got a longer one" in client.answer()["error"]
        assert client.answer() is None


def test_the_token_is_compared_in_constant_time(server, monkeypatch):
    compared = []
    monkeypatch.setattr(bci.control.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    with Client(server.port, server.token) as client:
        assert client.ask("note") == {"ok": True}
    assert compared == [(server.token.encode(), server.token.encode())]


def test_connections_are_limited_and_come_free_again(server):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port, server.token)) for _ in range(MAX_CLIENTS)]
        assert all(client.ask("note") == {"ok": True} for client in clients)
        with Client(server.port, server.token) as extra:
            assert f"at most {MAX_CLIENTS} connections" in extra.answer()["error"]
            assert extra.answer() is None
        clients[0].__exit__()
        assert clients[1].ask("note") == {"ok": True}  # by now the closing was seen
        with Client(server.port, server.token) as later:
            assert later.ask("note") == {"ok": True}


def test_a_connection_that_shows_no_token_is_closed(server, monkeypatch):
    monkeypatch.setattr(bci.control, "TOKEN_WITHIN_S", 0.05)
    with Client(server.port, server.token) as known, Client(server.port) as stranger:
        assert known.ask("note") == {"ok": True}
        assert stranger.answer() is None
        assert known.ask("note") == {"ok": True}


def test_a_client_that_leaves_disturbs_nobody(server):
    with Client(server.port, server.token) as client:
        client.send(b'{"token": "half a line')
    with Client(server.port, server.token) as client:
        assert client.ask("note") == {"ok": True}


def test_a_port_that_is_taken_or_is_none(server):
    with pytest.raises(UsageError, match=rf"--control needs a port that is free, got {server.port}: .*0 for any"):
        ControlServer({}, server.port)
    for port in (-1, 65536):
        with pytest.raises(UsageError, match=rf"--control needs a port from 0 \(any free one\) to 65535, got {port}"):
            ControlServer({}, port)


def test_the_end_closes_connections_port_and_thread():
    with ControlServer({}, 0) as server:
        client = Client(server.port, server.token)
        assert server.describe() == f"control: 127.0.0.1:{server.port} token {server.token}"
        assert client.ask("x")["ok"] is False
    with client:
        assert client.answer() is None
    with pytest.raises(ConnectionRefusedError):
        Client(server.port)
    assert not [thread for thread in threading.enumerate() if thread.name == "control"]
    with ControlServer({}, server.port) as again:  # the same port, at once, with another token
        assert again.token != server.token


# The two commands, over real LSL


@contextlib.contextmanager
def started(*arguments):
    """Run `bci` in its own process and yield a client of its control port; it is ended in any case."""
    process = subprocess.Popen(
        [*BCI, *map(str, arguments), "--control", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        seen = []
        for line in process.stdout:
            seen.append(line)
            found = re.fullmatch(r"control: 127\.0\.0\.1:(\d+) token (\S+)\n", line)
            if found:
                break
        else:
            pytest.fail("".join(seen))
        with Client(int(found[1]), found[2]) as client:
            assert client.ask("hello")["ok"] is False  # who has shown the token may stay, however long the rest takes
            yield process, client
    finally:
        process.kill()
        process.communicate()


def next_event(inlet, *wanted):
    """Return the next event of these kinds; others are passed over."""
    while True:
        values, _ = inlet.pull_sample(TIMEOUT_S)
        assert values is not None, f"none of {wanted} came"
        event = json.loads(values[0])
        if event["kind"] in wanted:
            return event


@pytest.mark.lsl
def test_commands_of_a_replay_and_of_a_session_are_events_of_both(tmp_path):
    """Pause, resume, speed and seek lose no sample; acknowledge, mute and stop are published and logged."""
    signal = Signal(256.0, ("C3", "Cz", "C4"))
    path, log = tmp_path / "long_raw.fif", tmp_path / "log.jsonl"
    volts = np.random.default_rng(3).normal(0, 20e-6, (3, 256 * 120))
    info = mne.create_info(list(signal.names), signal.sfreq, "eeg", verbose="error")
    mne.io.RawArray(volts, info, verbose="error").save(path, verbose="error")
    write_random_bundle(tmp_path / "bundle", signal)
    run = ("run", "--stream", "controlled", "--model", tmp_path / "bundle", "--log", log, "--no-view")
    run += ("--publish", "signal,features", "--quality", "off", "--overload", "all")  # white noise is no good channel
    with (
        started("replay", path, "--name", "controlled", "--wait") as (replay, player),
        started(*run, "--engine", "eager") as (session, decoder),
    ):
        (found,) = pylsl.resolve_byprop("name", "controlled-pred-events", 1, TIMEOUT_S)
        inlet = pylsl.StreamInlet(found, recover=False)
        inlet.open_stream(TIMEOUT_S)
        assert pylsl.resolve_byprop("name", "controlled-pred-features", 1, TIMEOUT_S)
        assert pylsl.resolve_byprop("name", "controlled-pred-signal", 1, TIMEOUT_S)
        next_event(inlet, "status")
        assert player.ask("pause") == {"ok": True}
        pause = next_event(inlet, "pause")
        next_event(inlet, "status")  # at least part of a second passes
        assert player.ask("resume") == {"ok": True}
        resume = next_event(inlet, "resume")
        assert player.ask("speed", x=4) == {"ok": True}
        assert next_event(inlet, "speed")["speed"] == 4.0
        next_event(inlet, "status")
        assert player.ask("speed", x=0.25) == {"ok": True}
        assert next_event(inlet, "speed")["speed"] == 0.25
        next_event(inlet, "status")
        assert player.ask("seek", seconds=60) == {"ok": True}
        assert next_event(inlet, "seek")["kind"] == "seek"
        assert "Seeking needs a recording and a time in" in player.ask("seek", seconds=600)["error"]
        assert decoder.ask("acknowledge") == {"ok": True}
        assert set(next_event(inlet, "acknowledge")) == {"kind", "t"}
        assert decoder.ask("mute", seconds=30) == {"ok": True}
        assert next_event(inlet, "mute")["seconds"] == 30.0
        assert decoder.ask("stop") == {"ok": True}
        assert next_event(inlet, "stop", "ended")["kind"] == "stop"
        assert next_event(inlet, "ended")["reason"] == "stopped"
        inlet.close_stream()
        assert session.wait(TIMEOUT_S) == 0
        assert player.ask("stop") == {"ok": True}
        assert replay.wait(TIMEOUT_S) == 0
    assert pause["t"] < resume["t"]
    records = [json.loads(line) for line in log.read_text().splitlines()]
    kept = [r["kind"] for r in records if r["kind"] not in ("session", "prediction", "status")]
    assert kept == ["pause", "resume", "speed", "speed", "seek", "acknowledge", "mute", "stop", "ended"]
    (seek,) = [r["sample"] for r in records if r["kind"] == "seek"]
    before = [r["last_sample"] for r in records if r["kind"] == "prediction" and r["last_sample"] < seek]
    assert len(before) > 8
    assert set(np.diff(before)) == {64}  # one grid, through pause and speeds


@pytest.mark.lsl
def test_a_bad_port_is_a_usage_error(tmp_path):
    write_random_bundle(tmp_path / "bundle", Signal(256.0, ("C3", "Cz")))
    command = [*BCI, "run", "--stream", "none", "--model", tmp_path / "bundle", "--engine", "eager"]
    done = subprocess.run([*command, "--control", "70000"], capture_output=True, text=True, timeout=180)
    assert done.returncode == 2
    assert "bci: error: --control needs a port from 0 (any free one) to 65535, got 70000." in done.stderr

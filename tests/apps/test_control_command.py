"""`bci control`: each command reaches a real server, and what goes wrong is one line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading

import pytest

from apps import cli
from bci.control import Command, ControlServer, Number
from bci.control_client import send_command
from bci.errors import BciError


@pytest.fixture
def server():
    said = []

    def note(name):
        return lambda *values: said.append((name, *values))

    commands = {name: Command(note(name)) for name in ("acknowledge", "stop", "pause", "resume")}
    commands |= {
        "mute": Command(note("mute"), Number("seconds", 0.0, 60.0)),
        "seek": Command(note("seek"), Number("seconds", 0.0, 1e9)),
        "speed": Command(note("speed"), Number("x", 0.001, 1000.0)),
    }
    with ControlServer(commands, 0) as server:
        server.said = said
        yield server


def ask(server, *words):
    return cli.main(["control", str(server.port), *words, "--token", server.token])


@pytest.mark.parametrize(
    ("words", "obeyed"),
    [
        (["acknowledge"], ("acknowledge",)),
        (["ack"], ("acknowledge",)),
        (["mute", "30"], ("mute", 30.0)),
        (["stop"], ("stop",)),
        (["pause"], ("pause",)),
        (["resume"], ("resume",)),
        (["seek", "12.5"], ("seek", 12.5)),
        (["speed", "4"], ("speed", 4.0)),
    ],
)
def test_a_command_is_obeyed_and_the_answer_printed(server, words, obeyed, capsys):
    assert ask(server, *words) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"ok": True}, "")
    assert server.said == [obeyed]


def test_the_token_can_come_from_a_file_or_the_environment(server, tmp_path, monkeypatch):
    """Not from the command line, where every user of the machine can read it."""
    alone, printed = tmp_path / "token", tmp_path / "out"
    alone.write_text(f"{server.token}\n")
    printed.write_text(f"Engine: onnx\n{server.describe()}\nmore\n")
    for file in (alone, printed):
        assert cli.main(["control", str(server.port), "ack", "--token-file", str(file)]) == 0
    monkeypatch.setenv("BCI_CONTROL_TOKEN", server.token)
    assert cli.main(["control", str(server.port), "ack"]) == 0
    assert len(server.said) == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["mute"], 2, "bci control needs mute SECONDS, got mute."),
        (["stop", "3"], 2, "bci control needs stop without a number, got stop 3."),
        (["fly"], 2, "invalid choice: 'fly'"),
        (["seek", "soon"], 2, "invalid float value: 'soon'"),
        (["mute", "61"], 1, "mute needs seconds as a number from 0 to 60, got 61.0."),
        (["seek", "-1"], 1, "seek needs seconds as a number from 0 to 1e+09, got -1.0."),
        (["speed", "nan"], 1, "speed needs x as a number from 0.001 to 1000, got NaN."),
    ],
)
def test_what_is_refused_is_one_line(server, words, code, message, capsys):
    assert ask(server, *words) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert server.said == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "needs the token that --control printed, got none. Pass --token, --token-file or set BCI_CONTROL_TOKEN"),
        (["--token-file", "nowhere"], "--token-file needs a file that can be read, got nowhere: No such file"),
        (["--token-file", "empty"], "--token-file needs a file with the token, got an empty one"),
        (["--token", "a", "--token-file", "b"], "not allowed with argument --token"),
    ],
)
def test_a_missing_token(options, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BCI_CONTROL_TOKEN", raising=False)
    (tmp_path / "empty").write_text(" \n")
    assert cli.main(["control", "40000", "stop", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_wrong_token(server, capsys):
    assert cli.main(["control", str(server.port), "stop", "--token", "guess"]) == 1
    assert (
        "The command was refused: Control needs the token printed at start, got another or none"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_a_port_that_is_none(port, capsys):
    assert cli.main(["control", port, "stop", "--token", "x"]) == 2
    assert f"bci control needs a port from 1 to 65535, got {port}." in capsys.readouterr().err


def test_nobody_listens(capsys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert cli.main(["control", str(port), "stop", "--token", "x"]) == 1
    err = capsys.readouterr().err
    assert f"needs a session or replay that listens on port {port} of this machine" in err
    assert "Connection refused" in err


class Impostor:
    """A server that reads a line and gives the answer that it was told."""

    def __init__(self, answer):
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.port = self._listener.getsockname()[1]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            lines.readline()
            if self._answer is None:
                self._done.wait(20)
            else:
                connection.sendall(self._answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "Something else than bci listens on port"),
        (b"", "Something else than bci listens on port"),
        (b"[1]\n", "Something else than bci listens on port"),
        (b'{"ok": "yes"}\n', "no reason"),
        (
            b'{"ok": false, "error": "\\u001b[2J\\u202egone"}\n',
            "^The command was refused: \N{REPLACEMENT CHARACTER}.2J\N{REPLACEMENT CHARACTER}gone$",
        ),
        (b'{"ok": false, "error": ["no", 1]}\n', r"\['no', 1\]"),
        (b'{"ok": false, "error": "' + b"x" * 5000 + b'"}\n', "^The command was refused: x{499}…$"),
        (b"x" * 200_000, "Something else than bci listens on port"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_answers_otherwise_is_not_trusted(answer, message):
    with Impostor(answer) as impostor, pytest.raises(BciError, match=message):
        send_command(impostor.port, "token", "stop")


def test_a_server_that_does_not_answer_is_not_waited_for_long():
    with Impostor(None) as impostor, pytest.raises(BciError, match="timed out"):
        send_command(impostor.port, "token", "stop", timeout_s=0.1)


@pytest.mark.lsl
def test_a_replay_obeys_from_the_shell(tmp_path, monkeypatch):
    """Two processes, as a user has them: the token is read from what the first one printed."""
    import mne
    import numpy as np

    info = mne.create_info(["C3", "C4"], 100.0, "eeg")
    recording = tmp_path / "noise_raw.fif"
    mne.io.RawArray(np.zeros((2, 6000)), info, verbose="error").save(recording, verbose="error")
    printed = tmp_path / "out"
    command = [sys.executable, "-m", "apps", "replay", str(recording), "--name", "controlled", "--control", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as replay:
        try:
            line = next(line for line in replay.stdout if line.startswith("control: "))
            printed.write_text(line)
            port = line.split()[1].rpartition(":")[2]
            assert cli.main(["control", port, "pause", "--token-file", str(printed)]) == 0
            assert cli.main(["control", port, "stop", "--token-file", str(printed)]) == 0
            assert replay.wait(30) == 0
        finally:
            replay.kill()

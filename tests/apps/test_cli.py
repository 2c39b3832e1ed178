"""The command line: one line for each error, exit codes, options on either side of the subcommand."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import types

import pytest

import apps.cli
from apps.cli import guarded, main
from apps.signals import sigterm_interrupts
from bci.errors import RecordingError, UsageError


@pytest.fixture
def probe(monkeypatch):
    """Return a subcommand `probe` whose run can be replaced."""
    module = types.ModuleType("probe_command")
    module.add_arguments = lambda parser: parser.add_argument("--rate-hz", type=float, help="a number")
    module.run = lambda args: 0
    monkeypatch.setitem(sys.modules, "probe_command", module)
    monkeypatch.setattr(
        apps.cli,
        "COMMANDS",
        {"probe": ("probe_command", "ask the command line"), "other": ("not.there", "never loaded")},
    )
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)  # the root logger belongs to pytest
    return module


def raising(error):
    """Return a run that raises `error`."""

    def run(args):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("Name one stream."), 2, "bci: error: Name one stream.\n"),
        (RecordingError("No samples\nin a.fif."), 1, "bci: error: No samples in a.fif.\n"),
        (KeyboardInterrupt(), 130, "bci: interrupted\n"),
        (
            ZeroDivisionError("x"),
            1,
            "bci: error: unexpected ZeroDivisionError: x (run again with --debug for the traceback)\n",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_one_line_and_an_exit_code(probe, capsys, error, code, line):
    probe.run = raising(error)
    assert main(["probe"]) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("argv", [["--debug", "probe"], ["probe", "--debug"]], ids=" ".join)
def test_debug_shows_the_traceback_wherever_it_stands(probe, capsys, argv):
    probe.run = raising(RecordingError("No samples."))
    assert main(argv) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("bci: error: No samples.\n")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "required: COMMAND"),
        (["prob"], "invalid choice: 'prob'"),
        (["probe", "--rate-hz", "fast"], "bci probe: error: argument --rate-hz: invalid float value: 'fast'"),
        (["probe", "--rate", "1"], "unrecognized arguments: --rate 1"),
    ],
    ids=str,
)
def test_wrong_usage_is_one_line_and_code_2(probe, capsys, argv, words):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert "--help" in err
    assert (out, err.count("\n")) == ("", 1)


def test_help_and_version_succeed(probe, capsys):
    assert main(["--help"]) == 0
    assert "never loaded" in capsys.readouterr().out
    assert main(["probe", "--help"]) == 0
    assert "ask the command line" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bci ")


def test_the_code_of_run_is_the_exit_code(probe):
    probe.run = lambda args: 0 if args.rate_hz == 5 else 1
    assert main(["-v", "probe", "--rate-hz", "5"]) == 0
    assert main(["probe", "-v", "--rate-hz", "6"]) == 1


@pytest.mark.parametrize(
    ("argv", "level"),
    [(["probe"], "WARNING"), (["probe", "-v"], "INFO"), (["-v", "probe"], "INFO"), (["probe", "-vvv"], "DEBUG")],
    ids=str,
)
def test_verbose_sets_the_level(probe, monkeypatch, argv, level):
    levels = []
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: levels.append(settings["level"]))
    main(argv)
    assert [logging.getLevelName(value) for value in levels] == [level]


def test_a_signal_before_anything_has_begun_interrupts(probe, capsys):
    """systemd sends SIGTERM, also to a session that still loads its model."""

    def run(args):
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(20.0)
        return 0

    probe.run = run
    before = signal.getsignal(signal.SIGTERM)
    assert main(["probe"]) == 130
    assert capsys.readouterr().err == "bci: interrupted\n"
    assert signal.getsignal(signal.SIGTERM) == before == signal.SIG_DFL


def test_a_handler_that_is_there_stays():
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    try:
        with sigterm_interrupts():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert asked == [True]


def test_guarded_needs_no_common_options(probe, capsys):
    """Other programs share it."""
    assert guarded(raising(UsageError("No such task.")), argparse.Namespace(), "bci-train") == 2
    assert capsys.readouterr().err == "bci-train: error: No such task.\n"


def test_a_reader_that_goes_away_ends_it_quietly():
    """`bci … | head -1` prints no complaint."""
    program = (
        "import argparse, sys\nfrom apps.cli import guarded\n"
        "def run(args):\n    for _ in range(100_000):\n        print('line')\n    return 0\n"
        "sys.exit(guarded(run, argparse.Namespace(), 'bci'))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141


def test_python_m_apps_is_bci():
    ended = subprocess.run([sys.executable, "-m", "apps", "--help"], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("usage: bci ")

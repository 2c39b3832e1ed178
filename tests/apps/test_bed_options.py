"""What the options of one stream mean for several: a name of its own for every output, or a refusal in one line."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from apps.bed_options import check_beds, options_of, plain
from apps.bed_view import BedsView, ending, print_beds
from apps.cli import main
from apps.commands.run import add_arguments
from bci.alarm import QUIET
from bci.decision import State
from bci.telemetry import Telemetry


def options(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--model", "m", *words])


TWO = ("--stream", "a", "--stream", "b")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*TWO, "--all-streams", "EEG"), "--all-streams finds the streams itself, got --stream too. Leave one of"),
        ((*TWO, "--board", "synthetic"), "Several streams are read over LSL, got --board too. Run the board by itself"),
        ((*TWO, "--stream", "a"), "Every --stream needs to be another one, got 'a' twice. Leave one out"),
        ((*TWO, "--log", "x.jsonl"), "With several streams --log needs {stream} in its name, got x.jsonl"),
        ((*TWO, "--record", "in/here"), "For example: --record 'in/here/{stream}'"),
        ((*TWO, "--out", "pred"), "--out needs {stream} in its name, got pred. For example: --out '{stream}-pred'"),
        ((*TWO, "--mqtt", "host/bci"), "--mqtt needs {stream} in its name, got host/bci"),
        (
            (*TWO, "--control", "7000", "--http", "7001"),
            "take 2 ports each, counted up from the one that is given, got",
        ),
    ],
)
def test_what_cannot_hold_for_several_streams_is_refused(words, message, capsys):
    assert main(["run", "--model", "m", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_every_stream_has_files_and_ports_of_its_own():
    args = options(*TWO, "--log", "d/{stream}.jsonl", "--osc", "h:1/{stream}", "--control", "7000", "--http", "0")
    check_beds(args)
    first, third = options_of(args, "../a b", 0), options_of(args, "c", 2)
    assert (first.log, third.log) == (Path("d/_a_b.jsonl"), Path("d/c.jsonl"))
    assert (first.osc, first.control, first.http, third.control, third.http) == ("h:1/_a_b", 7000, 0, 7002, 0)
    assert args.log == Path("d/{stream}.jsonl")
    assert third.events is None
    for control, http in ((7002, 7000), (7000, 7002), (7000, None)):
        check_beds(options(*TWO, "--control", str(control), *(("--http", str(http)) if http else ())))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("../../etc", "_.._etc"), (".hidden", "hidden"), ("a\x1b[2J", "a_2J"), ("", "stream"), ("é-1.x", "é-1.x")],
)
def test_a_name_from_outside_leads_nowhere(name, wanted):
    assert plain(name) == wanted
    assert len(plain("x" * 500)) == 80


def bed(name, *, error="", summary=None, n_windows=0):
    telemetry = Telemetry()
    telemetry.count("samples", 640)
    telemetry.count("predictions", n_windows)
    for _ in range(n_windows):
        telemetry.time("total", 0.004)
    output = SimpleNamespace(prediction=SimpleNamespace(level=0.25, quality=1.0)) if n_windows else None
    alarms = SimpleNamespace(state=State.ALARM, flags=QUIET, mute_left_s=0.0)
    session = SimpleNamespace(telemetry=telemetry, newest=output, alarms=alarms)
    return SimpleNamespace(name=name, session=session, error=error, summary=summary)


def shown(picture):
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(picture)
    return console.file.getvalue()


def test_the_view_has_a_line_for_each_bed():
    ended = SimpleNamespace(ended="duration")
    beds = [
        bed("one", n_windows=7),
        bed("wait\x1b[ing]"),
        bed("bro[ken]", error="No stream."),
        bed("done", summary=ended, n_windows=3),
    ]
    beds += [bed(f"more {i}") for i in range(50)]
    text = shown(BedsView(SimpleNamespace(all=beds), "tiny", "seizure").picture())
    one = next(line for line in text.splitlines() if "one" in line and "4.0" in line)
    assert "■ ALARM" in one
    assert "0.250" in one
    assert "waiting… 640 samples" in text
    assert "\x1b" not in text
    assert "bro[ken]" in text
    assert "No stream." in text
    assert "duration" in text
    assert "and 14 more" in text


def test_the_end_is_told_in_a_line_and_in_a_table():
    ended = bed("one", summary=SimpleNamespace(ended="end of stream"), n_windows=7)
    failed = bed("two", error="It is\ngone.")
    assert ending(ended) == "one: ended: end of stream."
    assert ending(failed) == "two: error: It is gone."
    console = Console(file=io.StringIO(), width=160, color_system=None)
    print_beds([ended, failed], {1: 3, 4: 2}, console)
    text = console.file.getvalue()
    assert "end of stream" in text
    assert "Engine: 11 windows in 5 calls, 2.20 a call, at most 4." in text

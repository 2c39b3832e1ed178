"""`bci boards`, and `bci run --board`: what is asked for, what is refused, and a session on BrainFlow's own board."""

from __future__ import annotations

import argparse
import json

import pytest

from apps.board_options import add_input_options, build_input
from apps.cli import main
from bci.errors import UsageError
from bci.sources.brainflow_settings import OPTIONS
from bci.sources.brainflow_source import BrainFlowSource
from bci.sources.lsl_source import LslSource
from tests.bci.brainflow_files import SIGNAL, pipeline
from tests.bundles import write_random_bundle


def chosen(*words):
    parser = argparse.ArgumentParser()
    add_input_options(parser)
    return build_input(parser.parse_args(words))


def test_boards_as_json(capsys):
    """All boards, with what a script needs to choose one."""
    assert main(["boards", "--json"]) == 0
    listed = {board["name"]: board for board in json.loads(capsys.readouterr().out)}
    assert len(listed) > 60
    cyton = listed["cyton"]
    assert (cyton["n_channels"], cyton["sfreq"], cyton["unit"]) == (8, 250.0, "uV")
    assert (cyton["needs"], cyton["losses"], cyton["named"]) == (["--serial-port"], "counted", True)
    assert listed["ganglion"]["channels"] == ["EEG1", "EEG2", "EEG3", "EEG4"]
    assert (listed["ganglion"]["named"], listed["ganglion"]["losses"]) == (False, "by time")
    assert listed["muse_2"]["bluetooth"]
    assert listed["brainbit"]["battery"]
    assert listed["emotibit"]["n_channels"] == 0


def test_boards_as_a_table(capsys):
    """One line a board, also through a pipe."""
    assert main(["boards"]) == 0
    out, err = capsys.readouterr()
    (line,) = [line for line in out.splitlines() if line.split()[:1] == ["cyton_daisy"]]
    assert line.split()[1:7] == ["2", "16", "125", "Hz", "--serial-port", "counted"]
    assert err == ""


def test_a_stream_or_a_board():
    stream = chosen("--stream", "eeg", "--unit", "uV")
    assert (stream.name, type(stream.source), stream.watches) == ("eeg", LslSource, ())
    board = chosen("--board", "Cyton", "--serial-port", "COM3")
    assert (board.name, type(board.source)) == ("cyton", BrainFlowSource)
    assert board.watches == (board.source.events,)


def test_every_way_to_connect_is_an_option():
    """The library's names and the command line's are the same ones."""
    parser = argparse.ArgumentParser()
    add_input_options(parser)
    options = {action.dest: action.option_strings[0] for action in parser._actions}
    assert OPTIONS.items() <= options.items()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), r"Exactly one of --stream and --board is needed, got neither"),
        (("--stream", "a", "--board", "cyton"), r"Exactly one of --stream and --board is needed, got both"),
        (("--stream", "a", "--mac", "x"), r"--mac can only go with --board, got --stream"),
        (("--stream", "a", "--channel-names", "x"), r"--channel-names can only go with --board"),
        (("--board", "synthetic", "--unit", "V"), r"--unit can only go with --stream, got --unit V\. EEG of a board"),
    ],
)
def test_options_that_do_not_fit_each_other(words, message):
    with pytest.raises(UsageError, match=message):
        chosen(*words)


def test_an_unknown_board_is_wrong_usage(capsys):
    assert main(["run", "--model", "seizure-demo", "--board", "cytn"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "Did you mean cyton" in err


@pytest.mark.lsl
def test_a_session_on_a_board(tmp_path, capsys):
    """From the board to the log, under the name of the board."""
    write_random_bundle(tmp_path / "random", SIGNAL, pipeline())
    log = tmp_path / "log.jsonl"
    words = ["run", "--board", "synthetic", "--model", str(tmp_path / "random"), "--duration", "2.2", "--no-view"]
    assert main([*words, "--engine", "eager", "--log", str(log)]) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert (lines[0]["stream"], lines[0]["name"]) == ("synthetic", "synthetic-pred")
    assert sum(line["kind"] == "prediction" for line in lines) >= 2
    assert [line["board"] for line in lines if line["kind"] == "battery"] == ["synthetic"]
    assert not [line for line in lines if line["kind"] in ("gap", "lost", "clock_jump")]
    assert lines[-1]["reason"] == "duration"
    assert "pkg_resources" not in capsys.readouterr().err

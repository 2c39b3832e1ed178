"""`bci monitor` without a window: options, control, children, what fits what, the table of a session."""

from __future__ import annotations

import csv
import importlib.util
import math
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from apps import cli
from apps.commands import monitor
from apps.monitor.catalogue import BundleChoice, StreamChoice, bundle_choice, find_bundles, fits, look, stream_choice
from apps.monitor.controls import MAX_WAITING, Controls, Endpoint
from apps.monitor.decoder_process import DecoderProcess
from apps.monitor.export import write_summary
from apps.monitor.options import Start
from bci.bundle import SHIPPED
from bci.control import Command, ControlServer, Number
from bci.errors import BciError, UsageError
from bci.sources.lsl_discovery import Found
from bci.stages.montages import TEN_TWENTY_19
from tests.apps.monitor_feeding import Clock, predict, running, say, status
from tests.bci.lsl_tools import outlet

TIMEOUT_S = 60.0


def wait_for(condition):
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    return found


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--demo", "--stream", "x"], "--demo needs no --stream, --predictions or --model, got one"),
        (["--model", "seizure-demo"], "--model needs --stream NAME, which bci run is to decode, got none"),
        (["--stream", "x", "--after", "0"], "--after must be above 0 s, got 0"),
        (["--stream", "x", "--control", "0"], "--control needs a port from 1 to 65535, got 0"),
        (["--stream", "x", "--replay-control", "70000"], "--replay-control needs a port from 1 to 65535, got 70000"),
        (["--stream", "x", "--screenshot", "/nowhere/a.png"], "--screenshot needs a file in a folder that can be"),
        (["--theme", "pink"], "invalid choice: 'pink'"),
        (["--bundles", "/nowhere"], "--bundles needs a folder, got /nowhere."),
    ],
)
def test_wrong_options_are_one_line(argv, message, capsys):
    assert cli.main(["monitor", *argv]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_screenshot_that_is_there_is_kept(tmp_path, capsys):
    file = tmp_path / "a.png"
    file.write_text("old")
    assert cli.main(["monitor", "--stream", "x", "--screenshot", str(file)]) == 2
    assert "needs a file that does not exist yet" in capsys.readouterr().err
    assert file.read_text() == "old"


def test_without_qt_one_line_says_what_to_install(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "PySide6" else found(name))
    assert cli.main(["monitor", "--stream", "x"]) == 1
    said = capsys.readouterr().err
    assert "bci monitor needs PySide6 and pyqtgraph, got no PySide6. Install them with: pip install" in said
    assert said.count("\n") == 1


def test_without_a_screen_one_line_says_what_to_do(monkeypatch, capsys):
    for name in monitor.SCREENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert cli.main(["monitor", "--demo"]) == 1
    said = capsys.readouterr().err
    assert "bci monitor needs a screen, got neither DISPLAY nor WAYLAND_DISPLAY. Start it on a desktop" in said
    assert said.count("\n") == 1


def test_the_parts_without_a_window_need_no_qt():
    code = (
        "import sys; import apps.commands.monitor, apps.monitor.model, apps.monitor.feed, apps.monitor.export, "
        "apps.monitor.catalogue, apps.monitor.controls, apps.monitor.decoder_process\n"
        "print([m for m in ('PySide6', 'pyqtgraph', 'torch', 'mne') if m in sys.modules])"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout == "[]\n"


def test_a_mel_model_publishes_features_and_its_signal():
    assert monitor.publishable(SHIPPED / "seizure-demo") == "signal,features"


# --- control --------------------------------------------------------------------------------------------------------


def test_commands_reach_the_session_and_the_replay():
    heard = []
    mute = Command(lambda s: heard.append(("mute", s)), Number("seconds", 0.0, 100.0))
    session = {"acknowledge": Command(lambda: heard.append("acknowledge")), "mute": mute}
    replay = {
        "pause": Command(lambda: heard.append("pause")),
        "resume": Command(lambda: heard.append("resume")),
        "seek": Command(lambda s: heard.append(("seek", s)), Number("seconds", 0.0, 100.0)),
        "speed": Command(lambda x: heard.append(("speed", x)), Number("x", 0.1, 10.0)),
    }
    with ControlServer(session, 0) as one, ControlServer(replay, 0) as other:
        controls = Controls()
        assert (controls.can_control, controls.can_replay) == (False, False)
        controls.connect(Endpoint(one.port, one.token), Endpoint(other.port, other.token))
        assert (controls.can_control, controls.can_replay) == (True, True)
        controls.acknowledge()
        controls.mute(60)
        controls.mute(1000)
        controls.pause()
        controls.seek(3)
        controls.speed(2)
        controls.resume()
        said: list[str] = []
        wait_for(lambda: said.extend(controls.answers()) or len(said) == 7)
        controls.close()
        controls.close()
    assert heard == ["acknowledge", ("mute", 60.0), "pause", ("seek", 3.0), ("speed", 2.0), "resume"]
    assert said[0] == "acknowledge: accepted"
    assert said[1] == "mute 60: accepted"
    assert said[2].startswith("mute: The command was refused")


def test_nobody_to_command_is_said():
    controls = Controls(Endpoint(1, "x"))
    controls.acknowledge()
    controls.pause()
    said: list[str] = []
    wait_for(lambda: said.extend(controls.answers()) or len(said) == 2)
    assert sorted(said)[1] == "pause needs a control port, got none. Start with --replay-control PORT."
    assert sorted(said)[0].startswith("acknowledge: Control needs a session or replay that listens on port 1")
    for _ in range(100):
        controls.acknowledge()
    assert len(controls.answers()) <= MAX_WAITING
    controls.close()


# --- children ---------------------------------------------------------------------------------------------------------


def test_a_session_that_cannot_start_is_said():
    ended = []
    child = DecoderProcess(["--stream", "x", "--model", "no-such-bundle", "--out", "y"], ended.append)
    try:
        said = wait_for(child.ended)
    finally:
        child.close()
    assert "There is no bundle 'no-such-bundle'" in said
    assert ended == []


@pytest.mark.lsl
def test_a_session_is_started_reached_and_ended_in_order():
    """Its control port is found in what it prints; with the block it is gone."""
    kept = outlet("child-eeg", TEN_TWENTY_19, ("uV",) * 19, 256.0)
    arguments = ["--stream", "child-eeg", "--model", "seizure-demo", "--publish", "signal", "--engine", "eager"]
    with monitor.watching(Start("child-eeg", "", None), [*arguments, "--timeout", "30"]) as watched:
        wait_for(lambda: watched.controls.can_control)
        wait_for(lambda: kept.push_chunk(np.zeros((32, 19), np.float32)) or connected(watched))
        watched.controls.mute(5)
        assert wait_for(watched.controls.answers) == ["mute 5: accepted"]
    process = watched.feed._ended.__self__._process
    assert process.returncode == 0
    assert watched.feed._ended() == "its stream has ended."


def connected(watched):
    watched.feed.pump(watched.model)
    return watched.model.snapshot(1.0).streams.get("events") == "connected"


# --- what fits what ---------------------------------------------------------------------------------------------------


def stream(labels=TEN_TWENTY_19, unit="uV", sfreq=256.0, what="signal"):
    return StreamChoice("eeg", what, "", tuple(labels), (unit,) * len(labels), sfreq)


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        (stream(), ""),
        (stream((*TEN_TWENTY_19, "extra"), unit="mV"), ""),
        (stream(sfreq=250.0), "The model needs 256 Hz, the stream has 250 Hz"),
        (stream(TEN_TWENTY_19[1:]), "The model needs channels that the stream lacks: Fp1"),
        (stream(unit="g"), "The stream has no channel in uV"),
        (stream(("a", "a")), "The stream does not name its channels"),
        (stream(()), "The stream does not name its channels"),
        (stream(what="predictions"), "This is no signal."),
    ],
)
def test_what_fits_the_shipped_model(choice, why):
    (shipped,) = [bundle for bundle in find_bundles() if bundle.name == "seizure-demo"]
    said = fits(choice, shipped)
    assert said.startswith(why)
    assert (said == "") == (why == "")


def test_a_bundle_that_is_damaged_says_so(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{}")
    (tmp_path / "no bundle").mkdir()
    shutil.copytree(SHIPPED / "seizure-demo", tmp_path / "a run" / "bundle")
    *_, damaged, trained = find_bundles((tmp_path, tmp_path / "gone"))
    assert (trained.name, trained.path) == ("seizure-demo", tmp_path / "a run" / "bundle")
    assert fits(stream(), trained) == ""
    assert (damaged.name, damaged.signal) == ("broken", None)
    assert damaged.text.startswith("cannot be used: ")
    assert fits(stream(), damaged) == damaged.text
    assert bundle_choice(SHIPPED / "seizure-demo").text == "background, seizure; needs 19 channels at 256 Hz"


def test_streams_are_told_apart():
    kinds = {"Predictions": 0.0, "EEG": 256.0, "Markers": 0.0}
    found = [Found("n", kind, "id", "host", "float32", 5, sfreq) for kind, sfreq in kinds.items()]
    assert [stream_choice(one).what for one in found] == ["predictions", "signal", "other"]
    assert stream_choice(found[1]).text == "EEG, 5 channels, 256 Hz, host"


@pytest.mark.lsl
def test_the_catalogue_lists_what_is_on_the_network():
    kept = outlet("catalogued", TEN_TWENTY_19, ("uV",) * 19, 256.0)
    catalogue = look(0.5)
    (found,) = [one for one in catalogue.streams if one.name == "catalogued"]
    (shipped,) = [one for one in catalogue.bundles if isinstance(one, BundleChoice) and one.name == "seizure-demo"]
    assert fits(found, shipped) == ""
    del kept


# --- the table of a session -------------------------------------------------------------------------------------------


def test_the_summary_is_a_table_of_what_was_shown(tmp_path):
    clock = Clock()
    model = running(clock, bundle="=cmd()")
    predict(model, clock, n=3)
    say(model, clock, "alarm_on", level=0.9, quality=1.0, last_sample=1, muted=False)
    predict(model, clock, p=math.nan, state=4)
    say(model, clock, "odd", text='+1,"2"')
    status(model, clock, bad_channels=["F3"], dropped=2, rate=math.pi)
    path = tmp_path / "summary.csv"
    model.wall_offset_s = 1e9
    snapshot = model.snapshot(clock.now_s)
    write_summary(path, snapshot)
    write_summary(path, snapshot)
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    table = {(row["section"], row["name"]): row for row in rows}
    assert table["session", "bundle"]["value"] == "'=cmd()"
    assert table["session", "written"]["utc"] == "2001-09-09T02:03:21.000+00:00"
    assert table["health", "dropped"]["value"] == "2"
    assert table["health", "rate"]["value"] == "3.14159"
    assert table["bad channel", "F3"]["value"].startswith("bad")
    assert table["event", "alarm_on"]["lsl_s"] == "1000.750000"
    assert table["event count", "alarm_on"]["value"] == "1"
    assert sum(row["section"] == "probability" for row in rows) == 6
    assert list(tmp_path.iterdir()) == [path]


def test_the_summary_has_all_that_is_kept_whatever_the_window_shows(tmp_path):
    clock = Clock()
    model = running(clock)
    model.curve_span_s = 60.0
    say(model, clock, "alarm_on", level=0.9, quality=1.0, last_sample=1, muted=False)
    predict(model, clock, n=3)
    say(model, clock, "alarm_off", level=0.1, quality=1.0, last_sample=2, reason="cleared")
    predict(model, clock, n=3000)
    path = tmp_path / "summary.csv"
    write_summary(path, model.whole(clock.now_s))
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert sum(row["section"] == "probability" for row in rows) == 2 * 3003
    assert [row["name"] for row in rows if row["section"] == "alarm"] == ["begin", "end"]
    assert model.snapshot(clock.now_s).curves.alarms == ()


def test_a_summary_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"The summary needs a file in a folder that can be written, got .*: No such"):
        write_summary(tmp_path / "no" / "a.csv", running(Clock()).snapshot(0.0))
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="The summary needs a file in a folder that can be written"):
        write_summary(Path(tmp_path / "folder"), running(Clock()).snapshot(0.0))
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_missing_packages_are_an_error_of_this_toolkit(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BciError, match=r"needs PySide6 and pyqtgraph, got no PySide6 and no pyqtgraph\."):
        monitor.check_qt()

"""Whatever streams send, the window stays up, shows it as plain text, and says FAULT and why."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel

from apps.monitor.described import Described
from apps.monitor.widgets.labels import plain_tip, span, wall_text
from bci.errors import UsageError
from tests.monitor_pixels import argb, pixels_of
from tests.monitor_scenes import HOP_S, Scene

pytestmark = pytest.mark.qt

MARKUP = "<b>Fz</b><img src='http://127.0.0.1/x'>&amp;"


def look(window, scene, seconds=0.6):
    """Let time go on, and have everything drawn."""
    scene.clock.now_s += seconds
    window.tick()
    QApplication.processEvents()
    return window.grab()


STATES = ("SETTLING", "OK", "WARNING", "ALARM", "FAULT")
SHAPES = ("dot", "check", "triangle", "square", "cross")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_each_state_has_a_word_a_shape_and_a_colour(open_window, scene, tmp_path, theme):
    scene.connect()
    window = open_window(scene, theme=theme)
    sign = window.state.sign
    for state, (word, shape) in enumerate(zip(STATES, SHAPES, strict=True)):
        scene.play(1, state)
        assert look(window, scene, 0.1).save(str(tmp_path / f"{word}-{theme}.png"))
        assert (sign.word, window.snapshot.state.shape) == (word, shape)
        assert word in sign.accessibleName()
        paint = window.theme.states[word.lower()]
        pixels = pixels_of(sign)
        assert {argb(paint.ink), argb(paint.fill)} <= set(pixels[len(pixels) // 2].tolist())
        rows = np.flatnonzero((pixels == argb(paint.ink)).any(axis=1))
        assert rows[-1] - rows[0] >= 44  # 12 mm on a screen of 96 dots an inch: 13 minutes of arc at three metres


def test_a_stream_that_vanishes_is_a_fault_and_says_why_until_it_returns(window, scene, tmp_path):
    scene.model.on_stream("predictions", None, "its sender has gone away.")
    assert look(window, scene).save(str(tmp_path / "gone.png"))
    assert window.state.sign.word == "FAULT"
    assert "gone away" in window.state.reasons.text()
    scene.connect()
    scene.play(2)
    look(window, scene, 0.1)
    assert window.state.sign.word == "OK"
    assert window.state.reasons.text() == ""


def test_pictures_say_when_nothing_new_comes_though_predictions_do(window, scene):
    look(window, scene, 0.1)
    assert window.traces.canvas.banner == ""
    for _ in range(5):
        scene.clock.now_s += 1.0
        scene.model.on_prediction(np.array([[0.9, 0.1, 1.0, 1, 0.8]], np.float32), np.array([scene.clock.now_s]))
        scene.status()
    look(window, scene, 0.1)
    assert window.state.sign.word == "OK"
    assert window.traces.canvas.banner.startswith("NOT LIVE — nothing new for 5 s")
    assert window.spectrogram.note.text().startswith("NOT LIVE")
    scene.play(1)
    look(window, scene, 0.1)
    assert window.traces.canvas.banner == ""
    assert window.spectrogram.note.text().startswith("outlined")


def test_a_lost_signal_is_a_fault_and_says_why(window, scene):
    scene.event("lost", reason="no samples for 5 s")
    look(window, scene)
    assert window.state.sign.word == "FAULT"
    assert "no samples for 5 s" in window.state.reasons.text()


def test_the_channel_count_may_change_while_it_is_shown(window, scene):
    scene.names = ("C3", "C4", "Cz")
    scene.connect()
    scene.play(2)
    look(window, scene)
    assert window.traces.names._names == ("C3", "Cz", "C4") or set(window.traces.names._names) == {"C3", "C4", "Cz"}
    assert "C3" in window.spectrogram.panel.choices
    scene.model.on_signal(np.zeros((19, 10), np.float32), scene.clock.now_s + np.arange(10) / 256)  # of the old stream
    look(window, scene)
    many = tuple(f"MEG{i:04d}" for i in range(306))
    scene.names = many
    scene.connect_signal("signal")
    scene.signal(scene.noise(512))
    look(window, scene)
    assert window.traces.names._names == many
    assert window.traces.names.tip_at(window.traces.names.height() - 1) == many[-1]


def test_any_value_is_drawn(window, scene):
    """Numbers that are none or far too large are shown somehow, and what comes after them as ever."""
    window.focus_panel("maps")
    for value in (math.nan, math.inf, -math.inf, 1e6, -1e6, 3e38):
        data = scene.noise(256)
        data[3:6] = value
        data[10, 50] = value
        scene.signal(data)
        features = scene.features(4, 10.0, 15.0)
        features[5:40] = value
        scene.model.on_features(features, scene.clock.now_s + np.arange(4) / 16)
        row = np.array([[value, value, value, 1, value]], np.float32)
        scene.model.on_prediction(row, np.array([scene.clock.now_s]))
        scene.status(latency={"total": {"p50_ms": value, "p99_ms": value, "max_ms": value}}, rate=value, dropped=value)
        look(window, scene)
        for name in ("montage", "source"):
            window.actions_by_name[name].trigger()
            look(window, scene)
    window.focus_panel("health")
    scene.play(1)
    look(window, scene, 0.1)
    assert window.state.sign.word == "OK"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_output_that_is_no_number_is_a_fault_even_if_the_session_calls_it_ok(window, scene, value):
    """Never while an alarm runs: that is not hidden."""
    scene.model.on_prediction(np.array([[value, value, 1, 1, 1]], np.float32), np.array([scene.clock.now_s]))
    look(window, scene, 0.1)
    assert window.state.sign.word == "FAULT"
    assert "no number" in window.state.reasons.text()
    scene.model.on_prediction(np.array([[value, value, 1, 3, 1]], np.float32), np.array([scene.clock.now_s]))
    look(window, scene, 0.1)
    assert window.state.sign.word == "ALARM"


def test_a_stream_without_a_rate_is_shown(open_window):
    scene = Scene(sfreq=256.0)
    scene.connect()
    irregular = Described("demo-signal", "EEG", scene.names, ("uV",) * 19, sfreq=0.0)
    scene.model.on_stream("signal", irregular)
    window = open_window(scene)
    scene.signal(scene.noise(512))
    look(window, scene)
    assert window.traces.panel.sfreq == 0.0
    assert (window.traces.panel.image != window.traces.panel.image[0, 0]).any()


def test_stamps_that_are_no_times_are_shown_as_such(window, scene):
    window.focus_panel("events")
    for stamp in (math.nan, -1.0, 0.0, 1e300):
        scene.model.on_signal(scene.noise(4), np.full(4, stamp))
        scene.event("gap", t=stamp, n_lost=1, t0=stamp, t1=stamp, filled=False)
        scene.model.on_annotation("text", stamp)
        look(window, scene)
        window.jump(stamp)
        look(window, scene)
    table = window.events.table
    times = {table.data(table.index(i, 0)) for i in range(len(table.rows))}
    assert "–" in times


def test_predictions_and_features_of_no_time_are_left_out(window, scene):
    for stamp in (math.inf, -math.inf, math.nan):
        scene.model.on_prediction(np.array([[0.1, 0.9, 1.0, 1, 0.8]], np.float32), np.array([stamp]))
        scene.model.on_features(scene.features(1, 10.0, 15.0), np.array([stamp]))
        look(window, scene)
    assert np.isfinite(window.snapshot.curves.times).all()
    assert math.isfinite(window.spectrogram.panel.newest_s)


def test_a_monitor_that_fails_says_so_and_never_goes_on_to_say_ok(window, scene, monkeypatch):
    assert window.state.sign.word == "OK"

    def fail(*_):
        raise ArithmeticError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(scene.model, "snapshot", fail)
        with pytest.raises(ArithmeticError, match="a defect"):
            window.tick()
    assert window.state.sign.word == "FAULT"
    assert "monitor itself" in window.state.reasons.text()
    window.tick()
    assert window.state.sign.word == "OK"


def test_five_thousand_events_a_second_do_not_hold_the_window_up(window, scene):
    window.focus_panel("events")
    began = time.perf_counter()
    for burst in range(10):
        for i in range(500):
            scene.event("gap", n_lost=i, t0=1.0, t1=2.0, filled=True)
        scene.play(HOP_S)
        look(window, scene, 0.1 if burst % 5 else 0.6)
    assert len(window.events.table.rows) == 2000
    assert window.events.count.text() == "2000 of 5000 events, 3000 left out"
    assert len(window.traces.canvas.marks) <= 200
    assert time.perf_counter() - began < 10


def test_a_window_of_400_pixels_shows_state_and_traces(open_window, scene, tmp_path):
    scene.connect()
    window = open_window(scene, 400, 700)
    scene.begin_alarm()
    scene.play(2, 3, 0.95)
    assert look(window, scene, 0.1).save(str(tmp_path / "narrow.png"))
    assert window.width() == 400
    assert window.state.isVisible()
    assert window.traces.canvas.isVisible()
    assert not window.health.isVisible()
    assert not window.probabilities.isVisible()
    window.resize(1300, 900)
    QApplication.processEvents()
    look(window, scene, 0.1)
    assert window.probabilities.isVisible()
    scene.event("mute", seconds=1800.0)
    window.resize(330, 380)
    window.say("a line that is far longer than a narrow window is wide, and must not make it wider " * 3)
    look(window, scene, 0.1)
    assert window.width() == 330
    assert window.state.sign.word == "ALARM"


def test_reasons_of_many_lines_leave_the_word_and_the_times_alone(window, scene):
    scene.begin_alarm()
    scene.event("lost", reason="no reason that could be told in a few words " * 20)
    for _ in range(3):
        look(window, scene, 0.1)
    state = window.state
    assert state.sign.geometry().bottom() < state.times.geometry().top()
    assert state.times.geometry().bottom() < state.reasons.geometry().top()
    assert state.reasons.geometry().bottom() < state.mute.geometry().top()
    assert state.sign.height() >= 108
    assert "An alarm is held." in state.reasons.toolTip()


def test_markup_from_streams_stays_text(open_window, scene):
    """No text of a stream is taken for HTML: not in labels, tips, lists, legends or titles."""
    scene.names = (MARKUP, "C3", "C4")
    scene.connect()
    fields = {"classes": f"{MARKUP},b", "alarm_class": MARKUP, "bundle": MARKUP, "stream": MARKUP, "hop_s": "0.25"}
    labels = (MARKUP, "b", "quality", "state", "compute_ms")
    scene.model.on_stream("predictions", Described(MARKUP, "Predictions", labels, fields=fields))
    window = open_window(scene)
    scene.spoil(MARKUP, MARKUP)
    scene.status(engine=MARKUP, precision=MARKUP, latency={MARKUP: {"p50_ms": 1.0, "p99_ms": 1.0, "max_ms": 1.0}})
    scene.event("lost", reason=MARKUP)
    line = json.dumps({"kind": "annotation", "description": MARKUP, "duration": 1})
    scene.model.on_annotation(line, scene.clock.now_s)
    scene.play(1)
    window._controls.said.append(MARKUP)
    window.focus_panel("events")
    look(window, scene)
    assert window.said.text() == MARKUP
    assert MARKUP in window.state.reasons.text()
    assert MARKUP in window.health.bad.text()
    said = [label for label in window.findChildren(QLabel) if "<b>" in label.text()]
    assert len(said) >= 3
    assert all(label.textFormat() == Qt.TextFormat.PlainText for label in said)
    tip = window.traces.names.tip_at(window.traces.names.height() - 1)
    assert tip == f"{MARKUP}: {MARKUP}"
    assert "<b>" not in plain_tip(tip)
    assert "&lt;b&gt;Fz" in plain_tip(tip)
    assert window.probabilities.bar.actions()[0].text() == MARKUP.replace("&", "&&")


def test_texts_of_unknown_numbers():
    assert span(math.nan) == "–"
    assert span(-3.0) == "0 s"
    assert span(125.9) == "2 min 05 s"
    assert span(3700) == "1 h 01 min"
    assert wall_text(math.nan) == wall_text(1e300) == "–"


def test_a_picture_that_cannot_be_written_is_said_and_leaves_nothing(window, scene, tmp_path, monkeypatch):
    from apps.monitor.widgets.picture_file import write_png

    missing = tmp_path / "missing"
    with pytest.raises(UsageError, match=r"A picture needs a file in a folder that can be written, got .*missing"):
        write_png(missing / "x.png", window.grab().toImage())
    folder = tmp_path / "folder.png"
    folder.mkdir()
    assert window.screenshot(folder) is None
    assert "can be written" in window.said.text()
    assert list(tmp_path.iterdir()) == [folder]
    monkeypatch.chdir(tmp_path)
    table = window.export()
    assert table is not None
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".csv"}
    assert table.with_suffix(".png").is_file()

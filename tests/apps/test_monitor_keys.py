"""Everything that the window does, by keyboard and by mouse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QKeySequence, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QToolTip

from apps.monitor.keys import KEYS
from apps.monitor.widgets.keys_dialog import KeysDialog
from tests.monitor_scenes import HOP_S

pytestmark = pytest.mark.qt


def press(window, keys):
    """Press a key as a user does, with the window in front."""
    window.activateWindow()
    QApplication.processEvents()
    QTest.keySequence(window, QKeySequence(keys))
    QApplication.processEvents()


def click(widget):
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def choose(box, text):
    """Choose an item of a combo box by keyboard."""
    box.setFocus()
    at = box.findText(text)
    assert at >= 0, [box.itemText(i) for i in range(box.count())]
    for _ in range(abs(at - box.currentIndex())):
        QTest.keyClick(box, Qt.Key.Key_Down if at > box.currentIndex() else Qt.Key.Key_Up)
    assert box.currentText() == text


def wheel(canvas, turns, modifiers=Qt.KeyboardModifier.NoModifier):
    place = QPointF(canvas.rect().center())
    event = QWheelEvent(
        place, canvas.mapToGlobal(place), QPoint(), QPoint(0, 120 * turns), Qt.MouseButton.NoButton, modifiers,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(canvas, event)


# name of a key → what can be seen of it
SEEN = {
    "hold": lambda w: w.traces.panel.is_held,
    "earlier": lambda w: w.traces.panel.newest_s,
    "later": lambda w: w.traces.panel.newest_s,
    "larger": lambda w: w.traces.panel.scale,
    "smaller": lambda w: w.traces.panel.scale,
    "less_time": lambda w: w.traces.panel.span_s,
    "more_time": lambda w: w.traces.panel.span_s,
    "source": lambda w: w.traces.panel.source,
    "montage": lambda w: w.traces.panel.montage,
    "motion": lambda w: w.traces.canvas.scrolls,
    "spectrogram_next": lambda w: w.spectrogram.panel.choice,
    "spectrogram_fit": lambda w: w.spectrogram.panel.range_db,
    "map_next": lambda w: w.maps.panel.kind,
    "theme": lambda w: w.theme.name,
    "full_screen": lambda w: w.isFullScreen(),
    "first_layout": lambda w: w.docks["state"].isVisible(),
    "next_panel": lambda w: QApplication.focusWidget(),
    "close": lambda w: w.isVisible(),
    "help": lambda w: w.findChild(KeysDialog) is not None,
    "acknowledge": lambda w: list(w._controls.asked),
    "mute": lambda w: list(w._controls.asked),
    "pause": lambda w: list(w._controls.asked),
    "screenshot": lambda w: len(list(Path().glob("*.png"))),
    "export": lambda w: len(list(Path().glob("*.csv"))),
    "recentre": lambda w: float(w.traces.panel._offsets[0]),
} | {
    f"show_{name}": (lambda w, name=name: w.docks[name].isAncestorOf(QApplication.focusWidget()))
    for name in ("state", "probabilities", "spectrogram", "health", "maps", "events", "replay")
}


def test_every_key_does_something(window, scene, tmp_path, monkeypatch):
    """Each key of the table changes what it says it changes; together, since a window costs half a second."""
    monkeypatch.chdir(tmp_path)
    scene.begin_alarm()
    scene.play(HOP_S, 3, 0.95)
    window.traces.choose_source("raw")
    scene.signal(scene.noise(512) + 500)
    window.tick()
    window.traces.setFocus()
    order = sorted(KEYS, key=lambda key: (key.name == "close", key.name == "help", not key.name.startswith("recentre")))
    for key in order:
        for keys in key.keys:
            window.traces.span.setFocus()
            if key.name == "first_layout":
                window.docks["state"].close()
            before = SEEN[key.name](window)
            press(window, keys)
            window.tick()
            assert SEEN[key.name](window) != before, key
            if key.name == "hold":
                press(window, keys)
            if key.name == "help":
                QTest.keyClick(window.findChild(KeysDialog), Qt.Key.Key_Escape)
            if key.name == "full_screen":
                press(window, keys)
                assert not window.isFullScreen()


def test_the_list_on_f1_and_the_documentation_have_every_key(window):
    window.show_keys()
    dialog = window.findChild(KeysDialog)
    said = {label.text() for label in dialog.findChildren(type(window.said))}
    assert said >= {key.text for key in KEYS}
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
    docs = (Path(__file__).resolve().parents[2] / "docs" / "monitor.md").read_text()
    rows = dict(re.findall(r"^\| (`.+?`) \| (.+?) \|$", docs, re.M))
    for key in KEYS:
        assert rows[" ".join(f"`{k}`" for k in key.keys)] == key.text


def test_no_key_is_taken_twice():
    taken = [keys for key in KEYS for keys in key.keys]
    assert len(taken) == len(set(taken))


def test_acknowledge_and_mute_go_to_the_control_port(window, scene, commands):
    assert not window.state.acknowledge.isEnabled()  # nothing to acknowledge
    scene.begin_alarm()
    scene.play(1, 3, 0.95)
    window.tick()
    click(window.state.acknowledge)
    choose(window.state.mute_length, "5 min")
    click(window.state.mute)
    assert commands.asked == [("acknowledge",), ("mute", 300.0)]
    scene.event("mute", seconds=300.0)
    scene.clock.now_s += 2.5
    window.tick()
    assert window.state.mute.text() == "Unmute (4 min 57 s)"
    window.state.mute.setFocus()
    QTest.keyClick(window.state.mute, Qt.Key.Key_Space)
    assert commands.asked[-1] == ("mute", 0.0)


def test_without_a_control_port_the_buttons_say_what_to_do(window, scene, commands):
    commands.can_control = commands.can_replay = False
    scene.begin_alarm()
    scene.clock.now_s += 1
    window.tick()
    assert not window.state.acknowledge.isEnabled()
    assert not window.state.mute.isEnabled()
    assert "--control PORT" in window.state.mute.toolTip()
    assert not window.replay.seek.isEnabled()
    assert "--control PORT" in window.replay.note.text()


def test_the_replay_pauses_seeks_and_changes_speed(window, scene, commands):
    window.focus_panel("replay")
    replay = window.replay
    click(replay.pause)
    scene.event("pause")
    scene.clock.now_s += 1
    window.tick()
    assert replay.pause.text() == "Go on"
    click(replay.pause)
    scene.event("resume", sample=1)
    scene.clock.now_s += 1
    window.tick()
    assert replay.pause.text() == "Pause"
    replay.place.setFocus()
    replay.place.selectAll()
    QTest.keyClicks(replay.place, "62.5")
    click(replay.seek)
    choose(replay.speed, "4 ×")
    assert commands.asked == [("pause",), ("resume",), ("seek", 62.5), ("speed", 2.0), ("speed", 4.0)]


def test_the_wheel_turns_gain_and_time_base(window):
    canvas, panel = window.traces.canvas, window.traces.panel
    wheel(canvas, 1)
    assert panel.scale == 50.0
    wheel(canvas, -1)
    wheel(canvas, -1)
    assert panel.scale == 200.0
    assert window.traces.gain.text() == "200 µV / lane"
    wheel(canvas, 1, Qt.KeyboardModifier.ControlModifier)
    assert panel.span_s == 5.0
    wheel(canvas, -1, Qt.KeyboardModifier.ShiftModifier)
    wheel(canvas, -1, Qt.KeyboardModifier.ShiftModifier)
    assert panel.span_s == 20.0
    assert window.traces.span.currentText() == "20 s"
    for _ in range(40):
        wheel(canvas, 1)
        wheel(canvas, 1, Qt.KeyboardModifier.ControlModifier)
    assert (panel.scale, panel.span_s) == (0.1, 1.0)
    for _ in range(60):
        wheel(canvas, -1)
    assert panel.scale == 500_000.0


def test_boxes_choose_signal_montage_motion_and_time(window, scene):
    traces = window.traces
    choose(traces.source, "raw")
    assert traces.panel.source == "raw"
    choose(traces.montage, "double banana")
    assert traces.panel.montage == "double banana"
    window.tick()
    assert traces.names._names[0] == "Fp1–F7"
    choose(traces.motion, "sweep")
    assert not traces.canvas.scrolls
    choose(traces.span, "30 s")
    assert traces.panel.span_s == 30.0
    click(traces.bar.widgetForAction(traces.more))
    assert traces.panel.scale == 50.0
    click(traces.bar.widgetForAction(traces.less))
    assert traces.panel.scale == 100.0
    choose(window.spectrogram.choice, "occipital")
    assert window.spectrogram.panel.choice == "occipital"
    choose(window.spectrogram.span, "60 s")
    assert window.spectrogram.panel.span_s == 60.0
    window.focus_panel("maps")
    window.tick()
    choose(window.maps.kind, "theta")
    assert window.maps.panel.kind == "theta"
    choose(window.probabilities.span, "15 min")
    assert scene.model.curve_span_s == 900.0


def test_enter_on_an_event_holds_the_traces_at_its_time(window, scene):
    scene.event("gap", n_lost=3, t0=1.0, t1=1.5, filled=True)
    at_s = scene.clock.now_s
    scene.play(20)
    window.focus_panel("events")
    scene.clock.now_s += 1
    window.tick()
    events = window.events
    row = next(i for i, event in enumerate(events.table.rows) if event.kind == "gap")
    events.list.setFocus()
    events.list.setCurrentIndex(events.table.index(row, 0))
    QTest.keyClick(events.list, Qt.Key.Key_Return)
    panel = window.traces.panel
    assert panel.is_held
    window.tick()
    assert panel.x_of(at_s, True) == pytest.approx(panel.image.shape[1] / 2, abs=3)
    assert window.probabilities.marker.value() == pytest.approx(at_s + scene.model.wall_offset_s)
    newest_s = panel.newest_s
    scene.play(2)
    window.tick()
    assert panel.newest_s == newest_s
    assert window.traces.canvas.banner.startswith("HELD")
    assert not window.traces.axis.counts_back
    assert window.spectrogram.panel.newest_s == pytest.approx(newest_s, abs=0.2)
    assert window.spectrogram.canvas.outline() is None
    assert "not live" in window.spectrogram.note.text()
    press(window, "H")
    scene.play(1)
    window.tick()
    assert panel.newest_s == pytest.approx(scene.clock.now_s, abs=0.1)
    assert window.spectrogram.panel.newest_s == pytest.approx(scene.clock.now_s, abs=0.1)
    assert window.spectrogram.canvas.outline() is not None
    assert not window.probabilities.marker.isVisible()


def test_an_event_of_half_an_hour_ago_is_still_there(open_window, scene):
    """Its traces, its features and its probabilities; and from there half a screen earlier and later by key."""
    scene.connect()
    window = open_window(scene)
    spike = scene.noise(256, amplitude=0.0)
    spike[4, 100] = 90.0
    scene.signal(spike)
    at_s = scene.clock.now_s - 156 / 256
    scene.event("gap", n_lost=3, t0=1.0, t1=1.5, filled=True, t=at_s)
    for _ in range(29):
        scene.signal(scene.noise(60 * 256))
        scene.model.on_prediction(np.array([[0.9, 0.1, 1.0, 1.0, 0.8]], np.float32), np.array([scene.clock.now_s]))
    window.tick()
    panel = window.traces.panel
    live_s = panel.newest_s
    window.jump(at_s)
    window.tick()
    x = round(panel.x_of(at_s, True))
    lane = round(panel.lane_y(list(panel.names).index(scene.names[4])))
    trace = 0xFF000000 | int(window.theme.trace[1:], 16)
    assert (panel.image[lane - 20 : lane, (np.arange(x - 1, x + 2) + panel.head) % panel.image.shape[1]] == trace).any()
    assert "no longer kept" not in window.said.text()
    assert window.probabilities.span_s == 1800.0
    before_s = panel.newest_s
    press(window, ".")
    assert panel.newest_s == pytest.approx(before_s + 5, abs=0.1)
    press(window, ",")
    press(window, ",")
    assert panel.newest_s == pytest.approx(max(before_s - 5, panel.oldest_s + 10), abs=0.1)
    window.jump(live_s - 3)
    assert panel.newest_s == pytest.approx(live_s, abs=0.1)
    window.jump(at_s - 60)
    assert "no longer kept" in window.said.text()


def test_a_click_on_the_traces_marks_its_time(window):
    canvas = window.traces.canvas
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(canvas.width() // 2, 100))
    shown_s = window.traces.canvas.cursor_s
    assert shown_s == pytest.approx(window.snapshot.now_s - 5, abs=0.1)
    assert "5 s ago" in window.said.text()


def test_events_can_be_filtered_and_the_chosen_one_stays(window, scene):
    scene.event("gap", n_lost=3, t0=1.0, t1=1.5, filled=True)
    scene.event("rate_drift", rate=255.0, nominal_rate=256.0, within=False)
    scene.clock.now_s += 1
    window.tick()
    events = window.events
    choose(events.kinds, "gap")
    assert [row.kind for row in events.table.rows] == ["gap"]
    events.list.setCurrentIndex(events.table.index(0, 0))
    scene.event("gap", n_lost=4, t0=1.0, t1=1.5, filled=True)
    scene.clock.now_s += 1
    window.tick()
    assert len(events.table.rows) == 2
    assert events.list.currentIndex().row() == 1
    assert events.count.text().startswith("2 of ")


def test_panels_can_be_closed_and_come_back_by_key(window):
    window.docks["probabilities"].close()
    assert not window.probabilities.isVisible()
    press(window, "Ctrl+2")
    assert window.probabilities.isVisible()
    press(window, "Ctrl+2")
    assert not window.probabilities.isVisible()
    press(window, "Ctrl+2")
    press(window, "Ctrl+1")
    assert window.probabilities.isVisible()


def test_every_action_is_in_a_menu_that_the_mouse_opens(window):
    bar = window.menuBar()
    menus = {action.text().replace("&", ""): action for action in bar.actions()}
    listed = [action for menu in menus.values() for action in menu.menu().actions()]
    assert listed == list(window.actions_by_name.values())
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.actionGeometry(menus["View"]).center())
    menu = menus["View"].menu()
    assert menu.isVisible()
    listed = window.createPopupMenu().actions()  # on a right click on a title
    panels = {action.text(): action for action in listed if not action.isSeparator()}
    assert set(panels) == {dock.windowTitle() for dock in window.docks.values()}
    panels["State"].trigger()
    assert not window.state.isVisible()
    place = menu.actionGeometry(window.actions_by_name["theme"]).center()
    QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=place)
    assert window.theme.name == "light"


def test_tool_tips_follow_the_mouse(window, scene, qapp):
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QHelpEvent

    for widget in (window.traces.names, window.traces.canvas, window.maps.canvas):
        place = widget.rect().center()
        qapp.sendEvent(widget, QHelpEvent(QEvent.Type.ToolTip, place, widget.mapToGlobal(place)))
    QToolTip.hideText()

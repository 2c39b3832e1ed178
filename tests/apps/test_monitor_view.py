"""What the window shows is what was sent, drawn only where it is new."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QTimer
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QGraphicsTextItem, QWidget

from apps.monitor.theme import DARK
from apps.monitor.widgets.spectrogram import frequency
from tests.monitor_pixels import argb, pixels_of
from tests.monitor_scenes import HOP_S, MEL_HZ, WALL_S, Scene

pytestmark = pytest.mark.qt


def forward(window, scene, seconds=0.6):
    """Let time go on, so that lists and counters are looked at, too."""
    scene.clock.now_s += seconds
    window.tick()


@pytest.mark.parametrize("scrolls", [True, False], ids=["scroll", "sweep"])
def test_the_picture_on_the_screen_is_that_of_the_panel(window, scene, scrolls):
    """Scrolling and sweeping show every pixel that the panel has painted, outside marks and scale bar."""
    window.traces.set_scroll(scrolls)
    for _ in range(7):
        scene.play(HOP_S)
        window.tick()
    panel = window.traces.panel
    shown = pixels_of(window.traces.canvas)
    expected = np.roll(panel.image, -panel.head, axis=1) if scrolls else panel.image
    assert shown.shape == expected.shape
    differs = shown != expected
    bar_top = shown.shape[0] - 110
    differs[bar_top:, -140:] = False  # the scale bar
    if not scrolls:
        differs[:, panel.head : panel.head + 3] = False  # the cursor
    assert not differs.any()
    assert (shown == argb(DARK.trace)).mean() > 0.02


def test_a_sweep_asks_only_for_the_columns_that_are_new(window, scene, monkeypatch):
    window.traces.set_scroll(False)
    scene.play(HOP_S)
    window.tick()
    asked = []
    canvas = window.traces.canvas
    monkeypatch.setattr(canvas, "update", lambda *rect: asked.append(rect))
    scene.play(HOP_S)
    window.tick()
    ((rect,),) = asked
    new_px = HOP_S / canvas._panel.span_s * canvas.width()
    assert rect.width() <= new_px + 8
    assert rect.height() == canvas.height()


def test_a_spike_of_one_sample_is_seen_where_it_was_sent(window, scene):
    window.traces.set_span(10.0)
    data = scene.noise(256, amplitude=0.0)
    data[4, 100] = 40.0
    scene.signal(data)
    window.tick()
    panel = window.traces.panel
    x = int(panel.x_of(scene.clock.now_s - 156 / 256, True))
    row = list(panel.names).index(scene.names[4])
    shown = pixels_of(window.traces.canvas)
    top = round(panel.lane_y(row) - 40.0 / panel.scale * panel.lane_height_px)
    column = shown[:, x - 1 : x + 2] == argb(DARK.trace)
    assert column[top : top + 3].any()
    assert column[top : round(panel.lane_y(row))].any(axis=1).all()


def test_names_times_and_scale_bar(window, scene):
    assert window.traces.names._names == scene.names
    bar, height = window.traces.canvas.bar()
    panel = window.traces.panel
    assert height == pytest.approx(bar / panel.scale * panel.lane_height_px)
    ticks = window.traces.axis.wall_ticks()
    assert len(ticks) >= 4
    assert all(0 <= x <= window.traces.axis.width() for x, _ in ticks)
    assert all(len(text) == 8 for _, text in ticks)
    window.traces.set_span(1.0)
    assert {text[-2] for _, text in window.traces.axis.wall_ticks()} == {"."}


def test_curves_hold_what_was_published(window, scene):
    curves = window.snapshot.curves
    view = window.probabilities
    for i in range(2):
        x, y = view.raw[i].getData()
        np.testing.assert_array_equal(x, curves.times + WALL_S)
        np.testing.assert_array_equal(y, curves.raw[i])
        np.testing.assert_array_equal(view.smoothed[i].getData()[1], curves.smoothed[i])
    assert [line.value() for line in view.thresholds] == [0.8, 0.5]
    assert len(curves.times) == 48
    view.bar.actions()[1].trigger()
    assert not view.raw[1].isVisible()
    assert not view.smoothed[1].isVisible()
    assert view.raw[0].isVisible()


def test_alarms_are_shaded_from_onset_to_now_and_then_to_their_end(window, scene):
    scene.play(3, 2, 0.9)
    scene.begin_alarm()
    begun_s = scene.clock.now_s
    scene.play(5, 3, 0.95)
    window.tick()
    (span,) = window.probabilities.spans
    assert span.getRegion() == pytest.approx((begun_s + WALL_S, scene.clock.now_s + WALL_S), abs=1e-6)
    scene.alarm["on"] = False
    scene.event("alarm_off", last_sample=1, level=0.1, quality=1.0, reason="cleared")
    ended_s = scene.clock.now_s
    scene.play(5)
    window.tick()
    assert window.probabilities.spans[0].getRegion() == pytest.approx((begun_s + WALL_S, ended_s + WALL_S), abs=1e-6)


def test_the_spectrogram_shows_the_ridge_that_was_sent_and_the_window_that_was_seen(window, scene):
    view = window.spectrogram
    scene.play(20)
    window.tick()
    shown = pixels_of(view.canvas)
    colours = {int(colour): i for i, colour in enumerate(view.panel.colours)}
    at = 0.75 * shown.shape[1]
    column = np.array([colours.get(int(pixel), -1) for pixel in shown[:, int(at)]])
    brightest = MEL_HZ[
        len(MEL_HZ) - 1 - int(np.median(np.flatnonzero(column == column.max())) * len(MEL_HZ) / len(column))
    ]
    assert brightest == pytest.approx(10.0, rel=0.15)
    left, right = view.canvas.outline()
    assert right == pytest.approx(shown.shape[1], abs=2)
    assert (right - left) / shown.shape[1] == pytest.approx(10 / view.panel.span_s, abs=0.01)
    assert view.scale.unit == "dB"
    assert view.scale.ends == view.panel.range_db
    assert view.axis.ticks()[0][1].endswith(" Hz")


def test_the_map_is_drawn_at_most_ten_times_a_second(window, scene):
    window.focus_panel("maps")
    scene.play(2)
    painted = [window.maps.panel.paint(scene.clock.now_s + k / 30) for k in range(1, 31)]
    assert 8 <= sum(painted) <= 10
    window.tick()
    shown = pixels_of(window.maps.canvas)
    middle = window.maps.canvas.head().center().toPoint()
    assert int(shown[middle.y(), middle.x()]) != argb(DARK.panel)
    assert window.maps.scale.unit.endswith("µV²")
    name, (x, y) = window.maps.panel.names[0], window.maps.panel.positions[0]
    head = window.maps.canvas.head()
    assert window.maps.canvas.sensor_at(head.topLeft() + QPoint(0, 0)) == ""
    there = head.topLeft() + type(head.topLeft())(x * head.width(), y * head.height())
    assert window.maps.canvas.sensor_at(there) == name


def test_health_says_what_the_status_says(window, scene):
    scene.status(dropped=3, gaps=2, held=7, rate=255.9, clock_offset_s=0.0021)
    forward(window, scene)
    view = window.health
    said = {name: label.text() for name, label in view.values.items()}
    assert said["dropped windows"] == "3"
    assert said["gaps"] == "2"
    assert said["held values"] == "7"
    assert said["rate"] == "255.9 of 256.0 Hz"
    assert said["clock offset"] == "2.100 ms"
    assert said["p99, last minute"] == "2.20 ms"
    assert said["engine"] == "onnx · fp32"
    np.testing.assert_array_equal(view.sparkline.values_ms, window.snapshot.health.sparkline_ms)
    assert "engine 0.60 / 1.20" in view.stages.text()
    assert "predictions connected" in view.streams.text()


def test_bad_channels_are_grey_and_say_why(window, scene):
    scene.spoil("T3", "mains 50 Hz", "amplitude")
    forward(window, scene)
    names = window.traces.names
    lane = names.height() / len(scene.names)
    assert names.tip_at((scene.names.index("T3") + 0.5) * lane) == "T3: mains 50 Hz, amplitude"
    assert names.tip_at((scene.names.index("C3") + 0.5) * lane) == "C3"
    assert names.tip_at(-1) == ""
    scene.play(1)
    window.tick()
    panel = window.traces.panel
    shown = pixels_of(window.traces.canvas)
    middle = round(panel.lane_y(scene.names.index("T3")))
    grey = argb(DARK.bad_trace)
    assert (shown[middle - 8 : middle + 8] == grey).sum() > 100
    assert "T3 (mains 50 Hz, amplitude)" in window.health.bad.text()


def test_doubtful_channels_are_coloured_and_say_why(window, scene):
    scene.status(doubtful_channels=["T3", "<b>"])
    forward(window, scene)
    names = window.traces.names
    lane = names.height() / len(scene.names)
    assert names.tip_at((scene.names.index("T3") + 0.5) * lane).startswith(
        "T3: doubtful: the last second broke a limit"
    )
    assert (pixels_of(names) == argb(DARK.doubtful_trace)).any()
    assert (pixels_of(window.traces.canvas) == argb(DARK.doubtful_trace)).sum() > 100
    scene.status(doubtful_channels=[])
    forward(window, scene)
    assert not (pixels_of(window.traces.canvas) == argb(DARK.doubtful_trace)).any()


def test_the_title_says_whose_session_it_is(window, scene):
    forward(window, scene)
    assert window.windowTitle() == "demo – bci monitor"
    assert window.said.text() == "demo · seizure-demo"
    window.say("something else")
    forward(window, scene)
    assert window.said.text() == "something else"
    window._forget.timeout.emit()
    assert window.said.text() == "demo · seizure-demo"


@pytest.mark.parametrize(("hz", "text"), [(1.234, "1.2 Hz"), (9.96, "10 Hz"), (38.4, "38 Hz"), (120.0, "120 Hz")])
def test_frequencies_are_written_as_people_do(hz, text):
    assert frequency(hz) == text


def test_marks_stand_at_their_times(window, scene):
    scene.model.on_annotation(
        '{"kind": "annotation", "description": "eyes closed", "duration": 2.0}', scene.clock.now_s - 4
    )
    window.tick()
    canvas = window.traces.canvas
    x = canvas.width() * (1 - 4 / canvas._panel.span_s)
    assert canvas.tip_at(x) == "eyes closed"
    assert canvas.tip_at(x + 30) == ""
    shown = pixels_of(canvas)[200]
    colour = QColor(int(shown[round(x)]))
    assert (colour.red() > colour.blue() + 60) or (QColor(int(shown[round(x) - 1])).red() > 100)


def test_values_that_are_no_numbers_leave_the_place_of_the_map_empty(window, scene):
    window.focus_panel("maps")
    scene.play(1)
    window.tick()
    centre = window.maps.canvas.head().center().toPoint() + QPoint(6, 9)  # beside a sensor
    empty = argb(window.theme.panel)
    assert pixels_of(window.maps.canvas)[centre.y(), centre.x()] != empty
    scene.signal(np.full((19, 512), np.nan, np.float32))
    window.tick()
    assert pixels_of(window.maps.canvas)[centre.y(), centre.x()] == empty


@pytest.mark.parametrize("scrolls", [True, False])
def test_an_annotation_that_began_before_the_screen_is_shaded_until_it_ends(window, scene, scrolls):
    window.traces.set_scroll(scrolls)
    newest_s = window.traces.panel.newest_s
    scene.model.on_annotation('{"kind": "annotation", "description": "asleep", "duration": 12}', newest_s - 15)
    window.tick()
    canvas = window.traces.canvas
    shown, panel = pixels_of(canvas), argb(window.theme.panel)
    for ago_s, is_shaded in ((9.5, True), (6.0, True), (3.5, True), (2.5, False), (0.5, False)):
        column = shown[:, round(canvas._x(newest_s - ago_s))]
        assert (np.count_nonzero(column == panel) < len(column) / 20) == is_shaded, ago_s


def test_one_timer_drives_the_window(window):
    window.start()
    running = [timer for timer in window.findChildren(QTimer) if timer.isActive() and not timer.isSingleShot()]
    assert [timer.interval() for timer in running] == [33]


def test_no_text_is_smaller_than_twelve_points(window):
    texts = [item for item in window.probabilities.plot.scene().items() if isinstance(item, QGraphicsTextItem)]
    assert len(texts) >= 2
    for widget in (*window.findChildren(QWidget), *texts):
        font = widget.font()
        assert font.pointSizeF() >= 12 or font.pixelSize() >= 16, widget
    for name in ("left", "bottom"):
        assert window.probabilities.plot.getPlotItem().getAxis(name).style["tickFont"].pointSizeF() >= 12


def test_nothing_known_is_shown_as_nothing(open_window):
    """Before any stream the window says what it waits for, and makes up no number."""
    scene = Scene()
    window = open_window(scene)
    forward(window, scene)
    assert window.state.sign.word == "WAITING"
    assert "demo-pred" in window.traces.canvas.empty_text
    said = {label.text() for name, label in window.health.values.items() if "ms" in name or "last minute" in name}
    assert said == {"–"}
    assert math.isnan(window.snapshot.state.onset_s)

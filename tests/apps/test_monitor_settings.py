"""The window remembers how it was left, and minds no file that is missing, damaged or somebody else's."""

from __future__ import annotations

import argparse
import json

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from apps.commands import monitor
from apps.monitor.options import MonitorOptions
from apps.monitor.settings import Settings, read_settings, settings_file, write_settings
from tests.monitor_scenes import NoFeed, Scene

pytestmark = pytest.mark.qt

OTHER = json.dumps({"layout": "zz", "geometry": "00ff", "montage": "x"})
ODD = '{"__doc__": "y", "theme": "pink", "span_s": 5, "sweeps": 1, "montage": 3, "scale": 1e999, "curve_span_s": NaN}'


@pytest.fixture
def again(qapp, commands, tmp_path):
    """Return a function to open another window with the same settings."""
    from apps.monitor.show import application, dispose
    from apps.monitor.view import MonitorWindow

    application()
    kept = tmp_path / "folder" / "monitor.json"
    opened = []

    def show(scene=None, size=(1300, 900)):
        options = MonitorOptions(theme=read_settings(kept).theme, settings=kept)
        window = MonitorWindow((scene or Scene()).model, NoFeed(), commands, options)
        opened.append(window)
        if size:
            window.resize(*size)
        window.show()
        qapp.processEvents()
        return window

    show.kept = kept
    yield show
    for window in opened:
        dispose(window)


def test_panels_and_choices_come_back(again):
    scene = Scene()
    scene.connect()
    first = again(scene, (790, 760))  # within the screen
    first.docks["spectrogram"].close()
    first.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, first.docks["events"])
    first.toggle_theme()
    first.traces.choose_montage("double banana")
    first.traces.set_scroll(False)
    first.traces.turn_gain(1)
    first.traces.set_span(20)
    first.spectrogram.set_span(60)
    first.probabilities.set_span(900)
    first.close()
    scene = Scene()
    second = again(scene, size=None)
    scene.connect()
    second.tick()
    assert second.size() == first.size()
    assert second.theme.name == "light"
    assert not second.spectrogram.isVisible()
    assert second.dockWidgetArea(second.docks["events"]) == Qt.DockWidgetArea.LeftDockWidgetArea
    panel = second.traces.panel
    assert (panel.montage, panel.scale, panel.span_s, second.traces.canvas.scrolls) == ("double banana", 50, 20, False)
    assert second.traces.motion.currentText() == "sweep"
    assert (second.spectrogram.panel.span_s, scene.model.curve_span_s) == (60.0, 900.0)
    second.actions_by_name["first_layout"].trigger()
    assert second.spectrogram.isVisible()
    assert second.dockWidgetArea(second.docks["events"]) == Qt.DockWidgetArea.RightDockWidgetArea
    second.resize(1300, 900)
    QApplication.processEvents()
    second.reset_layout()
    assert second.docks["state"].width() >= 440


def test_a_narrow_window_keeps_the_panels_of_the_wide_one(again):
    first = again()
    first.docks["maps"].close()
    first.resize(400, 700)
    QApplication.processEvents()
    assert not first.probabilities.isVisible()
    first.close()
    second = again(size=None)
    assert not second.probabilities.isVisible()
    second.resize(1300, 900)
    QApplication.processEvents()
    assert second.probabilities.isVisible()
    assert second.docks["maps"].isHidden()


@pytest.mark.parametrize("text", ["", "{", "[1]", ODD, OTHER])
def test_a_file_that_is_none_changes_nothing(again, text):
    again.kept.parent.mkdir()
    again.kept.write_text(text)
    read = read_settings(again.kept)
    assert (read.theme, read.sweeps, read.scale, read.curve_span_s) == ("dark", False, 0.0, 0.0)
    scene = Scene()
    window = again(scene)
    scene.connect()
    window.tick()
    assert window.traces.panel.montage == "as published"
    assert all(window.docks[name].isVisible() for name in ("state", "probabilities", "spectrogram"))


def test_settings_are_read_as_they_were_written(tmp_path, caplog):
    settings = Settings("light", "00", "01", "double banana", True, 50.0, 20.0, 60.0, 900.0)
    write_settings(tmp_path / "a" / "b.json", settings)
    assert read_settings(tmp_path / "a" / "b.json") == settings
    assert read_settings(tmp_path / "missing.json") == Settings()
    assert caplog.text == ""
    write_settings(tmp_path / "a" / "b.json" / "c.json", settings)
    assert "cannot be kept" in caplog.text
    assert read_settings(tmp_path) == Settings()
    assert "cannot be read" in caplog.text


def test_the_command_keeps_them_in_the_users_folder_and_for_pictures_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_file() == tmp_path / "streaming-bci" / "monitor.json"
    write_settings(settings_file(), Settings(theme="light"))
    parser = argparse.ArgumentParser()
    monitor.add_arguments(parser)
    for argv, theme in (([], "light"), (["--theme", "dark"], "dark")):
        options = monitor.window_options(parser.parse_args(["--demo", *argv]))
        assert (options.theme, options.settings) == (theme, settings_file())
    options = monitor.window_options(parser.parse_args(["--demo", "--screenshot", "x.png"]))
    assert (options.theme, options.settings) == ("dark", None)

"""The window: one timer takes what has come and moves it to the widgets; nothing is computed here."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QByteArray, Qt, QTimer
from PySide6.QtGui import QAction, QCloseEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QApplication, QDockWidget, QMainWindow, QMenu, QSizePolicy, QWidget

from apps.monitor.controls import Controls
from apps.monitor.export import write_summary
from apps.monitor.keys import KEYS
from apps.monitor.model import MonitorModel
from apps.monitor.options import MonitorOptions
from apps.monitor.settings import read_settings, write_settings
from apps.monitor.snapshot import SHAPES, Snapshot, StatePanel
from apps.monitor.theme import THEMES, stylesheet
from apps.monitor.widgets.events import EventView
from apps.monitor.widgets.health import HealthView
from apps.monitor.widgets.keys_dialog import KeysDialog
from apps.monitor.widgets.labels import plain_label, set_text, span, wall_text
from apps.monitor.widgets.maps import MapView
from apps.monitor.widgets.memory import LAYOUT_VERSION, recall, settings_of
from apps.monitor.widgets.picture_file import write_png
from apps.monitor.widgets.probabilities import ProbabilityView
from apps.monitor.widgets.replay import ReplayView
from apps.monitor.widgets.spectrogram import SpectrogramView
from apps.monitor.widgets.state import StateView
from apps.monitor.widgets.traces import TraceView
from bci.errors import BciError

FRAME_MS = 33
SLOW_S = 0.5  # between two looks at lists and counters
NARROW_PX = 760
SIDE_PX = 490
SAID_MS = 10_000
NO_SIGNAL = "No signal yet."
TITLES = {
    "state": "State",
    "probabilities": "Probabilities",
    "spectrogram": "Mel spectrogram",
    "health": "Latency and health",
    "maps": "Map",
    "events": "Events",
    "replay": "Replay",
}
SLOW = ("health", "events", "replay")
BROKEN = StatePanel("fault", "FAULT", SHAPES["fault"], ("The monitor itself has failed.", "What it shows may be old."))


class Source(Protocol):
    """What brings streams to the model."""

    def pump(self, model: MonitorModel) -> bool:
        """Hand over what has come; return whether that is all."""


class MonitorWindow(QMainWindow):
    """All panels, and the timer that feeds them.

    Parameters
    ----------
    model : MonitorModel
        What is known.
    feed : Source
        What brings streams to it.
    controls : Controls
        Where commands go.
    options : MonitorOptions
        Title, theme, and where the window keeps how it was left.
    """

    def __init__(self, model: MonitorModel, feed: Source, controls: Controls, options: MonitorOptions) -> None:
        super().__init__()
        self._model, self._feed, self._controls = model, feed, controls
        self.theme = THEMES[options.theme]
        self.snapshot: Snapshot = model.snapshot(model.clock())
        self.n_frames = 0
        self._slow_s = -math.inf
        self._narrow: bool | None = None
        self._title, self._whose, self._settings = options.title, "", options.settings
        self.setStyleSheet(stylesheet(self.theme))
        self.traces = TraceView(model.traces, self.theme)
        self.state = StateView(controls, self.theme)
        self.probabilities = ProbabilityView(self.theme)
        self.spectrogram = SpectrogramView(model.spectrogram, self.theme)
        self.maps = MapView(model.maps, self.theme)
        self.health, self.events, self.replay = HealthView(self.theme), EventView(), ReplayView(controls)
        self.docks = {name: self._dock(name, getattr(self, name)) for name in TITLES}
        self.setCentralWidget(self.traces)
        self._arrange()
        self._layout = self._first_layout = self.saveState(LAYOUT_VERSION)
        self.said = plain_label()
        self.said.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # no text widens the window
        self.statusBar().addWidget(self.said, 1)
        self._forget = QTimer(self)
        self._forget.setSingleShot(True)
        self._forget.timeout.connect(lambda: self.said.setText(self._whose))
        self.actions_by_name = self._make_actions()
        self.traces.picked.connect(self.jump)
        self.traces.held.connect(self.spectrogram.hold)
        self.traces.held.connect(self.probabilities.hold)
        self.events.chosen.connect(self.jump)
        self.probabilities.span_chosen.connect(self._set_curve_span)
        self._set_curve_span(self.probabilities.span_s)
        self.setMinimumSize(320, 360)
        self.resize(1500, 940)
        if self._settings is not None:
            recall(self, read_settings(self._settings))
        self._name(self.snapshot)
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.tick)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to show what comes."""
        self._timer.start(FRAME_MS)

    def tick(self) -> None:
        """Take what has come, and show it; where that fails the state says so, rather than what was so before."""
        failed = True
        try:
            self._show_new()
            failed = False
        finally:
            if failed:
                self.state.show_state(BROKEN)

    def _show_new(self) -> None:
        """Move what has come to the widgets that can be seen."""
        self._feed.pump(self._model)
        now_s = self._model.clock()
        shown = self.snapshot = self._model.snapshot(now_s)
        self.n_frames += 1
        self.state.show_state(shown.state)
        reason = shown.state.reasons[0] if shown.state.reasons else NO_SIGNAL
        self.traces.refresh(shown.marks, shown.bad_channels, shown.wall_offset_s, reason, shown.silent_s)
        if self.probabilities.isVisible():
            self.probabilities.show_curves(shown.curves, shown.session, shown.wall_offset_s)
        if self.spectrogram.isVisible():
            self.spectrogram.refresh(shown.window, shown.silent_s.get("features", 0.0))
        if self.maps.isVisible():
            self.maps.refresh(now_s)
        if now_s - self._slow_s >= SLOW_S:
            self._slow_s = now_s
            self._show_slow(shown)

    def _show_slow(self, shown: Snapshot) -> None:
        self._name(shown)
        self.health.show_health(shown.health, shown.bad_channels, shown.streams)
        self.events.show_events(shown.events, shown.wall_offset_s)
        self.replay.show_replay(shown.events)
        for answer in self._controls.answers():
            self.say(answer)

    def _name(self, shown: Snapshot) -> None:
        """Say whose session this is, so that many windows can be told apart."""
        session = shown.session
        name = session.stream or session.name
        title = f"{name} – {self._title}" if name else self._title
        self.setWindowTitle(title.replace("[*]", "[* ]"))  # Qt would take it for its own mark
        self._whose = " · ".join(text for text in (name, session.bundle) if text)
        if not self._forget.isActive():
            set_text(self.said, self._whose)

    def say(self, text: str) -> None:
        """Show a line at the bottom for ten seconds."""
        self.said.setText(text)
        self._forget.start(SAID_MS)

    def jump(self, stamp_s: float) -> None:
        """Go to a time of the LSL clock, in traces, spectrogram and probabilities."""
        if math.isfinite(stamp_s):
            self.traces.show_time(stamp_s)
            self.probabilities.show_time(stamp_s)
            shown = self.snapshot
            ago = span(shown.now_s - stamp_s)
            gone = "" if stamp_s >= self.traces.panel.oldest_s else " The traces of then are no longer kept."
            self.say(f"{wall_text(stamp_s + shown.wall_offset_s)}, {ago} ago.{gone}")

    # --- what the user does -----------------------------------------------------------------------------------------

    def toggle_theme(self) -> None:
        """Take the other theme."""
        self.theme = THEMES["light" if self.theme.name == "dark" else "dark"]
        self.setStyleSheet(stylesheet(self.theme))
        for name in ("traces", "state", "probabilities", "spectrogram", "maps", "health"):
            getattr(self, name).set_theme(self.theme)

    def screenshot(self, path: Path | None = None) -> Path | None:
        """Write the window as PNG; say where, or why not."""
        return self._written("screenshot", ".png", lambda to: write_png(to, self.grab().toImage()), path)

    def export(self) -> Path | None:
        """Write the summary as CSV, and the window beside it as PNG."""
        table = self._written("summary", ".csv", lambda to: write_summary(to, self._model.whole(self._model.clock())))
        if table is not None and self.screenshot(table.with_suffix(".png")) is not None:
            self.say(f"Written: {table} and {table.with_suffix('.png').name}")
        return table

    def show_keys(self) -> None:
        """Show what the keyboard does."""
        dialog = KeysDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def focus_panel(self, name: str) -> None:
        """Show a panel, and give it the focus."""
        dock = self.docks[name]
        dock.show()
        dock.raise_()
        inside = dock.widget()
        first = next((w for w in inside.findChildren(QWidget) if w.focusPolicy() & Qt.FocusPolicy.TabFocus), inside)
        first.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def turn_to_panel(self, name: str) -> None:
        """Show a panel, and give it the focus; close the one that has it."""
        dock, now = self.docks[name], QApplication.focusWidget()
        if now is not None and dock.isVisible() and dock.isAncestorOf(now):
            self.traces.setFocus(Qt.FocusReason.ShortcutFocusReason)
            dock.close()
        else:
            self.focus_panel(name)

    def next_panel(self) -> None:
        """Give the focus to the next panel that is shown."""
        names = [name for name, dock in self.docks.items() if dock.isVisible()]
        now = QApplication.focusWidget()
        at = next((i for i, name in enumerate(names) if now and self.docks[name].isAncestorOf(now)), -1)
        if names:
            self.focus_panel(names[(at + 1) % len(names)])

    def layout_now(self) -> QByteArray:
        """Return where the panels are; of a narrow window, where they will be when there is room."""
        return self._layout if self._narrow else self.saveState(LAYOUT_VERSION)

    def set_layout(self, layout: QByteArray) -> None:
        """Put the panels where `layout_now` has said, now or when there is room; what is no layout changes nothing."""
        if self._narrow:
            self._layout = layout
        elif self.restoreState(layout, LAYOUT_VERSION):
            self._layout = layout
            if layout == self._first_layout:  # it was taken before anything had a size
                self._widen()

    def reset_layout(self) -> None:
        """Put the panels where they were at first."""
        self.set_layout(self._first_layout)

    def toggle_full_screen(self) -> None:
        """Fill the screen, or no longer."""
        self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen)

    def leave(self) -> None:
        """Close once what is being drawn is done: a signal can come in the middle of it."""
        QTimer.singleShot(0, self.close)

    # --- Qt's own ---------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show only state and traces where there is no room for more."""
        super().resizeEvent(event)
        narrow = self.width() < NARROW_PX
        if narrow == self._narrow:
            return
        if narrow:
            if self._narrow is not None:
                self._layout = self.saveState(LAYOUT_VERSION)
            for dock in self.docks.values():
                dock.hide()
            self.addDockWidget(Qt.DockWidgetArea.TopDockWidgetArea, self.docks["state"])
            self.docks["state"].show()
        before, self._narrow = self._narrow, narrow
        if before and not narrow:
            self.set_layout(self._layout)

    def closeEvent(self, event: QCloseEvent) -> None:
        """End the timer: nothing is drawn any more; keep how the window was."""
        if self._settings is not None and self.isVisible():
            write_settings(self._settings, settings_of(self))
        self._timer.stop()
        self._forget.stop()
        event.accept()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _dock(self, name: str, widget: QWidget) -> QDockWidget:
        dock = QDockWidget(TITLES[name], self)
        dock.setObjectName(name)
        dock.setWidget(widget)
        return dock

    def _arrange(self) -> None:
        right, bottom = Qt.DockWidgetArea.RightDockWidgetArea, Qt.DockWidgetArea.BottomDockWidgetArea
        self.setDockNestingEnabled(True)
        self.setCorner(Qt.Corner.BottomRightCorner, right)
        for name in ("state", "probabilities", "maps"):
            self.addDockWidget(right, self.docks[name])
        for name in ("health", "events", "replay"):
            self.tabifyDockWidget(self.docks["maps"], self.docks[name])
        self.docks["health"].raise_()
        self.addDockWidget(bottom, self.docks["spectrogram"])
        self._widen()

    def _widen(self) -> None:
        self.resizeDocks([self.docks["state"]], [SIDE_PX], Qt.Orientation.Horizontal)

    def _make_actions(self) -> dict[str, QAction]:
        does: dict[str, Callable[[], object]] = {
            "acknowledge": self._controls.acknowledge,
            "mute": self.state.toggle_mute,
            "pause": self.replay.toggle,
            "export": self.export,
            "screenshot": self.screenshot,
            "close": self.close,
            "hold": self.traces.hold.toggle,
            "earlier": lambda: self.traces.step(-1),
            "later": lambda: self.traces.step(1),
            "larger": lambda: self.traces.turn_gain(1),
            "smaller": lambda: self.traces.turn_gain(-1),
            "less_time": lambda: self.traces.turn_time(1),
            "more_time": lambda: self.traces.turn_time(-1),
            "source": self.traces.next_source,
            "montage": self.traces.next_montage,
            "motion": lambda: self.traces.set_scroll(not self.traces.canvas.scrolls),
            "recentre": self._model.traces.recentre,
            "spectrogram_next": self.spectrogram.next_choice,
            "spectrogram_fit": self._model.spectrogram.fit_range,
            "map_next": self.maps.next_kind,
            "theme": self.toggle_theme,
            "full_screen": self.toggle_full_screen,
            "first_layout": self.reset_layout,
            "next_panel": self.next_panel,
            "help": self.show_keys,
        }
        does |= {f"show_{name}": functools.partial(self.turn_to_panel, name) for name in TITLES}
        menus: dict[str, QMenu] = {}
        actions = {}
        for key in KEYS:
            if key.menu not in menus:
                menus[key.menu] = self.menuBar().addMenu(f"&{key.menu}")
            action = QAction(key.text, self)
            action.setShortcuts([QKeySequence(text) for text in key.keys])
            action.triggered.connect(functools.partial(_without_argument, does[key.name]))
            menus[key.menu].addAction(action)
            actions[key.name] = action
        return actions

    def _set_curve_span(self, span_s: float) -> None:
        self._model.curve_span_s = span_s

    def _written(self, what: str, suffix: str, write: Callable[[Path], None], path: Path | None = None) -> Path | None:
        to = path or Path(f"bci-monitor-{what}-{time.strftime('%Y%m%d-%H%M%S')}{suffix}").absolute()
        try:
            write(to)
        except BciError as error:
            self.say(str(error))
            return None
        self.say(f"Written: {to}")
        return to


def _without_argument(do: Callable[[], object], _checked: bool = False) -> None:
    do()

"""The traces with their names, times and settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QGridLayout, QToolBar, QWidget

from apps.monitor.draw import TraceColours
from apps.monitor.snapshot import Mark
from apps.monitor.theme import Theme
from apps.monitor.traces import RAW, TracePanel
from apps.monitor.widgets.labels import as_panel, named_box, not_live, plain_label, set_text
from apps.monitor.widgets.trace_parts import TimeAxis, TraceCanvas, TraceNames, amount, stepped

SPANS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
SCALES = tuple(step * 10.0**power for power in range(-1, 6) for step in (1, 2, 5))
SCROLL, SWEEP = "scroll", "sweep"


class TraceView(QWidget):
    """Names, picture, times, and what the user sets.

    `picked` has a time that was clicked, `held` the time at which the picture ends while it is held; NaN: it goes on.

    Parameters
    ----------
    panel : TracePanel
        What is shown.
    theme : Theme
        Colours.
    """

    picked = Signal(float)
    held = Signal(float)

    def __init__(self, panel: TracePanel, theme: Theme) -> None:
        super().__init__()
        as_panel(self)
        self.panel = panel
        self._generation = -1
        self._quality: tuple[object, ...] = ()
        self.names, self.canvas = TraceNames(panel, theme), TraceCanvas(panel, theme)
        self.axis = TimeAxis(panel, theme)
        self.source, self.montage = named_box("Signal"), named_box("Montage")
        self.motion, self.span, self.gain = named_box("Motion"), named_box("Time base"), plain_label()
        self.motion.addItems([SCROLL, SWEEP])
        for seconds in SPANS_S:
            self.span.addItem(f"{seconds:g} s", seconds)
        self.source.activated.connect(lambda: self.choose_source(self.source.currentText()))
        self.montage.activated.connect(lambda: self.choose_montage(self.montage.currentText()))
        self.motion.activated.connect(lambda: self.set_scroll(self.motion.currentText() == SCROLL))
        self.span.activated.connect(lambda: self.set_span(self.span.currentData()))
        self.canvas.gain_turned.connect(self.turn_gain)
        self.canvas.time_turned.connect(self.turn_time)
        self.canvas.picked.connect(self.picked)
        self.bar = QToolBar()
        self.less, self.more = QAction("−", self), QAction("+", self)
        self.less.setToolTip("Smaller traces")
        self.more.setToolTip("Larger traces")
        self.less.triggered.connect(lambda: self.turn_gain(-1))
        self.more.triggered.connect(lambda: self.turn_gain(1))
        self.hold = QAction("Hold", self)
        self.hold.setCheckable(True)
        self.hold.setToolTip("Hold the picture; decoding goes on")
        self.hold.toggled.connect(self._hold)
        for widget in (self.source, self.montage, self.motion, self.span):
            self.bar.addWidget(widget)
        self.bar.addAction(self.less)
        self.bar.addWidget(self.gain)
        self.bar.addAction(self.more)
        self.bar.addAction(self.hold)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(0)
        grid.addWidget(self.bar, 0, 0, 1, 2)
        grid.addWidget(self.names, 1, 0)
        grid.addWidget(self.canvas, 1, 1)
        grid.addWidget(self.axis, 2, 1)
        self.set_theme(theme)
        self.set_span(panel.span_s)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        colours = (theme.panel, theme.trace, theme.doubtful_trace, theme.bad_trace)
        self.panel.set_colours(TraceColours(*map(_argb, colours)))
        for part in (self.names, self.canvas, self.axis):
            part.set_theme(theme)

    def choose_source(self, source: str) -> None:
        """Show the filtered or the raw signal."""
        if source in self.panel.sources:
            self.panel.choose_source(source)
            self._refresh_choices()

    def next_source(self) -> None:
        """Show the other signal."""
        self.choose_source(_after(self.panel.sources, self.panel.source))

    def choose_montage(self, montage: str) -> None:
        """Show another montage."""
        if montage in self.panel.montages:
            self.panel.choose_montage(montage)
            self._refresh_choices()

    def next_montage(self) -> None:
        """Show the next montage."""
        self.choose_montage(_after(self.panel.montages, self.panel.montage))

    def set_scroll(self, scroll: bool) -> None:
        """Let the picture scroll, or sweep over itself."""
        self.canvas.scrolls = self.axis.scrolls = scroll
        self.motion.setCurrentText(SCROLL if scroll else SWEEP)
        self.canvas.update()
        self.axis.update()

    def set_span(self, span_s: float) -> None:
        """Show so many seconds."""
        self.panel.set_span(span_s)
        at = min(range(len(SPANS_S)), key=lambda i: abs(SPANS_S[i] - self.panel.span_s))
        self.span.setCurrentIndex(at)

    def turn_time(self, turns: int) -> None:
        """Show less (1) or more (-1) time."""
        self.set_span(stepped(SPANS_S, self.panel.span_s, -turns))

    def turn_gain(self, turns: int) -> None:
        """Make traces larger (1) or smaller (-1)."""
        self.panel.set_scale(stepped(SCALES, self.panel.scale, -turns))
        self._refresh_choices()
        self.canvas.update()

    def show_time(self, stamp_s: float) -> None:
        """Hold the picture where a time is in the middle, and mark it; what is no longer kept is not there."""
        self.canvas.cursor_s = stamp_s
        self.hold.setChecked(True)
        latest_s = self.panel.latest_s
        self._hold_at(min(stamp_s + self.panel.span_s / 2, latest_s) if latest_s == latest_s else stamp_s)

    def step(self, turns: int) -> None:
        """Hold the picture half a screen earlier (-1) or later (1), as far as there is something."""
        least_s, latest_s = self.panel.oldest_s + self.panel.span_s, self.panel.latest_s
        end_s = min(max(self.panel.newest_s + turns * self.panel.span_s / 2, least_s), latest_s)
        if math.isfinite(end_s):
            self.hold.setChecked(True)
            self._hold_at(end_s)

    def refresh(
        self,
        marks: tuple[Mark, ...],
        bad: Mapping[str, str],
        wall_offset_s: float,
        empty_text: str,
        silent_s: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Show what has come since the last call; `silent_s` is as in `Snapshot`."""
        panel, canvas = self.panel, self.canvas
        painted, other = panel.paint(), self._generation != panel.generation
        if other:
            self._generation = panel.generation
            self._refresh_choices()
        if other or self._quality != (bad, panel.doubtful):
            self._quality = (bad, panel.doubtful)
            self.names.refresh()
        banner = not_live(self.hold.isChecked(), silent_s.get("raw" if panel.source == RAW else "signal", 0.0))
        whole = other or (marks, empty_text, banner) != (canvas.marks, canvas.empty_text, canvas.banner)
        canvas.banner = banner
        canvas.marks, canvas.empty_text, self.axis.wall_offset_s = marks, empty_text, wall_offset_s
        if painted or whole:
            canvas.refresh(whole)
            self.axis.refresh()

    def _hold(self, held: bool) -> None:
        if held:
            self._hold_at(self.panel.newest_s)
        else:
            self.canvas.cursor_s = math.nan
            self._hold_at(math.nan)

    def _hold_at(self, stamp_s: float) -> None:
        self.panel.hold(stamp_s)
        self.held.emit(stamp_s)
        self.canvas.banner = not_live(self.hold.isChecked(), 0.0)
        self.canvas.update()
        self.axis.update()

    def _refresh_choices(self) -> None:
        for box, items, chosen in (
            (self.source, self.panel.sources, self.panel.source),
            (self.montage, self.panel.montages, self.panel.montage),
        ):
            if tuple(box.itemText(i) for i in range(box.count())) != tuple(items):
                box.clear()
                box.addItems(list(items))
            box.setCurrentText(chosen)
            box.setEnabled(len(items) > 1)
        set_text(self.gain, f"{amount(self.panel, self.panel.scale)} / lane")


def _after(items: Iterable[str], item: str) -> str:
    known = list(items)
    return known[(known.index(item) + 1) % len(known)] if item in known else item


def _argb(colour: str) -> int:
    return 0xFF000000 | int(colour[1:], 16)

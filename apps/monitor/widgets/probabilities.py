"""Probabilities of the last minutes: raw and smoothed, thresholds, and alarms shaded."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QToolBar, QVBoxLayout, QWidget

from apps.monitor.snapshot import Curves, SessionPanel
from apps.monitor.theme import SMALLEST_TEXT_PT, Theme
from apps.monitor.widgets.labels import as_panel, named_box

SPANS_S = (60.0, 300.0, 900.0, 1800.0)
USUAL_SPAN_S = 300.0
HIGH = 0.85
RAW_ALPHA, ALARM_ALPHA = 110, 60


class ProbabilityView(QWidget):
    """Curves of every class; `span_chosen` tells how many seconds of them the user wants.

    Parameters
    ----------
    theme : Theme
        Colours.
    """

    span_chosen = Signal(float)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        as_panel(self)
        self._theme = theme
        self._version = -1
        self._curves, self._session = Curves(), SessionPanel()
        self._wall_s = 0.0
        self.bar = QToolBar()
        self.span = named_box("Shown time of probabilities")
        for seconds in SPANS_S:
            self.span.addItem(f"{seconds / 60:g} min", seconds)
        self.span.setCurrentIndex(SPANS_S.index(USUAL_SPAN_S))
        self.span.currentIndexChanged.connect(lambda: self._choose_span())
        self.plot = pg.PlotWidget(axisItems={"bottom": pg.DateAxisItem()})
        self.plot.setMinimumSize(80, 60)
        item = self.plot.getPlotItem()
        item.setMenuEnabled(False)
        item.hideButtons()
        item.setMouseEnabled(x=False, y=False)
        item.setYRange(0, 1, padding=0.04)
        item.disableAutoRange()
        self.raw: list[pg.PlotDataItem] = []
        self.smoothed: list[pg.PlotDataItem] = []
        self.thresholds = [
            pg.InfiniteLine(angle=0, label=name, labelOpts={"position": place})
            for name, place in (("on", 0.03), ("off", 0.12))
        ]
        self.spans: list[pg.LinearRegionItem] = []
        self.marker = pg.InfiniteLine(angle=90)
        self.marker.hide()
        for line in (*self.thresholds, self.marker):
            self.plot.addItem(line)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        head = QHBoxLayout()
        head.setContentsMargins(4, 0, 0, 0)
        head.addWidget(self.span)
        head.addWidget(self.bar, 1)
        layout.addLayout(head)
        layout.addWidget(self.plot, 1)
        self.set_theme(theme)

    def sizeHint(self) -> QSize:
        """Return the size that curves like."""
        return QSize(460, 230)

    @property
    def span_s(self) -> float:
        """Chosen time on the screen, in seconds."""
        return float(self.span.currentData())

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.plot.setBackground(theme.panel)
        for name in ("left", "bottom"):
            axis = self.plot.getPlotItem().getAxis(name)
            axis.setPen(pg.mkPen(theme.line))
            axis.setTextPen(pg.mkPen(theme.faint))
            font = self.font()
            font.setPointSize(SMALLEST_TEXT_PT)
            axis.setTickFont(font)
        for line in self.thresholds:
            line.setPen(pg.mkPen(theme.threshold, style=Qt.PenStyle.DashLine))
            line.label.setColor(theme.text)
        self.marker.setPen(pg.mkPen(theme.mark, width=2))
        self._rebuild()
        self._draw()

    def show_curves(self, curves: Curves, session: SessionPanel, wall_offset_s: float) -> None:
        """Show probabilities, if they have changed."""
        if session.classes != self._session.classes or session.alarm_class != self._session.alarm_class:
            self._session = session
            self._rebuild()
            self._version = -1
        if curves.version != self._version or session is not self._session:
            self._version, self._curves, self._session, self._wall_s = curves.version, curves, session, wall_offset_s
            self._draw()

    def set_span(self, span_s: float) -> None:
        """Show so many seconds, or nearly so many."""
        self.span.setCurrentIndex(min(range(len(SPANS_S)), key=lambda i: abs(SPANS_S[i] - span_s)))

    def show_time(self, stamp_s: float) -> None:
        """Mark a time of the LSL clock, with as much around it as that takes."""
        self.marker.setPos(stamp_s + self._wall_s)
        self.marker.show()
        times = self._curves.times
        ago_s = float(times[-1]) - stamp_s if times.size else 0.0
        if ago_s > self.span_s:
            self.set_span(min((span for span in SPANS_S if span >= ago_s), default=SPANS_S[-1]))

    def hold(self, stamp_s: float) -> None:
        """Take the mark away when the picture goes on, which NaN says."""
        self.marker.setVisible(self.marker.isVisible() and stamp_s == stamp_s)

    def _choose_span(self) -> None:
        self.span_chosen.emit(self.span_s)
        self._draw()

    def _rebuild(self) -> None:
        """Make curves and legend of other classes."""
        for item in (*self.raw, *self.smoothed):
            self.plot.removeItem(item)
        self.raw, self.smoothed = [], []
        self.bar.clear()
        for i, name in enumerate(self._session.classes):
            colour = QColor(self._theme.class_colour(i))
            pale = QColor(colour)
            pale.setAlpha(RAW_ALPHA)
            self.raw.append(self.plot.plot(pen=pg.mkPen(pale), connect="finite"))
            self.smoothed.append(self.plot.plot(pen=pg.mkPen(colour, width=2), connect="finite"))
            action = self.bar.addAction(_swatch(colour), name.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(True)
            action.toggled.connect(lambda shown, i=i: self._show_class(i, shown))
            button = self.bar.widgetForAction(action)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)  # type: ignore[attr-defined]
            action.setToolTip("Show or hide this class")

    def _show_class(self, number: int, shown: bool) -> None:
        self.raw[number].setVisible(shown)
        self.smoothed[number].setVisible(shown)

    def _draw(self) -> None:
        curves, session = self._curves, self._session
        times = curves.times + self._wall_s
        for items, values in ((self.raw, curves.raw), (self.smoothed, curves.smoothed)):
            for item, row in zip(items, values, strict=False):
                item.setData(times, row)
        for line, level in zip(self.thresholds, (session.on_threshold, session.off_threshold), strict=True):
            line.setVisible(bool(session.alarm_class))
            line.setPos(level)
            side = (0.5, 0) if level > HIGH else (0.5, 1)  # below a line at the top, else above
            line.label.anchors = [side, side]
            line.label.updatePosition()
        self._shade([(start + self._wall_s, stop + self._wall_s) for start, stop in curves.alarms])
        self.plot.getPlotItem().getAxis("bottom").setStyle(showValues=bool(times.size))  # no time is known before
        if times.size:
            newest = float(np.nanmax(times))
            self.plot.setXRange(newest - self.span_s, newest, padding=0)

    def _shade(self, spans: list[tuple[float, float]]) -> None:
        brush = QColor(self._theme.alarm_span)
        brush.setAlpha(ALARM_ALPHA)
        while len(self.spans) < len(spans):
            region = pg.LinearRegionItem(movable=False, pen=pg.mkPen(None))
            region.setZValue(-10)
            self.spans.append(region)
            self.plot.addItem(region)
        while len(self.spans) > len(spans):
            self.plot.removeItem(self.spans.pop())
        for region, ends in zip(self.spans, spans, strict=True):
            region.setBrush(brush)
            region.setRegion(ends)


def _swatch(colour: QColor) -> QIcon:
    picture = QPixmap(18, 14)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.fillRect(QRectF(0, 4, 14, 6), colour)
    painter.end()
    return QIcon(picture)

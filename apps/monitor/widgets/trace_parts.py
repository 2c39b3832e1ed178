"""The parts around and in the picture of the traces: names, picture with marks, and times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QHelpEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from apps.monitor.snapshot import Mark
from apps.monitor.theme import Theme
from apps.monitor.widgets.labels import plain_tip, wall_text
from apps.monitor.widgets.picture import Picture

if TYPE_CHECKING:
    from apps.monitor.traces import TracePanel

LONGEST_LABEL_PX = 150
BAR_PX = 70.0
NEAR_PX = 6
TICK_ROOM_PX = 110
STEPS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
UNITS = {"uV": "µV"}
MOST_UNITS = 3
DOUBTFUL = "doubtful: the last second broke a limit of signal quality"


class TraceNames(QWidget):
    """Names of the traces at their lanes, each by its quality, and why when the mouse rests on it.

    Bad ones are grey and struck out, doubtful ones coloured and underlined.
    """

    def __init__(self, panel: TracePanel, theme: Theme) -> None:
        super().__init__()
        self._panel, self._theme = panel, theme
        self._names: tuple[str, ...] = ()
        self._bad: dict[str, str] = {}
        self._doubtful: frozenset[str] = frozenset()
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(40)
        self.setFixedWidth(48)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def refresh(self) -> None:
        """Draw the names, if they have changed."""
        now = self._panel.names, self._panel.bad, self._panel.doubtful
        if now == (self._names, self._bad, self._doubtful):
            return
        self._names, self._bad, self._doubtful = now
        names = self._names
        metrics = QFontMetrics(self.font())
        longest = max((metrics.horizontalAdvance(name) for name in names), default=40)
        self.setFixedWidth(min(longest, LONGEST_LABEL_PX) + 16)
        self.update()

    def tip_at(self, y: float) -> str:
        """Return what is said of the trace at a height: its name, and why it is bad."""
        if not self._names or not 0 <= y < self.height():
            return ""
        name = self._names[min(int(y / self.height() * len(self._names)), len(self._names) - 1)]
        if name in self._bad:
            return f"{name}: {self._bad[name]}"
        return f"{name}: {DOUBTFUL}" if name in self._doubtful else name

    def event(self, event: QEvent) -> bool:
        """Show the tip of the trace under the mouse."""
        if isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), plain_tip(self.tip_at(event.pos().y())), self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw every name that there is room for."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.panel))
        if self._names:
            metrics = QFontMetrics(self.font())
            lane = self.height() / len(self._names)
            every = max(1, math.ceil(metrics.height() * 0.95 / lane))
            font = painter.font()
            for i in range(0, len(self._names), every):
                name = self._names[i]
                font.setStrikeOut(name in self._bad)
                font.setUnderline(name in self._doubtful)
                painter.setFont(font)
                colour = self._theme.doubtful_trace if name in self._doubtful else self._theme.text
                painter.setPen(QColor(self._theme.faint if name in self._bad else colour))
                y = min(max((i + 0.5) * lane - metrics.height() / 2, 0.0), self.height() - metrics.height())
                place = QRectF(8, y, self.width() - 12, metrics.height())
                shown = metrics.elidedText(name, Qt.TextElideMode.ElideRight, self.width() - 14)
                painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine, shown)
        painter.end()


class TraceCanvas(QWidget):
    """The picture itself, with marks and a scale bar; only what is new is drawn when it sweeps."""

    gain_turned = Signal(int)
    time_turned = Signal(int)
    picked = Signal(float)

    def __init__(self, panel: TracePanel, theme: Theme) -> None:
        super().__init__()
        self._panel, self._theme = panel, theme
        self._picture = Picture(panel.image)
        self._head = panel.head
        self.scrolls = True
        self.marks: tuple[Mark, ...] = ()
        self.cursor_s = math.nan
        self.banner, self.empty_text = "", ""
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(80, 80)

    def sizeHint(self) -> QSize:
        """Return the size that traces like."""
        return QSize(900, 560)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Have the traces painted for this size, in pixels of the screen."""
        ratio = self.devicePixelRatioF()
        self._panel.resize(round(self.width() * ratio), round(self.height() * ratio))
        self._panel.paint()
        self.refresh(whole=True)

    def refresh(self, whole: bool) -> None:
        """Draw what is new since the last call, or everything."""
        if self._picture.pixels is not self._panel.image:
            self._picture = Picture(self._panel.image, self.devicePixelRatioF())
            whole = True
        head, before = self._panel.head, self._head
        self._head = head
        if whole or self.scrolls or head < before:
            self.update()
        elif head != before:
            ratio = self.devicePixelRatioF()
            left = int(before / ratio) - 2
            self.update(QRect(left, 0, math.ceil(head / ratio) + 4 - left, self.height()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Turn the gain; with Ctrl or Shift, the time base."""
        turned = event.angleDelta().y() or event.angleDelta().x()
        if turned:
            aside = event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
            (self.time_turned if aside else self.gain_turned).emit(1 if turned > 0 else -1)
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick the time under the mouse."""
        time_s = self._panel.time_at(event.position().x() * self.devicePixelRatioF(), self.scrolls)
        if math.isfinite(time_s):
            self.picked.emit(time_s)

    def event(self, event: QEvent) -> bool:
        """Say which mark is under the mouse."""
        if isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), plain_tip(self.tip_at(event.pos().x())), self)
            return True
        return super().event(event)

    def tip_at(self, x: float) -> str:
        """Return what is said of the marks at a place."""
        near = [mark for mark in self.marks if abs(self._x(mark.time) - x) < NEAR_PX]
        return "; ".join(f"{_title(mark)}: {mark.text}" if mark.text != _title(mark) else mark.text for mark in near)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Copy the picture, and draw on it what moves with time."""
        painter = QPainter(self)
        self._picture.draw(painter, self._panel.head if self.scrolls else 0)
        if not self._panel.names:
            painter.setPen(QColor(self._theme.faint))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.empty_text)
        else:
            self._draw_marks(painter)
            if not self.scrolls:
                painter.fillRect(QRectF(self._x_px(self._panel.head), 0, 2, self.height()), QColor(self._theme.accent))
            self._draw_scale_bar(painter)
            if self.banner:
                self._draw_banner(painter)
        painter.end()

    def bar(self) -> tuple[float, float]:
        """Return what the scale bar stands for, in units of the signal, and its height in pixels."""
        lane = self._panel.lane_height_px / self.devicePixelRatioF()
        value = nice(BAR_PX / lane * self._panel.scale)
        return value, value / self._panel.scale * lane

    def _x_px(self, column: float) -> float:
        return column / self.devicePixelRatioF()

    def _x(self, stamp_s: float) -> float:
        return self._x_px(self._panel.x_of(stamp_s, self.scrolls))

    def _draw_marks(self, painter: QPainter) -> None:
        metrics = painter.fontMetrics()
        right = -math.inf  # where the text of the mark before ends
        for mark in self.marks:
            colour = QColor(self._theme.alarm_span if mark.kind.startswith(("alarm", "fault")) else self._theme.mark)
            self._shade(painter, mark, colour)
            x = self._x(mark.time)
            if not math.isfinite(x):
                continue
            painter.setPen(QPen(colour, 1.5))
            painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
            text = metrics.elidedText(_title(mark), Qt.TextElideMode.ElideRight, 220)
            if x > right:
                width = metrics.horizontalAdvance(text)
                plate = QRectF(x + 3, 3, width + 8, metrics.height())
                painter.fillRect(plate, QColor(self._theme.panel))
                painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, text)
                right = plate.right()
        x = self._x(self.cursor_s)
        if math.isfinite(x):
            painter.setPen(QPen(QColor(self._theme.accent), 2, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))

    def _shade(self, painter: QPainter, mark: Mark, colour: QColor) -> None:
        """Shade what a mark lasts, also of one that began before what is on the screen, but not what is yet to come."""
        newest_s, span_s, width = self._panel.newest_s, self._panel.span_s, self.width()
        begin_s = max(mark.time, newest_s - span_s * (1 - 1e-6))
        x, length = self._x(begin_s), (min(mark.time + mark.duration_s, newest_s) - begin_s) / span_s * width
        if not (math.isfinite(x) and length > 0):
            return
        pale = QColor(colour)
        pale.setAlpha(40)
        for left in (x, x - width):  # a sweep goes on from the left
            painter.fillRect(QRectF(left, 0, length, self.height()), pale)

    def _draw_banner(self, painter: QPainter) -> None:
        """Say that this is not the present, and why."""
        metrics = painter.fontMetrics()
        width = metrics.horizontalAdvance(self.banner) + 24
        plate = QRectF((self.width() - width) / 2, self.height() - metrics.height() - 16, width, metrics.height() + 8)
        painter.fillRect(plate, QColor(self._theme.selected))
        painter.setPen(QColor(self._theme.text))
        painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, self.banner)

    def _draw_scale_bar(self, painter: QPainter) -> None:
        value, height = self.bar()
        if not 0 < height < self.height() - 16:
            return
        text = amount(self._panel, value)
        width = painter.fontMetrics().horizontalAdvance(text)
        plate = QRectF(
            self.width() - width - 34, self.height() - max(height, 20) - 16, width + 28, max(height, 20) + 10
        )
        plain = QColor(self._theme.panel)
        plain.setAlpha(225)
        painter.fillRect(plate, plain)
        painter.setPen(QPen(QColor(self._theme.text), 2))
        x, bottom = plate.right() - 8, plate.bottom() - 5
        painter.drawLine(QPointF(x, bottom - height), QPointF(x, bottom))
        for end in (bottom, bottom - height):
            painter.drawLine(QPointF(x - 4, end), QPointF(x + 4, end))
        painter.drawText(plate.adjusted(6, 0, -18, 0), Qt.AlignmentFlag.AlignVCenter, text)


class TimeAxis(QWidget):
    """Seconds on the screen, and the wall clock below."""

    def __init__(self, panel: TracePanel, theme: Theme) -> None:
        super().__init__()
        self._panel, self._theme = panel, theme
        self.scrolls, self.wall_offset_s = True, 0.0
        self._shown: tuple[object, ...] = ()
        self.setFixedHeight(2 * QFontMetrics(self.font()).height() + 8)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def refresh(self) -> None:
        """Draw the times, if they have moved by a pixel."""
        newest = self._panel.newest_s
        turn = newest // self._panel.span_s if not self.scrolls else newest
        shown = (turn, self._panel.span_s, self.scrolls, self.width(), self._panel.is_held)
        if shown != self._shown:
            self._shown = shown
            self.update()

    @property
    def counts_back(self) -> bool:
        """Whether seconds are counted back from now: not where the picture sweeps, or is held at another time."""
        return self.scrolls and not self._panel.is_held

    def wall_ticks(self) -> list[tuple[float, str]]:
        """Return places, in pixels, and texts of the wall clock."""
        newest, span = self._panel.newest_s, self._panel.span_s
        if not math.isfinite(newest):
            return []
        step = _step(span, self.width())
        first = math.ceil((newest - span + self.wall_offset_s) / step)
        last = math.floor((newest + self.wall_offset_s) / step)
        ticks = []
        for i in range(first, last + 1):
            x = self._panel.x_of(i * step - self.wall_offset_s, self.scrolls) / self.devicePixelRatioF()
            if math.isfinite(x):
                whole = math.floor(i * step + 1e-9)
                ticks.append((x, wall_text(whole) + ("" if step >= 1 else f".{round((i * step - whole) * 10)}")))
        return ticks

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw both rows."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.panel))
        span, width = self._panel.span_s, self.width()
        step, half = _step(span, width), painter.fontMetrics().height()
        painter.setPen(QColor(self._theme.faint))
        for i in range(math.floor(span / step) + 1):
            x = width - i * step / span * width if self.counts_back else i * step / span * width
            text = f"{-i * step:g} s" if self.counts_back and i else f"{i * step:g} s"
            self._draw(painter, x, 2, text)
        painter.setPen(QColor(self._theme.text))
        for x, text in self.wall_ticks():
            self._draw(painter, x, 2 + half, text)
        painter.end()

    def _draw(self, painter: QPainter, x: float, y: float, text: str) -> None:
        metrics = painter.fontMetrics()
        width = metrics.horizontalAdvance(text)
        left = min(max(x - width / 2, 0.0), self.width() - width)
        painter.drawLine(QPointF(x, y), QPointF(x, y + 3))
        painter.drawText(QPointF(left, y + metrics.ascent() + 2), text)


def _title(mark: Mark) -> str:
    """Return what stands beside a mark: what an annotation says, else its kind."""
    return mark.text if mark.kind == "annotation" and mark.text else mark.kind.replace("_", " ")


def amount(panel: TracePanel, value: float) -> str:
    """Return a height in every unit of the signal: ``100 µV``, ``3000 fT · 300 fT/cm``."""
    texts = [f"{number:g} {UNITS.get(unit, unit)}".rstrip() for number, unit in panel.amounts(value)]
    return " · ".join(texts[:MOST_UNITS]) or f"{value:g}"


def nice(value: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most `value`."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return max(power * step for step in (1, 2, 5) if power * step <= value * (1 + 1e-9))


def stepped(values: Sequence[float], value: float, turns: int) -> float:
    """Return the value so many steps away in a rising list, from the one nearest to `value`."""
    nearest = min(range(len(values)), key=lambda i: abs(math.log(values[i] / value)))
    return values[min(max(nearest + turns, 0), len(values) - 1)]


def _step(span_s: float, width_px: int) -> float:
    return next((step for step in STEPS_S if width_px * step / span_s >= TICK_ROOM_PX), STEPS_S[-1])

"""The map of head or helmet: values at sensors, interpolated by where they are."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QToolBar, QToolTip, QWidget

from apps.monitor.maps import MapPanel
from apps.monitor.theme import Theme
from apps.monitor.widgets.colour_bar import ColourBar
from apps.monitor.widgets.labels import as_panel, named_box, plain_tip
from apps.monitor.widgets.picture import Picture

NEAR_PX = 12.0


class MapCanvas(QWidget):
    """The picture within the outline of a head that is seen from above, the nose on top."""

    def __init__(self, panel: MapPanel, theme: Theme) -> None:
        super().__init__()
        self._panel, self._theme = panel, theme
        self._picture = Picture(panel.image)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(100, 100)

    def sizeHint(self) -> QSize:
        """Return the size that a map likes."""
        return QSize(240, 240)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def refresh(self) -> None:
        """Draw a new map."""
        if self._picture.pixels is not self._panel.image:
            self._picture = Picture(self._panel.image)
        self.update()

    def head(self) -> QRectF:
        """Return where the picture is."""
        size = max(min(self.width(), self.height() - 22) - 20.0, 1.0)
        return QRectF((self.width() - size) / 2, (self.height() - size) / 2 + 7, size, size)

    def sensor_at(self, point: QPointF) -> str:
        """Return the name of the sensor at a point; empty if none is near."""
        head = self.head()
        best, name = NEAR_PX, ""
        for sensor, (x, y) in zip(self._panel.names, self._panel.positions, strict=True):
            away = math.hypot(head.left() + x * head.width() - point.x(), head.top() + y * head.height() - point.y())
            if away < best:
                best, name = away, sensor
        return name

    def event(self, event: QEvent) -> bool:
        """Say which sensor is under the mouse."""
        if isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), plain_tip(self.sensor_at(QPointF(event.pos()))), self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw picture, head and sensors."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QColor(self._theme.panel))
        if not self._panel.kind:
            painter.setPen(QColor(self._theme.faint))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect().adjusted(8, 8, -8, -8), flags, self._panel.why_empty)
        else:
            head = self.head()
            painter.setPen(QPen(QColor(self._theme.faint), 2))
            middle = head.center()
            nose = QPainterPath(QPointF(middle.x() - 14, head.top() + 3))
            nose.lineTo(middle.x(), head.top() - 13)
            nose.lineTo(middle.x() + 14, head.top() + 3)
            painter.drawPath(nose)
            for side in (head.left(), head.right()):
                painter.drawEllipse(QPointF(side, middle.y()), 6, 18)
            outline = QPainterPath()
            outline.addEllipse(head)
            painter.setClipPath(outline)
            if self._panel.image.any():  # else there is no map, and its place stays empty
                self._picture.draw_within(painter, head)
            painter.setClipping(False)
            painter.drawEllipse(head)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(0, 0, 0, 150))
            for x, y in self._panel.positions:
                painter.drawEllipse(QPointF(head.left() + x * head.width(), head.top() + y * head.height()), 2, 2)
        painter.end()


class MapView(QWidget):
    """Map, scale, and choice of the map.

    Parameters
    ----------
    panel : MapPanel
        What is shown.
    theme : Theme
        Colours.
    """

    def __init__(self, panel: MapPanel, theme: Theme) -> None:
        super().__init__()
        as_panel(self)
        self.panel, self._generation = panel, -1
        self.canvas, self.scale, self.kind = MapCanvas(panel, theme), ColourBar(theme), named_box("Kind of map")
        self.kind.activated.connect(lambda: self.choose(self.kind.currentText()))
        self.bar = QToolBar()
        self.bar.addWidget(self.kind)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 6)
        grid.setSpacing(0)
        grid.addWidget(self.bar, 0, 0, 1, 2)
        grid.addWidget(self.canvas, 1, 0)
        grid.addWidget(self.scale, 1, 1)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self.canvas.set_theme(theme)
        self.scale.set_theme(theme)

    def choose(self, kind: str) -> None:
        """Show another map."""
        if kind in self.panel.kinds:
            self.panel.choose(kind)

    def next_kind(self) -> None:
        """Show the next map."""
        kinds = self.panel.kinds
        if kinds:
            self.choose(kinds[(kinds.index(self.panel.kind) + 1) % len(kinds)])

    def refresh(self, now_s: float) -> None:
        """Show a new map, if there is one."""
        painted = self.panel.paint(now_s)
        other = self._generation != self.panel.generation
        if other:
            self._generation = self.panel.generation
            if tuple(self.kind.itemText(i) for i in range(self.kind.count())) != self.panel.kinds:
                self.kind.clear()
                self.kind.addItems(list(self.panel.kinds))
            self.kind.setCurrentText(self.panel.kind)
            self.kind.setEnabled(len(self.panel.kinds) > 1)
            self.scale.setVisible(bool(self.panel.kind))
        if painted or other:
            self.canvas.refresh()
            self.scale.show_scale(self.panel.colours, self.panel.range, self.panel.unit.replace("uV", "µV"))

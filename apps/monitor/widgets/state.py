"""The state in a word and a shape that can be read at three metres, and what is done about an alarm."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from apps.monitor.controls import Controls
from apps.monitor.snapshot import StatePanel
from apps.monitor.theme import Theme
from apps.monitor.widgets.labels import as_panel, named_box, plain_label, plain_tip, set_text, span

MUTES_S = (60.0, 120.0, 300.0, 600.0, 1800.0)
USUAL_MUTE_S = 120.0
LARGEST_WORD_PX = 150
MOST_LINES = 4  # of reasons; the tip has them all


class StateSign(QWidget):
    """The word and its shape, as large as the place allows."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme, self._panel = theme, StatePanel()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(120, 108)

    def sizeHint(self) -> QSize:
        """Return the size that the word likes."""
        return QSize(460, 130)

    @property
    def word(self) -> str:
        """What is written."""
        return self._panel.word

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def show_state(self, panel: StatePanel) -> None:
        """Show a state."""
        if (panel.word, panel.shape, panel.state) != (self._panel.word, self._panel.shape, self._panel.state):
            self._panel = panel
            self.setAccessibleName(f"State: {panel.word}")
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw shape and word side by side in the middle."""
        paint = self._theme.states[self._panel.state]
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(paint.fill))
        painter.drawRoundedRect(self.rect(), 8, 8)
        font = QFont(self.font())
        font.setBold(True)
        height = min(self.height() * 0.62, LARGEST_WORD_PX)
        font.setPixelSize(max(16, round(height)))
        room = self.width() - 24.0
        needed = QFontMetricsF(font).horizontalAdvance(self._panel.word) + height * 1.05
        if needed > room:
            height *= max(room, 1) / needed
            font.setPixelSize(max(16, round(height)))
        metrics = QFontMetricsF(font)
        size, gap = metrics.capHeight(), metrics.capHeight() * 0.4
        width = size + gap + metrics.horizontalAdvance(self._panel.word)
        left, top = (self.width() - width) / 2, (self.height() - size) / 2
        draw_shape(painter, self._panel.shape, QRectF(left, top, size, size), QColor(paint.ink))
        painter.setFont(font)
        painter.setPen(QColor(paint.ink))
        painter.drawText(QPointF(left + size + gap, top + size), self._panel.word)
        painter.end()


def draw_shape(painter: QPainter, shape: str, place: QRectF, colour: QColor) -> None:
    """Draw one of the shapes that stand beside the words."""
    size = place.width()
    line = QPen(colour, size * 0.2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
    inner = QRectF(place.left() + size * 0.1, place.top() + size * 0.1, size * 0.8, size * 0.8)
    solid = shape in ("triangle", "square", "dot")
    painter.setPen(Qt.PenStyle.NoPen if solid else line)
    painter.setBrush(colour if solid else Qt.BrushStyle.NoBrush)
    middle = inner.center()
    if shape == "check":
        elbow = QPointF(inner.left() + inner.width() * 0.36, inner.bottom())
        painter.drawPolyline(QPolygonF([QPointF(inner.left(), middle.y()), elbow, inner.topRight()]))
    elif shape == "cross":
        painter.drawLine(inner.topLeft(), inner.bottomRight())
        painter.drawLine(inner.bottomLeft(), inner.topRight())
    elif shape == "dash":
        painter.drawLine(QPointF(inner.left(), middle.y()), QPointF(inner.right(), middle.y()))
    elif shape == "triangle":
        painter.drawPolygon(QPolygonF([place.bottomLeft(), place.bottomRight(), QPointF(middle.x(), place.top())]))
    elif shape == "square":
        painter.drawRect(place)
    else:
        painter.drawEllipse(inner)


class StateView(QWidget):
    """Sign, times, reasons, and the buttons to acknowledge and to mute.

    Parameters
    ----------
    controls : Controls
        Where commands go.
    theme : Theme
        Colours.
    """

    def __init__(self, controls: Controls, theme: Theme) -> None:
        super().__init__()
        as_panel(self)
        self._controls = controls
        self.sign = StateSign(theme)
        self.times = plain_label()
        self.reasons = plain_label(faint=True, wrap=True)
        self.acknowledge = QPushButton("Acknowledge")
        self.acknowledge.clicked.connect(lambda: self._controls.acknowledge())
        self.mute = QPushButton("Mute")
        self.mute.clicked.connect(lambda: self.toggle_mute())
        self.mute_length = named_box("Length of a mute")
        for seconds in MUTES_S:
            self.mute_length.addItem(f"{seconds / 60:g} min", seconds)
        self.mute_length.setCurrentIndex(MUTES_S.index(USUAL_MUTE_S))
        self._muted = False
        buttons = QHBoxLayout()
        for button in (self.acknowledge, self.mute, self.mute_length):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.sign, 1)
        layout.addWidget(self.times)
        layout.addWidget(self.reasons)
        layout.addLayout(buttons)
        self.show_state(StatePanel())

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self.sign.set_theme(theme)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep room for the reasons, which need more lines where there is less width."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """Ask for the height that the reasons need: a label that wraps its text asks for less."""
        most = MOST_LINES * self.reasons.fontMetrics().height()
        self.reasons.setFixedHeight(max(0, min(self.reasons.heightForWidth(self.width() - 16), most)))

    def toggle_mute(self) -> None:
        """Mute for the chosen time, or end a mute."""
        self._controls.mute(0.0 if self._muted else self.mute_length.currentData())

    def show_state(self, panel: StatePanel) -> None:
        """Show a state."""
        self.sign.show_state(panel)
        since = f"since {span(panel.since_s)}"
        if panel.alarm_on:
            since += f"   ·   alarm began {span(panel.onset_s)} ago"
        set_text(self.times, since)
        reasons = "\n".join(panel.reasons)
        if reasons != self.reasons.text():
            self.reasons.setText(reasons)
            self.reasons.setToolTip(plain_tip(reasons))
            self._make_room()
        self._muted = panel.muted
        set_text(self.mute, f"Unmute ({span(panel.mute_left_s)})" if self._muted else "Mute")
        can = self._controls.can_control
        self.acknowledge.setEnabled(can and panel.alarm_on and not panel.acknowledged)
        self.mute.setEnabled(can)
        self.mute_length.setEnabled(can)
        self.mute_length.setVisible(not self._muted)  # the time that is left needs its place
        tip = "" if can else "The session takes no commands. Start it with --control PORT, and the monitor with it."
        if self.mute.toolTip() != plain_tip(tip):
            self.mute.setToolTip(plain_tip(tip))
            self.acknowledge.setToolTip(plain_tip(tip))

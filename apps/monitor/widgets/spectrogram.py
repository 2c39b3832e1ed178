"""The mel spectrogram that the network sees, with its scale and the analysed window."""

from __future__ import annotations

import math

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QToolBar, QWidget

from apps.monitor.spectrogram import SpectrogramPanel
from apps.monitor.theme import Theme
from apps.monitor.widgets.colour_bar import ColourBar
from apps.monitor.widgets.labels import as_panel, named_box, not_live, plain_label, set_text
from apps.monitor.widgets.picture import Picture

SPANS_S = (10.0, 20.0, 30.0, 60.0)
OUTLINED = "outlined: what the newest prediction has seen"
NO_FEATURES = "No features yet. Start the session with --publish signal,features."


class BandAxis(QWidget):
    """Frequencies of the bands; their numbers, where the stream does not say frequencies."""

    def __init__(self, panel: SpectrogramPanel, theme: Theme) -> None:
        super().__init__()
        self._panel, self._theme = panel, theme
        self.setFixedWidth(72)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def ticks(self) -> list[tuple[float, str]]:
        """Return heights, in pixels from the top, and texts."""
        n, hz = self._panel.n_mels, self._panel.centres_hz
        room = max(1, int(self.height() // (2 * self.fontMetrics().height())))
        every = max(1, math.ceil(n / room))
        lane = self.height() / max(n, 1)
        return [
            (self.height() - (i + 0.5) * lane, frequency(hz[i]) if hz else f"mel {i}")
            for i in range(every // 2, n, every)
        ]

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the texts."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.panel))
        painter.setPen(QColor(self._theme.faint))
        line = painter.fontMetrics().height()
        for y, text in self.ticks():
            top = min(max(y - line / 2, 0.0), self.height() - line)
            place = QRectF(0, top, self.width() - 6, line)
            painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)
        painter.end()


def frequency(hz: float) -> str:
    """Return a frequency with two digits: ``4.2 Hz``, ``38 Hz``, ``120 Hz``."""
    return f"{hz:.1f} Hz" if hz < 9.95 else f"{hz:.0f} Hz"


class SpectrogramCanvas(QWidget):
    """The picture, always scrolling, and the window that the newest prediction has seen."""

    def __init__(self, panel: SpectrogramPanel, theme: Theme) -> None:
        super().__init__()
        self._panel, self._theme = panel, theme
        self._picture = Picture(panel.image)
        self._window = (math.nan, math.nan)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(80, 60)

    def sizeHint(self) -> QSize:
        """Return the size that the picture likes."""
        return QSize(700, 160)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def refresh(self, painted: bool, window: tuple[float, float]) -> None:
        """Draw what is new."""
        other = self._picture.pixels is not self._panel.image
        if other:
            self._picture = Picture(self._panel.image)
        moved = window != self._window and not math.isnan(window[1])
        if painted or other or moved:
            self._window = window
            self.update()

    def outline(self) -> tuple[float, float] | None:
        """Return both ends of the analysed window, in pixels from the left; None if it is not on the screen."""
        if self._panel.is_held:
            return None
        start_s, stop_s = self._window
        stop_s = min(stop_s, self._panel.newest_s)
        column = self._panel.x_of(stop_s, True)
        if not math.isfinite(column):
            return None
        right = (column + 1) / self._panel.image.shape[1] * self.width()
        return max(0.0, right - (stop_s - start_s) / self._panel.shown_s * self.width()), right

    def paintEvent(self, event: QPaintEvent) -> None:
        """Copy the picture, and outline the window."""
        painter = QPainter(self)
        if self._panel.n_mels == 0:
            painter.fillRect(self.rect(), QColor(self._theme.panel))
            painter.setPen(QColor(self._theme.faint))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, NO_FEATURES)
        else:
            self._picture.draw_within(painter, QRectF(self.rect()), self._panel.head)
            ends = self.outline()
            if ends is not None:
                painter.setPen(QPen(QColor(self._theme.window_outline), 2))
                painter.drawRect(QRectF(ends[0] + 1, 1, ends[1] - ends[0] - 2, self.height() - 2))
        painter.end()


class SpectrogramView(QWidget):
    """Picture, bands, scale, and what the user chooses.

    Parameters
    ----------
    panel : SpectrogramPanel
        What is shown.
    theme : Theme
        Colours.
    """

    def __init__(self, panel: SpectrogramPanel, theme: Theme) -> None:
        super().__init__()
        as_panel(self)
        self.panel, self._generation = panel, -1
        self.axis, self.canvas = BandAxis(panel, theme), SpectrogramCanvas(panel, theme)
        self.scale = ColourBar(theme)
        self.choice = named_box("Channel or region of the spectrogram")
        self.span = named_box("Time of the spectrogram")
        self.choice.activated.connect(lambda: self.choose(self.choice.currentText()))
        for seconds in SPANS_S:
            self.span.addItem(f"{seconds:g} s", seconds)
        self.set_span(panel.span_s)
        self.span.activated.connect(lambda: self.set_span(self.span.currentData()))
        self.bar = QToolBar()
        self.bar.addWidget(self.choice)
        self.bar.addWidget(self.span)
        self.note = plain_label(OUTLINED, faint=True)
        self.bar.addWidget(self.note)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 6)
        grid.setSpacing(0)
        grid.addWidget(self.bar, 0, 0, 1, 3)
        for column, widget in enumerate((self.axis, self.canvas, self.scale)):
            grid.addWidget(widget, 1, column)
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self.panel.set_background(0xFF000000 | int(theme.panel[1:], 16))
        for part in (self.axis, self.canvas, self.scale):
            part.set_theme(theme)

    def set_span(self, span_s: float) -> None:
        """Show so many seconds, or nearly so many."""
        at = min(range(len(SPANS_S)), key=lambda i: abs(SPANS_S[i] - span_s))
        self.span.setCurrentIndex(at)
        self.panel.set_span(SPANS_S[at])

    def choose(self, choice: str) -> None:
        """Show another channel or region."""
        if choice in self.panel.choices:
            self.panel.choose(choice)

    def next_choice(self) -> None:
        """Show the next channel or region."""
        choices = self.panel.choices
        if choices:
            self.choose(choices[(choices.index(self.panel.choice) + 1) % len(choices)])

    def hold(self, stamp_s: float) -> None:
        """Show what came up to a time, and stay there; NaN goes on."""
        self.panel.hold(stamp_s)
        set_text(self.note, not_live(self.panel.is_held, 0.0) or OUTLINED)

    def refresh(self, window: tuple[float, float], silent_s: float = 0.0) -> None:
        """Show what has come since the last call; nothing has for `silent_s`."""
        set_text(self.note, not_live(self.panel.is_held, silent_s) or OUTLINED)
        painted = self.panel.paint()
        if self._generation != self.panel.generation:
            self._generation = self.panel.generation
            if tuple(self.choice.itemText(i) for i in range(self.choice.count())) != self.panel.choices:
                self.choice.clear()
                self.choice.addItems(list(self.panel.choices))
            self.choice.setCurrentText(self.panel.choice)
            self.axis.update()
        self.canvas.refresh(painted, window)
        self.scale.show_scale(self.panel.colours, self.panel.range_db, "dB")

"""A colour map with its scale."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from apps.monitor.theme import Theme
from apps.monitor.widgets.picture import Picture


class ColourBar(QWidget):
    """Colours from bottom to top, with the numbers at both ends and in the middle, and the unit above."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.ends, self.unit = (0.0, 1.0), ""
        self._colours = np.zeros(0, np.uint32)
        self._picture: Picture | None = None
        self.setFixedWidth(86)
        self.setMinimumHeight(60)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def show_scale(self, colours: np.ndarray, ends: tuple[float, float], unit: str) -> None:
        """Show another scale; `colours` of shape (n_colours,) from the lower to the upper end."""
        if colours is self._colours and ends == self.ends and unit == self.unit:
            return
        self._colours, self.ends, self.unit = colours, ends, unit
        self._picture = Picture(np.ascontiguousarray(colours[::-1, None]))
        self.update()

    def texts(self) -> tuple[str, str, str]:
        """Return what stands at the lower end, in the middle and at the upper end."""
        low, high = self.ends
        digits = 0 if high - low >= 8 else 1 if high - low >= 0.8 else 3
        return f"{low:.{digits}f}", f"{(low + high) / 2:.{digits}f}", f"{high:.{digits}f}"

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw colours and numbers."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.panel))
        line = painter.fontMetrics().height()
        place = QRectF(10, line + 6, 14, max(self.height() - line - 12, 1))
        if self._picture is not None:
            self._picture.draw_within(painter, place)
            painter.setPen(QColor(self._theme.text))
            for text, share in zip(self.texts(), (1.0, 0.5, 0.0), strict=True):
                y = min(max(place.top() + share * place.height() - line / 2, line + 2), self.height() - line - 2)
                painter.drawText(QRectF(30, y, 56, line), Qt.AlignmentFlag.AlignVCenter, text)
            painter.setPen(QColor(self._theme.faint))
            painter.drawText(QRectF(4, 2, 82, line), Qt.AlignmentFlag.AlignVCenter, self.unit)
        painter.end()

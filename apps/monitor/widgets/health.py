"""Latency and health, as the session says them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QGridLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from apps.monitor.snapshot import HealthPanel
from apps.monitor.theme import Theme
from apps.monitor.widgets.labels import number, plain_label, set_text, span

ROWS = (
    "p50, last minute",
    "p99, last minute",
    "worst, last minute",
    "predictions",
    "over the budget",
    "dropped windows",
    "gaps",
    "held values",
    "rate",
    "clock offset",
    "engine",
    "GPU memory",
    "last status",
    "not shown here",
)


class BudgetBar(QWidget):
    """How much of the budget the slowest predictions took; a tick at all of it, since more is possible."""

    FULL = 1.25

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme, self._share = theme, math.nan
        self.setFixedHeight(18)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def show_share(self, share: float) -> None:
        """Show a share of the budget; 1 is all of it."""
        if share != self._share:
            self._share = share
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bar."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.window))
        if math.isfinite(self._share):
            filled = self.width() * min(max(self._share, 0), self.FULL) / self.FULL
            colour = self._theme.good if self._share <= 1 else self._theme.poor
            painter.fillRect(QRectF(0, 0, filled, self.height()), QColor(colour))
        x = round(self.width() / self.FULL)
        painter.setPen(QPen(QColor(self._theme.text), 2))
        painter.drawLine(x, 0, x, self.height())
        painter.end()


class Sparkline(QWidget):
    """The p99 of each second of the last minute, from 0 up to the largest."""

    N_SECONDS = 60

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme, self._values = theme, np.zeros(0, np.float32)
        self.setMinimumHeight(44)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return the size that a line likes."""
        return QSize(200, 44)

    @property
    def values_ms(self) -> np.ndarray:
        """What is drawn, oldest first."""
        return self._values

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self._theme = theme
        self.update()

    def show_values(self, values: np.ndarray) -> None:
        """Show values in milliseconds, oldest first."""
        if not np.array_equal(values, self._values, equal_nan=True):
            self._values = values
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the line, the newest value at the right."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        base = self.height() - 1.0
        painter.setPen(QColor(self._theme.line))
        painter.drawLine(QPointF(0, base), QPointF(self.width(), base))
        finite = np.flatnonzero(np.isfinite(self._values))
        if finite.size:
            most = max(float(self._values[finite].max()), 1e-9)
            step = self.width() / (self.N_SECONDS - 1)
            points = [
                QPointF(
                    self.width() - (len(self._values) - 1 - int(i)) * step, base - self._values[i] / most * (base - 4)
                )
                for i in finite
            ]
            painter.setPen(QPen(QColor(self._theme.accent), 2))
            painter.drawPolyline(QPolygonF(points))
        painter.end()


class HealthView(QScrollArea):
    """Budget, latencies, counters and engine.

    Parameters
    ----------
    theme : Theme
        Colours.
    """

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.budget = plain_label()
        self.bar, self.sparkline = BudgetBar(theme), Sparkline(theme)
        self.values = {row: plain_label(wrap=True) for row in ROWS}
        self.stages = plain_label(faint=True, wrap=True)
        self.bad = plain_label(faint=True, wrap=True)
        self.streams = plain_label(faint=True, wrap=True)
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(2)
        for i, (row, value) in enumerate(self.values.items()):
            grid.addWidget(plain_label(row, faint=True), i, 0)
            grid.addWidget(value, i, 1)
        grid.setColumnStretch(1, 1)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        for widget in (self.budget, self.bar, self.sparkline):
            layout.addWidget(widget)
        layout.addLayout(grid)
        for widget in (self.stages, self.bad, self.streams):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.setWidget(inside)

    def sizeHint(self) -> QSize:
        """Return the size that the panel likes."""
        return QSize(420, 300)

    def set_theme(self, theme: Theme) -> None:
        """Draw in other colours."""
        self.bar.set_theme(theme)
        self.sparkline.set_theme(theme)

    def show_health(self, health: HealthPanel, bad_channels: Mapping[str, str], streams: Mapping[str, str]) -> None:
        """Show what the newest status says."""
        share = "budget unknown"
        if math.isfinite(health.budget_ms):
            share = f"{number(health.budget_share, '.0%')} of a budget of {health.budget_ms:g} ms"
        set_text(self.budget, share)
        self.bar.show_share(health.budget_share)
        self.sparkline.show_values(health.sparkline_ms)
        engine = " · ".join(text for text in (health.engine, health.precision) if text)
        texts = (
            number(health.p50_ms, ".2f", "ms"),
            number(health.p99_ms, ".2f", "ms"),
            number(health.max_ms, ".2f", "ms"),
            f"{health.predictions}",
            f"{health.missed}",
            f"{health.dropped}",
            f"{health.gaps}",
            f"{health.held}",
            f"{number(health.rate, '.1f')} of {number(health.nominal_rate, '.1f', 'Hz')}",
            number(health.clock_offset_s * 1e3, ".3f", "ms"),
            engine or "–",
            health.gpu_memory or "–",
            f"{span(health.silent_s)} ago" if math.isfinite(health.silent_s) else "–",
            f"{health.monitor_dropped} chunks",
        )
        for label, text in zip(self.values.values(), texts, strict=True):
            set_text(label, text)
        stages = (f"{name} {p50:.2f} / {p99:.2f}" for name, (p50, p99) in health.stages_ms.items())
        set_text(self.stages, "Stages, p50 / p99 in ms: " + (", ".join(stages) or "–"))
        set_text(self.bad, "Bad channels: " + ("; ".join(f"{k} ({v})" for k, v in bad_channels.items()) or "none"))
        set_text(self.streams, "Streams: " + (", ".join(f"{k} {v}" for k, v in streams.items()) or "none"))

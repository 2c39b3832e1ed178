"""Between the window and its settings: how the user left it, and how it is so again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray

from apps.monitor.settings import Settings

if TYPE_CHECKING:
    from apps.monitor.view import MonitorWindow

LAYOUT_VERSION = 1
"""Grows with each panel that comes or goes: an older layout does not fit then."""


def settings_of(window: MonitorWindow) -> Settings:
    """Return how the window is now."""
    traces = window.traces
    return Settings(
        theme=window.theme.name,
        geometry=_digits(window.saveGeometry()),
        layout=_digits(window.layout_now()),
        montage=traces.panel.montage,
        sweeps=not traces.canvas.scrolls,
        scale=traces.panel.scale if traces.panel.unit in ("", "uV") else 0.0,
        span_s=traces.panel.span_s,
        spectrogram_span_s=window.spectrogram.panel.span_s,
        curve_span_s=window.probabilities.span_s,
    )


def recall(window: MonitorWindow, settings: Settings) -> None:
    """Make the window as it was, before it is shown; the theme is chosen when it is made."""
    if settings.layout:
        window.set_layout(_bytes(settings.layout))
    if settings.geometry:
        window.restoreGeometry(_bytes(settings.geometry))
    traces = window.traces
    if settings.montage:
        traces.panel.montage = settings.montage  # taken if the channels allow it
    traces.set_scroll(not settings.sweeps)
    if settings.scale > 0:
        traces.panel.set_scale(settings.scale)
    if settings.span_s > 0:
        traces.set_span(settings.span_s)
    if settings.spectrogram_span_s > 0:
        window.spectrogram.set_span(settings.spectrogram_span_s)
    if settings.curve_span_s > 0:
        window.probabilities.set_span(settings.curve_span_s)


def _digits(value: QByteArray) -> str:
    return bytes(value.toHex().data()).decode("ascii")


def _bytes(digits: str) -> QByteArray:
    return QByteArray.fromHex(digits.encode("ascii", "replace"))

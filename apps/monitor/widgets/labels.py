"""Texts on the screen: whatever comes from a stream stays plain text, markup or not."""

from __future__ import annotations

import html
import math
from datetime import datetime

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLabel, QPushButton, QWidget

NOTHING = "–"
HELD = "HELD — not live (H goes on)"
WIDEST_BOX_PX = 230
SILENT_S = 3.0


def as_panel(widget: QWidget) -> None:
    """Let a widget have the background of a panel."""
    widget.setObjectName("panel")
    widget.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)


def plain_label(text: str = "", *, faint: bool = False, wrap: bool = False) -> QLabel:
    """Return a label that never takes its text for markup."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setProperty("faint", faint)
    label.setWordWrap(wrap)
    label.setText(text)
    return label


def plain_tip(text: str) -> str:
    """Return what shows `text` in a tool tip as it is, since tool tips take markup."""
    return f"<p>{html.escape(text)}</p>" if text else ""


def named_box(name: str) -> QComboBox:
    """Return a box of choices that is as wide as these, and says its name."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
    box.setMaximumWidth(WIDEST_BOX_PX)
    box.setAccessibleName(name)
    box.setToolTip(name)
    return box


def not_live(held: bool, silent_s: float) -> str:
    """Return why a picture does not show the present; empty if it does."""
    if held:
        return HELD
    return f"NOT LIVE — nothing new for {span(silent_s)}" if silent_s > SILENT_S else ""


def number(value: float, form: str, unit: str = "") -> str:
    """Return a number with its unit, or a dash for what is unknown."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:{form}} {unit}".rstrip()


def span(seconds: float) -> str:
    """Return a length of time as people say it: ``7 s``, ``2 min 05 s``, ``1 h 03 min``; a dash if unknown."""
    if not math.isfinite(seconds):
        return NOTHING
    whole = max(0, math.floor(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def wall_text(seconds: float, form: str = "%H:%M:%S") -> str:
    """Return the wall clock of seconds since 1970; a dash for what is no time of a clock."""
    try:
        return datetime.fromtimestamp(seconds).strftime(form)
    except (ValueError, OverflowError, OSError):  # a stamp from outside can be any number
        return NOTHING


def set_text(widget: QLabel | QPushButton, text: str) -> None:
    """Set a text, if it is another one: setting the same would draw it again."""
    if widget.text() != text:
        widget.setText(text)

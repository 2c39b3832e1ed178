"""Colours of the window, as data: a dark and a light theme, and curves that colour-blind eyes can tell apart."""

from __future__ import annotations

from dataclasses import dataclass

SMALLEST_TEXT_PT = 12


@dataclass(frozen=True, slots=True)
class Paint:
    """How a state is shown.

    Parameters
    ----------
    fill : str
        Behind the word.
    ink : str
        Of the word and its shape.
    """

    fill: str
    ink: str


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as ``#rrggbb``.

    Parameters
    ----------
    name : str
        ``dark`` or ``light``.
    window, panel, field : str
        Behind everything, behind a picture or table, and behind what can be changed.
    text, faint : str
        Of what is read, and of what explains it.
    line, accent, selected : str
        Of borders and grids, of what has the focus, and behind what is selected.
    trace, doubtful_trace, bad_trace : str
        Of channels by their quality.
    threshold, alarm_span, window_outline : str
        In the pictures.
    mark : str
        Of events on the traces.
    good, poor : str
        Of a budget that is kept, and of one that is not.
    classes : tuple of str
        One for each class, then again from the first.
    states : dict of str to Paint
        By state.
    """

    name: str
    window: str
    panel: str
    field: str
    text: str
    faint: str
    line: str
    accent: str
    selected: str
    trace: str
    doubtful_trace: str
    bad_trace: str
    threshold: str
    alarm_span: str
    window_outline: str
    mark: str
    good: str
    poor: str
    classes: tuple[str, ...]
    states: dict[str, Paint]

    def class_colour(self, number: int) -> str:
        """Return the colour of a class, in logit order."""
        return self.classes[number % len(self.classes)]


DARK = Theme(
    name="dark",
    window="#15181b",
    panel="#1c2024",
    field="#262b31",
    text="#e9ecef",
    faint="#a7b0b9",
    line="#3a424a",
    accent="#5aa9e6",
    selected="#23506f",
    trace="#c4d0da",
    doubtful_trace="#d9904a",
    bad_trace="#596169",
    threshold="#e9ecef",
    alarm_span="#e0503f",
    window_outline="#ffffff",
    mark="#e3b341",
    good="#3fa77a",
    poor="#e0503f",
    classes=("#8ecae6", "#ff8c5a", "#4fc3a1", "#f2c14e", "#c89bff", "#f29ac0", "#9db4c0", "#b5c94c"),
    states={
        "waiting": Paint("#1c2024", "#a7b0b9"),
        "settling": Paint("#1c2024", "#7cbcec"),
        "ok": Paint("#1c2024", "#55c596"),
        "warning": Paint("#f2b632", "#191300"),
        "alarm": Paint("#b3261e", "#ffffff"),
        "fault": Paint("#5b3a8c", "#ffffff"),
        "ended": Paint("#1c2024", "#a7b0b9"),
    },
)

LIGHT = Theme(
    name="light",
    window="#eef0f2",
    panel="#ffffff",
    field="#ffffff",
    text="#16191c",
    faint="#535c65",
    line="#c3cad1",
    accent="#0b66a8",
    selected="#cde4f5",
    trace="#27323b",
    doubtful_trace="#b35c00",
    bad_trace="#b4bbc2",
    threshold="#16191c",
    alarm_span="#c62828",
    window_outline="#ffffff",
    mark="#8a5a00",
    good="#23805a",
    poor="#c62828",
    classes=("#0b66a8", "#c8501a", "#0d7f62", "#8a6500", "#7a3fc0", "#b03a78", "#54636e", "#5f7000"),
    states={
        "waiting": Paint("#ffffff", "#535c65"),
        "settling": Paint("#ffffff", "#0b66a8"),
        "ok": Paint("#ffffff", "#147a52"),
        "warning": Paint("#ffc845", "#221a00"),
        "alarm": Paint("#b3261e", "#ffffff"),
        "fault": Paint("#5b3a8c", "#ffffff"),
        "ended": Paint("#ffffff", "#535c65"),
    },
)

THEMES = {theme.name: theme for theme in (DARK, LIGHT)}


def stylesheet(theme: Theme) -> str:
    """Return the style sheet of the whole window."""
    return f"""
* {{ font-size: {SMALLEST_TEXT_PT}pt; color: {theme.text}; }}
QMainWindow, QDialog, QMenuBar, QStatusBar {{ background: {theme.window}; }}
QStatusBar::item {{ border: none; }}
QSizeGrip {{ width: 0; height: 0; }}
QMainWindow::separator {{ background: {theme.window}; width: 6px; height: 6px; }}
QWidget#panel, QScrollArea, QScrollArea > QWidget > QWidget {{ background: {theme.panel}; border: none; }}
QLabel {{ background: transparent; }}
QLabel[faint="true"] {{ color: {theme.faint}; }}
QDockWidget {{ titlebar-close-icon: none; titlebar-normal-icon: none; }}
QDockWidget::title {{ background: {theme.window}; padding: 5px 8px; }}
QMenu {{ background: {theme.panel}; border: 1px solid {theme.line}; }}
QMenu::item {{ padding: 5px 24px; }}
QMenu::item:selected, QMenuBar::item:selected {{ background: {theme.selected}; }}
QMenuBar::item {{ background: transparent; padding: 4px 10px; }}
QMenu::item:disabled {{ color: {theme.faint}; }}
QPushButton, QComboBox, QDoubleSpinBox, QSpinBox, QLineEdit {{
    background: {theme.field}; border: 1px solid {theme.line}; border-radius: 5px;
    padding: 4px 10px; min-height: 22px; }}
QPushButton:hover {{ border-color: {theme.accent}; }}
QPushButton:focus, QComboBox:focus, QDoubleSpinBox:focus, QSpinBox:focus, QLineEdit:focus {{
    border: 2px solid {theme.accent}; padding: 3px 9px; }}
QPushButton:pressed, QPushButton:checked {{ background: {theme.selected}; }}
QPushButton:disabled, QComboBox:disabled, QDoubleSpinBox:disabled {{
    color: {theme.faint}; background: {theme.window}; }}
QToolBar {{ background: {theme.panel}; border: none; spacing: 6px; padding: 4px; }}
QToolButton {{ background: transparent; border: 1px solid transparent; border-radius: 5px; padding: 4px 8px; }}
QToolButton:hover, QToolButton:focus {{ border-color: {theme.accent}; }}
QToolButton {{ color: {theme.faint}; }}
QToolButton:checked {{ color: {theme.text}; background: {theme.field}; }}
QToolBarExtension {{ background: {theme.faint}; padding: 0; }}
QComboBox::drop-down {{ border: none; width: 22px; }}
QComboBox::down-arrow {{ image: none; width: 0; height: 0; border-left: 5px solid {theme.field};
    border-right: 5px solid {theme.field}; border-top: 6px solid {theme.faint}; }}
QComboBox QAbstractItemView {{ background: {theme.panel}; selection-background-color: {theme.selected};
    selection-color: {theme.text}; border: 1px solid {theme.line}; }}
QTableView, QListWidget {{ background: {theme.panel}; border: none; gridline-color: {theme.panel};
    selection-background-color: {theme.selected}; selection-color: {theme.text}; outline: none; }}
QListWidget::item:disabled {{ color: {theme.faint}; }}
QTableView:focus, QListWidget:focus {{ border: 1px solid {theme.accent}; }}
QHeaderView::section {{ background: {theme.window}; color: {theme.faint}; border: none; padding: 4px 6px; }}
QTabBar {{ qproperty-drawBase: 0; }}
QTabBar::tab {{ background: {theme.window}; color: {theme.faint}; padding: 6px 12px; border: none; }}
QTabBar::tab:selected {{ background: {theme.panel}; color: {theme.text}; border-bottom: 2px solid {theme.accent}; }}
QToolTip {{ background: {theme.field}; color: {theme.text}; border: 1px solid {theme.line}; padding: 4px; }}
QScrollBar {{ background: {theme.panel}; border: none; }}
QScrollBar:vertical {{ width: 10px; }}
QScrollBar:horizontal {{ height: 10px; }}
QScrollBar::handle {{ background: {theme.line}; border-radius: 5px; min-height: 24px; min-width: 24px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
"""


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21.

    References
    ----------
    Web Content Accessibility Guidelines 2.2, relative luminance and contrast ratio; 4.5 is asked of text.
    """
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

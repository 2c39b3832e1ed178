"""Shows the window, or the dialog before it, until it is closed; both are deleted while Qt is whole."""

from __future__ import annotations

import functools
from pathlib import Path

from PySide6.QtCore import QEvent, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QDialog, QWidget

from apps.monitor.catalogue import look
from apps.monitor.constants import keep_constants
from apps.monitor.controls import Controls
from apps.monitor.model import MonitorModel
from apps.monitor.options import MonitorOptions, Start
from apps.monitor.theme import SMALLEST_TEXT_PT, THEMES
from apps.monitor.view import MonitorWindow, Source
from apps.monitor.widgets.picture_file import write_png
from apps.monitor.widgets.start import StartDialog
from apps.signals import stop_on_signals
from bci.errors import BciError

PULSE_MS = 200


def run_window(model: MonitorModel, feed: Source, controls: Controls, options: MonitorOptions) -> int:
    """Show the window until it is closed, or a signal comes.

    Parameters
    ----------
    model : MonitorModel
        What is known.
    feed : Source
        What brings streams to it; the caller closes it.
    controls : Controls
        Where commands go; the caller closes it.
    options : MonitorOptions
        What the user chose; with a screenshot the window closes after it.

    Returns
    -------
    code : int
        0.

    Raises
    ------
    UsageError
        If the screenshot cannot be written.
    """
    app = application()
    window = MonitorWindow(model, feed, controls, options)
    failed: list[BciError] = []

    def shoot(path: Path) -> None:
        try:
            write_png(path, window.grab().toImage())
        except BciError as error:
            failed.append(error)
        window.close()

    window.show()
    window.start()
    if options.screenshot is not None:
        QTimer.singleShot(round(options.after_s * 1000), window, functools.partial(shoot, options.screenshot))
    with stop_on_signals(window.leave):
        app.exec()
    dispose(window)
    if failed:
        raise failed[0]
    return 0


def choose_start(options: MonitorOptions, folders: tuple[Path, ...] = ()) -> Start | None:
    """Ask what to watch, in a dialog with what there is; None if the user wants nothing.

    Parameters
    ----------
    options : MonitorOptions
        Theme.
    folders : tuple of Path, default=()
        Where bundles are looked for, besides the shipped ones.
    """
    application()
    dialog = StartDialog(functools.partial(look, folders=folders), THEMES[options.theme])
    pulse = QTimer(dialog)  # Python sees a signal only when it runs
    pulse.timeout.connect(lambda: None)
    pulse.start(PULSE_MS)
    with stop_on_signals(dialog.reject):
        accepted = dialog.exec() == QDialog.DialogCode.Accepted
    start = dialog.chosen() if accepted else None
    dispose(dialog)
    return start


def application() -> QApplication:
    """Return the application, with no text smaller than 12 points; it is made once in a process."""
    keep_constants()
    found = QApplication.instance()
    app = found if isinstance(found, QApplication) else QApplication(["bci monitor"])
    font = QGuiApplication.font()
    font.setPointSize(max(font.pointSize(), SMALLEST_TEXT_PT))
    app.setFont(font)
    return app


def dispose(window: QWidget) -> None:
    """Delete a window now, while Qt and pyqtgraph are whole: at the end of the process it is too late."""
    window.close()
    window.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    QApplication.processEvents()

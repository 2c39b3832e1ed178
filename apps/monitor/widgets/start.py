"""The start dialog: which stream, decoded by which model, or which session that runs already."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QListWidget, QListWidgetItem, QPushButton, QWidget

from apps.monitor.catalogue import BundleChoice, Catalogue, StreamChoice, fits
from apps.monitor.options import Start
from apps.monitor.theme import Theme, stylesheet
from apps.monitor.widgets.labels import plain_label

ATTACH = "This session runs already: the monitor only looks on."
NO_STREAMS = "No streams were found. Start an amplifier app, bci replay or bci demo, then open this again."
NO_FIT = "No model fits this stream."


class StartDialog(QDialog):
    """Two lists: streams, and for the chosen one the models, with why some do not fit.

    Parameters
    ----------
    look : callable
        Returns what there is now; takes a second.
    theme : Theme
        Colours.
    parent : QWidget or None, default=None
        Window that it belongs to.
    """

    def __init__(self, look: Callable[[], Catalogue], theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("bci monitor: what to look at")
        self.setStyleSheet(stylesheet(theme))
        self._look, self._catalogue = look, Catalogue((), ())
        self.streams, self.bundles = QListWidget(), QListWidget()
        self.streams.setAccessibleName("Streams")
        self.bundles.setAccessibleName("Models")
        for list_ in (self.streams, self.bundles):
            list_.setWordWrap(True)
            list_.setSpacing(2)
        self.note = plain_label(wrap=True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        again = self.buttons.addButton("Look again", QDialogButtonBox.ButtonRole.ResetRole)
        again.clicked.connect(lambda: self.look_again())
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        grid = QGridLayout(self)
        grid.addWidget(plain_label("Streams", faint=True), 0, 0)
        grid.addWidget(plain_label("Models", faint=True), 0, 1)
        grid.addWidget(self.streams, 1, 0)
        grid.addWidget(self.bundles, 1, 1)
        grid.addWidget(self.note, 2, 0, 1, 2)
        grid.addWidget(self.buttons, 3, 0, 1, 2)
        grid.setRowStretch(1, 1)
        self.resize(880, 520)
        self.streams.currentRowChanged.connect(lambda: self._choose_stream())
        self.bundles.currentRowChanged.connect(lambda: self._judge())
        for list_ in (self.streams, self.bundles):
            list_.itemActivated.connect(lambda: self._ok().click())
        self.look_again()

    def look_again(self) -> None:
        """List what there is now."""
        self._catalogue = self._look()
        self.streams.clear()
        for stream in self._catalogue.streams:
            item = QListWidgetItem(f"{stream.name}\n{stream.text}")
            if stream.what == "other":
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.streams.addItem(item)
        usable = [i for i, stream in enumerate(self._catalogue.streams) if stream.what != "other"]
        if usable:
            self.streams.setCurrentRow(usable[0])
            self.streams.setFocus()
        self._judge()

    def chosen(self) -> Start | None:
        """Return what is chosen now; None if that cannot be started."""
        stream, bundle = self._stream(), self._bundle()
        if stream is None or stream.what == "other":
            return None
        if stream.what == "predictions":
            return Start("", stream.name, None)
        return Start(stream.name, "", bundle.path) if bundle is not None and not fits(stream, bundle) else None

    def _stream(self) -> StreamChoice | None:
        row = self.streams.currentRow()
        return self._catalogue.streams[row] if row >= 0 else None

    def _bundle(self) -> BundleChoice | None:
        row = self.bundles.currentRow()
        return self._catalogue.bundles[row] if row >= 0 else None

    def _choose_stream(self) -> None:
        """List the models for a stream."""
        self.bundles.clear()
        stream = self._stream()
        if stream is not None and stream.what == "signal":
            first = -1
            for i, bundle in enumerate(self._catalogue.bundles):
                why = fits(stream, bundle)
                item = QListWidgetItem(f"{bundle.name}\n{why or bundle.text}")
                if why:
                    item.setFlags(Qt.ItemFlag.NoItemFlags)
                elif first < 0:
                    first = i
                self.bundles.addItem(item)
            self.bundles.setCurrentRow(first)
        self._judge()

    def _judge(self) -> None:
        """Say what would be started, or why nothing can be."""
        start, stream, bundle = self.chosen(), self._stream(), self._bundle()
        self._ok().setEnabled(start is not None)
        if stream is None:
            self.note.setText(NO_STREAMS)
        elif start is None:
            self.note.setText(NO_FIT)
        else:
            self.note.setText(f"bci run decodes {stream.name} with {bundle.name}." if bundle else ATTACH)

    def _ok(self) -> QPushButton:
        return self.buttons.button(QDialogButtonBox.StandardButton.Ok)

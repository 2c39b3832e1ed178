"""The start dialog: which stream, decoded by which model, or which session that runs already."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QListWidget, QListWidgetItem, QPushButton, QWidget

from apps.monitor.catalogue import BundleChoice, Catalogue, StreamChoice, fits
from apps.monitor.theme import Theme, stylesheet
from apps.monitor.widgets.labels import plain_label

ATTACH = "This session runs already: the monitor only looks on."
NO_STREAMS = "No streams were found. Start an amplifier app, bci replay or bci demo, then open this again."
NO_FIT = "No model fits this stream."


@dataclass(frozen=True, slots=True)
class Start:
    """What was chosen.

    Parameters
    ----------
    stream : StreamChoice
        To be decoded; of what ``predictions``, to be looked at.
    bundle : BundleChoice or None
        What decodes it; None for a session that runs.
    """

    stream: StreamChoice
    bundle: BundleChoice | None


class StartDialog(QDialog):
    """Two lists: streams, and for the chosen one the models, with why some do not fit.

    Parameters
    ----------
    catalogue : Catalogue
        What was found.
    theme : Theme
        Colours.
    parent : QWidget or None, default=None
        Window that it belongs to.
    """

    def __init__(self, catalogue: Catalogue, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("bci monitor: what to look at")
        self.setStyleSheet(stylesheet(theme))
        self._catalogue = catalogue
        self.streams, self.bundles = QListWidget(), QListWidget()
        self.streams.setAccessibleName("Streams")
        self.bundles.setAccessibleName("Models")
        for list_ in (self.streams, self.bundles):
            list_.setWordWrap(True)
            list_.setSpacing(2)
        self.note = plain_label(wrap=True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
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
        for stream in catalogue.streams:
            item = QListWidgetItem(f"{stream.name}\n{stream.text}")
            if stream.what == "other":
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.streams.addItem(item)
        self.streams.currentRowChanged.connect(self._choose_stream)
        self.bundles.currentRowChanged.connect(lambda: self._judge())
        for list_ in (self.streams, self.bundles):
            list_.itemActivated.connect(lambda: self._ok().click())
        usable = [i for i, stream in enumerate(catalogue.streams) if stream.what != "other"]
        if usable:
            self.streams.setCurrentRow(usable[0])
        else:
            self._judge()

    def chosen(self) -> Start | None:
        """Return what is chosen now; None if that cannot be started."""
        row = self.streams.currentRow()
        stream = self._catalogue.streams[row] if row >= 0 else None
        if stream is None or stream.what == "other":
            return None
        if stream.what == "predictions":
            return Start(stream, None)
        bundle = self._bundle()
        return Start(stream, bundle) if bundle is not None and not fits(stream, bundle) else None

    def _bundle(self) -> BundleChoice | None:
        row = self.bundles.currentRow()
        return self._catalogue.bundles[row] if row >= 0 else None

    def _choose_stream(self, row: int) -> None:
        """List the models for a stream."""
        self.bundles.clear()
        stream = self._catalogue.streams[row]
        if stream.what == "signal":
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
        start = self.chosen()
        self._ok().setEnabled(start is not None)
        if start is not None:
            bundle = start.bundle
            self.note.setText(ATTACH if bundle is None else f"bci run decodes {start.stream.name} with {bundle.name}.")
        else:
            self.note.setText(NO_FIT if self.streams.currentRow() >= 0 else NO_STREAMS)

    def _ok(self) -> QPushButton:
        return self.buttons.button(QDialogButtonBox.StandardButton.Ok)

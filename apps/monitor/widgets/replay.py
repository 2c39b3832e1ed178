"""Pause, place and speed of a replay, through its control port."""

from __future__ import annotations

from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QPushButton, QVBoxLayout, QWidget

from apps.monitor.controls import Controls
from apps.monitor.snapshot import EventPanel
from apps.monitor.widgets.labels import as_panel, named_box, plain_label, set_text

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
MAX_SEEK_S = 1e9
TURNS = ("pause", "resume")
POSSIBLE = "A seek begins the pipeline anew; a pause and a change of speed do not."
IMPOSSIBLE = "No replay takes commands. Start bci replay with --control PORT, and the monitor with that port."


class ReplayView(QWidget):
    """Buttons for a replay.

    Parameters
    ----------
    controls : Controls
        Where commands go.
    """

    def __init__(self, controls: Controls) -> None:
        super().__init__()
        as_panel(self)
        self._controls, self._paused, self._version = controls, False, -1
        self.pause = QPushButton("Pause")
        self.pause.clicked.connect(lambda: self.toggle())
        self.place = QDoubleSpinBox()
        self.place.setRange(0, MAX_SEEK_S)
        self.place.setDecimals(1)
        self.place.setSuffix(" s")
        self.place.setAccessibleName("Place in the recording, in seconds")
        self.seek = QPushButton("Go to")
        self.seek.clicked.connect(lambda: self._controls.seek(self.place.value()))
        self.speed = named_box("Speed of the replay")
        for x in SPEEDS:
            self.speed.addItem(f"{x:g} ×", x)
        self.speed.setCurrentIndex(SPEEDS.index(1.0))
        self.speed.activated.connect(lambda: self._controls.speed(self.speed.currentData()))
        self.note = plain_label(faint=True, wrap=True)
        grid = QGridLayout()
        for row, text in enumerate(("Replay", "Place", "Speed")):
            grid.addWidget(plain_label(text, faint=True), row, 0)
        for row, widget in enumerate((self.pause, self.place, self.speed)):
            grid.addWidget(widget, row, 1)
        grid.addWidget(self.seek, 1, 2)
        grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(grid)
        layout.addWidget(self.note)
        layout.addStretch(1)
        self.show_replay(EventPanel())

    def toggle(self) -> None:
        """Pause, or go on."""
        if self._paused:
            self._controls.resume()
        else:
            self._controls.pause()

    def show_replay(self, events: EventPanel) -> None:
        """Offer what is possible now; whether the replay pauses is known from its own events."""
        can = self._controls.can_replay
        if can != self.pause.isEnabled() or not self.note.text():
            for widget in (self.pause, self.place, self.seek, self.speed):
                widget.setEnabled(can)
            self.note.setText(POSSIBLE if can else IMPOSSIBLE)
        if events.version != self._version:
            self._version = events.version
            self._paused = next((row.kind == "pause" for row in reversed(events.rows) if row.kind in TURNS), False)
            set_text(self.pause, "Go on" if self._paused else "Pause")

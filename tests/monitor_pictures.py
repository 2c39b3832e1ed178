"""Make the pictures of the documentation: ``python -m tests.monitor_pictures docs/images``.

A simulated patient is decoded by the shipped model; the bad and the doubtful channel, and the loss of the signal, are
staged.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from PySide6.QtCore import QPoint
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication, QWidget

from apps.monitor.catalogue import Catalogue, StreamChoice, find_bundles
from apps.monitor.controls import Controls, Endpoint
from apps.monitor.described import Described
from apps.monitor.options import MonitorOptions
from apps.monitor.show import application, dispose
from apps.monitor.snapshot import SHAPES, StatePanel
from apps.monitor.theme import DARK, THEMES, stylesheet
from apps.monitor.view import MonitorWindow
from apps.monitor.widgets.start import StartDialog
from apps.monitor.widgets.state import StateView
from bci.chunk import Chunk
from bci.decoder import n_plain_stages
from bci.serving import serve
from bci.sinks.signal_sink import labels
from bci.sources.simulated_patient import PatientSpec, SimulatedPatient
from bci.stages.logmel import LogMel
from bci.stages.montages import TEN_TWENTY_19
from tests.monitor_scenes import NoFeed, Scene

SEED, SFREQ, STEP = 40006, 256, 64
BEGIN_S, END_S = 215.0, 346.0  # before and within the first seizure


class Patient(Scene):
    """A session with the shipped model; times are those of the recording."""

    def __init__(self) -> None:
        super().__init__(TEN_TWENTY_19, float(SFREQ))
        self.data = SimulatedPatient(PatientSpec(SEED, duration_s=600.0)).read(round(END_S * SFREQ)).astype(np.float32)
        self.sample, self.start_s = round(BEGIN_S * SFREQ), self.clock.now_s
        self.clock.now_s += BEGIN_S
        served = serve("seizure-demo", "onnx")
        self.bundle, self.decoder = served.bundle, served.decoder(self.clock)
        self.tap = self.decoder.pipeline.tap_after(n_plain_stages(self.decoder.pipeline))

    def connect(self) -> None:
        """Let all streams come, described as `bci run` does."""
        bundle, decision, features = self.bundle, self.bundle.decision, self.decoder.pipeline.signal_out
        alarm, window = decision.alarm, bundle.pipeline.window
        assert alarm is not None
        fields = {
            "name": "patient-pred", "stream": "patient", "bundle": bundle.name, "classes": ",".join(decision.classes),
            "alarm_class": alarm.label, "on_threshold": str(alarm.on_threshold),
            "off_threshold": str(alarm.off_threshold), "hop_s": str(window.hop_s), "window_s": str(window.length_s),
            "smoothing_s": str(decision.smoothing_s), "engine": "onnx", "precision": "fp32", "sfreq": f"{SFREQ}",
        }  # fmt: skip
        outputs = (*decision.classes, "quality", "state", "compute_ms")
        self.model.on_stream("predictions", Described("patient-pred", "Predictions", outputs, fields=fields))
        self.model.on_stream("events", Described("patient-pred-events", "Markers", ("",)))
        self.connect_signal("signal")
        self.connect_signal("raw")
        bands = next(stage.centres_hz for stage in bundle.pipeline.stages if isinstance(stage, LogMel))
        names = tuple(labels(features))
        described = Described("f", "Features", names, ("dB",) * len(names), sfreq=features.sfreq, bands_hz=tuple(bands))
        self.model.on_stream("features", described)

    def decode(self, until_s: float) -> None:
        """Let the session go on until a time of the recording, a quarter of a second at a time."""
        while self.sample < until_s * SFREQ:
            first, stop = self.sample, self.sample + STEP
            times = self.start_s + np.arange(first, stop) / SFREQ
            self.sample, self.clock.now_s = stop, self.start_s + stop / SFREQ
            made = self.decoder.push(Chunk(self.data[:, first:stop], first - round(BEGIN_S * SFREQ), times))
            self.model.on_raw(self.data[:, first:stop], times)
            taps = ((self.model.on_signal, self.tap), (self.model.on_features, self.tap.block))
            for take, part in taps:
                if part.last_input.size:
                    columns = np.ascontiguousarray(part.data.reshape(-1, part.last_input.size), np.float32)
                    take(columns, times[part.last_input - self.tap.first_input])
            for one in made:
                row = np.array([[*one.probabilities, one.quality, int(one.state), 0.8]], np.float32)
                self.model.on_prediction(row, np.array([one.time]))
                if one.changed in ("alarm_on", "alarm_off"):
                    self.alarm["on"] = one.changed == "alarm_on"
                    self.event(one.changed, level=one.level, quality=one.quality, muted=False)
            if stop % SFREQ == 0:
                self.status(doubtful_channels=["F7"] if self.bad else [])

    def decode_until_alarm(self) -> None:
        """Let the session go on until four seconds after the alarm."""
        while not self.alarm["on"] and self.sample < (END_S - 5) * SFREQ:
            self.decode(self.sample / SFREQ + 0.25)
        self.decode(self.sample / SFREQ + 4)


def window_of(scene: Scene, folder: Path, name: str, theme: str, **how: Any) -> None:
    """Write the window of a scene; `how` has ``panel`` to show, ``size`` in pixels, ``scale``, ``ago_s`` to go to."""
    controls = Controls(Endpoint(1, "x"), Endpoint(1, "x"))
    window = MonitorWindow(scene.model, NoFeed(), controls, MonitorOptions(theme=theme))
    window.resize(*how.get("size", (1400, 880)))
    window.show()
    QApplication.processEvents()
    for panel in filter(None, [how.get("panel")]):
        window.focus_panel(panel)
    window.traces.setFocus()
    window.tick()
    window.traces.hold.setChecked("ago_s" in how)
    window.traces._hold_at(float("nan"))
    window.traces.panel.set_scale(how.get("scale", 200.0))
    if "ago_s" in how:
        window.jump(scene.clock.now_s - how["ago_s"])
    for _ in range(3):
        window.traces._refresh_choices()
        scene.clock.now_s += 0.2
        window.tick()
        QApplication.processEvents()
    scene.clock.now_s -= 0.6
    save(window, folder / f"monitor-{name}.png")
    dispose(window)
    controls.close()


def states(folder: Path) -> None:
    """Write all states in both themes, side by side."""
    width, height = 350, 240
    sheet = QImage(4 * width, 4 * height, QImage.Format.Format_RGB32)
    sheet.fill(QColor("#808080"))
    painter = QPainter(sheet)
    controls = Controls(Endpoint(1, "x"))
    why = {
        "waiting": "Looking for the predictions of patient-pred.",
        "settling": "Waiting for the first prediction.",
        "fault": "The signal is lost: no samples for 5 s.",
        "ended": "The session has ended: stopped.",
    }
    panels = [
        StatePanel(state, state.upper(), shape, tuple(filter(None, [why.get(state)])), 12.0, 12.0, state == "alarm")
        for state, shape in SHAPES.items()
    ]
    muted = {"alarm_on": True, "acknowledged": True, "muted": True, "mute_left_s": 97.0}
    panels.append(StatePanel("alarm", "ALARM", SHAPES["alarm"], ("Acknowledged.",), 40.0, 40.0, **muted))
    for row, theme in enumerate(THEMES.values()):
        for i, panel in enumerate(panels):
            view = StateView(controls, theme)
            view.setStyleSheet(stylesheet(theme))
            view.resize(width - 4, height - 4)
            view.show_state(panel)
            view.show()
            QApplication.processEvents()
            place = QPoint(i % 4 * width + 2, (2 * row + i // 4) * height + 2)
            painter.drawPixmap(place, view.grab())
            dispose(view)
    painter.end()
    controls.close()
    sheet.save(str(folder / "monitor-states.png"))


def start_dialog(folder: Path) -> None:
    """Write the dialog with streams and models."""
    headset = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
    streams = (
        StreamChoice("patient-pred", "predictions", "Predictions, 5 channels, irregular, ward-3", (), (), 0.0),
        StreamChoice("patient", "signal", "EEG, 19 channels, 256 Hz, ward-3", TEN_TWENTY_19, ("uV",) * 19, 256.0),
        StreamChoice("headset", "signal", "EEG, 14 channels, 128 Hz, lab", headset, ("uV",) * 14, 128.0),
        StreamChoice("patient-pred-events", "other", "Markers, 1 channel, irregular, ward-3", (), (), 0.0),
    )
    dialog = StartDialog(lambda: Catalogue(streams, find_bundles()), DARK)
    dialog.show()
    dialog.streams.setCurrentRow(1)
    QApplication.processEvents()
    save(dialog, folder / "monitor-start.png")
    dispose(dialog)


def save(widget: QWidget, path: Path) -> None:
    """Write what a widget shows."""
    widget.grab().save(str(path))


def main(folder: Path) -> None:
    """Write all pictures into a folder."""
    application()
    states(folder)
    start_dialog(folder)
    patient = Patient()
    patient.connect()
    patient.decode(290)
    window_of(patient, folder, "map", "light", panel="maps", scale=100.0)
    patient.spoil("T4", "high_frequency")
    patient.decode_until_alarm()
    window_of(patient, folder, "alarm", "dark", panel="maps")
    window_of(patient, folder, "narrow", "dark", size=(400, 640))
    window_of(patient, folder, "held", "dark", panel="events", ago_s=60.0, scale=100.0)
    patient.event("lost", reason="The stream patient has sent nothing for 5 s.")
    window_of(patient, folder, "fault", "light", panel="events")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Windows whose frames and cost are counted, each the work of a process of its own for `bci bench monitor`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PLATFORM = "offscreen"
FRAME_MS = 33
FIND_S = 20.0
SIZE_PX = (1500, 940)
N_MEMORY = 100  # looks at the memory, over the duration
STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Screen:
    """What is shown.

    Parameters
    ----------
    name : str
        Prediction stream; the signal is ``NAME-signal``.
    n_channels : int
        Of the signal.
    sfreq : float
        Its rate, in Hz.
    span_s : float
        Time on the screen, in seconds.
    settle_s, duration_s : float
        What is waited before it is counted, and how long it is, in seconds.
    """

    name: str
    n_channels: int
    sfreq: float
    span_s: float
    settle_s: float
    duration_s: float


def monitor(pipe: Connection, screen: Screen, panels: bool) -> None:
    """Count our window: all panels that it opens with, or the traces alone."""
    os.environ["QT_QPA_PLATFORM"] = PLATFORM
    import pylsl

    from apps.monitor.controls import Controls
    from apps.monitor.feed import Feed
    from apps.monitor.model import MonitorModel
    from apps.monitor.options import MonitorOptions
    from apps.monitor.show import application, dispose
    from apps.monitor.view import MonitorWindow

    app = application()
    model, feed, controls = MonitorModel(pylsl.local_clock), Feed(screen.name), Controls()
    model.traces.set_span(screen.span_s)
    window = MonitorWindow(model, feed, controls, MonitorOptions())
    window.resize(*SIZE_PX)
    if not panels:
        for dock in window.docks.values():
            dock.hide()
    window.show()
    window.start()
    _answer(pipe, _count(app, window.traces.canvas, screen))
    dispose(window)
    feed.close()
    controls.close()


def naive(pipe: Connection, screen: Screen) -> None:
    """Count pyqtgraph that is given each curve anew in each frame."""
    os.environ["QT_QPA_PLATFORM"] = PLATFORM
    import numpy as np
    import pylsl
    import pyqtgraph as pg
    from PySide6.QtCore import QTimer

    from apps.monitor.constants import keep_constants

    keep_constants()
    app = pg.mkQApp()
    inlet = _inlet(screen)
    n = round(screen.span_s * screen.sfreq)
    kept = np.random.default_rng(0).normal(0, 20, (screen.n_channels, n)).astype(np.float32)
    seconds = np.arange(n) / screen.sfreq
    plot = pg.PlotWidget()
    plot.resize(*SIZE_PX)
    plot.setXRange(0, screen.span_s)
    plot.setYRange(-100 * screen.n_channels, 100)
    curves = [plot.plot(pen=pg.mkPen((200, 210, 220))) for _ in range(screen.n_channels)]

    def tick() -> None:
        nonlocal kept
        rows, stamps = inlet.pull_chunk(0.0, 8192, as_numpy=True)
        if len(stamps):
            kept = np.roll(kept, -len(stamps), axis=1)
            kept[:, -len(stamps) :] = rows[-n:].T
        for i, curve in enumerate(curves):
            curve.setData(seconds, kept[i] - 100 * i)

    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(FRAME_MS)
    plot.show()
    _answer(pipe, _count(app, plot.viewport(), screen))
    timer.stop()
    plot.close()
    pylsl.StreamInlet.close_stream(inlet)


def mne_lsl_viewer(pipe: Connection, screen: Screen) -> None:
    """Count the viewer of mne-lsl, as it opens."""
    os.environ |= {"QT_QPA_PLATFORM": PLATFORM, "QT_API": "pyside6"}
    from mne_lsl.lsl import StreamInlet, resolve_streams
    from mne_lsl.stream_viewer.control_gui.control_eeg import ControlGUI_EEG
    from mne_lsl.stream_viewer.scope.scope_eeg import ScopeEEG
    from PySide6.QtWidgets import QApplication

    from apps.monitor.constants import keep_constants

    keep_constants()
    found = resolve_streams(timeout=FIND_S, name=f"{screen.name}-signal", minimum=1)
    inlet = StreamInlet(found[0])
    inlet.open_stream()
    time.sleep(0.2)  # as it does itself
    scope = ScopeEEG(inlet)
    app = QApplication([])
    app.setQuitOnLastWindowClosed(False)
    window = ControlGUI_EEG(scope)
    _answer(pipe, _count(app, window._backend._win.viewport(), screen))
    os._exit(0)  # it has no orderly end: sys.exit(app.exec_()) is its last line


def _inlet(screen: Screen) -> Any:
    import pylsl

    from bci.errors import StreamNotFound

    found = pylsl.resolve_byprop("name", f"{screen.name}-signal", 1, FIND_S)
    if not found:
        raise StreamNotFound(f"The benchmark needs its own stream {screen.name!r} within {FIND_S:g} s, got none.")
    inlet = pylsl.StreamInlet(found[0], recover=False)
    inlet.open_stream(FIND_S)
    return inlet


def _count(app: Any, widget: Any, screen: Screen) -> dict[str, float]:
    """Return frames, and the cost of the process, over the duration after the settling."""
    from PySide6.QtCore import QEvent, QObject, QTimer

    class Paints(QObject):
        n = 0

        def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
            self.n += event.type() == QEvent.Type.Paint
            return False

    paints, began = Paints(), [0.0, 0.0, 0.0]
    memory: list[tuple[float, float]] = []  # seconds, MB
    result: dict[str, float] = {}
    timer = QTimer()
    timer.timeout.connect(lambda: memory.append((time.monotonic(), _memory_mb())))

    def begin() -> None:
        began[:] = [paints.n, time.monotonic(), time.process_time()]
        memory.append((began[1], _memory_mb()))
        timer.start(round(1e3 * screen.duration_s / N_MEMORY))
        QTimer.singleShot(round(1e3 * screen.duration_s), end)

    def end() -> None:
        wall_s = time.monotonic() - began[1]
        n_frames, cpu_s = paints.n - began[0], time.process_time() - began[2]
        memory.append((time.monotonic(), _memory_mb()))
        result.update(
            fps=n_frames / wall_s,
            core=100 * cpu_s / wall_s,
            frame=1e3 * cpu_s / max(1.0, n_frames),
            memory=memory[-1][1],
            growth=memory[-1][1] - memory[0][1],
            slope=3600 * slope(memory),
        )
        app.exit()  # quit would close the windows first, and a peer deletes its own with that

    widget.installEventFilter(paints)
    QTimer.singleShot(round(1e3 * screen.settle_s), begin)
    app.exec()
    widget.removeEventFilter(paints)
    return result


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the straight line through points (x, y) that errs least; 0 for fewer than two places."""
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread > 0 else 0.0


def _memory_mb() -> float:
    """Return the resident memory; 0 where the system does not tell."""
    if not STATM.is_file():
        return 0.0
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _answer(pipe: Connection, result: dict[str, float]) -> None:
    pipe.send(("value", result))

"""A window of its own process: it opens, shows, closes and leaves in order, offscreen and under a real X server."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAY = """
import sys, threading
from pathlib import Path
from PySide6.QtCore import QTimer
from apps.monitor.controls import Controls
from apps.monitor.options import MonitorOptions
from apps.monitor.show import application, run_window
from apps.monitor.view import MonitorWindow
from tests.monitor_scenes import NoFeed, Scene

class Feed:
    def __init__(self, scene):
        self.scene = scene
    def pump(self, model):
        self.scene.play(0.25, 3, 0.95)
        return True

scene = Scene()
scene.connect()
scene.begin_alarm()
controls = Controls()
shot = Path(sys.argv[1]) if sys.argv[1] != "-" else None
if shot is None:
    app = application()
    QTimer.singleShot(300, lambda: print("shown", flush=True))
code = run_window(scene.model, Feed(scene), controls, MonitorOptions(screenshot=shot, after_s=0.7))
controls.close()
window = None
print("ended", code)
sys.exit(code)
"""

pytestmark = pytest.mark.qt


def start(arguments, platform="offscreen", prefix=(), **more):
    environment = {**os.environ, "QT_QPA_PLATFORM": platform, "QT_LOGGING_RULES": "qt.qpa.*=false", **more}
    return subprocess.Popen(
        [*prefix, sys.executable, "-W", "error", "-c", PLAY, *arguments],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def missing_for_x():
    """Return what a window under X needs and this machine has not; `.ci/run` installs it."""
    libraries = ("xcb-cursor", "xcb-icccm", "xcb-keysyms", "xkbcommon-x11")
    tools = [tool for tool in ("xvfb-run", "Xvfb") if shutil.which(tool) is None]
    return tools + [f"lib{name}" for name in libraries if ctypes.util.find_library(name) is None]


def finish(process, within_s=60.0):
    """Return what it printed; it must end by itself, with code 0 and without a word on standard error."""
    try:
        out, err = process.communicate(timeout=within_s)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    said = [line for line in err.splitlines() if "propagateSizeHints" not in line]
    assert (process.returncode, said) == (0, [])
    return out


def size_of(path):
    from PySide6.QtGui import QImage

    image = QImage(str(path))
    return image.width(), image.height()


def test_a_window_closes_after_its_screenshot_with_code_0(tmp_path):
    """On a screen of high density it has twice the pixels each way."""
    assert finish(start([str(tmp_path / "a.png")], QT_SCALE_FACTOR="2")) == "ended 0\n"
    assert size_of(tmp_path / "a.png") == (3000, 1880)


def test_a_signal_closes_the_window_in_order():
    process = start(["-"])
    assert process.stdout.readline() == "shown\n"
    process.send_signal(signal.SIGTERM)
    assert finish(process) == "ended 0\n"


@pytest.mark.skipif(bool(missing_for_x()), reason=f"needs {', '.join(missing_for_x())}")
def test_a_real_window_under_x_looks_the_same_and_ends_with_code_0(tmp_path):
    prefix = ("xvfb-run", "--auto-servernum", "--server-args=-screen 0 1600x1000x24 -nolisten tcp")
    assert finish(start([str(tmp_path / "x.png")], platform="xcb", prefix=prefix)) == "ended 0\n"
    assert size_of(tmp_path / "x.png") == (1500, 940)


def test_a_screenshot_that_cannot_be_written_is_an_error(qapp, tmp_path):
    from apps.monitor.options import MonitorOptions
    from apps.monitor.show import run_window
    from bci.errors import UsageError
    from tests.apps.conftest import Commands
    from tests.monitor_scenes import NoFeed, Scene

    options = MonitorOptions(screenshot=tmp_path / "missing" / "x.png", after_s=0.01)
    with pytest.raises(UsageError, match=r"A picture needs a file in a folder that can be written"):
        run_window(Scene().model, NoFeed(), Commands(), options)


def test_constants_outlive_a_binding_that_gives_them_away():
    """Thousands of signals and calls more than there are references; without help the interpreter aborts."""
    code = (
        "from apps.monitor.show import application\n"
        "from PySide6.QtCore import QObject, Signal\n"
        "from PySide6.QtWidgets import QLabel\n"
        "class Sender(QObject):\n"
        "    sent = Signal(int)\n"
        "app = application(); sender = Sender(); label = QLabel('a')\n"
        "for i in range(100_000):\n"
        "    sender.sent.emit(i); label.update()\n"
        "print('alive')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=180, check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "alive\n")

"""Windows of the monitor for tests: offscreen, fed by made-up sessions, deleted at the end of each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.monitor_scenes import NoFeed, Scene

if TYPE_CHECKING:
    from apps.monitor.view import MonitorWindow

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


class Commands:
    """Takes the place of `Controls`: remembers what was asked for."""

    def __init__(self) -> None:
        self.can_control = self.can_replay = True
        self.asked: list[tuple[Any, ...]] = []
        self.said: list[str] = []

    def acknowledge(self) -> None:
        self.asked.append(("acknowledge",))

    def mute(self, seconds: float) -> None:
        self.asked.append(("mute", seconds))

    def pause(self) -> None:
        self.asked.append(("pause",))

    def resume(self) -> None:
        self.asked.append(("resume",))

    def seek(self, seconds: float) -> None:
        self.asked.append(("seek", seconds))

    def speed(self, x: float) -> None:
        self.asked.append(("speed", x))

    def answers(self) -> list[str]:
        said, self.said = self.said, []
        return said


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def open_window(qapp: Any, commands: Commands) -> Iterator[Callable[..., MonitorWindow]]:
    """Return a function from a scene to its window, which is on the screen but has no timer that runs."""
    from apps.monitor.options import MonitorOptions
    from apps.monitor.show import application, dispose
    from apps.monitor.view import MonitorWindow

    application()
    opened = []

    def show(scene: Scene, width_px: int = 1300, height_px: int = 900, theme: str = "dark") -> MonitorWindow:
        window = MonitorWindow(scene.model, NoFeed(), commands, MonitorOptions(theme=theme))
        opened.append(window)
        window.resize(width_px, height_px)
        window.show()
        qapp.processEvents()
        return window

    yield show
    for window in opened:
        dispose(window)


@pytest.fixture
def window(open_window: Callable[..., MonitorWindow], scene: Scene) -> MonitorWindow:
    """Return the window of `scene`, whose streams are there and have brought 12 seconds."""
    scene.connect()
    shown = open_window(scene)
    scene.play(12)
    shown.tick()
    return shown

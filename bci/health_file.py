"""The state of a session as a small JSON file that is rewritten every second."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from pathlib import Path
from types import TracebackType

from bci.errors import UsageError
from bci.events import Event
from bci.health import Health

log = logging.getLogger(__name__)

EVERY_S = 1.0


class HealthFile:
    """Context manager that writes what `health` knows to `path`, whole or not at all.

    A file that cannot be written is told once, as a ``sink_failed`` event, and tried again.

    Parameters
    ----------
    path : Path
        File; one that exists is replaced. It stays when the session has ended, and says so.
    health : Health
        What is written.
    every_s : float, default=1.0
        Time between writes, in seconds.

    Raises
    ------
    UsageError
        If the folder does not exist or cannot be written.
    """

    def __init__(self, path: Path, health: Health, every_s: float = EVERY_S) -> None:
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
            raise UsageError(
                f"--status-file needs a file in a folder that can be written, got {path}. Make the folder first."
            )
        self._path, self._health, self._every_s = path, health, every_s
        self._done = threading.Event()
        self._failed_s: float | None = None  # since when it cannot be written
        self._lock = threading.Lock()  # guards what is pending
        self._pending: list[Event] = []
        self._thread = threading.Thread(target=self._serve, name="status-file", daemon=True)

    def __enter__(self) -> HealthFile:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._health.close()
        self._write()

    def events(self) -> list[Event]:
        """Return what has happened to the file since the last call."""
        with self._lock:
            told, self._pending = self._pending, []
        return told

    def _serve(self) -> None:
        while not self._done.wait(self._every_s):
            self._write()

    def _write(self) -> None:
        scratch = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            scratch.write_text(json.dumps(self._health.figures().report, allow_nan=False) + "\n", encoding="utf-8")
            os.replace(scratch, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            if self._failed_s is None:
                self._failed_s = self._health.clock()
                log.warning("the status file cannot be written: %s", error)
                self._tell(Event("sink_failed", self._failed_s, {"sink": "status-file", "reason": str(error)}))
        else:
            if self._failed_s is not None:
                now_s = self._health.clock()
                fields = {"sink": "status-file", "away_s": now_s - self._failed_s}
                self._tell(Event("sink_recovered", now_s, fields))
                self._failed_s = None

    def _tell(self, event: Event) -> None:
        with self._lock:
            self._pending.append(event)

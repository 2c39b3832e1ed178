"""A session of its own for the monitor: `bci run` as a child process, told how to reach it, ended in order."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence

from apps.monitor.controls import Endpoint
from bci.texts import printable

END_S = 10.0
KEPT_LINES = 20
MAX_LINE = 400
_CONTROL = re.compile(r"control: [\d.]+:(\d+) token (\S+)")


class DecoderProcess:
    """`bci run` with a control port.

    Parameters
    ----------
    arguments : sequence of str
        Of `bci run`, without ``--control`` and ``--no-view``.
    connect : callable
        Takes the control port once it is known, in a thread of its own.
    """

    def __init__(self, arguments: Sequence[str], connect: Callable[[Endpoint], None]) -> None:
        command = [sys.executable, "-m", "apps", "run", *arguments, "--control", "0", "--no-view"]
        self._connect = connect
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the monitor, which ends this in order
        )
        self._thread = threading.Thread(target=self._listen, name="monitor-session", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def ended(self) -> str:
        """Return why it has ended; empty while it runs."""
        if self._process.poll() is None or self._thread.is_alive():
            return ""
        last = self._lines[-1] if self._lines else "it said nothing."
        return printable(last if self._process.returncode else "its stream has ended.", MAX_LINE)

    def close(self) -> None:
        """End it as Ctrl-C does, within 10 s; may be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            found = _CONTROL.match(line)
            if found:
                self._connect(Endpoint(int(found[1]), found[2]))
            elif line.strip():
                self._lines.append(line.strip()[:MAX_LINE])

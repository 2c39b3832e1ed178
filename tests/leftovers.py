"""No process outlives the tests: what is left at the end fails the run, by name, and is ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROC = Path("/proc")
GRACE_S = 3.0
# pools of Python and torch that end with their parent
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "loky", "compile_worker")
OUTPUT = "bci-leftovers"  # what a worker of pytest-xdist tells the process that started it


@dataclass(frozen=True)
class Process:
    """A running process, as the kernel describes it."""

    pid: int
    parent: int
    command: str


class Leftovers:
    """Pytest plugin that looks for processes which this run started and did not end.

    They are known by being children, or by having inherited the run's own ``LSLAPICFG`` (which holds for
    grandchildren whose parent has died, too).

    Parameters
    ----------
    lsl_config : Path
        LSL settings that only this run uses.
    """

    def __init__(self, lsl_config: Path) -> None:
        self._mark = f"LSLAPICFG={lsl_config}".encode()
        self._first_seen: dict[int, str] = {}
        self.left: list[str] = []

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note after which test a child was first there."""
        for children in PROC.glob("self/task/*/children"):
            with contextlib.suppress(OSError):  # the thread has ended meanwhile
                for pid in children.read_text().split():
                    self._first_seen.setdefault(int(pid), nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run if a process is still there after a grace period, and end it."""
        if session.config.getoption("numprocesses", None):  # each worker looks after its own
            if self.left:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            return
        deadline = time.monotonic() + GRACE_S
        while (left := self.running()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in left:
            origin = self._first_seen.get(process.pid, "an unknown test")
            self.left.append(f"process {process.pid}, first seen after {origin}: {process.command}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        if left:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[OUTPUT] = self.left

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker found."""
        self.left += getattr(node, "workeroutput", {}).get(OUTPUT, [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List the processes that were left."""
        if self.left:
            terminalreporter.write_sep("=", "ERROR: processes that outlived the tests", red=True)
            for line in self.left:
                terminalreporter.write_line(line, red=True)

    def running(self) -> list[Process]:
        """Return the live processes of this run, helper pools aside; none where /proc is missing."""
        found = []
        for folder in PROC.glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                ours = int(parent) == os.getpid() or self._mark in (folder / "environ").read_bytes().split(b"\0")
                is_other = int(folder.name) != os.getpid() and state != "Z"
                if ours and is_other and not any(helper in command for helper in HELPERS):
                    found.append(Process(int(folder.name), int(parent), command))
        return found

"""The options of a session that runs as a service: a status file, an HTTP endpoint and a summary at the end."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bci.events import Event
    from bci.health import Health
    from bci.health_file import HealthFile
    from bci.health_http import HealthServer
    from bci.sinks.queued import QueuedSink
    from bci.status import Summary


@dataclass(frozen=True, slots=True)
class Services:
    """What tells others how a session goes.

    Parameters
    ----------
    health : Health or None, default=None
        A sink of the session; None if nobody asks.
    file : HealthFile or None, default=None
        Writes it to a file.
    server : HealthServer or None, default=None
        Answers over HTTP.
    """

    health: Health | None = None
    file: HealthFile | None = None
    server: HealthServer | None = None

    @property
    def watches(self) -> tuple[Callable[[], list[Event]], ...]:
        """What tells of a status file that cannot be written."""
        return () if self.file is None else (self.file.events,)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Write and answer inside the block."""
        with contextlib.ExitStack() as stack:
            if self.server is not None:
                stack.enter_context(self.server)
                print(self.server.describe(), flush=True)
            if self.file is not None:
                stack.enter_context(self.file)
            yield


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `build_services`, and ``--summary``."""
    options = parser.add_argument_group("service")
    options.add_argument("--status-file", type=Path, metavar="FILE", help="rewrite FILE (JSON) every second: health")
    options.add_argument(
        "--http", type=int, metavar="PORT", help="serve /health and /metrics (Prometheus) over HTTP (0: any free port)"
    )
    options.add_argument(
        "--http-host", default="127.0.0.1", metavar="HOST", help="listen at another address than loopback: open to all"
    )
    options.add_argument("--summary", type=Path, metavar="FILE", help="write a summary (JSON) at the end")


def build_services(args: argparse.Namespace, queues: Sequence[QueuedSink]) -> Services:
    """Return the services that the options ask for; the port is taken, nothing is written yet.

    Raises
    ------
    UsageError
        If a file cannot be written or the port cannot be had.
    """
    from pylsl import local_clock

    from bci.health import Health
    from bci.health_file import HealthFile
    from bci.health_http import HealthServer

    if args.summary is not None:
        _check_summary(args.summary, args.overwrite)
    if args.status_file is None and args.http is None:
        return Services()
    health = Health(local_clock, queues)
    file = HealthFile(args.status_file, health) if args.status_file is not None else None
    return Services(health, file, HealthServer(health, args.http, args.http_host) if args.http is not None else None)


def write_summary(path: Path, summary: Summary, queues: Sequence[QueuedSink]) -> None:
    """Write how a session went, whole or not at all.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    from bci.errors import UsageError
    from bci.seizure_table import write_whole

    sinks = {queue.name: dataclasses.asdict(queue.delivery()) for queue in queues}
    record = dataclasses.asdict(summary) | {"sinks": sinks}
    try:
        write_whole(path, json.dumps(record, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise UsageError(f"--summary needs a file that can be written, got {path}: {error.strerror}.") from error


def _check_summary(path: Path, overwrite: bool) -> None:
    import os

    from bci.errors import UsageError

    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise UsageError(f"--summary needs a file in a folder that can be written, got {path}. Make the folder first.")
    if path.exists() and not overwrite:
        raise UsageError(f"--summary needs a file that does not exist yet, got {path}. Pass --overwrite to replace it.")

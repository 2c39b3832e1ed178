"""Several sessions in one process, one for each stream: they start, end and fail each by itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from bci.errors import BciError, StreamError
from bci.session import Session
from bci.status import Summary

log = logging.getLogger(__name__)


class Bed:
    """One stream with its session, in a thread of its own.

    Parameters
    ----------
    name : str
        Of the stream, for people.
    session : Session
        Not running yet.
    done : callable
        Called in the bed's thread when the session has ended, with the bed.

    Attributes
    ----------
    summary : Summary or None
        How the session went, once it has ended in order.
    error : str
        Why it has not; empty otherwise.
    """

    def __init__(self, name: str, session: Session, done: Callable[[Bed], None]) -> None:
        self.name, self.session = name, session
        self.summary: Summary | None = None
        self.error = ""
        self._done = done
        self._thread = threading.Thread(target=self._run, name=f"bed {name}")

    @property
    def running(self) -> bool:
        """Whether the session has not ended yet."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end, which comes some time after `Session.stop`."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self.summary = self.session.run()
            if self.summary.lost:
                self.error = f"The session has ended early. {self.summary.ended}"
        except BciError as error:
            self.error = str(error)
        except Exception as error:  # the outermost frame of this thread: the other beds go on
            log.debug("bed %s", self.name, exc_info=True)
            self.error = f"unexpected {type(error).__name__}: {error}"
        finally:
            self._done(self)


class Beds:
    """Context manager that runs sessions beside each other; leaving it stops those that still run.

    Sessions share nothing here. What they share otherwise, such as an engine, must be fit for several threads: see
    `bci.engines.batching`.

    Parameters
    ----------
    done : callable or None, default=None
        Called when a session has ended, in its thread, with the bed.
    """

    def __init__(self, done: Callable[[Bed], None] | None = None) -> None:
        self._done = done or (lambda bed: None)
        self._beds: dict[str, Bed] = {}
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def all(self) -> tuple[Bed, ...]:
        """The beds that were begun, in that order, those that have ended included."""
        with self._lock:
            return tuple(self._beds.values())

    @property
    def running(self) -> bool:
        """Whether any session has not ended yet."""
        return any(bed.running for bed in self.all)

    def begin(self, name: str, session: Session) -> Bed:
        """Run a session in a thread of its own.

        Parameters
        ----------
        name : str
            For people; another bed must not be running under it.
        session : Session
            Not running yet.

        Returns
        -------
        bed : Bed

        Raises
        ------
        StreamError
            If a bed of this name is running.
        """
        bed = Bed(name, session, self._done)
        with self._lock:
            if name in self._beds and self._beds[name].running:
                raise StreamError(f"Every stream needs a bed of its own, got {name!r} twice. Leave one out.")
            self._beds.pop(name, None)  # the newer one stands last
            self._beds[name] = bed
            bed.start()
            if self._stopped:
                session.stop()
        return bed

    def stop(self) -> None:
        """Ask all sessions to end; safe from any thread and from a signal handler's."""
        self._stopped = True
        for bed in tuple(self._beds.values()):  # without the lock: a signal may come while it is held
            bed.session.stop()

    def wait(self, timeout_s: float) -> bool:
        """Wait until all sessions have ended, at most `timeout_s`; return whether they have."""
        until = time.monotonic() + timeout_s
        for bed in self.all:
            bed.join(max(0.0, until - time.monotonic()))
        return not self.running

    def __enter__(self) -> Beds:
        """Begin without any."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop those that still run, and wait for their orderly end."""
        self.stop()
        for bed in self.all:
            bed.join()

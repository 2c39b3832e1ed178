"""Child processes of a benchmark: each has one pipe, and none outlives its parent's `with` block."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bci.errors import StreamError

STOP, ASK = "stop", "ask"
_LEAVE_S = 2.0  # a child that hears that its pipe is closed leaves by itself
_END_S = 3.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Child:
    """A process that runs ``work(pipe, *arguments)`` and answers with one object at a time.

    Parameters
    ----------
    name : str
        For error messages.
    work : callable
        Function of a module; its first argument is the pipe to the parent.
    arguments : tuple
        Its other arguments.
    n_threads : int, default=1
        Threads that its numerical libraries may use.
    """

    def __init__(self, name: str, work: Callable[..., None], arguments: tuple[Any, ...], n_threads: int = 1) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_guarded, args=(theirs, work, arguments), daemon=True)
        with _environment(dict.fromkeys(_THREAD_VARIABLES, str(n_threads))):
            self._process.start()
        theirs.close()

    def has_answer(self) -> bool:
        """Whether `answer` would return at once."""
        return self._pipe.poll()

    def answer(self, timeout_s: float) -> Any:
        """Return the next object that the child sends.

        Raises
        ------
        StreamError
            If it fails, ends, or sends nothing in time.
        """
        if not self._pipe.poll(timeout_s):
            raise StreamError(
                f"The {self.name} process must answer within {timeout_s:g} s, got nothing. "
                "Is the machine overloaded, or LSL blocked on the loopback interface?"
            )
        try:
            kind, value = self._pipe.recv()
        except EOFError as error:
            raise StreamError(
                f"The {self.name} process must answer, got its end (exit code {self._process.exitcode}). "
                "Run with --verbose to see why."
            ) from error
        if kind == "error":
            raise StreamError(f"The {self.name} process failed: {value}")
        return value

    def ask(self) -> None:
        """Ask for one more answer."""
        self._pipe.send(ASK)

    def stop(self) -> None:
        """Ask the child to finish and send its last answer."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send(STOP)

    def end(self) -> None:
        """Make sure that the process is gone."""
        self._pipe.close()
        self._process.join(_LEAVE_S)
        if self._process.is_alive():
            self._process.terminate()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextlib.contextmanager
def children() -> Iterator[list[Child]]:
    """Yield a list; every child that was put into it has ended when the block is left, however that happens."""
    running: list[Child] = []
    try:
        yield running
    finally:
        for child in running:
            child.end()


def reply(pipe: Connection, value: Any) -> None:
    """Send a result to the parent."""
    pipe.send(("value", value))


def stop_event(pipe: Connection, also: Callable[[], None] | None = None) -> threading.Event:
    """Return an event that is set when the parent says stop or has gone away; then `also` is called."""
    event = threading.Event()

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        event.set()
        if also is not None:
            also()

    threading.Thread(target=listen, daemon=True).start()
    return event


def _guarded(pipe: Connection, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the children
    try:
        work(pipe, *arguments)
    except BrokenPipeError:
        return  # the parent has gone on without the answer
    except Exception as error:  # noqa: BLE001 - the outermost frame of a process: the parent reports it
        pipe.send(("error", f"{type(error).__name__}: {error}"))


@contextlib.contextmanager
def private_lsl() -> Iterator[None]:
    """Keep the streams of the benchmark on this machine and liblsl silent, unless the user has set ``LSLAPICFG``."""
    if "LSLAPICFG" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="bci-bench-") as folder:
        config = Path(folder) / "lsl_api.cfg"
        config.write_text(
            "[ports]\nIPv6 = disable\n"
            "[multicast]\nResolveScope = machine\nAddressesOverride = {127.0.0.1}\n"
            f"[lab]\nKnownPeers = {{127.0.0.1}}\nSessionID = bench-{uuid.uuid4().hex}\n"
            "[log]\nlevel = -2\n"
        )
        with _environment({"LSLAPICFG": str(config)}):
            yield


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

"""Real-time hygiene on Linux: opt-in, undone at the end, and each step says whether it was possible.

What it does is for the whole process (and ``awake`` for the machine), so a library must not do it unasked: `bci run
--realtime` does.
"""

from __future__ import annotations

import ctypes
import gc
import os
import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from bci.thread_counts import fix_thread_counts

AWAKE_FILE = "/dev/cpu_dma_latency"
PRIORITY = 10  # of 1 to 99: above every ordinary thread, below the kernel's own
SWITCH_INTERVAL_S = 0.0005  # 5 ms by default: so long may a thread that draws keep the one that decodes waiting
N_THREADS = 1  # of BLAS, OpenMP and torch: to wake a second one costs more than a small matrix
MCL_CURRENT, MCL_FUTURE = 1, 2


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one step.

    Parameters
    ----------
    name : str
        ``awake``, ``affinity``, ``priority``, ``memory``, ``switch``, ``threads`` or ``collector``.
    done : bool
        Whether it is in force.
    detail : str
        What it does, or why it was not possible and what to do.
    """

    name: str
    done: bool
    detail: str

    def __str__(self) -> str:
        """Return one line for people."""
        return f"{self.name}: {'' if self.done else 'not possible, '}{self.detail}"


class RealTime:
    """Apply the steps while the block runs; enter it before the threads start that it is for.

    - ``awake``: the processors wait awake (``/dev/cpu_dma_latency``): waking one takes longer than a filter step.
    - ``affinity``: this thread, and those that it starts, run on the processors `cores`, if any are named.
    - ``priority``: this thread, and those that it starts, go before ordinary ones (``SCHED_FIFO``).
    - ``memory``: no page of the process is swapped out (``mlockall``).
    - ``switch``: Python threads give way after 0.5 ms, not 5 ms.
    - ``threads``: numpy, scipy and torch compute in the thread that calls them, not in a pool that has to be woken.
    - ``collector``: what exists now is no longer looked through for garbage.

    Parameters
    ----------
    cores : tuple of int, default=()
        Processors, by number; empty leaves the choice to the system.
    left_out : tuple of str, default=()
        Steps that are not applied.

    Attributes
    ----------
    steps : tuple of Step
        What became of each, once entered.
    """

    def __init__(self, cores: tuple[int, ...] = (), left_out: tuple[str, ...] = ()) -> None:
        self.steps: tuple[Step, ...] = ()
        self._cores = cores
        self._left_out = left_out
        self._undo = ExitStack()

    def __enter__(self) -> RealTime:
        """Apply what is possible."""
        tried: tuple[tuple[str, Callable[[ExitStack], str]], ...] = (
            ("awake", _stay_awake),
            ("affinity", partial(_stay_on, self._cores)),
            ("priority", _go_first),
            ("memory", _lock_memory),
            ("switch", _give_way),
            ("threads", _compute_alone),
            ("collector", _freeze),
        )
        self.steps = tuple(_try(name, apply, self._undo) for name, apply in tried if name not in self._left_out)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undo it."""
        self._undo.close()


def step_back() -> None:
    """Make the calling thread an ordinary one; a thread that writes or sends calls it first, whoever started it."""
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _try(name: str, apply: Callable[[ExitStack], str], undo: ExitStack) -> Step:
    try:
        return Step(name, True, apply(undo))
    except OSError as error:
        return Step(name, False, f"{error.strerror or error}. Run as root, or see docs/real-time.md.")
    except AttributeError:
        return Step(name, False, f"there is no such thing on {sys.platform}; it is for Linux.")


def _stay_awake(undo: ExitStack) -> str:
    file = os.open(AWAKE_FILE, os.O_WRONLY)
    undo.callback(os.close, file)  # it holds as long as the file is open
    os.write(file, struct.pack("i", 0))
    return "processors do not sleep while they wait"


def _stay_on(cores: tuple[int, ...], undo: ExitStack) -> str:
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
        undo.callback(os.sched_setaffinity, 0, before)
    now = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
    return f"on processors {now}" if cores else f"left to the system, on processors {now} (--cores chooses)"


def _go_first(undo: ExitStack) -> str:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    undo.callback(os.sched_setscheduler, 0, *before)
    return f"SCHED_FIFO {PRIORITY}"


def _lock_memory(undo: ExitStack) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
        raise OSError(f"this process may not lock its memory ({os.strerror(ctypes.get_errno())})")
    undo.callback(libc.munlockall)
    return "no page is swapped out"


def _give_way(undo: ExitStack) -> str:
    undo.callback(sys.setswitchinterval, sys.getswitchinterval())
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return f"Python threads give way after {SWITCH_INTERVAL_S * 1e3:g} ms"


def _compute_alone(undo: ExitStack) -> str:
    counts = fix_thread_counts(N_THREADS, undo)
    told = ", ".join(f"{name} {after} (was {before})" for name, (before, after) in counts.items())
    return f"threads of numerical libraries: {told or 'none is loaded'}"


def _freeze(undo: ExitStack) -> str:
    gc.collect()
    gc.freeze()
    undo.callback(gc.unfreeze)
    return "objects that exist now are left alone"

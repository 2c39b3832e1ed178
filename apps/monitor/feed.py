"""The streams of a session, each read by a thread of its own; the decoder never knows or waits."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping

import numpy as np
import pylsl
from pylsl.util import LostError
from pylsl.util import TimeoutError as LslTimeout

from apps.monitor.alarm_state import GONE, LOOKING
from apps.monitor.described import Described
from apps.monitor.description import describe
from apps.monitor.mailbox import Letter, Mailbox
from apps.monitor.model import MAX_EVENT_CHARS, MonitorModel
from bci.errors import ChannelMismatch
from bci.sources.lsl_discovery import literal

log = logging.getLogger(__name__)

SLICE_S = 0.025  # samples of so long are handed over together
LOOK_S = 0.1
OPEN_S = 5.0
KEPT_S = 10  # of signal while the thread is busy
IRREGULAR_ROOM = 360  # hundreds of samples, as liblsl counts where there is no rate
PUMP_S = 0.05  # a window must answer to its user meanwhile
DRY_S = 5.0  # after so long without a sample somebody else of that name is looked for
JOIN_S = 6.0
MAX_ROWS_BYTES = 8 << 20
REFUSED_S = 2.0
SUFFIXES = {"events": "-events", "signal": "-signal", "features": "-features"}
TAKERS: Mapping[str, Callable[..., None]] = {
    "predictions": MonitorModel.on_prediction,
    "events": MonitorModel.on_event,
    "signal": MonitorModel.on_signal,
    "raw": MonitorModel.on_raw,
    "features": MonitorModel.on_features,
    "annotations": MonitorModel.on_annotation,
}


class Feed:
    """Reads the streams of a session by name, as they come and go.

    Parameters
    ----------
    predictions : str
        Name of the prediction stream; those of events, signal and features follow from it.
    stream : str or None, default=None
        Name of the stream that is decoded; None takes what the prediction stream says.
    ended : callable or None, default=None
        Says why the session that the monitor has started has ended; empty while it has not.
    """

    def __init__(self, predictions: str, stream: str | None = None, ended: Callable[[], str] | None = None) -> None:
        self._ended = ended
        self._mailbox = Mailbox()
        self._threads: dict[str, tuple[threading.Thread, threading.Event]] = {}  # and what ends it
        self._closed = False
        self._chosen, self._decoded = stream or "", ""
        self._read("predictions", predictions)
        for role, suffix in SUFFIXES.items():
            self._read(role, predictions + suffix)
        self._read_stream(self._chosen)

    def pump(self, model: MonitorModel, at_most_s: float = PUMP_S) -> bool:
        """Hand over what has come; return whether that is all.

        Parameters
        ----------
        model : MonitorModel
            In the thread of the caller.
        at_most_s : float, default=0.05
            What is left after so long comes with the next call.
        """
        model.monitor_dropped = self._mailbox.n_dropped
        if self._ended is not None:
            model.on_session_process(self._ended())
        until = time.monotonic() + at_most_s
        while (letter := self._mailbox.take()) is not None:
            letter(model)
            if time.monotonic() > until:
                break
        model.behind_s = self._mailbox.behind_s()
        return letter is None

    def close(self) -> None:
        """End the threads; may be called twice."""
        self._closed = True
        readers = list(self._threads.values())
        for _, stop in readers:
            stop.set()
        for thread, _ in readers:
            thread.join(JOIN_S)

    def _read_stream(self, stream: str) -> None:
        """Read the stream that is decoded and its annotations, and no longer those of another session."""
        if stream not in ("", self._decoded):
            self._decoded = stream
            self._read("raw", stream)
            self._read("annotations", f"{stream}-annotations")

    def _read(self, role: str, name: str) -> None:
        found = self._found if role == "predictions" else None
        stop = threading.Event()
        reader = _Reader(role, name, self._mailbox, stop, found)
        thread = threading.Thread(target=reader.run, name=f"monitor-{role}", daemon=True)
        if role in self._threads:
            before, its_stop = self._threads[role]
            its_stop.set()
            before.join(JOIN_S)  # what it says must not come after what the next one says
        self._threads[role] = thread, stop
        thread.start()
        if self._closed:  # meanwhile
            stop.set()

    def _found(self, described: Described) -> None:
        if not self._closed:
            self._read_stream(self._chosen or described.fields.get("stream", ""))


class _Reader:
    """One stream: looked for, read, and looked for again."""

    def __init__(
        self,
        role: str,
        name: str,
        mailbox: Mailbox,
        stop: threading.Event,
        found: Callable[[Described], None] | None,
    ) -> None:
        self._role, self._name, self._mailbox, self._stop, self._found = role, name, mailbox, stop, found

    def run(self) -> None:
        """Read until the feed is closed."""
        self._say(functools.partial(_tell, self._role, None, LOOKING))
        while (info := self._look()) is not None:
            try:
                self._follow(info)
            except (LostError, LslTimeout, ChannelMismatch) as error:
                log.info("%s: %s", self._name, error)
                is_refused = isinstance(error, ChannelMismatch)
                reason = str(error) if is_refused else GONE
                self._say(functools.partial(_tell, self._role, None, reason))
                self._stop.wait(REFUSED_S if is_refused else LOOK_S)

    def _look(self) -> pylsl.StreamInfo | None:
        """Return the newest stream of the name once there is one; None if the feed was closed before."""
        resolver = pylsl.ContinuousResolver(pred=f"name={literal(self._name)}")
        while not self._stop.is_set():
            found = [info for info in resolver.results() if info.name() == self._name and info.channel_count() > 0]
            if found:
                return max(found, key=lambda info: info.created_at())
            self._stop.wait(LOOK_S)
        return None

    def _follow(self, found: pylsl.StreamInfo) -> None:
        """Read a stream until it goes, or another takes its place."""
        room = KEPT_S if found.nominal_srate() > 0 else IRREGULAR_ROOM
        inlet = pylsl.StreamInlet(found, max_buflen=room, recover=False, processing_flags=pylsl.proc_clocksync)
        described, factors = describe(inlet.info(OPEN_S))
        is_text = self._role in ("events", "annotations")
        if is_text != (inlet.channel_format == pylsl.cf_string):
            wanted, got = ("texts", "numbers") if is_text else ("numbers", "texts")
            raise ChannelMismatch(f"The monitor needs {wanted} from this stream, got {got}. Choose another stream.")
        inlet.open_stream(OPEN_S)
        if self._found is not None:
            self._found(described)
        self._say(functools.partial(_tell, self._role, described, ""))
        pull = self._texts if is_text else functools.partial(self._numbers, factors)
        heard = time.monotonic()
        while not self._stop.is_set():
            if pull(inlet):
                heard = time.monotonic()
            elif time.monotonic() - heard > DRY_S:
                heard = time.monotonic()
                if self._is_replaced(found):
                    raise LostError

    def _is_replaced(self, found: pylsl.StreamInfo) -> bool:
        """Whether another stream of the name is there and this one is not, as after a power cut of its sender."""
        resolver = pylsl.ContinuousResolver(pred=f"name={literal(self._name)}")
        self._stop.wait(1.0)
        there = {info.uid() for info in resolver.results()}
        return bool(there) and found.uid() not in there

    def _numbers(self, factors: np.ndarray | None, inlet: pylsl.StreamInlet) -> int:
        n_most = max(1, min(4096, MAX_ROWS_BYTES // (8 * inlet.channel_count)))
        rows, stamps = inlet.pull_chunk(SLICE_S, n_most, as_numpy=True)
        if len(stamps):
            with np.errstate(over="ignore"):
                values = rows.astype(np.float32) if factors is None else (rows * factors).astype(np.float32)
            data = values if self._role == "predictions" else np.ascontiguousarray(values.T)
            self._say(functools.partial(_hand_over, self._role, data, stamps), max(1, data.nbytes))
        return len(stamps)

    def _texts(self, inlet: pylsl.StreamInlet) -> int:
        rows, stamps = inlet.pull_chunk(SLICE_S, 1024, as_numpy=True)  # bytes: other senders' need not be UTF-8
        for row, stamp in zip(rows, stamps.tolist(), strict=True):
            text = row[0].decode("utf-8", "replace")[: MAX_EVENT_CHARS + 1]
            self._say(functools.partial(_hand_over, self._role, text, stamp), 100 + 4 * len(text))
        return len(stamps)

    def _say(self, letter: Letter, n_bytes: int = 0) -> None:
        self._mailbox.put(letter, n_bytes)


def _tell(role: str, described: Described | None, reason: str, model: MonitorModel) -> None:
    model.on_stream(role, described, reason)


def _hand_over(role: str, what: np.ndarray | str, when: np.ndarray | float, model: MonitorModel) -> None:
    TAKERS[role](model, what, when)

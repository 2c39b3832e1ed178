"""A live LSL stream as a source: raw stamps, own clock offset, no silent recovery."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pylsl
from pylsl.util import LostError
from pylsl.util import TimeoutError as LslTimeout

from bci.errors import ChannelMismatch, StreamError, StreamLost
from bci.sources.base import Marker, Received, StreamInfo
from bci.sources.clock_offset import ClockOffset
from bci.sources.lsl_description import describe, stream_name
from bci.sources.lsl_discovery import Search, literal, same_stream, wait_for_results
from bci.sources.units import check_unit
from bci.texts import printable

log = logging.getLogger(__name__)

_BUFFER_S = 360
_COALESCE_S = 0.0003  # a chunk is unpacked sample by sample: its rest follows within this
_MAX_READ_S = 4.0  # one read takes at most this much of a backlog
_OFFSET_EVERY_S = 1.0  # liblsl measures every 5 s in its own thread; asking it costs microseconds
_SLICE_S = 0.05  # markers are looked at this often while no samples come
_DRY_S = 0.25  # without samples this long after the end marker, nothing is on its way any more
_OPEN_TIMEOUT_S = 5.0
_REOPEN_TIMEOUT_S = 2.0  # meanwhile the session does nothing else
_SUSPECT_S = 5.0  # without samples this long, another sender may have taken this one's place
_MAX_STAMP_S = 1e13  # 300,000 years: with more, sample numbers overflow
_MAX_MARKER_BYTES = 65536
_MAX_MARKERS_PER_READ = 1000


class LslSource:
    """Samples (and markers) of one LSL stream, which is found again after it was lost.

    Parameters
    ----------
    query : str
        Stream name, or ``key=value`` as for `bci.sources.lsl_discovery.predicate`.
    unit : str or None, default=None
        Unit of channels that state none, or none that is a voltage or a field; without it they are left out.
    resolve_timeout_s : float, default=10.0
        Longest wait for the stream, in seconds.

    Attributes
    ----------
    n_received : int
        Samples received since `open`.

    Raises
    ------
    UsageError
        If `unit` is not a voltage or a field.
    """

    def __init__(self, query: str, unit: str | None = None, resolve_timeout_s: float = 10.0):
        if unit is not None:
            check_unit(unit)
        self._query, self._unit, self._resolve_timeout_s = query, unit, resolve_timeout_s
        self._inlet: Any = None
        self._markers: Any = None
        self._search: Search | None = None  # for a stream that was lost
        self._same: tuple[tuple[str, str], ...] | None = None  # what the open stream is known by
        self._refused: set[str] = set()
        self._interrupted = False
        self.n_received = self._n_before = 0

    def open(self) -> StreamInfo:
        """Wait for the stream, check its description and subscribe.

        Returns
        -------
        info : StreamInfo

        Raises
        ------
        StreamNotFound
            If no stream answers in time, or until `interrupt`.
        StreamError
            If several do.
        ChannelMismatch
            If its rate is irregular, names of channels are missing, or none has a unit.
        StreamLost
            If it leaves meanwhile.
        """
        search = Search(self._query)
        info = self._connect(search, search.first(self._resolve_timeout_s, lambda: self._interrupted), _anything)
        self.n_received = 0
        return info

    def interrupt(self) -> None:
        """Let `open` wait no longer, now or when it is called; safe from any thread and from a signal handler."""
        self._interrupted = True

    def reopen(self, timeout_s: float, accept: Callable[[StreamInfo], None]) -> StreamInfo | None:
        """Look for the lost stream and go on with it: by its ``source_id`` if it has one, else by name and type.

        Parameters
        ----------
        timeout_s : float
            Longest wait, in seconds; a stream that has answered is then opened, which takes about 0.7 s more.
        accept : callable
            Raises a `ChannelMismatch` for a stream that is another; that one is not offered again.

        Returns
        -------
        info : StreamInfo or None
            None if it has not answered.

        Raises
        ------
        ChannelMismatch
            From `accept`, or if the description is not that of a signal.
        StreamError
            If several answer.
        StreamLost
            If it leaves meanwhile, or was never open.
        """
        if self._same is None:
            raise StreamLost(f"Stream {self._query!r} must have been open to be found again. Call open() first.")
        if self._search is None:
            self.close()
            self._search = Search(self._query, self._same)
        found = self._search.another(timeout_s, self._refused)
        if found is None:
            return None
        try:
            info = self._connect(self._search, found, accept, _REOPEN_TIMEOUT_S)
        except ChannelMismatch:
            self._refused.add(found.uid())
            raise
        self._search = None
        return info

    def _connect(
        self,
        search: Search,
        found: pylsl.StreamInfo,
        accept: Callable[[StreamInfo], None],
        timeout_s: float = _OPEN_TIMEOUT_S,
    ) -> StreamInfo:
        """Check the description of a stream and subscribe to it."""
        inlet = pylsl.StreamInlet(found, max_buflen=_BUFFER_S, recover=False)
        try:
            full = inlet.info(timeout_s)
            description = describe(full, self._unit)
            accept(description.info)
            companion = _Companion(full)
            if self._same is not None:  # samples wait for the measurement rather than being lost once more
                inlet.open_stream(timeout_s)
            # at first before the subscription, so that no sample waits; in these 0.6 s other streams can answer
            self._offset = ClockOffset(inlet.time_correction(timeout_s))
            search.need_one(self._refused)
            self._markers = companion.open()
            inlet.open_stream(timeout_s)
        except (LostError, LslTimeout) as error:
            self._markers = None
            raise StreamLost(
                f"Stream {stream_name(found)} must stay while it is opened, got: {error} Start the sender again."
            ) from error
        self._inlet, self._description = inlet, description
        self._uid, self._same = full.uid(), same_stream(self._query, full)
        self._successor: Search | None = None
        self._offset_at = pylsl.local_clock()
        info = description.info
        n = max(1, math.ceil(_MAX_READ_S * info.signal.sfreq))
        self._rows = np.empty((n, description.n_sent), inlet.np_dtype)
        self._chunk_size = n  # unknown yet: the first read waits a little for more
        self._n_before = self.n_received
        self._n_announced: int | None = None  # by the end marker
        self._last_arrival = self._offset_at
        return replace(info, annotated=self._markers is not None)

    def read(self, timeout_s: float) -> Received:
        """Return as soon as there is a sample or a marker, at the latest after `timeout_s`.

        Parameters
        ----------
        timeout_s : float
            Longest wait, in seconds.

        Returns
        -------
        received : Received

        Raises
        ------
        StreamLost
            If the sender has gone away without an end marker, or has silently been replaced by another with its
            identity, or the source is not open.
        StreamError
            If a stamp is not a finite number, or none of seconds.
        """
        if self._inlet is None:
            raise StreamLost(f"Stream {self._query!r} must be open to be read, got a closed one. Call open() first.")
        left_s = timeout_s
        while True:
            wait_s = max(0.0, left_s if self._markers is None else min(left_s, _SLICE_S))
            try:
                rows, stamps = self._pull(wait_s)
            except LostError as error:
                if self._n_announced is not None:
                    self._warn_unread()
                    return self._received(self._rows[:0], np.empty(0), pylsl.local_clock(), (), ended=True)
                raise StreamLost(
                    f"Stream {self._query!r} must go on sending, got a lost connection after {self.n_received} "
                    "samples. Start the sender again and reconnect."
                ) from error
            now = pylsl.local_clock()
            if len(stamps):
                self._check_stamps(stamps)
                self.n_received += len(stamps)
                self._last_arrival, self._successor = now, None
            markers = self._read_markers()
            ended = self._n_announced is not None and (
                self.n_received - self._n_before >= self._n_announced or now - self._last_arrival > _DRY_S
            )
            if not len(stamps) and now - self._last_arrival > _SUSPECT_S:
                self._look_for_successor()
            left_s -= wait_s
            if len(stamps) or markers or ended or left_s <= 0:
                received = self._received(rows, stamps, now, markers, ended)
                self._refresh_offset(now)
                return received

    def _warn_unread(self) -> None:
        """Say what liblsl gives nobody any more when a sender leaves while samples wait to be read."""
        n_unread = self._inlet.samples_available() - 1  # liblsl adds one to wake who waits
        if n_unread > 0:
            log.warning(
                "stream %s needs to stay until all is read, got one that left with %d samples unread. "
                "Let the sender wait longer (bci replay --linger), or send slower.",
                printable(self._query),
                n_unread,
            )

    def _look_for_successor(self) -> None:
        """Notice a sender that was replaced while its connection seems alive, as after a power cut.

        Raises
        ------
        StreamLost
            If another stream answers in place of this one.
        """
        if self._successor is None:
            self._successor = Search(self._query, self._same)
            return
        uids = self._successor.uids()
        if self._uid not in uids and uids - self._refused:
            raise StreamLost(
                f"Stream {self._query!r} must go on sending, got another one in its place after {self.n_received} "
                "samples. Reconnect."
            )

    def close(self) -> None:
        """Let go of the stream; may be called twice."""
        self._inlet = None
        self._markers = None
        self._successor = self._search = None

    def _pull(self, wait_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Wait for a sample, and return it with the others of its chunk, if chunks go on as they were."""
        room = len(self._rows)
        rows, stamps = self._inlet.pull_chunk(wait_s, room, dest_obj=self._rows, min_samples=1, as_numpy=True)
        rest = self._chunk_size - len(stamps)
        if rest > 0 and len(stamps):
            _, more = self._inlet.pull_chunk(_COALESCE_S, rest, dest_obj=self._rows[len(stamps) :], as_numpy=True)
            stamps = np.concatenate([stamps, more])
            rows = self._rows[: len(stamps)]
        if len(stamps):
            self._chunk_size = len(stamps)
        return rows, stamps

    def _received(
        self, rows: np.ndarray, stamps: np.ndarray, now: float, markers: tuple[Marker, ...], ended: bool
    ) -> Received:
        return Received(
            self._description.samples(rows), self._offset.local(stamps), now, markers, ended, self._offset.newest_s
        )

    def _check_stamps(self, stamps: np.ndarray) -> None:
        fits = np.abs(stamps) <= _MAX_STAMP_S  # False for NaN
        if not fits.all():
            first = int(np.argmin(fits))
            raise StreamError(
                f"Stream {self._query!r} must stamp its samples with finite times, in seconds, got {stamps[first]:g} "
                f"for sample {self.n_received + first}. Correct the stamps in the sender, or let LSL stamp them."
            )

    def _refresh_offset(self, now: float) -> None:
        if now - self._offset_at < _OFFSET_EVERY_S:
            return
        self._offset_at = now
        try:
            self._offset.change(self._inlet.time_correction(0.0))  # returns the last estimate at once
        except (LslTimeout, LostError):
            log.debug("no new clock offset for %s; the last one stays", self._query)

    def _read_markers(self) -> tuple[Marker, ...]:
        if self._markers is None:
            return ()
        markers: list[Marker] = []
        try:
            while self._markers.samples_available() and len(markers) < _MAX_MARKERS_PER_READ:
                try:
                    values, stamp = self._markers.pull_sample(0.0)
                except UnicodeDecodeError as error:  # of a sender with another encoding
                    log.warning("marker of %s is no UTF-8: %s", self._query, printable(repr(error.object)))
                    continue
                if values is None:
                    break
                marker = None
                if abs(stamp) <= _MAX_STAMP_S:
                    marker = parse_marker(values[0], float(self._offset.local(np.array([stamp]))[0]))
                if marker is None:
                    log.warning(
                        "marker of %s is no JSON object with a kind and a time: %s",
                        self._query,
                        printable(repr(values[0])),
                    )
                    continue
                markers.append(marker)
                if marker.kind == "end":
                    self._n_announced = marker.fields["n_samples"]
        except LostError:
            self._markers = None
        return tuple(sorted(markers, key=lambda m: m.time))


def parse_marker(text: bytes, time: float) -> Marker | None:
    """Return the marker in an untrusted text; None if it is not one.

    Parameters
    ----------
    text : bytes
        One JSON object with a text ``kind``, at most 64 KiB; an ``end`` needs a whole ``n_samples >= 0``.
    time : float
        Its time in the local clock, in seconds.

    Returns
    -------
    marker : Marker or None
    """
    if len(text) > _MAX_MARKER_BYTES:
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("kind"), str):
        return None
    kind = fields.pop("kind")
    n_samples = fields.get("n_samples")
    if kind == "end" and (type(n_samples) is not int or n_samples < 0):
        return None
    return Marker(kind, time, fields)


def _anything(info: StreamInfo) -> None:
    """Accept any stream."""


class _Companion:
    """The marker stream ``NAME-annotations``: looked for in the background, since most amplifiers have none."""

    def __init__(self, full: pylsl.StreamInfo):
        self._replayed = not full.desc().child("replay").empty()
        wanted = f"name={literal(full.name() + '-annotations')}"
        if self._replayed:
            wanted += f" and source_id={literal(full.source_id() + '-annotations')}"
        self._resolver = pylsl.ContinuousResolver(pred=wanted)

    def open(self) -> Any:
        """Return a subscribed inlet, or None if there is no such stream."""
        answers = wait_for_results(self._resolver, _OPEN_TIMEOUT_S if self._replayed else 0.0)
        if not answers or answers[0].channel_format() != pylsl.cf_string or answers[0].channel_count() != 1:
            return None
        inlet = pylsl.StreamInlet(answers[0], recover=False, as_numpy=True)
        inlet.open_stream(_OPEN_TIMEOUT_S)
        return inlet

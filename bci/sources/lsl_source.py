"""A live LSL stream as a source: raw stamps, own clock offset, no silent recovery."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import numpy as np
import pylsl
from pylsl.util import LostError
from pylsl.util import TimeoutError as LslTimeout

from bci.chunk import Signal
from bci.errors import ChannelMismatch, StreamLost
from bci.sources.base import Marker, Received, StreamInfo
from bci.sources.lsl_discovery import Search, channel_texts, literal, printable, wait_for_results
from bci.sources.units import common_unit, conversion

log = logging.getLogger(__name__)

_BUFFER_S = 360
_COALESCE_S = 0.0003  # a chunk is unpacked sample by sample: its rest follows within this
_MAX_READ_S = 4.0  # one read takes at most this much of a backlog
_OFFSET_EVERY_S = 1.0  # liblsl measures every 5 s in its own thread; asking it costs microseconds
_SLICE_S = 0.05  # markers are looked at this often while no samples come
_DRY_S = 0.25  # without samples this long after the end marker, nothing is on its way any more
_OPEN_TIMEOUT_S = 5.0
_MAX_MARKER_BYTES = 65536
_MAX_MARKERS_PER_READ = 1000


class LslSource:
    """Samples (and markers) of one LSL stream.

    Parameters
    ----------
    query : str
        Stream name, or ``key=value`` as for `bci.sources.lsl_discovery.predicate`.
    unit : str or None, default=None
        Unit of the channels, if the stream does not state it.
    resolve_timeout_s : float, default=10.0
        Longest wait for the stream, in seconds.

    Attributes
    ----------
    n_received : int
        Samples received since `open`.
    """

    def __init__(self, query: str, unit: str | None = None, resolve_timeout_s: float = 10.0):
        self._query, self._unit, self._resolve_timeout_s = query, unit, resolve_timeout_s
        self._inlet: Any = None
        self._markers: Any = None
        self.n_received = 0

    def open(self) -> StreamInfo:
        """Wait for the stream, check its description and subscribe.

        Returns
        -------
        info : StreamInfo

        Raises
        ------
        StreamNotFound
            If no stream answers in time.
        StreamError
            If several do.
        ChannelMismatch
            If its rate is irregular, or names or units of channels are missing.
        StreamLost
            If it leaves meanwhile.
        """
        search = Search(self._query)
        found = search.first(self._resolve_timeout_s)
        inlet = pylsl.StreamInlet(found, max_buflen=_BUFFER_S, recover=False)
        try:
            full = inlet.info(_OPEN_TIMEOUT_S)
            info, self._factors = _describe(full, self._unit)
            companion = _Companion(full)
            # before the subscription, so that no sample waits for it; takes 0.6 s, in which other streams can answer
            self._offset = ClockOffset(inlet.time_correction(_OPEN_TIMEOUT_S))
            search.need_one()
            self._markers = companion.open()
            inlet.open_stream(_OPEN_TIMEOUT_S)
        except (LostError, LslTimeout) as error:
            self._markers = None
            raise StreamLost(
                f"Stream {info_name(found)} must stay while it is opened, got: {error} Start the sender again."
            ) from error
        self._inlet = inlet
        self._offset_at = pylsl.local_clock()
        n = max(1, math.ceil(_MAX_READ_S * info.signal.sfreq))
        self._rows = np.empty((n, info.signal.n_channels), inlet.np_dtype)
        self._chunk_size = n  # unknown yet: the first read waits a little for more
        self.n_received = 0
        self._n_announced: int | None = None  # by the end marker
        self._last_arrival = self._offset_at
        return StreamInfo(
            name=info.name,
            signal=info.signal,
            source_id=info.source_id,
            speed=info.speed,
            types=info.types,
            units=info.units,
            host=info.host,
            annotated=self._markers is not None,
            n_samples=info.n_samples,
        )

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
            If the sender has gone away without an end marker, or the source is not open.
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
                    return self._received(self._rows[:0], np.empty(0), pylsl.local_clock(), (), ended=True)
                raise StreamLost(
                    f"Stream {self._query!r} must go on sending, got a lost connection after {self.n_received} "
                    "samples. Start the sender again and reconnect."
                ) from error
            now = pylsl.local_clock()
            if len(stamps):
                self.n_received += len(stamps)
                self._last_arrival = now
            markers = self._read_markers()
            ended = self._n_announced is not None and (
                self.n_received >= self._n_announced or now - self._last_arrival > _DRY_S
            )
            left_s -= wait_s
            if len(stamps) or markers or ended or left_s <= 0:
                received = self._received(rows, stamps, now, markers, ended)
                self._refresh_offset(now)
                return received

    def close(self) -> None:
        """Let go of the stream; may be called twice."""
        self._inlet = None
        self._markers = None

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
        if self._factors is None:
            data = np.array(rows.T, np.float32, order="C")
        else:
            data = np.ascontiguousarray((rows * self._factors).T, np.float32)
        return Received(data, self._offset.local(stamps), now, markers, ended, self._offset.newest_s)

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
                values, stamp = self._markers.pull_sample(0.0)
                if values is None:
                    break
                marker = parse_marker(values[0], float(self._offset.local(np.array([stamp]))[0]))
                if marker is None:
                    log.warning(
                        "marker of %s is no JSON object with a kind: %s", self._query, printable(repr(values[0]))
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


def info_name(info: pylsl.StreamInfo) -> str:
    """Return the quoted, printable name of a stream."""
    return repr(printable(info.name()))


def _describe(full: pylsl.StreamInfo, unit: str | None) -> tuple[StreamInfo, np.ndarray | None]:
    """Return the description of a stream, and the factors to µV and fT (None if all are 1)."""
    name, n, sfreq = info_name(full), full.channel_count(), full.nominal_srate()
    if full.channel_format() == pylsl.cf_string or not (math.isfinite(sfreq) and sfreq > 0):
        raise ChannelMismatch(
            f"Stream {name} must carry numbers at a regular rate, got {pylsl.lib.fmt2string[full.channel_format()]} "
            f"at {sfreq:g} Hz. Choose a signal stream; `bci streams` lists them."
        )
    labels = channel_texts(full, "label")
    if len(labels) != n or not all(labels):
        raise ChannelMismatch(
            f"Stream {name} must name its {n} channels in desc/channels/channel/label, got "
            f"{sum(map(bool, labels))} names. Set the labels in the sender."
        )
    repeated = sorted({label for label in labels if labels.count(label) > 1}) if len(set(labels)) < n else []
    if repeated:
        raise ChannelMismatch(
            f"Stream {name} must have different channel names, got repeated: "
            f"{', '.join(printable(label) for label in repeated[:8])}. Rename them in the sender."
        )
    stated = channel_texts(full, "unit")
    missing = [label for label, text in zip(labels, stated, strict=True) if not text]
    if missing and unit is None:
        raise ChannelMismatch(
            f"Stream {name} must state the unit of its channels in desc/channels/channel/unit, got none for "
            f"{', '.join(printable(label) for label in missing[:8])}. Pass it, for example --unit uV."
        )
    pairs = [conversion(text or str(unit), printable(label)) for label, text in zip(labels, stated, strict=True)]
    units = tuple(inside for inside, _ in pairs)
    factors = np.array([factor for _, factor in pairs])
    replay = full.desc().child("replay")
    info = StreamInfo(
        name=full.name(),
        signal=Signal(sfreq, labels, common_unit(units)),
        source_id=full.source_id(),
        speed=_number(replay.child_value("speed"), 1.0),
        types=channel_texts(full, "type"),
        units=units,
        host=full.hostname(),
        n_samples=int(_number(replay.child_value("n_samples"), 0.0)) or None,
    )
    return info, None if (factors == 1).all() else factors


def _number(text: str, default: float) -> float:
    """Return a positive number from an untrusted text."""
    try:
        value = float(text)
    except ValueError:
        return default
    return value if math.isfinite(value) and value > 0 else default


class ClockOffset:
    """Clock offset as a function of the stamp, so that a marker and its sample get one, whichever is read first."""

    def __init__(self, offset_s: float):
        self.newest_s = self._before_s = offset_s
        self._from = self._latest = -math.inf  # the newest offset holds for stamps after the first; latest stamp seen

    def local(self, stamps: np.ndarray) -> np.ndarray:
        """Return stamps in the local clock."""
        if not len(stamps):
            return stamps
        self._latest = max(self._latest, float(stamps.max()))
        return stamps + np.where(stamps > self._from, self.newest_s, self._before_s)

    def change(self, offset_s: float) -> None:
        """Use another offset for stamps that have not been seen yet."""
        if offset_s != self.newest_s:
            self._before_s, self.newest_s, self._from = self.newest_s, offset_s, self._latest


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

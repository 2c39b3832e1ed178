"""A recording as a source in this process, as fast as it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bci.errors import SpecError, StreamLost
from bci.sources.base import Marker, Received, StreamInfo
from bci.sources.recording import Recording


class FileSource:
    """Delivers a recording chunk by chunk, with the stamps of a replay at recorded speed.

    Samples in a gap of the recording are not delivered; the stamps jump over them.

    Parameters
    ----------
    recording : Recording
        What to deliver.
    chunk_size : int or sequence of int, default=8
        Samples per read; a sequence is repeated. 0 gives an empty read.
    first_stamp_s : float, default=0.0
        Stamp of the recording's first sample, in seconds.
    name : str or None, default=None
        Name of the stream; None takes the file's.
    """

    def __init__(
        self,
        recording: Recording,
        chunk_size: int | Sequence[int] = 8,
        first_stamp_s: float = 0.0,
        name: str | None = None,
    ):
        sizes = (chunk_size,) if isinstance(chunk_size, int) else tuple(chunk_size)
        if not sizes or min(sizes) < 0 or max(sizes) == 0:
            raise SpecError(f"Chunk sizes must be 0 or more samples and not all 0, got {sizes[:8]}.")
        self._recording, self._sizes, self._first_stamp_s = recording, sizes, first_stamp_s
        self._name = name or recording.path.stem
        self._cuts: Iterator[tuple[int, int]] | None = None

    def open(self) -> StreamInfo:
        """Go to the start and return the description."""
        recording = self._recording
        self._cuts = self._plan()
        self._notes = [(round(n.onset_s * recording.signal.sfreq), n) for n in recording.annotations]
        return StreamInfo(
            name=self._name,
            signal=recording.signal,
            source_id=recording.fingerprint(),
            types=recording.types,
            units=recording.units,
            annotated=True,
            n_samples=recording.n_samples,
        )

    def read(self, timeout_s: float) -> Received:
        """Return the next chunk; nothing is waited for.

        Parameters
        ----------
        timeout_s : float
            Not used.

        Returns
        -------
        received : Received
            ``received_s`` is the stamp of the newest sample. After the last sample, `ended` is True.

        Raises
        ------
        StreamLost
            If the source is not open.
        """
        if self._cuts is None:
            raise StreamLost(f"{self._name!r} must be open to be read, got a closed source. Call open() first.")
        start, stop = next(self._cuts, (self._recording.n_samples, self._recording.n_samples))
        times = self._first_stamp_s + np.arange(start, stop) / self._recording.signal.sfreq
        ended = stop == self._recording.n_samples
        markers = self._markers_before(stop)
        if ended:
            markers += (Marker("end", self._stamp(stop), {"n_samples": self._n_recorded()}),)
        newest_s = self._stamp(max(start, stop - 1))
        return Received(self._recording.read(start, stop), times, newest_s, markers, ended)

    def close(self) -> None:
        """Let go of the recording's place; the recording itself stays open."""
        self._cuts = None

    def _stamp(self, sample: int) -> float:
        return self._first_stamp_s + sample / self._recording.signal.sfreq

    def _n_recorded(self) -> int:
        return self._recording.n_samples - sum(stop - start for start, stop in self._recording.gaps)

    def _plan(self) -> Iterator[tuple[int, int]]:
        """Yield ``[start, stop)`` of each read."""
        at, turn, n = 0, 0, self._recording.n_samples
        gaps = [*self._recording.gaps, (n, n)]
        while at < n:
            gap_start, gap_stop = next(gap for gap in gaps if at < gap[1] or gap[0] == n)
            if gap_start <= at:
                at = gap_stop
                continue
            stop = min(at + self._sizes[turn % len(self._sizes)], gap_start)
            turn += 1
            yield at, stop
            at = stop

    def _markers_before(self, stop: int) -> tuple[Marker, ...]:
        markers = []
        while self._notes and self._notes[0][0] < stop:
            sample, note = self._notes.pop(0)
            fields = {"description": note.description, "duration": note.duration_s}
            markers.append(Marker("annotation", self._stamp(max(0, sample)), fields))
        return tuple(markers)

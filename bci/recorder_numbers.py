"""Which number each received sample has in its stream, by the rules of the session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bci.clock import ClockSpec, SampleClock
from bci.events import Event
from bci.sources.base import Marker, Received, StreamInfo
from bci.timeline import BREAKS, SAME_TIME_S, Timeline

SPLITS = (*BREAKS, "clock_jump")
"""Events after which decoding starts anew without lost samples: a recording does, too."""
MAX_MARKERS = 10_000  # that wait for their sample


@dataclass(frozen=True, slots=True)
class Stretch:
    """Received samples that follow each other.

    Parameters
    ----------
    first_sample : int
        Number of the first in the stream, which counts lost samples too.
    data : ndarray of float32, shape (n_channels, n_samples)
        As received.
    times : ndarray of float64, shape (n_samples,)
        Their stamps.
    is_new : bool, default=False
        Whether they begin a new recording.
    """

    first_sample: int
    data: np.ndarray
    times: np.ndarray
    is_new: bool = False

    @property
    def stop(self) -> int:
        """The number after the last."""
        return self.first_sample + len(self.times)


@dataclass(frozen=True, slots=True)
class Mark:
    """A marker of the stream at its place.

    Parameters
    ----------
    sample : int
        Number of its sample in the stream.
    marker : Marker
        As received.
    """

    sample: int
    marker: Marker


class Numbering:
    """Gives what was received its numbers.

    Parameters
    ----------
    stream : StreamInfo
        The open stream.
    clock : ClockSpec
        Tolerances; those of the session.
    """

    def __init__(self, stream: StreamInfo, clock: ClockSpec) -> None:
        self._signal = stream.signal
        self._timeline = Timeline(SampleClock(stream.signal, stream.speed, clock, exact=stream.exact))
        self._markers: list[Marker] = []
        self._is_new = False
        self._returned: StreamInfo | None = None

    @property
    def next_sample(self) -> int:
        """Number of the next sample if none is lost."""
        return self._timeline.clock.next_sample

    def rejoin(self, stream: StreamInfo) -> None:
        """Go on with a stream that was away, from its next sample; with other channels, a new recording begins."""
        self._returned = stream
        self._is_new = self._is_new or stream.signal != self._signal
        self._signal = stream.signal

    def take(self, received: Received) -> list[Stretch | Mark | Event]:
        """Return samples and markers at their places, and what happened between them.

        Parameters
        ----------
        received : Received
            The next that was received.

        Returns
        -------
        items : list of Stretch, Mark or Event
            In the order of the stream, but a mark may come after its sample.
        """
        items: list[Stretch | Mark | Event] = list(self._timeline.note(received.markers))
        self._markers.extend(received.markers[: MAX_MARKERS - len(self._markers)])
        if not received.times.size:
            return items
        if self._returned is not None:
            self._timeline.rejoin(self._returned.speed)
            self._returned = None
        for item in self._timeline.take(received.data, received.times, received.received_s):
            if isinstance(item, Event):
                self._is_new = self._is_new or item.kind in SPLITS
                items.append(item)
            elif item.filled is None and item.n_samples:  # what a short gap was filled with was not received
                items.append(Stretch(item.first_sample, item.data, item.times, self._is_new))
                self._is_new = False
                items += self._marks_until(float(item.times[-1]), item.first_sample, item.times)
        return items

    def rest(self) -> list[Mark]:
        """Return the markers whose samples never came, at the end."""
        left, self._markers = self._markers, []
        return [Mark(self.next_sample, marker) for marker in left]

    def _marks_until(self, last_s: float, first_sample: int, times: np.ndarray) -> list[Mark]:
        due = [m for m in self._markers if m.time <= last_s + SAME_TIME_S]
        self._markers = [m for m in self._markers if m.time > last_s + SAME_TIME_S]
        period_s = 1.0 / (self._timeline.clock.sfreq * self._timeline.clock.speed)
        marks = []
        for marker in due:
            at = int(np.searchsorted(times, marker.time - SAME_TIME_S))
            if at == 0:  # a marker may come late
                at = -min(round(max(0.0, float(times[0]) - marker.time) / period_s), first_sample)
            marks.append(Mark(first_sample + at, marker))
        return marks

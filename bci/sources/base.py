"""What every source of samples offers, live or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bci.chunk import Signal


@dataclass(frozen=True, slots=True)
class Annotation:
    """A described stretch of a recording.

    Parameters
    ----------
    onset_s : float
        Start, in seconds from the first sample of the recording.
    duration_s : float
        Length, in seconds; 0 for an instant.
    description : str
        What the annotator wrote.
    """

    onset_s: float
    duration_s: float
    description: str


@dataclass(frozen=True, slots=True)
class Marker:
    """Something that happened at one time of the stream.

    Parameters
    ----------
    kind : str
        ``annotation``, ``loop``, ``seek``, ``speed``, ``pause``, ``resume`` or ``end``; unknown kinds may come and can
        be ignored. ``loop`` and ``seek`` say that the sample at `time` does not follow the one before it, ``resume``
        that it does, however late, and ``speed`` that stamps are ``1 / (speed * sfreq)`` apart from then on.
    time : float
        Time in the local LSL clock, in seconds; equal to that of its sample.
    fields : mapping of str to Any, default={}
        What the sender says about it. It comes from outside: check before use.
    """

    kind: str
    time: float
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Description of an open source.

    Parameters
    ----------
    name : str
        Name of the stream.
    signal : Signal
        Rate, channel names and unit of the samples that ``read`` returns.
    source_id : str, default=""
        Identifier that survives a restart of the sender; empty if it has none.
    speed : float, default=1.0
        Stream seconds of signal per second of clock; samples are ``1 / (speed * sfreq)`` apart.
    types, units : tuple of str, default=()
        Type (``eeg``, ``mag``, …) and unit of each channel, as delivered.
    host : str, default=""
        Machine that sends.
    annotated : bool, default=False
        Whether markers come with the samples.
    n_samples : int or None, default=None
        Length of one pass of the recording behind the stream; None if it has no end.
    counted : bool, default=False
        Whether stamps are computed from a counter of the sender, so that their distances are exact.
    """

    name: str
    signal: Signal
    source_id: str = ""
    speed: float = 1.0
    types: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    host: str = ""
    annotated: bool = False
    n_samples: int | None = None
    counted: bool = False

    @property
    def exact(self) -> bool:
        """Whether no irregularity of the stamps is to be expected: they are counted, or those of a replay."""
        return self.counted or self.n_samples is not None


@dataclass(frozen=True, slots=True)
class Received:
    """What one ``read`` brought.

    Parameters
    ----------
    data : ndarray of float32, shape (n_channels, n_samples)
        Samples in µV or fT. ``n_samples`` may be 0.
    times : ndarray of float64, shape (n_samples,)
        Raw stamp of each sample plus the clock offset, in seconds of the local LSL clock. Never smoothed.
    received_s : float
        Local LSL clock right after the samples arrived, in seconds.
    markers : tuple of Marker, default=()
        Markers that arrived, by time.
    ended : bool, default=False
        True when the sender has said that no more samples come and all have been delivered.
    offset_s : float, default=0.0
        Newest clock offset, in seconds. `times` go to it from the next stamp on that was not seen before; see
        `bci.sources.clock_offset`.
    """

    data: np.ndarray
    times: np.ndarray
    received_s: float
    markers: tuple[Marker, ...] = ()
    ended: bool = False
    offset_s: float = 0.0


class Source(Protocol):
    """A source of samples; one thread opens, reads and closes it."""

    def open(self) -> StreamInfo:
        """Wait for the stream and return its description.

        Raises
        ------
        StreamNotFound
            If no stream answers.
        """

    def read(self, timeout_s: float) -> Received:
        """Return as soon as there is a sample, at the latest after `timeout_s`.

        Raises
        ------
        StreamLost
            If the sender has gone away.
        """

    def close(self) -> None:
        """Let go of the stream; may be called twice."""


@runtime_checkable
class Interruptible(Source, Protocol):
    """A source that can be told to look for its stream no longer."""

    def interrupt(self) -> None:
        """Let `open` give up at once with a `StreamNotFound`; safe from any thread and from a signal handler."""


@runtime_checkable
class Reopening(Source, Protocol):
    """A source that can find its stream again after it was lost."""

    def reopen(self, timeout_s: float, accept: Callable[[StreamInfo], None]) -> StreamInfo | None:
        """Look for the lost stream, at the latest until about `timeout_s`; None if it is not there.

        Parameters
        ----------
        timeout_s : float
            Longest wait, in seconds.
        accept : callable
            Raises a `ChannelMismatch` for a stream that is another; that one is not offered again.

        Returns
        -------
        info : StreamInfo or None
            The stream, from which `read` goes on.

        Raises
        ------
        ChannelMismatch
            From `accept`, or if the stream that is there cannot be read.
        StreamError
            If several answer.
        StreamLost
            If it leaves meanwhile.
        """

"""All that stands between a chunk and its prediction, run through with silence."""

from __future__ import annotations

import numpy as np

from bci.chunk import Signal
from bci.clock import ClockSpec, SampleClock
from bci.decoder import Decoder
from bci.timeline import Timeline

N_SAMPLES = 8  # of a chunk of silence


class Rehearsal:
    """A decoder, and a twin of the timeline before it, for `bci.anticipation.Anticipation`.

    Parameters
    ----------
    decoder : Decoder
        The session's.
    signal : Signal
        What the stream carries.
    spec : ClockSpec
        The session's tolerances.
    """

    def __init__(self, decoder: Decoder, signal: Signal, spec: ClockSpec) -> None:
        self._decoder = decoder
        self._twin = Timeline(SampleClock(signal, spec=spec))
        self._silence = np.zeros((signal.n_channels, N_SAMPLES), dtype=np.float32)
        self._times = np.arange(N_SAMPLES) / signal.sfreq
        self._length_s = N_SAMPLES / signal.sfreq

    @property
    def n_missing(self) -> int:
        """How many samples the next prediction still needs."""
        return self._decoder.n_missing

    def prepare(self) -> None:
        """Compute what the next prediction needs and can be known already."""
        self._decoder.prepare()

    def rehearse(self) -> None:
        """Run through the next prediction and change nothing that it depends on."""
        for _ in self._twin.take(self._silence, self._times, float(self._times[-1])):
            pass
        self._times = self._times + self._length_s
        self._decoder.rehearse()

"""A recording brought to the channels and the rate that a model wants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bci.chunk import Signal
from bci.errors import ChannelMismatch
from bci.matching import channel_rows
from bci.sources.base import Annotation
from bci.sources.recording import Recording
from bci.stages.electrodes import plain_name, plain_pair
from bci.stages.resample import PolyphaseStage, Resample


class AdaptedRecording:
    """Channels found by their usual spellings, resampled causally; offered like the recording itself.

    ``EEG FP1-REF``, ``Fp1.`` and ``fp1`` are taken for ``Fp1``, and ``T7``, ``T8``, ``P7``, ``P8`` for ``T3``, ``T4``,
    ``T5``, ``T6``, also in derivations such as ``F7-T7``. The resampling delays the signal by `delay_s`; annotations
    stay where they are.

    Parameters
    ----------
    recording : Recording
        What to adapt.
    wanted : Signal
        Channels in order, rate and unit.

    Raises
    ------
    ChannelMismatch
        If a channel is missing or found twice, or the unit differs.
    SpecError
        If the ratio of the rates is not rational with small terms.
    """

    seekable = True

    def __init__(self, recording: Recording, wanted: Signal) -> None:
        offered = replace(recording.signal, sfreq=wanted.sfreq, names=usual_names(recording.signal.names, wanted.names))
        self._rows = channel_rows(wanted, offered, "adapted recording")
        self._recording = recording
        self.path, self.started = recording.path, recording.started
        self.signal = wanted
        self.types = tuple(recording.types[i] for i in self._rows)
        self.units = tuple(recording.units[i] for i in self._rows)
        self.annotations: tuple[Annotation, ...] = recording.annotations
        source = replace(recording.signal, names=wanted.names)
        self._stage: PolyphaseStage | None = None
        self._up = self._down = 1
        self._reach = 0
        if recording.signal.sfreq != wanted.sfreq:
            self._stage = Resample(wanted.sfreq).build(source)
            self._up, self._down = self._stage.up, self._stage.down
            self._reach = int(np.ceil(2 * self._stage.delay_s(0.0) * source.sfreq))
        up, down = self._up, self._down
        self.n_samples = -(-recording.n_samples * up // down)
        # what was resampled from a gap is not a recording either
        self.gaps = tuple(
            (a * up // down, min(self.n_samples, -(-(b + self._reach) * up // down))) for a, b in recording.gaps
        )

    @property
    def delay_s(self) -> float:
        """Delay that the resampling adds, in seconds."""
        return 0.0 if self._stage is None else self._stage.delay_s(0.0)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read samples ``[start, stop)`` at the new rate, float32 (n_channels, stop - start)."""
        if self._stage is None:
            return self._recording.read(start, stop)[self._rows]
        if stop <= start:
            return np.empty((len(self._rows), 0), np.float32)
        up, down = self._up, self._down
        # from a multiple of `down`, where both grids meet, far enough back for the filter to forget where it began
        first = max(0, start * down // up - self._reach) // down * down
        last = (stop - 1) * down // up
        data = self._recording.read(first, last + 1)[self._rows].astype(np.float64)
        bad = ~np.isfinite(data)
        self._stage.reset()
        y = self._stage.process(np.where(bad, 0.0, data))
        wanted = np.arange(start, stop) - first * up // down
        y = y[:, wanted].astype(np.float32)
        if bad.any():  # what came of a value that is no number is none either
            count = np.cumsum(np.pad(bad, ((0, 0), (1, 0))), axis=1)
            newest = self._stage.last_input(wanted)
            y[count[:, newest + 1] > count[:, np.maximum(newest - self._reach, 0)]] = np.nan
        return y

    def fingerprint(self) -> str:
        """Return the hash of the file."""
        return self._recording.fingerprint()

    def close(self) -> None:
        """Close the file."""
        self._recording.close()


def usual_names(names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return `names` with those that are other spellings of `wanted` replaced by them.

    Of a derivation that is recorded twice, as ``T8-P8`` in CHB-MIT, the first is taken.

    Raises
    ------
    ChannelMismatch
        If two channels are spellings of one.
    """
    plain: dict[str | tuple[str, str], str] = {_key(name): name for name in wanted}
    pairs: set[str] = set()
    renamed: list[str] = []
    for name in names:
        usual = name if name in wanted else plain.get(_key(name), name)
        if isinstance(_key(name), tuple):
            usual = name if usual in pairs else usual
            pairs.add(usual)
        renamed.append(usual)
    for name in wanted:
        spelled = [old for old, new in zip(names, renamed, strict=True) if new == name]
        if len(spelled) > 1:
            raise ChannelMismatch(
                f"The model needs one channel {name}, the recording has {len(spelled)}: {', '.join(spelled)}. "
                "Choose with --picks."
            )
    return tuple(renamed)


def _key(name: str) -> str | tuple[str, str]:
    return plain_pair(name) or plain_name(name)

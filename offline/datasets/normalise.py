"""One form for the EEG of many archives: 10-20 electrodes, one rate, one reference.

An archive is brought into the form of the SzCORE framework, 256 Hz with 19 electrodes against their average, or 18
derivations of the double banana. The result stands for a recording made in that form: rates are converted without
delay, as the amplifier's own filter would have been before the first sample was stored. Parts of a recording can be
read by index; they are the same numbers as in the whole.

References
----------
Dan et al. (2024), doi:10.1111/epi.18113 (SzCORE).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.signal import firwin, upfirdn

from bci.chunk import Signal
from bci.errors import RecordingError, SpecError
from bci.stages.electrodes import plain_name
from bci.stages.montages import DOUBLE_BANANA, TEN_TWENTY_19

SFREQ = 256.0
AVERAGE, BANANA = "average", "banana"
MONTAGES = (AVERAGE, BANANA)
_MISREAD = {"01": "o1", "02": "o2"}  # zeros for the letter, in headers typed by hand
_REPEATED = re.compile(r"-\d$")  # MNE numbers channels that have the same name
_HALF_LENGTH = 16
"""Half length of the anti-alias filter, in samples of the slower rate."""


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Brings the samples of one recording into the common form.

    Parameters
    ----------
    signal : Signal
        What comes out: names, 256 Hz, µV.
    weights : ndarray of float64, shape (n_out, n_in)
        Each output channel as a sum of recorded ones.
    up, down : int
        The rate is multiplied by ``up / down``.
    n_recorded : int
        Samples of the recording.
    """

    signal: Signal
    weights: np.ndarray
    up: int
    down: int
    n_recorded: int

    @property
    def n_samples(self) -> int:
        """Length of the result, in samples: those that lie before the end of the recording."""
        return -(-self.n_recorded * self.up // self.down)

    def read(self, recorded: Callable[[int, int], np.ndarray], start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return samples of the result.

        Parameters
        ----------
        recorded : callable
            ``recorded(start, stop)`` returns recorded samples, shape (n_in, stop - start), in µV.
        start, stop : int
            First sample, and the one after the last; without `stop`, up to the end.

        Returns
        -------
        data : ndarray of float32, shape (n_out, stop - start)

        Raises
        ------
        RecordingError
            If the samples do not lie in the recording.
        """
        stop = self.n_samples if stop is None else stop
        if not 0 <= start <= stop <= self.n_samples:
            raise RecordingError(
                f"Samples must lie in [0, {self.n_samples}), got [{start}, {stop}). Ask for a stretch inside."
            )
        if start == stop:
            return np.empty((self.signal.n_channels, 0), np.float32)
        if self.up == self.down:
            return self._mixed(recorded, start, stop).astype(np.float32)
        reach = _HALF_LENGTH * max(self.up, self.down)  # half length of the filter, at the rate between
        first = (start * self.down - reach) // self.up
        last = -(-((stop - 1) * self.down + reach) // self.up)
        inside = self._mixed(recorded, max(first, 0), min(last + 1, self.n_recorded))
        held = (max(-first, 0), max(last + 1 - self.n_recorded, 0))  # beyond the ends, the last value stands
        x = np.pad(inside, ((0, 0), held), mode="edge")
        pad = (first * self.up - reach) % self.down  # zeros that put the first output on the grid
        taps = np.concatenate([np.zeros(pad), _taps(self.up, self.down)])
        skipped = (start * self.down + reach + pad - first * self.up) // self.down
        y = upfirdn(taps, x, self.up, self.down, axis=-1)[:, skipped : skipped + stop - start]
        return y.astype(np.float32)

    def _mixed(self, recorded: Callable[[int, int], np.ndarray], start: int, stop: int) -> np.ndarray:
        return self.weights @ recorded(start, stop).astype(np.float64)


def normaliser(signal: Signal, n_recorded: int, montage: str, sfreq: float = SFREQ) -> Normaliser:
    """Design the way from a recording to the common form.

    Parameters
    ----------
    signal : Signal
        Of the recording, in µV. Electrodes may be spelt as in ``EEG FP1-REF`` or ``T7``; the double banana may
        also be recorded as such, as in ``FP1-F7``, in either direction.
    n_recorded : int
        Samples of the recording.
    montage : {"average", "banana"}
        19 electrodes against their average, or 18 derivations of the double banana.
    sfreq : float, default=256.0
        Rate of the result, in Hz.

    Returns
    -------
    normaliser : Normaliser

    Raises
    ------
    SpecError
        If the montage is unknown, or the rates have no ratio with terms up to 1000.
    RecordingError
        If electrodes are missing or there twice.
    """
    if montage not in MONTAGES:
        raise SpecError(f"A common form needs a montage out of {', '.join(MONTAGES)}, got {montage!r}.")
    ratio = (Fraction(sfreq) / Fraction(signal.sfreq)).limit_denominator(1000)
    if ratio.numerator > 1000 or abs(float(ratio) * signal.sfreq - sfreq) > 1e-9 * sfreq:
        raise SpecError(
            f"A change of rate needs a ratio with terms up to 1000, got {signal.sfreq:g} -> {sfreq:g} Hz. "
            f"Use {float(ratio) * signal.sfreq:.9g} Hz."
        )
    names, weights = _average(signal) if montage == AVERAGE else _banana(signal)
    return Normaliser(Signal(sfreq, names), weights, ratio.numerator, ratio.denominator, n_recorded)


def _average(signal: Signal) -> tuple[tuple[str, ...], np.ndarray]:
    found = _electrodes(signal.names)
    missing = [name for name in TEN_TWENTY_19 if plain_name(name) not in found]
    if missing:
        raise _missing("The average reference", "electrodes", missing, signal.names)
    weights = np.zeros((len(TEN_TWENTY_19), signal.n_channels))
    for row, name in enumerate(TEN_TWENTY_19):
        weights[row, found[plain_name(name)]] = 1.0
    return TEN_TWENTY_19, weights - weights.mean(axis=0)


def _banana(signal: Signal) -> tuple[tuple[str, ...], np.ndarray]:
    electrodes, pairs = _electrodes(signal.names), _pairs(signal.names)
    weights = np.zeros((len(DOUBLE_BANANA), signal.n_channels))
    missing: list[str] = []
    for row, (anode, cathode) in enumerate(DOUBLE_BANANA):
        one, other = plain_name(anode), plain_name(cathode)
        if one in electrodes and other in electrodes:
            weights[row, electrodes[one]], weights[row, electrodes[other]] = 1.0, -1.0
        elif (one, other) in pairs:
            weights[row, pairs[one, other]] = 1.0
        elif (other, one) in pairs:
            weights[row, pairs[other, one]] = -1.0
        else:
            missing.append(f"{anode}-{cathode}")
    if missing:
        raise _missing("The double banana", "derivations", missing, signal.names)
    return tuple(f"{anode}-{cathode}" for anode, cathode in DOUBLE_BANANA), weights


def _missing(montage: str, what: str, missing: Sequence[str], names: Sequence[str]) -> RecordingError:
    return RecordingError(
        f"{montage} needs {what} that the recording lacks: {', '.join(missing)}. It has: {', '.join(names)}. "
        "Leave the file out."
    )


def _electrodes(names: Sequence[str]) -> dict[str, int]:
    """Return where each 10-20 electrode is, by its plain name."""
    known = {plain_name(name) for name in TEN_TWENTY_19}
    found: dict[str, int] = {}
    for index, name in enumerate(names):
        plain = _plain(name)
        if plain not in known:
            continue
        if plain in found:
            raise RecordingError(
                f"Each electrode must be recorded once, got {names[found[plain]]!r} and {name!r}. Leave the file out."
            )
        found[plain] = index
    return found


def _pairs(names: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return where each recorded derivation is; of one that is there twice, the first."""
    found: dict[tuple[str, str], int] = {}
    for index, name in enumerate(names):
        parts = _REPEATED.sub("", name).split("-")
        if len(parts) == 2:
            found.setdefault((_plain(parts[0]), _plain(parts[1])), index)
    return found


def _plain(name: str) -> str:
    plain = plain_name(name)
    return _MISREAD.get(plain, plain)


def _taps(up: int, down: int) -> np.ndarray:
    slower = max(up, down)
    taps = firwin(2 * _HALF_LENGTH * slower + 1, 1.0 / slower, window=("kaiser", 8.0))
    for phase in range(up):  # each output weighs its inputs to 1: an offset stays what it is
        taps[phase::up] /= taps[phase::up].sum()
    return taps

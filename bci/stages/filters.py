"""Causal IIR filters, defined once for training and for serving."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.signal import butter, iirnotch, sosfilt, sosfilt_zi, tf2sos

from bci.chunk import Signal
from bci.errors import SignalError, SpecError
from bci.stages.base import RESIDUAL_ENERGY, Stage
from bci.stages.sections import filter_sections

MAX_ORDER = 20
"""Above it, rounding decides what a Butterworth filter does."""

MAX_SETTLING_S = 3600.0
MAX_SETTLING_SAMPLES = 1 << 22  # bounds the impulse response from which the settling time is measured


@dataclass(frozen=True, slots=True)
class Bandpass:
    """Butterworth band-pass.

    Parameters
    ----------
    low_hz, high_hz : float
        Corner frequencies (-3 dB), in Hz.
    order : int, default=4
        Order of the prototype; the band-pass has twice as many poles.
    """

    kind: ClassVar[str] = "bandpass"
    low_hz: float
    high_hz: float
    order: int = 4

    def build(self, signal: Signal) -> SosFilter:
        """Return the running filter for `signal`."""
        return SosFilter(bandpass_sections(self.low_hz, self.high_hz, self.order, signal.sfreq), signal)


@dataclass(frozen=True, slots=True)
class Highpass:
    """Butterworth high-pass.

    Parameters
    ----------
    low_hz : float
        Corner frequency (-3 dB), in Hz.
    order : int, default=2
        Number of poles.
    """

    kind: ClassVar[str] = "highpass"
    low_hz: float
    order: int = 2

    def build(self, signal: Signal) -> SosFilter:
        """Return the running filter for `signal`."""
        _check_corner("Highpass", "low_hz", self.low_hz, self.order, signal.sfreq)
        return SosFilter(butter(self.order, self.low_hz, "high", fs=signal.sfreq, output="sos"), signal)


@dataclass(frozen=True, slots=True)
class Lowpass:
    """Butterworth low-pass.

    Parameters
    ----------
    high_hz : float
        Corner frequency (-3 dB), in Hz.
    order : int, default=4
        Number of poles.
    """

    kind: ClassVar[str] = "lowpass"
    high_hz: float
    order: int = 4

    def build(self, signal: Signal) -> SosFilter:
        """Return the running filter for `signal`."""
        _check_corner("Lowpass", "high_hz", self.high_hz, self.order, signal.sfreq)
        return SosFilter(butter(self.order, self.high_hz, "low", fs=signal.sfreq, output="sos"), signal)


@dataclass(frozen=True, slots=True)
class Notch:
    """Second-order notch for line noise.

    Parameters
    ----------
    freq_hz : float
        Frequency to remove, in Hz.
    quality : float, default=30
        ``freq_hz`` over the -3 dB bandwidth.
    """

    kind: ClassVar[str] = "notch"
    freq_hz: float
    quality: float = 30.0

    def build(self, signal: Signal) -> SosFilter:
        """Return the running filter for `signal`."""
        _check_corner("Notch", "freq_hz", self.freq_hz, 2, signal.sfreq)
        if not 0 < self.quality < np.inf:
            raise SpecError(f"Notch needs quality > 0, got {self.quality:g}. 30 is usual.")
        return SosFilter(tf2sos(*iirnotch(self.freq_hz, self.quality, fs=signal.sfreq)), signal)


@dataclass(frozen=True, slots=True)
class FilterBank:
    """Several Butterworth band-passes of the same channels, stacked along channels.

    Band by band: the first ``n_channels`` outputs are the first band. Names are ``channel@low-high``.

    Parameters
    ----------
    bands : tuple of (float, float)
        Corner frequencies (-3 dB) of each band, in Hz.
    order : int, default=4
        Order of the prototypes.
    """

    kind: ClassVar[str] = "filter_bank"
    bands: tuple[tuple[float, float], ...]
    order: int = 4

    def build(self, signal: Signal) -> BankStage:
        """Return the running filters for `signal`."""
        if not self.bands:
            raise SpecError("FilterBank needs at least one band (low_hz, high_hz), got none.")
        return BankStage(
            [SosFilter(bandpass_sections(low, high, self.order, signal.sfreq), signal) for low, high in self.bands],
            self.bands,
            signal,
        )


class SosFilter(Stage):
    """Second-order sections applied sample by sample, whatever the chunk size.

    Parameters
    ----------
    sos : ndarray of float64, shape (n_sections, 6)
        Coefficients.
    signal : Signal
        What is filtered.

    Raises
    ------
    SpecError
        If the filter is not stable or does not settle within an hour.
    """

    # float64: in float32 a 0.1 Hz high-pass at 2 kHz errs by half a standard deviation
    _remembered = ("_zi",)

    def __init__(self, sos: np.ndarray, signal: Signal) -> None:
        _check_settling(sos, signal.sfreq)
        self._sos = np.ascontiguousarray(sos)
        self._zi_unit = sosfilt_zi(sos)
        super().__init__(signal, signal)

    def reset(self) -> None:
        """Forget the past; the next sample starts a new stream."""
        self._zi: np.ndarray | None = None

    def _process(self, x: np.ndarray) -> np.ndarray:
        if x.shape[-1] == 0:
            return x
        if self._zi is None:  # the first sample, not the chunk mean: chunk sizes must not matter
            self._zi = self._zi_unit * x[..., :1, None]
        y, self._zi = filter_sections(self._sos, x, self._zi)
        return y

    def delay_s(self, hz: float) -> float:
        """Return the group delay at `hz`, in seconds."""
        return group_delay_s(self._sos, hz, self.signal_in.sfreq)

    @property
    def warmup_s(self) -> float:
        """Seconds until less than 1e-4 of the impulse response's energy is left."""
        return self._settling_samples / self.signal_in.sfreq

    @cached_property
    def _settling_samples(self) -> int:
        return settling_samples(self._sos)


class BankStage(Stage):
    """Band-passes side by side on the same input."""

    def __init__(self, filters: list[SosFilter], bands: tuple[tuple[float, float], ...], signal: Signal) -> None:
        self._filters = filters
        self._bands = bands
        names = tuple(f"{name}@{low:g}-{high:g}" for low, high in bands for name in signal.names)
        super().__init__(signal, replace(signal, names=names))

    def reset(self) -> None:
        """Forget the past; the next sample starts a new stream."""
        for band in self._filters:
            band.reset()

    @property
    def state(self) -> dict:
        """Copy of the filters' memories, by position."""
        return {str(i): band.state for i, band in enumerate(self._filters)}

    @state.setter
    def state(self, state: dict) -> None:
        if set(state) != {str(i) for i in range(len(self._filters))}:
            raise SignalError(
                f"BankStage needs a state of {len(self._filters)} bands, got {sorted(state)}. "
                "Take it from the same kind of stage."
            )
        for i, band in enumerate(self._filters):
            band.state = state[str(i)]

    def _process(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([band._process(x) for band in self._filters], axis=0)

    def delay_s(self, hz: float) -> float:
        """Return the group delay, in seconds, of the band whose centre is nearest to `hz`."""
        distance = [abs(np.log(hz / np.sqrt(low * high))) for low, high in self._bands]
        return self._filters[int(np.argmin(distance))].delay_s(hz)

    @property
    def warmup_s(self) -> float:
        """Seconds until the slowest band has settled."""
        return max(band.warmup_s for band in self._filters)


def bandpass_sections(low_hz: float, high_hz: float, order: int, sfreq: float) -> np.ndarray:
    """Design a Butterworth band-pass.

    Returns
    -------
    sos : ndarray of float64, shape (order, 6)

    Raises
    ------
    SpecError
        If the corners do not fit below the Nyquist frequency or the order is not from 1 to `MAX_ORDER`.
    """
    nyquist = sfreq / 2
    if not 0 < low_hz < high_hz < nyquist or not 1 <= order <= MAX_ORDER:
        raise SpecError(
            f"Bandpass needs 0 < low_hz < high_hz < {nyquist:g} Hz (Nyquist) and 1 <= order <= {MAX_ORDER}, "
            f"got low_hz={low_hz:g}, high_hz={high_hz:g}, order={order}."
        )
    return butter(order, (low_hz, high_hz), "band", fs=sfreq, output="sos")


def group_delay_s(sos: np.ndarray, hz: float, sfreq: float) -> float:
    """Return the group delay of second-order sections at `hz`, in seconds.

    The exact derivative of the phase: for a polynomial ``b`` in ``z^-1`` it is ``Re(sum(n b_n z^-n) / sum(b_n z^-n))``.
    """
    z = np.exp(-2j * np.pi * hz / sfreq * np.arange(3))
    ramp = np.arange(3) * z
    numerator, denominator = sos[:, :3], sos[:, 3:]
    gain = numerator @ z
    # a zero on the unit circle at hz passes nothing: there its delay does not matter
    above = np.divide(numerator @ ramp, gain, out=np.zeros_like(gain), where=np.abs(gain) > 1e-12)
    return float((above - (denominator @ ramp) / (denominator @ z)).real.sum() / sfreq)


def settling_samples(sos: np.ndarray) -> int:
    """Return the samples after which less than 1e-4 of the impulse response's energy is left."""
    slowest = max(np.abs(np.roots(section[3:])).max(initial=0.0) for section in sos)
    length = 16 if slowest < 1e-6 else int(16 + 3 * np.log(RESIDUAL_ENERGY) / np.log(min(slowest, 1 - 1e-9)))
    impulse = np.zeros(length)
    impulse[0] = 1.0
    energy = np.cumsum(sosfilt(sos, impulse)[::-1] ** 2)[::-1]
    return int(np.count_nonzero(energy > RESIDUAL_ENERGY * energy[0]))


def _check_corner(who: str, name: str, hz: float, order: int, sfreq: float) -> None:
    nyquist = sfreq / 2
    if not 0 < hz < nyquist or not 1 <= order <= MAX_ORDER:
        raise SpecError(
            f"{who} needs 0 < {name} < {nyquist:g} Hz (Nyquist) and 1 <= order <= {MAX_ORDER}, "
            f"got {name}={hz:g}, order={order}."
        )


def _check_settling(sos: np.ndarray, sfreq: float) -> None:
    limit = min(MAX_SETTLING_S * sfreq, MAX_SETTLING_SAMPLES)
    slowest = max(np.abs(np.roots(s[3:])).max(initial=0.0) for s in sos) if np.isfinite(sos).all() else 1.0
    # the energy of the slowest pole falls as its square
    if not slowest**2 < RESIDUAL_ENERGY ** (1.0 / limit):
        raise SpecError(
            f"A filter needs to be stable and to settle within {limit / sfreq:g} s at {sfreq:g} Hz, "
            f"its slowest pole has a radius of {slowest:.9g}. Raise the lowest corner or widen the band."
        )

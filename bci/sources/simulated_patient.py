"""A simulated patient: scalp EEG with seizures whose onsets are known exactly.

Nothing here is a recording. See ``docs/simulated-patient.md`` for the model and for what it can and cannot show.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import butter

from bci.chunk import Signal
from bci.errors import SignalError, SpecError
from bci.sources.artefacts import Event, Scene, plan_events, render
from bci.sources.clinical_course import Seizure, draw_traits, plan_seizures, plan_states
from bci.sources.cortex import BLOCK, Cortex, StreamFilter
from bci.sources.head_model import CHANNELS, HEAD_RADIUS_M, electrode_directions

__all__ = ["PatientSpec", "Seizure", "SimulatedPatient", "simulate", "write_fif"]

_LOWEST_SFREQ, _HIGHEST_SFREQ = 128.0, 1024.0


@dataclass(frozen=True, slots=True)
class PatientSpec:
    """A simulated recording.

    Parameters
    ----------
    seed : int
        Fixes the patient and the recording. Two seeds are two patients.
    duration_s : float, default=1800.0
        Length, in seconds.
    seizures_per_hour : float, default=1.5
        Mean seizure rate. Above 0, a recording of 60 s or more has at least one seizure.
    line_hz : float, default=50.0
        Frequency of the mains.
    sfreq : float, default=256.0
        Sampling rate, in Hz.
    """

    seed: int
    duration_s: float = 1800.0
    seizures_per_hour: float = 1.5
    line_hz: float = 50.0
    sfreq: float = 256.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SpecError(f"A simulated patient needs a seed of 0 or more, got {self.seed}.")
        if not (np.isfinite(self.duration_s) and self.duration_s > 0):
            raise SpecError(f"A simulated patient needs a duration above 0 s, got {self.duration_s!r}.")
        if not (np.isfinite(self.seizures_per_hour) and self.seizures_per_hour >= 0):
            raise SpecError(f"A simulated patient needs 0 or more seizures per hour, got {self.seizures_per_hour!r}.")
        if not _LOWEST_SFREQ <= self.sfreq <= _HIGHEST_SFREQ:
            raise SpecError(
                f"A simulated patient is sampled at {_LOWEST_SFREQ:g} to {_HIGHEST_SFREQ:g} Hz, got {self.sfreq:g} Hz. "
                "Simulate at 256 Hz and resample."
            )
        if not 0 < self.line_hz < self.sfreq / 2:
            raise SpecError(
                f"The mains needs a frequency below {self.sfreq / 2:g} Hz (Nyquist), got line_hz={self.line_hz:g}. "
                "Use 50 or 60."
            )


class SimulatedPatient:
    """A recording that is made as it is read.

    What is read depends on the spec alone, not on how many samples are asked for at a time: the stream is made in
    blocks of 256 samples.

    Parameters
    ----------
    spec : PatientSpec
        What to simulate.

    Attributes
    ----------
    spec : PatientSpec
        As given.
    signal : Signal
        19 channels of the 10–20 system, in the order of SzCORE, in µV.
    seizures : tuple of Seizure
        Ground truth, in order of onset.
    n_samples, n_read : int
        Length of the recording, and how much of it has been read.
    """

    def __init__(self, spec: PatientSpec) -> None:
        self.spec = spec
        self.signal = Signal(spec.sfreq, CHANNELS)
        self.n_samples = round(spec.duration_s * spec.sfreq)
        self.n_read = 0
        seeds = np.random.SeedSequence(spec.seed).spawn(5)
        patient, course, events, cortex, electronics = (np.random.default_rng(s) for s in seeds)
        traits = draw_traits(patient)
        courses = plan_seizures(course, traits, spec.duration_s, spec.seizures_per_hour)
        states = plan_states(course, spec.duration_s)
        self.seizures = tuple(c.seizure for c in courses)
        self._events = _Events(plan_events(events, traits, states, spec.duration_s), Scene(spec.sfreq, traits))
        self._cortex = Cortex(traits, states, courses, spec.sfreq, cortex)
        self._electronics = _Electronics(spec, electronics)
        self._made = np.zeros((len(CHANNELS), 0), np.float32)
        self._n_made = 0

    def read(self, n_samples: int) -> np.ndarray:
        """Return the next samples.

        Parameters
        ----------
        n_samples : int
            How many.

        Returns
        -------
        data : ndarray of float32, shape (19, n_samples)
            In µV. Fewer columns where the recording ends, none after it.

        Raises
        ------
        SignalError
            If `n_samples` is negative.
        """
        if n_samples < 0:
            raise SignalError(f"Reading needs 0 or more samples, got n_samples={n_samples}.")
        stop = min(self.n_read + n_samples, self.n_samples)
        blocks = [self._made]
        while self._n_made < stop:
            blocks.append(self._block())
        made = np.concatenate(blocks, axis=1)
        n = stop - self.n_read
        self.n_read = stop
        self._made = made[:, n:]
        return np.ascontiguousarray(made[:, :n])

    def _block(self) -> np.ndarray:
        first = self._n_made
        total = self._cortex.block(first) + self._electronics.block(first)
        self._events.add_to(total, first)
        self._n_made += BLOCK
        return total.astype(np.float32)


def simulate(spec: PatientSpec) -> tuple[np.ndarray, tuple[Seizure, ...]]:
    """Return a whole recording.

    Parameters
    ----------
    spec : PatientSpec
        What to simulate.

    Returns
    -------
    data : ndarray of float32, shape (19, n_samples)
        In µV.
    seizures : tuple of Seizure
        Ground truth.
    """
    patient = SimulatedPatient(spec)
    return patient.read(patient.n_samples), patient.seizures


def write_fif(spec: PatientSpec, path: str | Path) -> None:
    """Write a recording as FIF, with the seizures as annotations named ``seizure``.

    The electrode positions are those of the forward model: the 10–20 system on a sphere.

    Parameters
    ----------
    spec : PatientSpec
        What to simulate.
    path : str or Path
        File to write; an existing one is replaced.
    """
    import mne

    data, seizures = simulate(spec)
    info = mne.create_info(list(CHANNELS), spec.sfreq, "eeg")
    positions = HEAD_RADIUS_M * electrode_directions()
    ears_and_nose = HEAD_RADIUS_M * np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    montage = mne.channels.make_dig_montage(
        dict(zip(CHANNELS, positions, strict=True)),
        lpa=ears_and_nose[0],
        rpa=ears_and_nose[1],
        nasion=ears_and_nose[2],
        coord_frame="head",
    )
    info.set_montage(montage, verbose="error")
    raw = mne.io.RawArray(data * 1e-6, info, verbose="error")
    raw.set_annotations(
        mne.Annotations([s.onset_s for s in seizures], [s.duration_s for s in seizures], ["seizure"] * len(seizures))
    )
    raw.save(path, overwrite=True, verbose="error")


class _Events:
    """Artefacts, drawn when their time comes."""

    def __init__(self, events: tuple[Event, ...], scene: Scene) -> None:
        self._waiting = list(reversed(events))
        self._scene = scene
        self._running: list[tuple[int, np.ndarray]] = []

    def add_to(self, block: np.ndarray, first_sample: int) -> None:
        """Add what happens during a block to it."""
        stop = first_sample + block.shape[1]
        while self._waiting and round(self._waiting[-1].start_s * self._scene.sfreq) < stop:
            event = self._waiting.pop()
            self._running.append((round(event.start_s * self._scene.sfreq), render(event, self._scene)))
        for start, potential in self._running:
            low, high = max(start, first_sample), min(start + potential.shape[1], stop)
            block[:, low - first_sample : high - first_sample] += potential[:, low - start : high - start]
        self._running = [(start, p) for start, p in self._running if start + p.shape[1] > stop]


class _Electronics:
    """Amplifier noise, resting muscle, mains, and electrode drift."""

    def __init__(self, spec: PatientSpec, rng: np.random.Generator) -> None:
        self._rng, self._sfreq = rng, spec.sfreq
        n = len(CHANNELS)
        per_sqrt_hz = np.sqrt(spec.sfreq / 256.0)
        self._sensor_uv = 0.6 * np.exp(0.3 * rng.standard_normal((n, 1))) * per_sqrt_hz
        lateral = np.abs(electrode_directions()[:, :1])
        self._muscle_uv = (0.4 + 1.6 * lateral) * np.exp(0.5 * rng.standard_normal((n, 1)) - 0.2) * per_sqrt_hz
        self._muscle = StreamFilter(butter(1, 25.0, "high", fs=spec.sfreq, output="sos"), n)
        self._line_uv = 1.5 * np.exp(0.8 * rng.standard_normal((n, 1)))
        self._line_phase = 0.3 * rng.standard_normal((n, 1))
        self._line_hz = spec.line_hz * (1 + 2e-4 * rng.standard_normal())
        self._harmonics = [h for h in (1, 3) if h * spec.line_hz < 0.47 * spec.sfreq]
        # Drift: first-order low-pass noise, started in its stationary state.
        pole = np.exp(-1.0 / (8.0 * spec.sfreq))
        self._drift_uv = 18.0 * np.exp(0.5 * rng.standard_normal((n, 1)))
        stationary = np.zeros((1, n, 2))
        stationary[0, :, 0] = pole * rng.standard_normal(n)
        low_pass = np.array([[np.sqrt(1 - pole**2), 0.0, 0.0, 1.0, -pole, 0.0]])
        self._drift = StreamFilter(low_pass, n, stationary)

    def block(self, first_sample: int) -> np.ndarray:
        """Return the next block, shape (19, 256), in µV."""
        shape = (len(CHANNELS), BLOCK)
        time_s = (first_sample + np.arange(BLOCK)) / self._sfreq
        total = self._sensor_uv * self._rng.standard_normal(shape)
        total += self._muscle_uv * self._muscle(self._rng.standard_normal(shape))
        total += self._drift_uv * self._drift(self._rng.standard_normal(shape))
        for h in self._harmonics:
            total += self._line_uv / h**2 * np.sin(2 * np.pi * h * self._line_hz * time_s + h * self._line_phase)
        return total

"""Cortical sources of a simulated patient: neural masses, coloured background, alpha, seizures."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, freqz_sos, sosfilt

from bci.sources.clinical_course import IctalCourse, State, Traits, ictal_activation, postictal_level, smooth_step
from bci.sources.head_model import cortex_directions, electrode_directions, lead_field
from bci.sources.neural_mass import Excitability, NeuralMass

N_PATCHES = 32
BLOCK = 256  # samples that are made at a time
_CONTROL = 16  # samples between updates of excitability
_LONGEST_STEP_S = 1 / 500

_MOMENT_NAM_PER_MV = 22.0
_BACKGROUND_NAM = 34.0
_DELTA_NAM = 60.0
_THETA_NAM = 22.0
_DRIVE_HZ, _DRIVE_STD_HZ = 90.0, 30.0  # afferent pulses, Wendling et al. (2002)
_CONTACTS = 4.0
_ICTAL_MODEL_HZ = 4.9  # what the ictal populations do at speed 1
_ALPHA_MODEL_HZ = 10.8
_ALPHA_LEVEL = {"open": 0.15, "closed": 1.0, "drowsy": 0.3}


def coloured_noise_filter(exponent: float, sfreq: float) -> np.ndarray:
    """Return a filter that turns white into unit-variance noise with power ~ 1/f^exponent from 0.5 Hz to 100 Hz.

    Parameters
    ----------
    exponent : float
        Between 0 and 2.
    sfreq : float
        Sampling rate, in Hz.

    Returns
    -------
    sos : ndarray, shape (n_sections, 6)
        First-order sections; poles and zeros alternate on a logarithmic axis.
    """
    n_sections = 9
    ratio = (110.0 / 0.5) ** (1.0 / n_sections)
    pole_hz = 0.5 * ratio ** np.arange(n_sections)
    zero_hz = pole_hz * ratio ** (exponent / 2.0)
    sos = np.zeros((n_sections, 6))
    sos[:, 0] = sos[:, 3] = 1.0
    sos[:, 1] = -np.exp(-2 * np.pi * zero_hz / sfreq)
    sos[:, 4] = -np.exp(-2 * np.pi * pole_hz / sfreq)
    _, response = freqz_sos(sos, worN=2**15)
    sos[0, :3] /= np.sqrt(np.mean(np.abs(response) ** 2))
    return sos


class StreamFilter:
    """Second-order sections over rows that come in blocks, from rest or from a given state."""

    def __init__(self, sos: np.ndarray, n_rows: int, zi: np.ndarray | None = None) -> None:
        self._sos = sos
        self._zi = np.zeros((sos.shape[0], n_rows, 2)) if zi is None else zi

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Filter the next block, shape (n_rows, n_samples)."""
        y, self._zi = sosfilt(self._sos, x, axis=-1, zi=self._zi)
        return np.asarray(y)


class Cortex:
    """Sources and their projection to the scalp, one block after the other.

    Parameters
    ----------
    traits : Traits
        The patient.
    states : tuple of State
        Vigilance over the recording.
    courses : tuple of IctalCourse
        Seizures of the recording.
    sfreq : float
        Sampling rate, in Hz.
    rng : Generator
        Source of randomness; belongs to this object from now on.
    """

    def __init__(
        self,
        traits: Traits,
        states: tuple[State, ...],
        courses: tuple[IctalCourse, ...],
        sfreq: float,
        rng: np.random.Generator,
    ) -> None:
        self._traits, self._states, self._courses = traits, states, courses
        self._sfreq, self._rng = sfreq, rng
        self._substeps = int(np.ceil(1.0 / (sfreq * _LONGEST_STEP_S) - 1e-9))
        self._populations = NeuralMass(N_PATCHES, 1.0 / (sfreq * self._substeps))

        directions = cortex_directions(N_PATCHES) + 0.08 * rng.standard_normal((N_PATCHES, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        orientations = directions + 0.45 * rng.standard_normal((N_PATCHES, 3))
        orientations /= np.linalg.norm(orientations, axis=1, keepdims=True)
        depths = rng.uniform(0.62, 0.82, (N_PATCHES, 1))
        self._gains = traits.amplitude * lead_field(electrode_directions(), depths * directions, orientations)

        occipital = np.array([0.0, -0.92, 0.39])
        self._posterior = np.exp(-((np.arccos(np.clip(directions @ occipital, -1, 1)) / 0.75) ** 2))
        self._speed = 1.0 + 0.03 * rng.standard_normal(N_PATCHES)
        self._speed += (traits.alpha_hz / _ALPHA_MODEL_HZ - 1.0) * np.minimum(1.0, 2 * self._posterior)
        self._slow_inhibition = 22.0 - 7.0 * np.minimum(1.0, 2 * self._posterior)

        from_focus = np.arccos(np.clip(directions @ traits.focus_direction, -1.0, 1.0))
        from_focus -= from_focus.min()
        self._delays_s = np.where(from_focus <= traits.reach_rad, from_focus / traits.spread_rad_per_s, np.inf)
        self._near_focus = np.exp(-((from_focus / 0.8) ** 2))
        apart = np.arccos(np.clip(directions @ directions.T, -1.0, 1.0))
        self._contacts = _CONTACTS * np.exp(-apart / 0.5)
        np.fill_diagonal(self._contacts, 0.0)

        self._alpha_level = _ALPHA_LEVEL[states[0].kind]
        self._drowsiness = 0.0
        self._waxing = rng.standard_normal(N_PATCHES)
        self._pace = 0.0
        self._scale = np.ones(N_PATCHES)
        self._slowing = np.zeros((2, N_PATCHES))
        self._colour = StreamFilter(coloured_noise_filter(traits.background_exponent, sfreq), N_PATCHES)
        self._delta = StreamFilter(butter(1, (0.7, 2.5), "band", fs=sfreq, output="sos"), N_PATCHES)
        self._theta = StreamFilter(butter(1, (4.5, 6.5), "band", fs=sfreq, output="sos"), N_PATCHES)
        self._couple_ac = StreamFilter(butter(1, 0.3, "high", fs=sfreq, output="sos"), N_PATCHES)
        for _ in range(6):  # let filters and populations settle
            self.block(0)

    def block(self, first_sample: int) -> np.ndarray:
        """Return the scalp potential of the next block.

        Parameters
        ----------
        first_sample : int
            Index of its first sample in the recording.

        Returns
        -------
        potential : ndarray of float64, shape (19, 256)
            In µV.
        """
        white = self._rng.standard_normal((BLOCK * self._substeps, N_PATCHES))
        shared = self._rng.standard_normal((BLOCK * self._substeps, 1))
        share = 0.7 * self._posterior  # the thalamus drives posterior patches together
        drive = _DRIVE_HZ + _DRIVE_STD_HZ * (np.sqrt(1 - share**2) * white + share * shared)
        potential = np.empty((BLOCK, N_PATCHES))
        scale = np.empty((BLOCK, N_PATCHES))
        slowing = np.empty((2, BLOCK, N_PATCHES))
        ramp = (np.arange(_CONTROL) + 1.0)[:, None] / _CONTROL
        for start in range(0, BLOCK, _CONTROL):
            before, slow_before = self._scale, self._slowing
            settings, coupling = self._control((first_sample + start) / self._sfreq)
            steps = slice(start * self._substeps, (start + _CONTROL) * self._substeps)
            potential[start : start + _CONTROL] = self._populations.run(drive[steps], settings, coupling)[
                self._substeps - 1 :: self._substeps
            ]
            scale[start : start + _CONTROL] = before + ramp * (self._scale - before)
            slowing[:, start : start + _CONTROL] = slow_before[:, None] + ramp * (self._slowing - slow_before)[:, None]
        moments = _MOMENT_NAM_PER_MV * scale.T * self._couple_ac(potential.T)
        moments += _BACKGROUND_NAM * self._colour(self._rng.standard_normal((N_PATCHES, BLOCK)))
        noise = self._rng.standard_normal((N_PATCHES, BLOCK)) * np.sqrt(self._sfreq / 256.0)
        moments += slowing[0].T * self._delta(noise) + slowing[1].T * self._theta(noise)
        return self._gains @ moments

    def _control(self, time_s: float) -> tuple[Excitability, np.ndarray | None]:
        """Set the excitability for the next few samples."""
        tick_s = _CONTROL / self._sfreq
        traits = self._traits
        kind = next((s.kind for s in self._states if s.start_s <= time_s < s.stop_s), self._states[-1].kind)
        self._alpha_level += (1 - np.exp(-tick_s / 0.4)) * (_ALPHA_LEVEL[kind] - self._alpha_level)
        self._drowsiness += (1 - np.exp(-tick_s / 4.0)) * (float(kind == "drowsy") - self._drowsiness)
        keep = np.exp(-tick_s / 1.5)
        surprise = 0.6 * self._rng.standard_normal(N_PATCHES) + 0.8 * self._rng.standard_normal()
        self._waxing = keep * self._waxing + np.sqrt(1 - keep**2) * surprise
        keep = np.exp(-tick_s / 3.0)
        self._pace = keep * self._pace + np.sqrt(1 - keep**2) * float(self._rng.standard_normal())

        postictal = max((postictal_level(c, time_s) for c in self._courses), default=0.0)
        alpha = traits.alpha_strength * self._alpha_level * (1 - 0.8 * postictal)
        excitation = 3.25 + 1.3 * alpha * self._posterior * (0.55 + 0.45 * np.tanh(self._waxing))
        slow_inhibition = self._slow_inhibition
        fast_inhibition = np.full(N_PATCHES, 10.0)
        speed = self._speed * (1 - 0.1 * postictal)
        self._scale = np.ones(N_PATCHES)
        coupling = None
        for course in self._courses:
            joined = ictal_activation(course, self._delays_s, time_s)
            if not joined.any():
                continue
            progress = float(np.clip((time_s - course.seizure.onset_s) / course.seizure.duration_s, 0, 1))
            growth = float(smooth_step(progress / 0.6))
            discharge_hz = course.onset_hz * (course.final_hz / course.onset_hz) ** progress
            ictal_speed = discharge_hz * (1 + 0.05 * self._pace) / _ICTAL_MODEL_HZ
            excitation = excitation + joined * (5.0 + traits.spike_gain + 0.5 * growth - excitation)
            slow_inhibition = slow_inhibition + joined * (22.0 + 14.0 * traits.spike_gain - slow_inhibition)
            fast_inhibition = fast_inhibition - joined * 5.0 * traits.spike_gain
            speed = speed + joined * (ictal_speed - speed)
            size = course.strength * (0.35 + 0.65 * growth) * (0.15 + 0.85 * self._near_focus)
            self._scale = self._scale + joined * (size - self._scale)
            coupling = self._contacts * np.outer(joined, joined)
        self._slowing = np.stack(
            [
                _DELTA_NAM * postictal * (0.3 + 0.7 * self._near_focus) + 0.25 * _DELTA_NAM * self._drowsiness,
                np.full(N_PATCHES, _THETA_NAM * self._drowsiness),
            ]
        )
        return Excitability(excitation, slow_inhibition, fast_inhibition, speed), coupling

"""Events in a simulated EEG that are not seizures: eyes, muscles, electrodes, and harmless rhythms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

from bci.sources.clinical_course import State, Traits
from bci.sources.head_model import CHANNELS, electrode_directions, lead_field

_FRONT = ("Fp1", "Fp2", "F7", "F8", "F3", "F4", "Fz")
_TEMPORAL = ("F7", "T3", "T5", "F8", "T4", "T6")


@dataclass(frozen=True, slots=True)
class Event:
    """One artefact or harmless rhythm.

    Parameters
    ----------
    kind : str
        A key of `RENDERERS`.
    start_s, duration_s : float
        When it happens, in seconds.
    seed : int
        Fixes everything else about it.
    """

    kind: str
    start_s: float
    duration_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What an event needs to know to be drawn: sampling rate in Hz, and the patient."""

    sfreq: float
    traits: Traits


# Mean number per hour, and shortest and longest duration in seconds. Blinks and saccades depend on the eyes.
_RATES: dict[str, tuple[float, float, float]] = {
    "emg": (30.0, 1.0, 15.0),
    "chewing": (8.0, 8.0, 40.0),
    "pop": (20.0, 2.0, 4.0),
    "sweat": (3.0, 30.0, 90.0),
    "movement": (16.0, 3.0, 20.0),
    "tapping": (7.0, 6.0, 30.0),
    "temporal_theta": (8.0, 6.0, 20.0),
    "frontal_delta": (8.0, 5.0, 15.0),
    "arousal": (8.0, 4.0, 18.0),
    "mu": (10.0, 2.0, 6.0),
    "spike": (60.0, 1.0, 1.0),
    "spike_burst": (8.0, 1.0, 3.0),
}
_BLINKS_PER_S = {"open": 0.25, "closed": 0.01, "drowsy": 0.05}
_SACCADES_PER_S = {"open": 0.15, "closed": 0.02, "drowsy": 0.02}


def plan_events(
    rng: np.random.Generator, traits: Traits, states: tuple[State, ...], duration_s: float
) -> tuple[Event, ...]:
    """Draw the events of one recording, in order of their start."""
    events = []

    def add(kind: str, start_s: float, duration_s: float) -> None:
        events.append(Event(kind, float(start_s), float(duration_s), int(rng.integers(2**63))))

    for kind, (per_hour, shortest, longest) in _RATES.items():
        own = np.exp(0.5 * rng.standard_normal())
        for start in rng.uniform(0.0, duration_s, rng.poisson(per_hour * own * traits.busyness * duration_s / 3600)):
            add(kind, start, rng.uniform(shortest, longest))
    for state in states:
        length = state.stop_s - state.start_s
        for kind, rates in (("blink", _BLINKS_PER_S), ("saccade", _SACCADES_PER_S)):
            for start in rng.uniform(state.start_s, state.stop_s, rng.poisson(rates[state.kind] * length)):
                add(kind, start, 0.5 if kind == "blink" else 3.0)
    return tuple(sorted(events, key=lambda e: (e.start_s, e.seed)))


def render(event: Event, scene: Scene) -> np.ndarray:
    """Return the scalp potential of an event.

    Parameters
    ----------
    event : Event
        What to draw.
    scene : Scene
        Where.

    Returns
    -------
    potential : ndarray of float64, shape (19, n_samples)
        In µV, from the event's start to its end.
    """
    n_samples = max(2, round(event.duration_s * scene.sfreq))
    return RENDERERS[event.kind](np.random.default_rng(event.seed), n_samples, scene)


def _level(rng: np.random.Generator, median: float, spread: float = 0.4) -> float:
    return float(median * np.exp(spread * rng.standard_normal()))


def _near(direction: np.ndarray, width_rad: float) -> np.ndarray:
    """Return a bump on the scalp around a direction, shape (19, 1)."""
    angle = np.arccos(np.clip(electrode_directions() @ direction, -1.0, 1.0))
    return np.exp(-((angle / width_rad) ** 2))[:, None]


def _around(rng: np.random.Generator, names: tuple[str, ...], width_rad: float) -> np.ndarray:
    return _near(electrode_directions()[CHANNELS.index(names[rng.integers(len(names))])], width_rad)


def _envelope(n_samples: int, sfreq: float, ramp_s: float) -> np.ndarray:
    ramp = max(1, min(n_samples // 2, round(ramp_s * sfreq)))
    edge = np.minimum(np.arange(n_samples), np.arange(n_samples)[::-1]) / ramp
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(edge, 1.0))


def _band_noise(
    rng: np.random.Generator, shape: tuple[int, int], low_hz: float, high_hz: float, sfreq: float
) -> np.ndarray:
    """Return unit-variance noise in a band."""
    sos = butter(2, (low_hz, min(high_hz, 0.45 * sfreq)), "band", fs=sfreq, output="sos")
    settle = round(min(1.0 / low_hz, 10.0) * sfreq)
    noise = sosfilt(sos, rng.standard_normal((shape[0], shape[1] + settle)), axis=-1)[:, settle:]
    return noise / max(float(noise.std()), 1e-12)


def _rhythm(rng: np.random.Generator, n_samples: int, sfreq: float, freq_hz: float, sharpness: float) -> np.ndarray:
    """Return a waxing and waning oscillation of constant mean frequency with a second harmonic."""
    slow = _band_noise(rng, (2, n_samples), 0.1, 0.8, sfreq)
    phase = 2 * np.pi * np.cumsum(freq_hz * (1 + 0.03 * slow[0])) / sfreq + rng.uniform(0, 2 * np.pi)
    wave = np.cos(phase) + sharpness * np.cos(2 * phase + rng.uniform(0, 2 * np.pi))
    return wave * (1 + 0.25 * np.tanh(slow[1])) * _envelope(n_samples, sfreq, 1.0)


def _eyes(vertical: bool) -> np.ndarray:
    """Return the map of the two eyes' dipoles; largest value 1."""
    eyes = np.array([[-0.35, 0.78, -0.1], [0.35, 0.78, -0.1]])
    gaze = np.tile([0.0, 0.55, 0.83] if vertical else [1.0, 0.0, 0.0], (2, 1))
    field = lead_field(electrode_directions(), eyes, gaze).sum(axis=1, keepdims=True)
    return field / np.abs(field).max()


def _patch(rng: np.random.Generator, names: tuple[str, ...]) -> np.ndarray:
    """Return the map of a mostly radial cortical dipole near one of the electrodes; largest value 1."""
    direction = electrode_directions()[CHANNELS.index(names[rng.integers(len(names))])] + 0.1 * rng.standard_normal(3)
    direction = direction / np.linalg.norm(direction)
    tilt = direction + 0.5 * rng.standard_normal(3)
    field = lead_field(electrode_directions(), 0.7 * direction[None], (tilt / np.linalg.norm(tilt))[None])
    return field / np.abs(field).max()


def _blink(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    time_s = np.arange(n_samples) / scene.sfreq
    width_s = rng.uniform(0.05, 0.08)
    shape = np.exp(-0.5 * ((time_s - 0.18) / width_s) ** 2) - 0.15 * np.exp(-0.5 * ((time_s - 0.36) / 0.06) ** 2)
    return _level(rng, 90.0, 0.3) * _eyes(vertical=True) * shape


def _saccade(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    time_s = np.arange(n_samples) / scene.sfreq
    shape = (
        (1 - np.exp(-time_s / 0.02)) * np.exp(-time_s / 0.6) * _envelope(2 * n_samples, scene.sfreq, 0.5)[n_samples:]
    )
    return rng.choice([-1.0, 1.0]) * _level(rng, 35.0) * _eyes(vertical=False) * shape


def _emg(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    muscle = _band_noise(rng, (19, n_samples), rng.uniform(18, 35), 110.0, scene.sfreq)
    where = _around(rng, (*_TEMPORAL, "Fp1", "Fp2"), rng.uniform(0.4, 0.9))
    return _level(rng, 18.0, 0.6) * where * muscle * _envelope(n_samples, scene.sfreq, 0.3)


def _chewing(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    rate_hz = rng.uniform(0.9, 2.2)
    stroke = np.maximum(0.0, _rhythm(rng, n_samples, scene.sfreq, rate_hz, 0.2))
    muscle = _band_noise(rng, (19, n_samples), 20.0, 110.0, scene.sfreq) * stroke**2
    both = sum(_near(electrode_directions()[CHANNELS.index(name)], 0.6) for name in ("T3", "T4"))
    return both * (_level(rng, 30.0, 0.5) * muscle + _level(rng, 20.0, 0.5) * stroke)


def _pop(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    decay = np.exp(-np.arange(n_samples) / scene.sfreq / rng.uniform(0.1, 0.5))
    where = np.zeros((19, 1))
    where[rng.integers(19)] = rng.choice([-1.0, 1.0])
    return _level(rng, 120.0, 0.5) * where * decay


def _sweat(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    slow = _band_noise(rng, (19, n_samples), 0.08, 0.5, scene.sfreq)
    return _level(rng, 30.0) * _around(rng, _FRONT, 0.7) * slow * _envelope(n_samples, scene.sfreq, 5.0)


def _movement(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    low_hz = rng.uniform(0.4, 1.2)
    shared = rng.standard_normal((19, 3)) @ _band_noise(
        rng, (3, n_samples), low_hz, rng.uniform(4.0, 12.0), scene.sfreq
    )
    muscle = _band_noise(rng, (19, n_samples), 20.0, 100.0, scene.sfreq)
    waxing = 1 + 0.5 * np.tanh(_band_noise(rng, (1, n_samples), 0.1, 0.7, scene.sfreq))
    both = _level(rng, 22.0, 0.5) * shared + _level(rng, 6.0, 0.5) * muscle
    return both * waxing * _envelope(n_samples, scene.sfreq, 0.5)


def _tapping(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    """Patting, rocking, ventilator, chest percussion: a strictly periodic sharp deflection."""
    phase = np.cumsum(rng.uniform(1.8, 6.5) * (1 + 0.02 * _band_noise(rng, (1, n_samples), 0.2, 1.0, scene.sfreq)[0]))
    phase = 2 * np.pi * phase / scene.sfreq
    sharp = np.exp(rng.uniform(1.0, 4.0) * (np.cos(phase) - 1)) - 0.3 * np.exp(2 * (np.cos(phase - 1.2) - 1))
    waxing = 1 + 0.4 * np.tanh(_band_noise(rng, (1, n_samples), 0.1, 0.6, scene.sfreq)[0])
    where = _around(rng, CHANNELS, rng.uniform(0.3, 1.1)) * np.sign(rng.standard_normal())
    where = where + 0.15 * rng.standard_normal((19, 1))
    return _level(rng, 70.0, 0.6) * where * (sharp - sharp.mean()) * waxing * _envelope(n_samples, scene.sfreq, 0.6)


def _temporal_theta(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    """Rhythmic mid-temporal theta of drowsiness: notched, one frequency, no evolution."""
    wave = _rhythm(rng, n_samples, scene.sfreq, rng.uniform(4.8, 7.0), rng.uniform(0.2, 0.6))
    return scene.traits.amplitude * _level(rng, 32.0) * _patch(rng, ("T3", "T4", "T5", "T6")) * wave


def _frontal_delta(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    """Frontal (or occipital) intermittent rhythmic delta activity."""
    wave = _rhythm(rng, n_samples, scene.sfreq, rng.uniform(1.8, 3.2), rng.uniform(0.0, 0.25))
    where = ("Fz", "F3", "F4", "Fp1", "Fp2") if rng.uniform() < 0.75 else ("O1", "O2", "Pz")
    return scene.traits.amplitude * _level(rng, 50.0) * _patch(rng, where) * wave


def _arousal(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    """Return widespread theta and delta of arousal and falling asleep (hypnagogic hypersynchrony)."""
    middle_hz = rng.uniform(2.5, 5.5)
    wave = _band_noise(rng, (3, n_samples), 0.7 * middle_hz, 1.3 * middle_hz, scene.sfreq)
    where = np.concatenate([_patch(rng, names) for names in (("Fz", "F3", "F4"), ("Cz", "C3", "C4"), ("Pz",))], axis=1)
    both = where @ wave + 0.5 * where.sum(axis=1, keepdims=True) * wave[:1]
    return scene.traits.amplitude * _level(rng, 22.0) * both * _envelope(n_samples, scene.sfreq, 1.0)


def _mu(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    wave = _rhythm(rng, n_samples, scene.sfreq, rng.uniform(8.5, 11.5), rng.uniform(0.3, 0.6))
    return scene.traits.amplitude * _level(rng, 14.0) * _patch(rng, ("C3", "C4")) * wave


def _discharge(rng: np.random.Generator, n_samples: int, scene: Scene, at_s: list[float]) -> np.ndarray:
    time_s = np.arange(n_samples) / scene.sfreq
    wave = np.zeros(n_samples)
    for peak_s in at_s:
        lag = time_s - peak_s
        size = _level(rng, 1.0, 0.15)
        wave += size * (np.exp(-0.5 * (lag / 0.018) ** 2) - 0.45 * np.exp(-0.5 * ((lag - 0.14) / 0.06) ** 2))
    direction = scene.traits.focus_direction
    field = lead_field(electrode_directions(), 0.75 * direction[None], direction[None])
    return scene.traits.amplitude * _level(rng, 60.0) * field / np.abs(field).max() * wave


def _spike(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    """One interictal spike with its slow wave, at the seizure focus."""
    return _discharge(rng, n_samples, scene, [0.3])


def _spike_burst(rng: np.random.Generator, n_samples: int, scene: Scene) -> np.ndarray:
    """Return a run of spike-and-wave too short to be a seizure."""
    interval_s = 1.0 / rng.uniform(2.5, 4.0)
    return _discharge(rng, n_samples, scene, list(np.arange(0.3, n_samples / scene.sfreq - 0.4, interval_s)))


RENDERERS: dict[str, Callable[[np.random.Generator, int, Scene], np.ndarray]] = {
    "blink": _blink,
    "saccade": _saccade,
    "emg": _emg,
    "chewing": _chewing,
    "pop": _pop,
    "sweat": _sweat,
    "movement": _movement,
    "tapping": _tapping,
    "temporal_theta": _temporal_theta,
    "frontal_delta": _frontal_delta,
    "arousal": _arousal,
    "mu": _mu,
    "spike": _spike,
    "spike_burst": _spike_burst,
}

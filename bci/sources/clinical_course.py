"""What happens to a simulated patient and when: traits, eyes and drowsiness, seizures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bci.sources.head_model import CHANNELS, electrode_directions

FIRST_SEIZURE_S = 20.0
SEIZURE_GAP_S = 100.0  # above the 90 s within which the SzCORE scorer merges events
TAIL_S = 5.0
GRID_S = 1 / 16  # onsets and durations are multiples: whole samples at the usual rates


@dataclass(frozen=True, slots=True)
class Seizure:
    """Ground truth of one seizure.

    Parameters
    ----------
    onset_s, duration_s : float
        Time since the start of the recording and length, in seconds.
    focus : str
        Name of the electrode nearest to the focus.
    """

    onset_s: float
    duration_s: float
    focus: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What stays the same in one patient.

    Parameters
    ----------
    amplitude : float
        Factor on all brain activity.
    background_exponent : float
        Exponent of the coloured cortical background, power ~ 1/f^exponent.
    alpha_hz, alpha_strength : float
        Frequency of the posterior rhythm, and a factor on its excitation.
    focus_direction : ndarray, shape (3,)
        Unit vector from the centre of the head to the seizure focus.
    onset_hz, final_hz : float
        Frequency of the discharge at the start and at the end of a seizure.
    spike_gain : float
        0 for a sinusoidal discharge, 1 for spike-and-wave.
    ictal_strength : float
        Recruited part of each ictal patch, relative to a patch of background activity.
    reach_rad, spread_rad_per_s : float
        How far from the focus the discharge can spread, and how fast.
    busyness : float
        Factor on the rate of all artefacts.
    """

    amplitude: float
    background_exponent: float
    alpha_hz: float
    alpha_strength: float
    focus_direction: np.ndarray
    onset_hz: float
    final_hz: float
    spike_gain: float
    ictal_strength: float
    reach_rad: float
    spread_rad_per_s: float
    busyness: float


@dataclass(frozen=True, slots=True)
class IctalCourse:
    """How one seizure runs.

    Parameters
    ----------
    seizure : Seizure
        Its ground truth.
    strength, onset_hz, final_hz : float
        As in `Traits`, for this seizure.
    recovery_s : float
        Time constant of the post-ictal state, in seconds.
    """

    seizure: Seizure
    strength: float
    onset_hz: float
    final_hz: float
    recovery_s: float


@dataclass(frozen=True, slots=True)
class State:
    """A stretch of one state of vigilance: ``open`` or ``closed`` eyes, or ``drowsy``."""

    start_s: float
    stop_s: float
    kind: str


def draw_traits(rng: np.random.Generator) -> Traits:
    """Draw one patient."""
    temporal = 2.0
    weights = np.array([temporal if name in ("F7", "T3", "T5", "F8", "T4", "T6") else 1.0 for name in CHANNELS])
    focus = electrode_directions()[rng.choice(len(CHANNELS), p=weights / weights.sum())]
    focus = focus + 0.15 * rng.standard_normal(3)
    onset_hz = rng.uniform(5.0, 8.5)
    return Traits(
        amplitude=float(np.exp(0.3 * rng.standard_normal())),
        background_exponent=rng.uniform(1.2, 1.9),
        alpha_hz=rng.uniform(8.4, 10.8),
        alpha_strength=rng.uniform(0.6, 1.15),
        focus_direction=focus / np.linalg.norm(focus),
        onset_hz=onset_hz,
        final_hz=onset_hz * rng.uniform(0.38, 0.6),
        spike_gain=rng.uniform(),
        ictal_strength=float(np.exp(np.log(0.36) + 0.4 * rng.standard_normal())),
        reach_rad=rng.uniform(0.5, 1.8),
        spread_rad_per_s=rng.uniform(0.06, 0.3),
        busyness=float(np.exp(0.4 * rng.standard_normal())),
    )


def plan_seizures(
    rng: np.random.Generator, traits: Traits, duration_s: float, seizures_per_hour: float
) -> tuple[IctalCourse, ...]:
    """Draw the seizures of one recording.

    The count is Poisson, but at least one where `seizures_per_hour` is above 0 and the recording has 60 s; it is cut to
    what fits. None starts before 20 s or ends in the last 5 s, and they are at least 100 s apart.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    traits : Traits
        The patient.
    duration_s, seizures_per_hour : float
        Length of the recording, and mean rate.

    Returns
    -------
    courses : tuple of IctalCourse
        In order of onset.
    """
    count = int(rng.poisson(seizures_per_hour * duration_s / 3600.0))
    if seizures_per_hour > 0 and duration_s >= 60:
        count = max(count, 1)
    # A third each: short (8–15 s), middle (20–45 s), long (60–90 s).
    ranges = np.array([[8.0, 15.0], [20.0, 45.0], [60.0, 90.0]])[rng.integers(3, size=count)]
    lengths = np.round(rng.uniform(ranges[:, 0], ranges[:, 1]) / GRID_S) * GRID_S
    room = duration_s - FIRST_SEIZURE_S - TAIL_S
    if count and duration_s >= 60:
        lengths[0] = min(lengths[0], np.floor(room / GRID_S) * GRID_S)
    while lengths.size and lengths.sum() + SEIZURE_GAP_S * (lengths.size - 1) > room:
        lengths = lengths[:-1]
    slack = room - lengths.sum() - SEIZURE_GAP_S * (lengths.size - 1)
    waits = np.sort(rng.uniform(0.0, slack, lengths.size)) if lengths.size else np.zeros(0)
    starts = FIRST_SEIZURE_S + waits + np.concatenate([[0.0], np.cumsum(lengths + SEIZURE_GAP_S)[:-1]])[: lengths.size]
    focus = CHANNELS[int(np.argmax(electrode_directions() @ traits.focus_direction))]
    courses = []
    for start, length in zip(starts, lengths, strict=True):
        pace = np.exp(0.1 * rng.standard_normal())
        courses.append(
            IctalCourse(
                seizure=Seizure(float(np.floor(start / GRID_S) * GRID_S), float(length), focus),
                strength=float(traits.ictal_strength * np.exp(0.25 * rng.standard_normal())),
                onset_hz=float(traits.onset_hz * pace),
                final_hz=float(traits.final_hz * pace),
                recovery_s=float(rng.uniform(8.0, 20.0) + 0.2 * length),
            )
        )
    return tuple(courses)


def plan_states(rng: np.random.Generator, duration_s: float) -> tuple[State, ...]:
    """Draw the states of vigilance, back to back from 0 to `duration_s`."""
    kinds = ("open", "closed", "drowsy")
    states = []
    start, kind = 0.0, kinds[rng.choice(3, p=[0.45, 0.45, 0.1])]
    while start < duration_s:
        stop = start + rng.uniform(15.0, 80.0)
        states.append(State(start, min(stop, duration_s), kind))
        start = stop
        others = [k for k in kinds if k != kind]
        kind = others[rng.choice(2, p=[0.65, 0.35])]
    return tuple(states)


def smooth_step(x: np.ndarray | float) -> np.ndarray:
    """Rise from 0 at 0 to 1 at 1 without corners."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x))


def ictal_activation(course: IctalCourse, delays_s: np.ndarray, time_s: float) -> np.ndarray:
    """Return how far each patch has joined the discharge at a time.

    Parameters
    ----------
    course : IctalCourse
        The seizure.
    delays_s : ndarray, shape (n_patches,)
        When each patch is recruited after the onset; infinite if it never is.
    time_s : float
        Time in the recording.

    Returns
    -------
    activation : ndarray, shape (n_patches,)
        0 for normal, 1 for ictal.
    """
    since = time_s - course.seizure.onset_s
    stopping = smooth_step((course.seizure.duration_s - since) / 0.5)
    return smooth_step((since - delays_s) / 0.5) * stopping


def postictal_level(course: IctalCourse, time_s: float) -> float:
    """Return the depth of the post-ictal state at a time, from 0 to 1."""
    since = time_s - course.seizure.onset_s - course.seizure.duration_s
    if since <= 0:
        return 0.0
    depth = min(1.0, 0.3 + course.seizure.duration_s / 60.0)
    return float(depth * smooth_step(since / 2.0) * np.exp(-since / course.recovery_s))

"""What the monitor shows at one moment: plain numbers, arrays and texts that no stream can make anything else of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

SHAPES = {
    "waiting": "ring",
    "settling": "dot",
    "ok": "check",
    "warning": "triangle",
    "alarm": "square",
    "fault": "cross",
    "ended": "dash",
}
"""State → shape that stands beside its word, so that no colour is needed to tell states apart."""


@dataclass(frozen=True, slots=True)
class SessionPanel:
    """What the prediction stream says of itself; texts are printable.

    Parameters
    ----------
    name, stream, bundle, engine, precision : str
        Empty until the prediction stream was found.
    classes : tuple of str
        In logit order.
    alarm_class : str
        Empty if nothing raises an alarm.
    on_threshold, off_threshold : float
        Of the smoothed probability; 0 without an alarm.
    hop_s, window_s, delay_s, smoothing_s : float
        In seconds.
    sfreq, speed : float
        Rate of the decoded stream, in Hz, and speed of a replay.
    """

    name: str = ""
    stream: str = ""
    bundle: str = ""
    engine: str = ""
    precision: str = ""
    classes: tuple[str, ...] = ()
    alarm_class: str = ""
    on_threshold: float = 0.0
    off_threshold: float = 0.0
    hop_s: float = 0.0
    window_s: float = 0.0
    delay_s: float = 0.0
    smoothing_s: float = 0.0
    sfreq: float = 0.0
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class StatePanel:
    """The state, to be read at three metres.

    Parameters
    ----------
    state : str
        A key of `SHAPES`: ``waiting``, ``settling``, ``ok``, ``warning``, ``alarm``, ``fault`` or ``ended``.
    word : str
        What is written, in capitals.
    shape : str
        ``ring``, ``dot``, ``check``, ``triangle``, ``square``, ``cross`` or ``dash``.
    reasons : tuple of str
        Why, or what holds beside it (``alarm held``, ``muted``, …), one sentence each; may be empty.
    since_s : float
        Seconds since the state began; NaN if unknown.
    onset_s : float
        Seconds since the onset of the running alarm; NaN without one.
    alarm_on, latched, acknowledged, muted : bool
        As in ``status``.
    mute_left_s : float
        Seconds until the mute ends; 0 without one.
    """

    state: str = "waiting"
    word: str = "WAITING"
    shape: str = "ring"
    reasons: tuple[str, ...] = ()
    since_s: float = float("nan")
    onset_s: float = float("nan")
    alarm_on: bool = False
    latched: bool = False
    acknowledged: bool = False
    muted: bool = False
    mute_left_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Curves:
    """Probabilities over the shown span; times are stamps of the LSL clock.

    Parameters
    ----------
    version : int
        Grows with each change.
    classes : tuple of str
        In logit order.
    times : ndarray of float64, shape (n_points,)
        Rising; a break in the stream is a point with NaN values.
    raw, smoothed : ndarray of float32, shape (n_classes, n_points)
        As published, and with the decoder's exponential mean.
    quality : ndarray of float32, shape (n_points,)
        Valid share of the window.
    alarms : tuple of (float, float)
        Begin and end of each alarm in the span; the end of a running one is the newest time.
    """

    version: int = 0
    classes: tuple[str, ...] = ()
    times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    raw: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    smoothed: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    quality: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    alarms: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class HealthPanel:
    """Latency and health, from ``status`` events; NaN where nothing is known.

    Parameters
    ----------
    p50_ms : float
        Stamp of the last sample to published: median over the last minute of the medians of each second.
    p99_ms, max_ms : float
        Worst of the last minute's p99 and maxima.
    sparkline_ms : ndarray of float32, shape (n_seconds,)
        The p99 of each ``status`` of the last minute, oldest first.
    stages_ms : mapping of str to (float, float)
        p50 and p99 of each stage in the newest ``status``.
    budget_ms : float
        What `p99_ms` is held against.
    budget_share : float
        `p99_ms` over `budget_ms`; 1 is all of it.
    predictions, dropped, gaps, held, missed : int
        Counters of the session; `missed` counts predictions over the budget, as far as the session tells.
    rate, nominal_rate : float
        Samples per second.
    clock_offset_s : float
        Of the decoded stream.
    engine, precision, gpu_memory : str
        As said; empty where unknown.
    silent_s : float
        Seconds since the last ``status``.
    monitor_dropped : int
        Chunks that this monitor, not the decoder, did not show since it was too slow.
    """

    p50_ms: float = float("nan")
    p99_ms: float = float("nan")
    max_ms: float = float("nan")
    sparkline_ms: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    stages_ms: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    budget_ms: float = float("nan")
    budget_share: float = float("nan")
    predictions: int = 0
    dropped: int = 0
    gaps: int = 0
    held: int = 0
    missed: int = 0
    rate: float = float("nan")
    nominal_rate: float = float("nan")
    clock_offset_s: float = float("nan")
    engine: str = ""
    precision: str = ""
    gpu_memory: str = ""
    silent_s: float = float("nan")
    monitor_dropped: int = 0


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of the list.

    Parameters
    ----------
    number : int
        Counts all events from the start; identifies the row.
    time : float
        LSL stamp, in seconds.
    kind, text : str
        Printable, on one line.
    """

    number: int
    time: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class EventPanel:
    """Events of the last 30 minutes, without ``status``.

    Parameters
    ----------
    version : int
        Grows with each change of `rows`.
    rows : tuple of EventRow
        Oldest first; the same object until the version changes.
    counts : mapping of str to int
        All events of the session by kind, also those that are no longer in the list.
    left_out : int
        Events of the last 30 minutes that the list had no room for.
    """

    version: int = 0
    rows: tuple[EventRow, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Something to draw at a time of the traces.

    Parameters
    ----------
    time, duration_s : float
        LSL stamp and length, in seconds.
    kind : str
        ``annotation``, ``alarm_on``, ``alarm_off``, ``gap``, ``lost``, …
    text : str
        Printable.
    """

    time: float
    duration_s: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is shown besides images.

    Parameters
    ----------
    now_s : float
        LSL clock, in seconds.
    wall_offset_s : float
        Add to an LSL stamp for seconds since 1970.
    session : SessionPanel
    state : StatePanel
    curves : Curves
    health : HealthPanel
    bad_channels : mapping of str to str
        Channel → reasons.
    events : EventPanel
    marks : tuple of Mark
        Oldest first.
    window : tuple of (float, float)
        First and last time that the newest prediction has seen; NaN before one.
    streams : mapping of str to str
        Role (``predictions``, ``events``, ``signal``, ``features``, ``raw``, ``annotations``) → ``connected``,
        ``looking`` or why it was lost.
    silent_s : mapping of str to float
        Role (``signal``, ``raw``, ``features``) → seconds since something of it came; not there before that.
    """

    now_s: float
    wall_offset_s: float = 0.0
    session: SessionPanel = field(default_factory=SessionPanel)
    state: StatePanel = field(default_factory=StatePanel)
    curves: Curves = field(default_factory=Curves)
    health: HealthPanel = field(default_factory=HealthPanel)
    bad_channels: Mapping[str, str] = field(default_factory=dict)
    events: EventPanel = field(default_factory=EventPanel)
    marks: tuple[Mark, ...] = ()
    window: tuple[float, float] = (float("nan"), float("nan"))
    streams: Mapping[str, str] = field(default_factory=dict)
    silent_s: Mapping[str, float] = field(default_factory=dict)

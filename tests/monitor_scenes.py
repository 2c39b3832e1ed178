"""Sessions for the monitor's window, made up and told to the model directly: no network, no clock but a number."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from apps.monitor.described import Described
from apps.monitor.model import MonitorModel
from bci.stages.montages import TEN_TWENTY_19

SFREQ = 256.0
N_MELS = 32
MEL_HZ = tuple(np.geomspace(1.0, 60.0, N_MELS).tolist())
HOP_S = 0.25
WALL_S = 1.7e9
LATENCY = {
    stage: {"p50_ms": p50, "p99_ms": 2 * p50, "max_ms": 3 * p50}
    for stage, p50 in (("receive", 0.2), ("filter", 0.05), ("features", 0.1), ("engine", 0.6), ("decision", 0.01))
} | {"total": {"p50_ms": 1.1, "p99_ms": 2.2, "max_ms": 3.1}}


class Clock:
    """A clock that stands until it is put forward."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class Scene:
    """A session of 19 electrodes and two classes, and what it publishes.

    Parameters
    ----------
    names : tuple of str
        Channels.
    sfreq : float
        Rate, in Hz.
    seed : int
        Of the noise.
    """

    def __init__(self, names: tuple[str, ...] = TEN_TWENTY_19, sfreq: float = SFREQ, seed: int = 0) -> None:
        self.clock = Clock()
        self.names, self.sfreq = names, sfreq
        self.model = MonitorModel(self.clock, WALL_S, "demo-pred")
        self.rng = np.random.default_rng(seed)
        self.sample = 0
        self.start_s = self.clock.now_s
        self.alarm: dict[str, Any] = {
            "state": "ok",
            "on": False,
            "latched": False,
            "acknowledged": False,
            "muted": False,
        }
        self.n_status = 0
        self.bad: list[str] = []

    def connect(self) -> None:
        """Let all streams come."""
        fields = {
            "name": "demo-pred", "stream": "demo", "bundle": "seizure-demo", "classes": "background,seizure",
            "alarm_class": "seizure", "on_threshold": "0.8", "off_threshold": "0.5", "hop_s": "0.25", "window_s": "10",
            "delay_s": "0.04", "smoothing_s": "2", "engine": "onnx", "precision": "fp32", "sfreq": f"{self.sfreq:g}",
        }  # fmt: skip
        labels = ("background", "seizure", "quality", "state", "compute_ms")
        self.model.on_stream("predictions", Described("demo-pred", "Predictions", labels, fields=fields))
        self.model.on_stream("events", Described("demo-pred-events", "Markers", ("",)))
        self.connect_signal("signal")
        self.connect_signal("raw")
        mels = tuple(f"{name}@mel{i:02d}" for name in self.names for i in range(N_MELS))
        features = Described(
            "demo-pred-features", "Features", mels, ("dB",) * len(mels), sfreq=16.0, fields=fields, bands_hz=MEL_HZ
        )
        self.model.on_stream("features", features)

    def connect_signal(self, role: str) -> None:
        """Let the filtered or the raw signal come."""
        described = Described(f"demo-{role}", "EEG", self.names, ("uV",) * len(self.names), sfreq=self.sfreq)
        self.model.on_stream(role, described)

    def play(self, seconds: float, state: int = 1, probability: float = 0.05, amplitude: float = 15.0) -> None:
        """Let the session go on, a quarter of a second at a time."""
        for _ in range(round(seconds / HOP_S)):
            self.signal(self.noise(round(HOP_S * self.sfreq), amplitude, 3.0 if probability > 0.5 else 10.0))
            n_frames = round(HOP_S * 16)
            when = self.clock.now_s - HOP_S + (np.arange(n_frames) + 1) / 16
            self.model.on_features(self.features(n_frames, 3.0 if probability > 0.5 else 10.0, amplitude), when)
            seizure = float(np.clip(probability + 0.04 * self.rng.standard_normal(), 0.001, 0.999))
            row = np.array([[1 - seizure, seizure, 1.0, state, 0.8]], np.float32)
            self.model.on_prediction(row, np.array([self.clock.now_s]))
            if int(self.clock.now_s) != int(self.clock.now_s - HOP_S):
                self.status()

    def signal(self, data: np.ndarray) -> None:
        """Send the next samples of both signals; the clock goes on as long as they are."""
        n = data.shape[1]
        stamps = self.start_s + (self.sample + np.arange(n)) / self.sfreq
        self.sample += n
        self.clock.now_s = self.start_s + self.sample / self.sfreq
        self.model.on_signal(data, stamps)
        self.model.on_raw(data + np.float32(300.0), stamps)

    def noise(self, n: int, amplitude: float = 15.0, rhythm_hz: float = 10.0) -> np.ndarray:
        """Return samples with a rhythm that is strongest at the back, float32 (n_channels, n)."""
        t = (self.sample + np.arange(n)) / self.sfreq
        back = np.linspace(0.4, 1.6, len(self.names))[:, None]
        white = self.rng.standard_normal((len(self.names), n + 5))
        smooth = sum(white[:, i : n + i] for i in range(6)) / 2.4
        return (amplitude * (0.7 * smooth + back * np.sin(2 * np.pi * rhythm_hz * t))).astype(np.float32)

    def features(self, n: int, rhythm_hz: float, amplitude: float) -> np.ndarray:
        """Return frames with a ridge at the rhythm, shape (n_channels · n_mels, n)."""
        ridge = 25 * np.exp(-((np.log(np.array(MEL_HZ) / rhythm_hz) / 0.25) ** 2))[None, :, None]
        falling = (12 - 6 * np.log(np.array(MEL_HZ)))[None, :, None] + 20 * np.log10(amplitude / 15)
        frames = falling + ridge + 2.5 * self.rng.standard_normal((len(self.names), N_MELS, n))
        return frames.reshape(-1, n).astype(np.float32)

    def event(self, kind: str, **fields: Any) -> None:
        """Send an event of now."""
        t = fields.pop("t", self.clock.now_s)
        self.model.on_event(json.dumps({"kind": kind, "t": t, **fields}), t)

    def status(self, **fields: Any) -> None:
        """Send a status, with other fields where given."""
        self.n_status += 1
        said = {
            "latency": LATENCY, "samples": self.sample, "predictions": self.sample // 64, "dropped": 0, "gaps": 0,
            "bad_channels": self.bad, "held": 0, "rate": self.sfreq, "nominal_rate": self.sfreq,
            "clock_offset_s": 0.0004, "engine": "onnx", "precision": "fp32", "alarm": self.alarm,
        }  # fmt: skip
        self.event("status", **{**said, **fields})

    def spoil(self, channel: str, *reasons: str) -> None:
        """Let a channel be bad."""
        self.bad = [*self.bad, channel]
        self.event("bad_channel", channel=channel, bad=True, reasons=list(reasons), sample=self.sample, values={})

    def begin_alarm(self) -> None:
        """Raise the alarm."""
        self.alarm |= {"state": "alarm", "on": True}
        self.event("alarm_on", last_sample=self.sample, level=0.9, quality=1.0, muted=False)


class NoFeed:
    """Brings nothing: the test tells the model itself."""

    def pump(self, model: MonitorModel) -> bool:
        """Bring nothing."""
        return True

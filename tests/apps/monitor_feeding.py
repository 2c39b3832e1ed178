"""A session as the monitor hears of it, made up."""

from __future__ import annotations

import json

import numpy as np

from apps.monitor.described import Described
from apps.monitor.model import MonitorModel
from bci.stages.montages import TEN_TWENTY_19

SFREQ, HOP_S = 256.0, 0.25
CLASSES = ("background", "seizure")


class Clock:
    """An LSL clock that the test moves."""

    def __init__(self, now_s=1000.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def predictions(name="run", classes=CLASSES, **fields):
    said = {
        "classes": ",".join(classes),
        "alarm_class": classes[-1],
        "stream": "eeg",
        "bundle": "tiny",
        "engine": "onnx",
        "precision": "fp32",
        "on_threshold": "0.7",
        "off_threshold": "0.5",
        "hop_s": str(HOP_S),
        "window_s": "2",
        "smoothing_s": "1",
        "sfreq": str(SFREQ),
        "speed": "1",
    }
    labels = (*classes, "quality", "state", "compute_ms")
    return Described(name, "Predictions", labels, fields=said | fields)


def signal(labels=TEN_TWENTY_19, unit="uV", sfreq=SFREQ, **more):
    return Described("run-signal", "EEG", labels, (unit,) * len(labels), ("",) * len(labels), sfreq, **more)


def features(labels=TEN_TWENTY_19, n_mels=8, sfreq=16.0):
    names = tuple(f"{label}@mel{i:02d}" for label in labels for i in range(n_mels))
    return Described("run-features", "Features", names, ("dB",) * len(names), ("",) * len(names), sfreq)


def running(clock, **fields):
    """Return a model that has a prediction and an event stream."""
    model = MonitorModel(clock, name="run")
    model.on_stream("predictions", predictions(**fields))
    model.on_stream("events", Described("run-events", "Markers", ("ch 1",)))
    return model


def predict(model, clock, p=0.1, quality=1.0, state=1, n=1):
    """Publish predictions, a hop apart."""
    for _ in range(n):
        clock.now_s += HOP_S
        model.on_prediction(np.array([[1 - p, p, quality, state, 1.5]], np.float32), np.array([clock.now_s]))


def say(model, clock, kind, **fields):
    model.on_event(json.dumps({"kind": kind, "t": clock.now_s, **fields}), clock.now_s)


def status(model, clock, **fields):
    alarm = {"state": "ok", "on": False, "latched": False, "acknowledged": False, "muted": False, "mute_left_s": 0.0}
    latency = {"total": {"p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0}}
    say(model, clock, "status", **{"alarm": alarm, "latency": latency} | fields)

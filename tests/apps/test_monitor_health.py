"""What the monitor says of latency, health and bad channels: as the session's ``status`` events have it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.apps.monitor_feeding import Clock, predict, running, say, signal, status

MARKUP = "<img src=x onerror=alert(1)>\x1b[31m\n<b>F3</b>"


def test_health_is_what_the_status_says():
    clock = Clock()
    model = running(clock)
    assert math.isnan(model.snapshot(clock.now_s).health.p99_ms)
    for k in range(90):
        clock.now_s += 1
        total = {"p50_ms": 1.0 + k, "p99_ms": 400.0 if k == 10 else 2.0 + k, "max_ms": 100.0}
        status(
            model, clock, latency={"total": total, "engine": {"p50_ms": 0.5, "p99_ms": 0.7}}, predictions=360,
            dropped=2, gaps=1, held=3, rate=255.9, nominal_rate=256.0, clock_offset_s=0.001, engine="onnx",
            precision="fp32",
        )  # fmt: skip
    health = model.snapshot(clock.now_s).health
    assert len(health.sparkline_ms) == 60
    assert health.p99_ms == 91.0  # that of k = 10 is older than a minute
    assert health.p50_ms == np.median(1.0 + np.arange(30, 90))
    assert (health.budget_ms, health.budget_share) == (250.0, pytest.approx(91 / 250))
    assert (health.predictions, health.dropped, health.gaps, health.held) == (360, 2, 1, 3)
    assert health.stages_ms["engine"] == (0.5, 0.7)
    assert (health.rate, health.nominal_rate, health.clock_offset_s) == (255.9, 256.0, 0.001)
    assert (health.engine, health.precision, health.silent_s) == ("onnx", "fp32", 0.0)


def test_seconds_without_a_prediction_do_not_make_the_latency_look_better():
    clock = Clock()
    model = running(clock)
    for k in range(10):
        clock.now_s += 1
        latency = dict(zip(("p50_ms", "p99_ms", "max_ms"), (5.0, 9.0, 9.5) if k % 3 == 0 else (0.0,) * 3, strict=True))
        status(model, clock, latency={"total": latency})
    health = model.snapshot(clock.now_s).health
    assert (health.p50_ms, health.p99_ms, health.max_ms) == (5.0, 9.0, 9.5)
    assert np.isfinite(health.sparkline_ms).sum() == 4


def test_before_the_first_status_nothing_is_known_of_its_age():
    clock = Clock()
    assert math.isnan(running(clock).snapshot(clock.now_s).health.silent_s)


def test_a_declared_budget_and_a_gpu_are_shown():
    clock = Clock()
    model = running(clock)
    memory = {"used_mb": 1536.0, "total_mb": 81920.0}
    status(model, clock, budget={"limits_ms": {"total": 20.0, "engine": 1.0}, "missed": 7}, gpu_memory=memory)
    health = model.snapshot(clock.now_s).health
    assert (health.budget_ms, health.budget_share, health.missed) == (20.0, pytest.approx(0.1), 7)
    assert health.gpu_memory == "1.5 of 80.0 GiB"
    status(model, clock, budget={"limits_ms": {"compute": 5.0}, "missed": 0}, gpu_memory={"used_mb": "x"})
    health = model.snapshot(clock.now_s).health
    assert (health.budget_ms, health.gpu_memory) == (5.0, "")


@pytest.mark.parametrize(
    "fields",
    [
        {"latency": 3},
        {"latency": {"total": None, "x": 4}},
        {"latency": {"total": {"p50_ms": "1", "p99_ms": True}}},
        {"bad_channels": "F3", "alarm": [], "rate": 10**400, "gaps": -4},
        {"bad_channels": [1, None, MARKUP], "engine": MARKUP},
    ],
)
def test_a_malformed_status_changes_nothing_worse(fields):
    clock = Clock()
    model = running(clock)
    predict(model, clock)
    say(model, clock, "status", **fields)
    snapshot = model.snapshot(clock.now_s)
    assert snapshot.state.state == "ok"
    assert snapshot.health.gaps == 0
    assert snapshot.health.engine.isprintable()
    assert all(name.isprintable() for name in snapshot.bad_channels)


def test_bad_channels_have_reasons_and_go_again():
    clock = Clock()
    model = running(clock)
    model.on_stream("signal", signal())
    say(model, clock, "bad_channel", channel="F3", bad=True, reasons=["flat", "railing"], sample=1, values={})
    status(model, clock, bad_channels=["F3", "O1"])
    snapshot = model.snapshot(clock.now_s)
    assert snapshot.bad_channels == {"F3": "flat, railing", "O1": "bad (since before this monitor)"}
    assert model.traces.bad == snapshot.bad_channels
    say(model, clock, "bad_channel", channel="F3", bad=False, reasons=["good"], sample=1, values={})
    assert list(model.snapshot(clock.now_s).bad_channels) == ["O1"]

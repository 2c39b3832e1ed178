"""The benchmark of the steps of real-time hygiene: its rows, and what it needs."""

from __future__ import annotations

import numpy as np
import pytest

from apps.bench import e2e, realtime_steps
from apps.bench.timing import Latencies
from apps.cli import main
from bci.realtime import RealTime


def test_there_is_a_row_without_each_step_that_does_something():
    rows = realtime_steps.contenders("eager", 10.0)
    assert [(row.label, row.real_time, row.left_out) for row in rows[:3]] == [
        ("ordinary", False, ()),
        ("all steps", True, ()),
        ("without awake", True, ("awake",)),
    ]
    with RealTime() as real_time:
        names = [step.name for step in real_time.steps if step.name != "affinity"]
    assert [row.left_out for row in rows[2:-2]] == [(name,) for name in names]
    assert [(row.work, row.left_out) for row in rows[-2:]] == [
        (realtime_steps.decode_beside_view, ()),
        (realtime_steps.decode_beside_view, ("switch",)),
    ]


def test_the_rows_are_measured_in_turn(monkeypatch, capsys):
    asked = []

    def measure_all(rows, settings, progress):
        asked.extend(rows)
        some = Latencies.of(np.array([0.001, 0.002]))
        return tuple(e2e.Row(row.label, "eager", 10.0, some, some, {}, 0.1, 0.2, 3, some, 4, some, {}) for row in rows)

    monkeypatch.setattr(realtime_steps, "missing_hygiene", list)
    monkeypatch.setattr(e2e, "measure_all", measure_all)
    assert main(["bench", "hygiene", "--duration", "2", "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    assert all(row.label in out for row in asked)
    assert len(asked) == 4 + len(realtime_steps.STEPS)


@pytest.mark.parametrize(
    ("missing", "options", "message"),
    [
        ([], ["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["priority: not possible, no."], [], "Every step must be possible here to be compared, got priority: not"),
    ],
)
def test_what_cannot_be_compared_is_refused(monkeypatch, capsys, missing, options, message):
    monkeypatch.setattr(realtime_steps, "missing_hygiene", lambda: missing)
    assert main(["bench", "hygiene", *options]) == 2
    assert message in capsys.readouterr().err

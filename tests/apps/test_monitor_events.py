"""The monitor's list of events: plain, bounded, counted."""

from __future__ import annotations

import json

import pytest

from apps.monitor.event_list import MAX_ROWS, EventList, event_text
from tests.apps.monitor_feeding import Clock, running, say

MARKUP = "<img src=x onerror=alert(1)>\x1b[31m\n<b>F3</b>"


def test_a_flood_of_events_is_bounded_and_counted():
    clock, events = Clock(), EventList()
    for k in range(3 * MAX_ROWS):
        events.add(clock.now_s, clock.now_s, f"kind{k % 200}", {"n": k})
    panel = events.panel(clock.now_s)
    assert len(panel.rows) == MAX_ROWS
    assert panel.left_out == 2 * MAX_ROWS
    assert sum(panel.counts.values()) == 3 * MAX_ROWS
    assert len(panel.counts) <= 65
    assert panel.rows[-1].number == 3 * MAX_ROWS - 1
    assert events.panel(clock.now_s) is panel
    assert events.panel(clock.now_s + 1900).rows == ()
    assert events.panel(clock.now_s + 1900).left_out == 0


def test_events_are_plain_text_on_one_line():
    clock = Clock()
    model = running(clock)
    say(model, clock, MARKUP, text=MARKUP, more={"a": [MARKUP] * 100})
    say(model, clock, "bad_channel", channel=MARKUP, bad=True, reasons=[MARKUP], sample=1, values={})
    model.on_annotation(json.dumps({"kind": "annotation", "description": MARKUP, "duration": 2.0}), 5.0)
    model.on_annotation(MARKUP, 6.0)
    snapshot = model.snapshot(clock.now_s)
    for text in [row.text + row.kind for row in snapshot.events.rows] + [mark.text for mark in snapshot.marks]:
        assert text.isprintable()
        assert len(text) < 250
    assert snapshot.marks[0].text.startswith("<img src=x")


@pytest.mark.parametrize("line", ["", "nothing", "[1, 2]", "{", "[" * 100_000, '{"kind": 3}', '{"t": 1}', "1" * 70_000])
def test_what_is_no_event_is_counted(line):
    clock = Clock()
    model = running(clock)
    model.on_event(line, 3.0)
    assert model.snapshot(clock.now_s).events.counts == {"unreadable": 1}


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("gap", {"n_lost": 12, "t0": 1.0, "t1": 1.05, "filled": True}, "12 samples never came (50 ms); filled"),
        ("alarm_off", {"level": 0.2, "quality": 1, "reason": "cleared"}, "level 0.20, quality 1.00, cleared"),
        ("fault", {"level": 0.2, "quality": 0.3, "muted": True}, "level 0.20, quality 0.30, muted"),
        ("bad_channel", {"channel": "F3", "bad": False, "reasons": ["good"]}, "F3 is good again: good"),
        ("annotation", {"description": "sz", "duration": 3.5}, "sz (3.5 s)"),
        ("overflow", {"kind": "overflow", "t": 1.0, "n_skipped": 3}, "n_skipped 3"),
    ],
)
def test_what_events_say(kind, fields, text):
    assert event_text(kind, fields) == text


def test_marks_are_in_seconds_of_the_clock():
    clock = Clock()
    model = running(clock, speed="2")
    model.on_annotation('{"kind": "annotation", "description": "sz", "duration": 8.0}', 1003.0)
    model.on_annotation('{"kind": "loop"}', 1004.0)
    say(model, clock, "gap", n_lost=3, t0=1.0, t1=1.5, filled=True)
    marks = model.snapshot(clock.now_s).marks
    assert [(mark.kind, mark.time, mark.duration_s) for mark in marks] == [
        ("annotation", 1003.0, 4.0), ("gap", clock.now_s, 0.0)
    ]  # fmt: skip

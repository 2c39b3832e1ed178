"""The table of a live session: valid at every moment, right at the end, and the same as offline."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest

from bci.decision import AlarmSpec, DecisionSpec, State
from bci.decoder import Ledger, Prediction
from bci.errors import UsageError
from bci.events import Event
from bci.seizure_table import SeizureEvent, read_table
from bci.sinks.base import Output
from bci.sinks.queued import QueuedSink
from bci.sinks.szcore_sink import SzcoreSink, check_watches_seizures, table_of
from tests.bci.test_sinks import INFO

SFREQ = 256.0
INFO_256 = dataclasses.replace(INFO, sfreq=SFREQ)
STARTED = datetime(2026, 1, 31, 12, 0, 0)
HOP = 64


def prediction(n, level=0.1, changed=None, quality=1.0):
    """Return the prediction after `n` hops."""
    time, logits, probabilities, ledger = n * HOP / SFREQ, np.zeros(2), np.full(2, 0.5), Ledger(0, 0, 0, 0)
    return Prediction(n, n * HOP - 1, time, logits, probabilities, quality, State.OK, changed, level, ledger)


def give(sink, p, reason="cleared"):
    """Hand on a prediction as the session does: first itself, then the event of what it changed."""
    sink.prediction(Output(p, p.time, p.time, p.time))
    if p.changed is not None:
        fields = {"last_sample": p.last_sample, "level": p.level, "quality": p.quality}
        sink.event(Event(p.changed, p.time, fields | ({"reason": reason} if p.changed == "alarm_off" else {})))


def end(sink, n_samples, alarm_of=None):
    """End a session as it does itself."""
    if alarm_of is not None:
        fields = {"last_sample": alarm_of.last_sample, "level": alarm_of.level, "quality": 1.0, "reason": "ended"}
        sink.event(Event("alarm_off", alarm_of.time, fields))
    sink.event(Event("status", 0.0, {"samples": n_samples}))
    sink.event(Event("ended", 0.0, {"reason": "end of stream"}))
    sink.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sub-01_events.tsv"


@pytest.fixture
def sink(path):
    sink = SzcoreSink(path, now=lambda: STARTED)
    sink.open(INFO_256)
    return sink


COURSE = [
    prediction(n, level, {41: "alarm_on", 61: "alarm_off", 101: "alarm_on"}.get(n))
    for n, level in ((n, 0.9 if 41 <= n < 61 or n > 100 else 0.2) for n in range(8, 121))
]


def test_onset_and_offset_are_those_of_the_evidence(sink, path):
    for p in COURSE[:60]:
        give(sink, p)
    end(sink, 4400)
    table = read_table(path)
    on, off = (41 * HOP - 1) / SFREQ, (61 * HOP - 1) / SFREQ
    assert table.seizures == (SeizureEvent(round(on, 3), round(off - on, 3), "sz", 0.9),)
    assert table.duration_s == pytest.approx(4400 / SFREQ, abs=1e-3)
    assert table.date_time == "2026-01-31 12:00:00"


def test_live_and_offline_make_the_same_table(sink, path):
    """Also of an alarm that runs to the end: it lasts as long as the recording."""
    for p in COURSE:
        give(sink, p)
    end(sink, 8000, COURSE[-1])
    offline = table_of(COURSE, SFREQ, 8000, STARTED)
    assert path.read_text() == offline.to_tsv()
    assert len(offline.seizures) == 2
    assert offline.seizures[1].onset_s + offline.seizures[1].duration_s == 8000 / SFREQ


def test_a_session_without_alarms_says_so(sink, path):
    for p in COURSE[:20]:
        give(sink, p)
    end(sink, 1800)
    assert path.read_text().splitlines()[1] == "0.000\t7.031\tbckg\tn/a\tn/a\t2026-01-31 12:00:00\t7.031"


def test_lost_samples_count_and_repeated_ones_do_not(sink, path):
    give(sink, prediction(8))
    sink.event(Event("duplicate", 1.0, {"n_samples": 30, "t0": 0.0, "t1": 1.0}))
    sink.event(Event("late", 1.0, {"n_samples": 20, "t0": 0.0, "t1": 1.0}))
    sink.event(Event("gap", 1.0, {"n_lost": 100, "t0": 0.0, "t1": 1.0, "filled": False}))
    end(sink, 950)
    assert read_table(path).duration_s == pytest.approx(1000 / SFREQ, abs=1e-3)


def test_a_replay_that_starts_again_ends_the_alarm_where_it_was(sink, path):
    give(sink, prediction(10, 0.9, "alarm_on"))
    give(sink, prediction(20, 0.9, "alarm_off"), reason="loop")
    end(sink, 4000)
    (event,) = read_table(path).seizures
    assert event.duration_s == 10 * HOP / SFREQ


def test_the_file_is_never_more_than_a_minute_short(sink, path):
    """While nothing happens, and while an alarm runs."""
    give(sink, prediction(8))
    for n in range(9, 800):
        give(sink, prediction(n, 0.9, "alarm_on" if n == 400 else None))
        table = read_table(path)
        assert n * HOP / SFREQ - table.duration_s <= 60.25
        assert len(table.seizures) == (n >= 400)
        if table.seizures:
            (event,) = table.seizures
            assert event.onset_s + event.duration_s == pytest.approx(table.duration_s, abs=2e-3)


def test_a_session_without_a_valid_sample_leaves_no_file(sink, path):
    give(sink, prediction(8, quality=0.0))
    sink.close()
    assert not path.exists()
    sink.event(Event("ended", 0.0, {"reason": "stopped"}))  # after close nothing is written
    sink.prediction(Output(prediction(9), 0.0, 0.0, 0.0))
    assert not path.exists()


def test_an_old_file_stays_until_the_new_one_is_there(path):
    path.write_text("old")
    with pytest.raises(UsageError, match=r"The table of events needs a new file, got .*, which exists"):
        SzcoreSink(path)
    sink = SzcoreSink(path, overwrite=True)
    sink.open(INFO_256)
    assert path.read_text() == "old"
    give(sink, prediction(8))
    assert read_table(path).seizures == ()


def test_a_file_that_another_program_made_meanwhile_is_kept(sink, path):
    path.write_text("other")
    with pytest.raises(UsageError, match=r"The table of events needs a new file, got"):
        give(sink, prediction(8))
    assert path.read_text() == "other"


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"The table of events needs a file in a folder that can be written"):
        SzcoreSink(tmp_path / "no" / "x_events.tsv")


def test_a_full_disk_loses_nothing(path, monkeypatch):
    """Behind its queue the sink tries again; an alarm that began meanwhile is in the table once."""
    replace, failed = os.replace, []

    def full(source, target):
        if len(failed) < 3:
            failed.append(target)
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    queue = QueuedSink(SzcoreSink(path, now=lambda: STARTED), name="events", retry_s=0.01, max_items=1000)
    queue.open(INFO_256)
    give(queue, prediction(8))
    give(queue, prediction(9, 0.9, "alarm_on"))
    queue.event(Event("gap", 1.0, {"n_lost": 64, "t0": 0.0, "t1": 1.0, "filled": False}))
    give(queue, prediction(12, 0.2, "alarm_off"))
    deadline = 200
    while queue.delivery().n_left and deadline:
        deadline -= 1
        queue._thread.join(0.05)
    end(queue, 1000)
    table = read_table(path)
    assert len(failed) == 3
    assert len(table.seizures) == 1
    assert table.duration_s == pytest.approx(1064 / SFREQ, abs=1e-3)
    assert {event.kind for event in queue.events()} >= {"sink_failed", "sink_recovered"}


KILLED = """
import sys
from pathlib import Path
from tests.bci.test_szcore_sink import INFO_256, SzcoreSink, give, prediction
sink = SzcoreSink(Path(sys.argv[1]))
sink.open(INFO_256)
for n in range(8, 10_000_000):
    give(sink, prediction(n, 0.9, {20: "alarm_on"}.get(n % 40) or {0: "alarm_off"}.get(n % 40)))
    if n == 500:
        print("running", flush=True)
"""


def test_a_kill_leaves_a_valid_file(path):
    """At whatever moment it comes: the table is replaced as a whole."""
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "running\n"
        finally:
            process.send_signal(signal.SIGKILL)
    assert len(read_table(path).seizures) >= 12


@pytest.mark.parametrize("label", ["seizure", "ictal", "sz_foc"])
def test_alarms_for_seizures_can_be_written(label):
    check_watches_seizures(DecisionSpec(("rest", label), alarm=AlarmSpec(label, 0.6, 0.4)))


@pytest.mark.parametrize("alarm", [None, AlarmSpec("sleep", 0.6, 0.4)])
def test_other_alarms_are_no_seizures(alarm):
    with pytest.raises(
        UsageError, match=r"A table of seizures needs a model whose alarm watches a class named seizure"
    ):
        check_watches_seizures(DecisionSpec(("rest", "sleep"), alarm=alarm))

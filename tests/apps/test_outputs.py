"""The log behind its queue: a disk that hangs or is full holds nobody up, and loses nothing that it can still take."""

from __future__ import annotations

import errno
import json
import os
import threading
import time

import pytest

from apps.outputs import log_queue
from bci.events import Event
from tests.bci.test_queued_sink import wait_until
from tests.bci.test_sinks import INFO, output_of


def test_a_disk_that_hangs_holds_nobody_up(tmp_path):
    """A named pipe that nobody reads blocks who opens it, as a dead network disk does."""
    path = tmp_path / "log.jsonl"
    os.mkfifo(path)
    log = log_queue(path, overwrite=True)
    began_s = time.monotonic()
    log.open(INFO)
    for index in range(100):
        log.prediction(output_of(index))
    assert time.monotonic() - began_s < 1.0
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()  # the disk is back
    log.close()
    reader.join(20.0)
    assert len(read[0].splitlines()) == 101
    assert log.delivery().n_left == 0


@pytest.mark.parametrize("at", [0, 2], ids=["first line", "later"])
def test_a_full_disk_is_told_and_what_waits_is_written_when_there_is_space(tmp_path, monkeypatch, at):
    path, full, write = tmp_path / "log.jsonl", threading.Event(), os.write

    def guarded(fd, contents):
        if full.is_set() and threading.current_thread().name == "sink-log":
            write(fd, bytes(contents)[:7])  # a disk that becomes full takes a part
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, contents)

    monkeypatch.setattr(os, "write", guarded)
    log = log_queue(path)
    events = []
    log.open(INFO)
    for index in range(5):
        if index == at:
            wait_until(lambda n=index: log.delivery().n_sent == n)
            full.set()
        log.prediction(output_of(index))
    wait_until(lambda: events.extend(log.events()) or events)
    assert [(event.kind, event.fields["sink"]) for event in events] == [("sink_failed", "log")]
    assert "No space left on device" in events[0].fields["reason"]
    full.clear()
    wait_until(lambda: log.delivery().n_sent == 5)
    log.event(Event("ended", 1400.0, {"reason": "duration"}))
    log.close()
    assert [event.kind for event in log.events()] == ["sink_recovered"]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["session", *["prediction"] * 5, "ended"]
    assert [line["index"] for line in lines[1:-1]] == [0, 1, 2, 3, 4]

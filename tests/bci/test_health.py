"""Health: what is asked from outside while a session runs, and that asking costs the session nothing."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import socket
import sys
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bci.decision import State
from bci.errors import UsageError
from bci.events import Event
from bci.health import PATIENCE_S, Health
from bci.health_file import HealthFile
from bci.health_http import HealthServer
from bci.sinks.queued import QueuedSink
from tests.bci.test_queued_sink import Receiver, wait_until
from tests.bci.test_sinks import INFO, output_of

TIMEOUT_S = 60.0
T_S = 1300.5
STATUS = {
    "latency": {"total": {"p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0}},
    "samples": 5120,
    "predictions": 7,
    "dropped": 2,
    "gaps": 1,
    "rate": 255.9,
    "alarm": {"state": "ok", "on": False, "latched": False, "acknowledged": False, "muted": True, "mute_left_s": 9.5},
}


class Hand:
    """A clock that is set by hand."""

    now_s = T_S

    def __call__(self):
        return self.now_s


@pytest.fixture
def hand():
    return Hand()


@pytest.fixture
def health(hand):
    return Health(hand)


def decoding(health, state=State.OK):
    health.open(INFO)
    health.prediction(output_of(state=state))
    return health


def state_of(health):
    report = health.figures().report
    return report["state"], report["healthy"]


# the rule


def test_a_session_is_healthy_when_usable_predictions_come(health):
    assert state_of(health) == ("starting", False)
    health.open(INFO)
    assert state_of(health) == ("starting", False)  # no prediction yet
    health.prediction(output_of(state=State.SETTLING))
    assert state_of(health) == ("settling", True)
    for state in (State.OK, State.WARNING, State.ALARM):
        health.prediction(output_of(state=state))
        assert state_of(health) == (state.name.lower(), True)  # an alarm is its work
    health.prediction(output_of(state=State.FAULT))
    assert state_of(health) == ("fault", False)


def test_a_lost_stream_is_not_healthy_until_a_prediction_comes(health):
    decoding(health)
    health.event(Event("lost", T_S, {"reason": "no sample for 5 s"}))
    assert state_of(health) == ("lost", False)
    health.prediction(output_of(state=State.OK))
    assert state_of(health) == ("ok", True)
    health.event(Event("lost", T_S, {"reason": "no sample for 5 s"}))
    health.event(Event("recovered", T_S, {"silent_s": 6.0}))
    assert state_of(health) == ("ok", True)


def test_the_state_is_that_of_the_alarms_also_between_predictions(health):
    """A lost stream is a fault without a prediction, and stays one until the next; an acknowledged latch has ended."""
    decoding(health, State.ALARM)
    health.event(Event("lost", T_S, {"reason": "no sample for 5 s"}))
    health.event(Event("fault", T_S, {"last_sample": 511, "level": 0.6, "quality": 0.0, "muted": False}))
    health.event(Event("recovered", T_S, {"silent_s": 6.0}))
    assert state_of(health) == ("fault", False)
    decoding(health, State.ALARM)
    health.event(Event("status", T_S, STATUS))
    assert state_of(health) == ("ok", True)


def test_without_new_predictions_it_is_stalled(health, hand):
    """A window and 5 s: longer than a pipeline that was reset needs."""
    decoding(health)
    hand.now_s = output_of().computed_s + INFO.window_s + PATIENCE_S
    assert state_of(health) == ("ok", True)
    hand.now_s += 0.001
    assert state_of(health) == ("stalled", False)
    slow = dataclasses.replace(INFO, hop_s=4.0)
    health.open(slow)
    assert state_of(health) == ("ok", True)  # three hops may be missing


def test_an_ended_session_is_not_healthy(health):
    decoding(health)
    health.event(Event("ended", T_S, {"reason": "duration"}))
    health.close()
    assert state_of(health) == ("ended", False)
    assert health.figures().report["ended"] == "duration"


def test_a_session_that_never_began_has_ended_too(health):
    health.close()
    assert state_of(health) == ("ended", False)


def test_the_report_has_the_figures_of_the_session(hand):
    receiver = Receiver()
    queue = QueuedSink(receiver, name="mqtt")
    health = decoding(Health(hand, [queue]))
    queue.open(INFO)
    queue.prediction(output_of())
    queue.close()
    health.event(Event("status", T_S, STATUS))
    hand.now_s = output_of().computed_s + 0.125
    report = dict(health.figures().report)
    assert report.pop("written") > 1.7e9
    assert report == {
        "healthy": True,
        "state": "ok",
        "ended": None,
        "pid": os.getpid(),
        "stream": "amplifier",
        "name": "sink-out",
        "bundle": "seizure µ",
        "engine": "onnx",
        "precision": "fp32",
        "prediction_age_s": 0.125,
        "alarm": STATUS["alarm"],
        "quality": 0.9375,
        "predictions": 1,
        "samples": 5120,
        "dropped": 2,
        "gaps": 1,
        "rate": 255.9,
        "latency": STATUS["latency"],
        "sinks": {"mqtt": {"sent": 1, "dropped": 0, "refused": 0, "waiting": 0}},
    }


# the file


def test_the_file_is_whole_whenever_it_is_read(tmp_path, health):
    path = tmp_path / "status.json"
    states = set()
    with HealthFile(path, health, every_s=0.001):
        decoding(health)
        wait_until(lambda: states.add(json.loads(path.read_text())["state"]) or {"ok"} <= states)
    assert json.loads(path.read_text())["state"] == "ended"
    assert [file.name for file in tmp_path.iterdir()] == ["status.json"]


def test_a_file_that_cannot_be_written_is_an_event_and_tried_again(tmp_path, health):
    folder = tmp_path / "run"
    folder.mkdir()
    told = []
    with HealthFile(folder / "status.json", health, every_s=0.001) as file:
        moved = folder.rename(tmp_path / "elsewhere")
        wait_until(lambda: told.extend(file.events()) or told)
        moved.rename(folder)
        wait_until(lambda: told.extend(file.events()) or len(told) > 1)
    assert [event.kind for event in told] == ["sink_failed", "sink_recovered"]
    assert told[0].fields["sink"] == "status-file"
    assert "No such file" in told[0].fields["reason"]


@pytest.mark.parametrize("name", ["missing/status.json", "."])
def test_a_file_that_can_never_be_written_is_refused(tmp_path, health, name):
    with pytest.raises(UsageError, match="--status-file needs a file in a folder that can be written, got"):
        HealthFile(tmp_path / name, health)


# the endpoint


@pytest.fixture
def server(health):
    with HealthServer(health, 0) as server:
        yield server


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def test_the_code_says_whether_it_is_healthy(server, health):
    code, headers, body = ask(server, "/health")
    assert (code, headers["Content-Type"]) == (503, "application/json")
    assert json.loads(body)["state"] == "starting"
    decoding(health)
    code, _, body = ask(server, "/health?verbose=1")
    assert code == 200
    report = json.loads(body)
    assert (report["state"], report["stream"], report["healthy"]) == ("ok", "amplifier", True)
    assert ask(server, "/health", "HEAD")[::2] == (200, "")


def test_metrics_are_what_prometheus_reads(server, health):
    decoding(health, State.ALARM)
    health.event(Event("status", T_S, STATUS))
    health.prediction(output_of(1, state=State.ALARM))
    health.event(Event("gap", T_S))
    code, headers, body = ask(server, "/metrics")
    assert code == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    values = {name: family.samples[0].value for name, family in families.items() if family.samples}
    assert (values["bci_healthy"], values["bci_state"]) == (1, 3)
    counts = {key: values[f"bci_{key}"] for key in ("predictions", "samples", "dropped", "gaps")}
    assert counts == {"predictions": 2, "samples": 5120, "dropped": 2, "gaps": 1}
    assert {s.labels["kind"]: s.value for s in families["bci_events"].samples} == {"status": 1, "gap": 1}
    assert families["bci_session_info"].samples[0].labels["stream"] == "amplifier"
    latency = [s for s in families["bci_latency_seconds"].samples if s.labels["stage"] == "total"]
    by_edge = {s.labels["le"]: s.value for s in latency if s.name.endswith("_bucket")}
    assert (by_edge["0.02"], by_edge["0.05"], by_edge["+Inf"]) == (0, 2, 2)  # 31 ms each
    assert next(s.value for s in latency if s.name.endswith("_sum")) == pytest.approx(0.062)


def test_metrics_before_the_first_prediction(server):
    code, _, body = ask(server, "/metrics")
    assert code == 200
    names = {family.name for family in text_string_to_metric_families(body)}
    assert "bci_healthy" in names
    assert not names & {"bci_state", "bci_quality", "bci_prediction_age_seconds"}


@pytest.mark.parametrize("path", ["/", "/health/", "/../etc/passwd", "/metrics%00", "/favicon.ico"])
def test_there_is_nothing_else(server, path):
    code, _, body = ask(server, path)
    assert code == 404
    assert json.loads(body) == {"error": "There are /health and /metrics."}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(server, method):
    assert ask(server, "/health", method)[0] == 501


def test_a_web_page_that_names_this_machine_otherwise_gets_nothing(server):
    """DNS rebinding: the browser of this machine sends the name that it was told."""
    assert ask(server, "/health", Host="evil.example")[0] == 403
    assert ask(server, "/metrics", Host=f"evil.example:{server.port}")[0] == 403
    for host in ("localhost", f"localhost:{server.port}", f"127.0.0.1:{server.port}"):
        assert ask(server, "/metrics", Host=host)[0] == 200


def test_it_listens_on_loopback_only_unless_told_otherwise(health):
    with HealthServer(health, 0) as server:
        assert server._server.server_address[0] == "127.0.0.1"
        assert server.describe() == f"health: http://127.0.0.1:{server.port}/health and /metrics"
    with HealthServer(health, 0, "0.0.0.0") as server:
        assert ask(server, "/metrics", Host="ward-server")[0] == 200


def test_a_client_that_says_nothing_holds_up_nobody(server, health):
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S):
        assert ask(server, "/health")[0] == 503
        decoding(health)  # the session's thread, too, is free
        assert ask(server, "/health")[0] == 200


@pytest.mark.parametrize("junk", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /health HTTP/9.9\r\n\r\n", b"A" * 70_000])
def test_what_is_no_request_does_not_end_it(server, junk):
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S) as connection:
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert ask(server, "/health")[0] == 503


def test_no_thread_is_left(health):
    before = threading.active_count()
    with HealthServer(health, 0) as server:
        ask(server, "/health")
    wait_until(lambda: threading.active_count() == before)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none(health, port):
    with pytest.raises(UsageError, match=rf"--http needs a port from 0 \(any free one\) to 65535, got {port}\."):
        HealthServer(health, port)


def test_a_port_that_is_taken(health, server):
    with pytest.raises(UsageError, match=r"needs an address of this machine and a port that is free, got 127\.0\.0\.1"):
        HealthServer(health, server.port)


def test_an_address_of_another_machine(health):
    with pytest.raises(UsageError, match=r"got 203\.0\.113\.1:0: .* Name another, or port 0 for any\."):
        HealthServer(health, 0, "203.0.113.1")


def test_without_the_library_the_extra_is_named(health, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError, match=r"--http needs prometheus-client, which is not .*streaming-bci\[service\]'"):
        HealthServer(health, 0)

"""`bci run` as a service: outputs, health and summary of one real session, and what its end leaves."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import sys
import time
import urllib.error
import urllib.request

import pytest
from pythonosc.osc_message import OscMessage

from tests.apps.test_run import Sender, finish, lines, model, start  # noqa: F401 - model is a fixture
from tests.bci.broker import MOSQUITTO, Broker, Listener

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(180)]

TIMEOUT_S = 180.0


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


def wait_for(condition):
    until = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)  # another process: nothing to wait on


def url_of(process):
    """Return where the endpoint of a starting session is."""
    line = next(line for line in process.stdout if line.startswith("health: "))
    return re.search(r"http://\S+:\d+", line).group()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_session_with_all_that_tells_of_it(model, tmp_path, number):  # noqa: F811
    """Healthy while it decodes; after a signal everything is flushed, closed and written."""
    status, summary, log = tmp_path / "status.json", tmp_path / "summary.json", tmp_path / "log.jsonl"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, Sender() as sender:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(TIMEOUT_S)
        options = ["--stream", sender.name, "--model", model, "--http", 0, "--status-file", status]
        options += ["--summary", summary, "--log", log, "--osc", f"127.0.0.1:{receiver.getsockname()[1]}"]
        process = start(*options)
        try:
            url = url_of(process)
            wait_for(lambda: get(f"{url}/health")[0] == 200)
            report = json.loads(get(f"{url}/health")[1])
            assert (report["stream"], report["healthy"]) == (sender.name, True)
            assert report["pid"] == process.pid
            assert "bci_healthy 1.0" in get(f"{url}/metrics")[1]
            wait_for(lambda: json.loads(status.read_text())["state"] == report["state"])
        finally:
            process.send_signal(number)
            returned, out, err = finish(process)
        assert (returned, err) == (0, "")
        indices = []
        while True:  # all was sent before the process ended
            message = OscMessage(receiver.recv(1 << 16))
            if message.address == "/bci/prediction":
                indices.append(message.params[1])
            elif message.params[0] == "ended":
                break
    predictions = [line for line in lines(log) if line["kind"] == "prediction"]
    assert indices == [line["index"] for line in predictions]
    assert json.loads(status.read_text())["state"] == "ended"
    written = json.loads(summary.read_text())
    assert written["ended"] == "stopped"
    assert written["counts"]["predictions"] == len(predictions)
    assert written["latency"]["total"]["count"] == len(predictions)
    assert written["sinks"]["osc"] == {
        "n_sent": len(predictions) + len(lines(log)) - 1 - len(predictions),
        "n_dropped": 0,
        "n_refused": 0,
        "n_left": 0,
    }
    assert f"Summary: {summary}" in out.replace("\n", "")
    assert not [file.name for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
def test_a_broker_that_dies_does_not_disturb_the_session(model, tmp_path):  # noqa: F811
    """Killed and started again while a session runs: predictions go on, the log says so, nothing is unaccounted for."""
    log = tmp_path / "log.jsonl"
    broker = Broker(tmp_path)
    broker.start()
    try:
        with Sender() as sender, Listener(broker.port, "ward") as listener:
            options = ["--stream", sender.name, "--model", model, "--log", log, "--no-view"]
            process = start(*options, "--mqtt", f"127.0.0.1:{broker.port}/ward")
            try:
                listener.wait_for(lambda heard: any(topic == "prediction" for topic, *_ in heard))
                listener.forget_subscription()
                broker.kill()
                wait_for(lambda: "sink_failed" in log.read_text())
                n_before = log.read_text().count('"kind": "prediction"')
                wait_for(lambda: log.read_text().count('"kind": "prediction"') >= n_before + 4)
                broker.start()
                listener.resubscribed()
                wait_for(lambda: "sink_recovered" in log.read_text())
                n_heard = len(listener.of("prediction"))
                listener.wait_for(lambda heard: sum(topic == "prediction" for topic, *_ in heard) > n_heard)
            finally:
                process.send_signal(signal.SIGTERM)
                returned, out, err = finish(process)
            listener.wait_for(lambda heard: heard[-1][:2] == ("state", "offline"))
    finally:
        broker.kill()
    assert returned == 0
    assert "sink_failed" in err  # a warning
    said = lines(log)
    indices = [line["index"] for line in said if line["kind"] == "prediction"]
    assert indices == list(range(len(indices)))  # no prediction is missing in the log
    failed = next(line for line in said if line["kind"] == "sink_failed")
    assert (failed["sink"], str(broker.port) in failed["reason"]) == ("mqtt", True)
    recovered = next(line for line in said if line["kind"] == "sink_recovered")
    assert recovered["away_s"] > 0
    assert f"mqtt: {len(said) - 1} sent, 0 dropped, 0 refused, 0 left." in out


def test_a_second_signal_ends_it_at_once(model):  # noqa: F811
    """For who will not wait: an output that hangs costs at most its patience, and less if asked."""
    with Sender() as sender:
        process = start("--stream", sender.name, "--model", model, "--http", 0)
        url = url_of(process)
        wait_for(lambda: json.loads(get(f"{url}/health")[1])["state"] != "starting")
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # both are there when it goes on
        process.send_signal(signal.SIGCONT)
        returned, _, err = finish(process)
    assert (returned, err) == (130, "bci: interrupted\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--http", "-1"], "--http needs a port from 0 (any free one) to 65535, got -1."),
        (["--http", "0", "--http-host", "203.0.113.1"], "--http needs an address of this machine"),
        (["--status-file", "nowhere/status.json"], "--status-file needs a file in a folder that can be written"),
        (["--summary", "nowhere/summary.json"], "--summary needs a file in a folder that can be written"),
        (["--summary", "pyproject.toml"], "--summary needs a file that does not exist yet, got pyproject.toml"),
        (["--osc", "9000"], "--osc needs HOST:PORT, with a port from 1 to 65535 and perhaps /PATH, got '9000'."),
        (["--mqtt", "broker/#"], "--mqtt needs a topic without the wildcards"),
    ],
    ids=itertools.chain.from_iterable([["http", "host", "status", "summary", "exists", "osc", "mqtt"]]),
)
def test_wrong_usage_is_refused_before_anything_starts(options, message):
    returned, out, err = finish(start("--stream", "nowhere", "--model", "nothing", *options))
    assert (returned, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_summary_that_cannot_be_written(tmp_path):
    from apps.service import write_summary
    from bci.errors import UsageError
    from bci.status import Summary

    with pytest.raises(UsageError, match=r"--summary needs a file that can be written, got .*: No such file"):
        write_summary(tmp_path / "gone" / "summary.json", Summary({}, {}, "stopped", False), ())


def test_nothing_of_it_is_loaded_when_it_is_not_asked_for():
    """MQTT, OSC and Prometheus are extras: a session without them must not need them."""
    import subprocess

    program = (
        "import sys\n"
        "for name in ('paho', 'pythonosc', 'prometheus_client'): sys.modules[name] = None\n"
        "from apps import cli\n"
        "sys.exit(cli.main(['run', '--stream', 'nowhere', '--model', 'nothing']))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "There is no bundle 'nothing'" in ended.stderr

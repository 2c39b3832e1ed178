"""MQTT against a real broker: what is published, what a dead broker costs, and that it is said."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bci.errors import UsageError
from bci.events import Event
from bci.sinks import mqtt_sink
from bci.sinks.address import Address
from bci.sinks.jsonl_sink import output_record, session_record
from bci.sinks.mqtt_sink import MqttSink
from bci.sinks.queued import QueuedSink
from tests.bci.broker import MOSQUITTO, Broker, Listener
from tests.bci.test_queued_sink import wait_until
from tests.bci.test_sinks import INFO, output_of

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.kill()


def as_json(record):
    return json.loads(json.dumps(record))


def test_what_is_published_is_the_log(broker):
    """The payloads are the lines of ``--log``; session and state stay for who comes later."""
    sink = MqttSink(Address("127.0.0.1", broker.port, "ward/bed3"))
    event = Event("gap", 1301.0, {"n_lost": 3})
    with Listener(broker.port, "ward/bed3") as listener:
        sink.open(INFO)
        sink.prediction(output_of())
        sink.event(event)
        listener.wait_for(lambda heard: len(heard) >= 4)
        assert [topic for topic, *_ in listener.heard] == ["session", "state", "prediction", "event"]
        assert json.loads(listener.of("session")[0]) == as_json(session_record(INFO))
        assert json.loads(listener.of("prediction")[0]) == as_json(output_record(output_of(), INFO.classes))
        assert listener.of("event") == [event.to_json()]
        with Listener(broker.port, "ward/bed3") as late:
            late.wait_for(lambda heard: len(heard) >= 2)
            assert {(topic, retained) for topic, _, retained in late.heard} == {("session", True), ("state", True)}
            assert late.of("state") == ["online"]
        sink.close()
        sink.close()
        listener.wait_for(lambda heard: heard[-1][:2] == ("state", "offline"))


def test_the_topic_is_the_name_of_the_prediction_stream(broker):
    sink = MqttSink(Address("127.0.0.1", broker.port))
    with Listener(broker.port, "bci") as listener:
        sink.open(INFO)
        sink.close()
        listener.wait_for(lambda heard: len(heard) >= 3)
        assert {topic for topic, *_ in listener.heard} == {"sink-out/session", "sink-out/state"}


def test_a_session_that_dies_is_offline(broker):
    """The last will: nobody takes the last prediction of a dead session for the newest."""
    program = (
        "import sys\n"
        "from bci.sinks.address import Address\n"
        "from bci.sinks.mqtt_sink import MqttSink\n"
        "from tests.bci.test_sinks import INFO\n"
        "sink = MqttSink(Address('127.0.0.1', int(sys.argv[1]), 'dies'))\n"
        "sink.open(INFO)\n"
        "sys.stdin.read()\n"
    )
    with Listener(broker.port, "dies") as listener:
        with subprocess.Popen([sys.executable, "-c", program, str(broker.port)], stdin=subprocess.PIPE) as process:
            try:
                listener.wait_for(lambda heard: ("state", "online", False) in heard)
            finally:
                process.kill()
        listener.wait_for(lambda heard: ("state", "offline", False) in heard)
    assert listener.of("state") == ["online", "offline"]


def test_a_broker_that_is_killed_and_comes_back(broker, monkeypatch):
    """Nothing waits, the outage is two events, and what was produced was published or counted."""
    monkeypatch.setattr(mqtt_sink, "ACKNOWLEDGED_WITHIN_S", 0.2)
    n_during = 30
    sink = QueuedSink(
        MqttSink(Address("127.0.0.1", broker.port, "ward")), name="mqtt", max_items=8, retry_s=0.02, close_within_s=20.0
    )
    told = []
    with Listener(broker.port, "ward") as listener:
        sink.open(INFO)
        for index in range(5):
            sink.prediction(output_of(index))
        listener.wait_for(lambda heard: len(heard) >= 7)
        listener.forget_subscription()
        broker.kill()
        for index in range(5, 5 + n_during):
            sink.prediction(output_of(index))
            sink.event(Event("gap", float(index)))
        wait_until(lambda: told.extend(sink.events()) or len(told) >= 2)
        assert sorted(event.kind for event in told) == ["sink_failed", "sink_overflow"]
        assert any(f"127.0.0.1:{broker.port}" in event.fields.get("reason", "") for event in told)
        broker.start()
        listener.resubscribed()
        wait_until(lambda: sink.delivery().n_left == 0)
        listener.wait_for(lambda heard: sum(topic == "event" for topic, *_ in heard) >= n_during)
        wait_until(lambda: told.extend(sink.events()) or told[-1].kind == "sink_recovered")
        sink.close()
        listener.wait_for(lambda heard: heard[-1][:2] == ("state", "offline"))
    delivery = sink.delivery()
    received = {json.loads(payload)["index"] for payload in listener.of("prediction")}
    assert received >= {0, 1, 2, 3, 4, 5 + n_during - 1}
    assert delivery.n_refused == delivery.n_left == 0
    assert delivery.n_sent + delivery.n_dropped == 5 + 2 * n_during
    assert len(received) <= 5 + n_during - delivery.n_dropped  # the listener may miss what came before it
    assert delivery.n_dropped >= n_during - 8 - 2
    assert len(set(listener.of("event"))) == n_during


def test_a_broker_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(mqtt_sink, "CONNECT_WITHIN_S", 0.3)
    sink = MqttSink(Address("127.0.0.1", Broker(tmp_path).port))
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:\d+ is away: no answer"):
        sink.open(INFO)
    with pytest.raises(ConnectionError, match="is away"):
        sink.prediction(output_of())
    sink.close()


def test_a_message_without_acknowledgement_is_not_published_twice(broker, monkeypatch):
    sink = MqttSink(Address("127.0.0.1", broker.port, "ward"))
    output = output_of()
    with Listener(broker.port, "ward") as listener:
        sink.open(INFO)
        monkeypatch.setattr(mqtt_sink, "ACKNOWLEDGED_WITHIN_S", 0.05)
        broker.pause()
        for _ in range(3):
            with pytest.raises(ConnectionError, match=r"has not acknowledged a message in 0\.05 s"):
                sink.prediction(output)
        broker.resume()
        monkeypatch.setattr(mqtt_sink, "ACKNOWLEDGED_WITHIN_S", 20.0)
        sink.prediction(output)
        sink.event(Event("gap", 1.0))
        listener.wait_for(lambda heard: heard[-1][0] == "event")
        assert len(listener.of("prediction")) == 1
    sink.close()


def test_user_and_password_come_from_the_environment(tmp_path, monkeypatch):
    passwords = tmp_path / "passwords"
    tool = MOSQUITTO.replace("sbin", "bin") + "_passwd"
    made = subprocess.run([tool, "-b", "-c", passwords, "nurse", "secret"], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mosquitto_passwd does not work here")
    broker = Broker(tmp_path, passwords)
    try:
        broker.start()
        monkeypatch.setattr(mqtt_sink, "CONNECT_WITHIN_S", 1.0)
        stranger = MqttSink(Address("127.0.0.1", broker.port, "ward"))
        with pytest.raises(ConnectionError, match="is away: Not authorized"):
            stranger.open(INFO)
        stranger.close()
        monkeypatch.setenv("BCI_MQTT_USER", "nurse")
        monkeypatch.setenv("BCI_MQTT_PASSWORD", "secret")
        monkeypatch.setattr(mqtt_sink, "CONNECT_WITHIN_S", 20.0)
        known = MqttSink(Address("127.0.0.1", broker.port, "ward"))
        known.open(INFO)
        known.close()
    finally:
        broker.kill()


@pytest.mark.parametrize("path", ["+", "ward/#", "a\0b"])
def test_a_topic_with_wildcards_is_refused(path):
    with pytest.raises(UsageError, match=r"needs a topic without the wildcards \+ and #, got"):
        MqttSink(Address("127.0.0.1", 1883, path))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(
        UsageError, match=r"--mqtt needs paho-mqtt, which is not installed\. .*streaming-bci\[outputs\]"
    ):
        MqttSink(Address("127.0.0.1", 1883))

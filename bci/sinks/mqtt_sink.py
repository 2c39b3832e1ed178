"""Predictions and events as JSON on an MQTT broker; the layout is in ``docs/outputs.md``."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from typing import Any

from bci.errors import UsageError
from bci.events import Event
from bci.sinks.address import Address, missing
from bci.sinks.base import Output, SessionInfo
from bci.sinks.jsonl_sink import output_record, session_record

DEFAULT_PORT = 1883
USER_VARIABLE = "BCI_MQTT_USER"
PASSWORD_VARIABLE = "BCI_MQTT_PASSWORD"
KEEPALIVE_S = 15  # a broker says `offline` for us after 1.5 times this without a sign of life
CONNECT_WITHIN_S = 5.0
ACKNOWLEDGED_WITHIN_S = 2.0
LEAVE_WITHIN_S = 0.5
RECONNECT_S = (1, 10)
QOS = 1  # at least once: the broker acknowledges each message


class MqttSink:
    """Publish ``TOPIC/state``, ``TOPIC/session``, ``TOPIC/prediction`` and ``TOPIC/event``.

    Each call waits for the broker's acknowledgement, so put a `QueuedSink` before it. The library connects again by
    itself; until then calls raise `ConnectionError`. A message that was handed over and not acknowledged is not
    published a second time when its call is repeated: the library sends it again by itself.

    Parameters
    ----------
    address : Address
        Broker; its path is the topic, ``bci/NAME`` if empty, with NAME of the prediction stream.

    Raises
    ------
    UsageError
        If the topic has wildcards, or paho-mqtt is not installed.
    """

    def __init__(self, address: Address) -> None:
        if any(sign in address.path for sign in "+#\0"):
            raise UsageError(f"--mqtt needs a topic without the wildcards + and #, got {address.path!r}.")
        try:
            import paho.mqtt.client as mqtt
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise missing("--mqtt", "paho-mqtt", "outputs") from error
        self._address, self._topic = address, address.path
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._greet
        self._client.on_disconnect = self._note_loss
        self._client.on_publish = lambda _client, _data, number, *_: self._acknowledged.put(number)
        self._acknowledged: queue.SimpleQueue[int] = queue.SimpleQueue()  # message numbers; filled by the library
        self._connected = threading.Event()
        self._reason = "no answer"
        self._classes: tuple[str, ...] = ()
        self._session = ""
        self._waiting: tuple[object, int] | None = None  # what was handed over last, and its number
        self._running = False

    def open(self, info: SessionInfo) -> None:
        """Connect; may be called again until it succeeds.

        Raises
        ------
        ConnectionError
            If the broker does not answer in time, or refuses.
        """
        if not self._running:
            self._classes = info.classes
            self._session = json.dumps(session_record(info), allow_nan=False)
            self._topic = self._topic or f"bci/{_level(info.name)}"
            self._client.will_set(f"{self._topic}/state", "offline", QOS, retain=True)
            if user := os.environ.get(USER_VARIABLE):
                self._client.username_pw_set(user, os.environ.get(PASSWORD_VARIABLE))
            self._client.reconnect_delay_set(*RECONNECT_S)
            self._client.connect_async(self._address.host, self._address.port, KEEPALIVE_S)
            self._client.loop_start()
            self._running = True
        self._connected.wait(CONNECT_WITHIN_S)
        self._need_connection()

    def prediction(self, output: Output) -> None:
        """Publish one prediction.

        Raises
        ------
        ConnectionError
            If the broker is away or does not acknowledge it in time.
        """
        self._publish(output, "prediction", output_record(output, self._classes))

    def event(self, event: Event) -> None:
        """Publish one event.

        Raises
        ------
        ConnectionError
            If the broker is away or does not acknowledge it in time.
        """
        self._publish(event, "event", {"kind": event.kind, "t": event.time, **event.fields})

    def close(self) -> None:
        """Say ``offline`` and leave."""
        if not self._running:
            return
        self._running = False
        if self._connected.is_set():
            number = self._client.publish(f"{self._topic}/state", "offline", QOS, retain=True).mid
            with contextlib.suppress(ConnectionError):  # the broker says it for us when we are gone
                self._wait(number, LEAVE_WITHIN_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, item: object, name: str, record: dict[str, Any]) -> None:
        self._need_connection()
        if self._waiting is None or self._waiting[0] is not item:
            text = json.dumps(record, allow_nan=False)
            self._waiting = (item, self._client.publish(f"{self._topic}/{name}", text, QOS).mid)
        self._wait(self._waiting[1], ACKNOWLEDGED_WITHIN_S)
        self._waiting = None

    def _wait(self, number: int, timeout_s: float) -> None:
        """Wait for an acknowledgement."""
        until = time.monotonic() + timeout_s
        try:
            while self._acknowledged.get(timeout=max(0.0, until - time.monotonic())) != number:
                pass  # of the greeting
        except queue.Empty:
            raise ConnectionError(f"{self._address} has not acknowledged a message in {timeout_s:g} s") from None

    def _need_connection(self) -> None:
        if not self._connected.is_set():
            raise ConnectionError(f"{self._address} is away: {self._reason}")

    def _greet(self, _client: object, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        """Say who is there, at each connection: a broker that has restarted may have forgotten it."""
        if reason.is_failure:
            self._reason = str(reason)
            return
        self._client.publish(f"{self._topic}/session", self._session, QOS, retain=True)
        self._client.publish(f"{self._topic}/state", "online", QOS, retain=True)
        self._connected.set()

    def _note_loss(self, _client: object, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if self._connected.is_set():  # else it has refused us, and has said why
            self._connected.clear()
            self._reason = str(reason)


def _level(name: str) -> str:
    """Return a stream's name as one level of a topic."""
    return "".join("_" if sign in "+#/\0" else sign for sign in name)

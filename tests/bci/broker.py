"""A real MQTT broker on a free loopback port, and a client that keeps what it hears."""

from __future__ import annotations

import getpass
import shutil
import signal
import socket
import subprocess
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

TIMEOUT_S = 60.0
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Broker:
    """A mosquitto process; `kill` it and `start` it again on the same port.

    Parameters
    ----------
    folder : Path
        For its settings.
    passwords : Path or None, default=None
        File of users; None lets everybody in.
    """

    def __init__(self, folder, passwords=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        access = "allow_anonymous true" if passwords is None else f"allow_anonymous false\npassword_file {passwords}"
        self._settings = folder / "mosquitto.conf"
        # the user: one that root starts would become another, who cannot read the passwords
        lines = (f"listener {self.port} 127.0.0.1", access, "persistence false", f"user {getpass.getuser()}")
        self._settings.write_text("\n".join(lines) + "\n")
        self._process = None

    def start(self):
        """Run it, and wait until it listens."""
        self._process = subprocess.Popen([MOSQUITTO, "-c", self._settings], stderr=subprocess.DEVNULL)
        until = time.monotonic() + TIMEOUT_S
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", self.port)):
                assert time.monotonic() < until, "mosquitto did not start"
                threading.Event().wait(0.01)

    def pause(self):
        """Let it keep its connections and answer nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        """Let it answer again."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        """End it without a word, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Listener:
    """A subscriber to everything below a topic; connects again by itself."""

    def __init__(self, port, topic, user=None, password=None):
        self.heard = []
        self._arrived = threading.Condition()
        self._subscribed = threading.Event()
        self._topic = topic
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(user, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topic}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self):
        assert self._subscribed.wait(TIMEOUT_S)
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client, _data, message):
        with self._arrived:
            self.heard.append((message.topic.removeprefix(f"{self._topic}/"), message.payload.decode(), message.retain))
            self._arrived.notify_all()

    def wait_for(self, condition):
        """Wait until `condition` holds for what was heard."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: condition(self.heard), TIMEOUT_S), self.heard[-5:]

    def of(self, name):
        """Return the payloads of one topic."""
        with self._arrived:
            return [payload for topic, payload, _ in self.heard if topic == name]

    def forget_subscription(self):
        """Prepare for a broker that starts anew; `resubscribed` waits for it."""
        self._subscribed.clear()

    def resubscribed(self):
        assert self._subscribed.wait(TIMEOUT_S)

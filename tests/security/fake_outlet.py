"""A sender that speaks LSL's discovery and lies in its description: raw XML, which no library has escaped."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid

from tests.conftest import LSL_CONFIG, lsl_ports

SHORT = """<?xml version="1.0"?>
<info><name>{name}</name><type>EEG</type><channel_count>{n}</channel_count><channel_format>float32</channel_format>
<source_id>fake</source_id><nominal_srate>128</nominal_srate><version>1.1</version><created_at>1</created_at><uid>{uid}</uid>
<session_id>{session}</session_id><hostname>fake</hostname><v4address>127.0.0.1</v4address><v4data_port>{port}</v4data_port>
<v4service_port>{port}</v4service_port><v6address></v6address><v6data_port>0</v6data_port><v6service_port>0</v6service_port>
{desc}</info>"""


class FakeOutlet:
    """Context manager that answers queries for `name`, and requests for the description with `desc` as it stands.

    Parameters
    ----------
    name : str
        Its name, as raw XML.
    desc : str
        What stands for ``<desc>…</desc>``, as raw XML.
    n_channels : int, default=3
        What it says to have.
    """

    def __init__(self, name, desc, n_channels=3):
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._tcp.settimeout(0.1)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.settimeout(0.1)
        for port in lsl_ports():  # where LSL looks for outlets
            with contextlib.suppress(OSError):
                self._udp.bind(("127.0.0.1", port))
                break
        self._session = LSL_CONFIG.read_text().partition("SessionID = ")[2].split()[0]
        fields = {"name": name, "n": n_channels, "uid": uuid.uuid4(), "session": self._session}
        port = self._tcp.getsockname()[1]
        self._short = SHORT.format(desc="<desc />", port=port, **fields).encode()
        self._full = SHORT.format(desc=desc, port=port, **fields).encode()
        self._done = threading.Event()
        self.n_asked = 0
        self._threads = [threading.Thread(target=task) for task in (self._answer_queries, self._describe)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        for thread in self._threads:
            thread.join()
        self._tcp.close()
        self._udp.close()

    def _answer_queries(self):
        while not self._done.is_set():
            with contextlib.suppress(OSError):
                packet, (host, _) = self._udp.recvfrom(65536)
                lines = packet.decode(errors="replace").split("\r\n")
                if lines[0] == "LSL:shortinfo" and self._session in lines[1]:  # other runs have their own network
                    port, query = lines[2].split()
                    self._udp.sendto(query.encode() + b"\r\n" + self._short, (host, int(port)))

    def _describe(self):
        while not self._done.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self._tcp.accept()
                with connection:
                    connection.settimeout(5)
                    if connection.recv(4096).startswith(b"LSL:fullinfo"):
                        self.n_asked += 1
                        connection.sendall(self._full)

"""OSC: what a real UDP receiver gets is what docs/outputs.md says."""

from __future__ import annotations

import dataclasses
import json
import math
import socket
import sys

import pytest
from pythonosc.osc_message import OscMessage

from bci.decision import State
from bci.errors import SpecError, UsageError
from bci.events import Event
from bci.sinks.address import Address, parse_address
from bci.sinks.osc_sink import OscSink
from tests.bci.test_sinks import INFO, output_of

TIMEOUT_S = 60.0


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(TIMEOUT_S)
        yield receiver


@pytest.fixture
def sink(receiver):
    sink = OscSink(Address("127.0.0.1", receiver.getsockname()[1]))
    yield sink
    sink.close()


def heard(receiver):
    """Return the next message: address, kinds of its arguments, arguments."""
    packet = receiver.recv(1 << 16)
    message = OscMessage(packet)
    kinds = packet[packet.index(b",") + 1 :].split(b"\0", 1)[0].decode()
    return message.address, kinds, message.params


def test_the_session_names_the_classes(sink, receiver):
    sink.open(INFO)
    address, kinds, (described, *classes) = heard(receiver)
    assert (address, kinds) == ("/bci/session", "sss")
    assert json.loads(described) == {"kind": "session", **dataclasses.asdict(INFO), "classes": list(INFO.classes)}
    assert classes == ["background", "seizure"]


def test_a_prediction_has_its_numbers_in_fixed_places(sink, receiver):
    sink.open(INFO)
    heard(receiver)
    sink.prediction(output_of(index=3, time=123456.000244140625))
    address, kinds, values = heard(receiver)
    assert (address, kinds) == ("/bci/prediction", "dhiff" + "f" + "ff")
    time, index, state, level, quality, compute_ms, *probabilities = values
    assert time == 123456.000244140625  # a double: the stamp is exact
    assert (index, state) == (3, State.ALARM)
    assert level == pytest.approx(0.6)
    assert quality == 0.9375
    assert compute_ms == pytest.approx(20.0, rel=1e-3)
    assert probabilities == [0.25, 0.75]


def test_a_network_that_overflowed_sends_no_number(sink, receiver):
    sink.open(INFO)
    heard(receiver)
    sink.prediction(output_of(probabilities=(math.nan, math.nan), state=State.FAULT))
    *_, first, second = heard(receiver)[2]
    assert math.isnan(first)
    assert math.isnan(second)


def test_an_event_is_its_kind_its_time_and_json(sink, receiver):
    sink.open(INFO)
    heard(receiver)
    event = Event("gap", 1301.0, {"n_lost": 3, "filled": True})
    sink.event(event)
    assert heard(receiver) == ("/bci/event", "sds", ["gap", 1301.0, event.to_json()])


def test_who_comes_late_hears_the_session_with_the_next_status(sink, receiver):
    sink.open(INFO)
    first = heard(receiver)
    sink.event(Event("status", 1302.0))
    assert heard(receiver) == first
    assert heard(receiver)[2][0] == "status"


def test_a_prefix_can_be_given(receiver):
    sink = OscSink(parse_address(f"localhost:{receiver.getsockname()[1]}/ward/bed-3/", "--osc"))
    sink.open(INFO)
    sink.event(Event("gap", 1.0))
    sink.close()
    sink.close()
    assert [heard(receiver)[0] for _ in range(2)] == ["/ward/bed-3/session", "/ward/bed-3/event"]


def test_nobody_listening_is_no_error(receiver):
    port = receiver.getsockname()[1]
    receiver.close()
    sink = OscSink(Address("127.0.0.1", port))
    sink.open(INFO)
    for index in range(10):
        sink.prediction(output_of(index))
    sink.close()


def test_a_host_without_an_address_is_away(monkeypatch):
    """An `OSError`: the queue before it asks again."""

    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    sink = OscSink(Address("ward.invalid", 9000))
    with pytest.raises(OSError, match="Name or service not known"):
        sink.open(INFO)
    sink.close()


def test_what_does_not_fit_into_a_packet_is_refused(sink):
    sink.open(INFO)
    with pytest.raises(SpecError, match=r"must fit into a UDP packet of 65507 bytes, got \d+ for event"):
        sink.event(Event("note", 1.0, {"text": "x" * 70_000}))


@pytest.mark.parametrize("path", ["with space", "a*", "a//b", "ä", "a?", "{a}"])
def test_a_prefix_that_is_no_osc_address_is_refused(path):
    with pytest.raises(UsageError, match=r"needs a prefix of letters, digits, .*Write for example"):
        OscSink(Address("127.0.0.1", 9000, path))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythonosc.osc_message_builder", None)
    with pytest.raises(UsageError, match=r"needs python-osc, which is not installed\. Install it: pip install 'stre"):
        OscSink(Address("127.0.0.1", 9000))


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("127.0.0.1:9000", Address("127.0.0.1", 9000), "127.0.0.1:9000"),
        ("ward-7.local:9000/a/b/", Address("ward-7.local", 9000, "a/b"), "ward-7.local:9000"),
        ("[::1]:9000/a", Address("::1", 9000, "a"), "[::1]:9000"),
        ("broker", Address("broker", 1883), "broker:1883"),
        ("broker/a", Address("broker", 1883, "a"), "broker:1883"),
    ],
)
def test_addresses(text, address, shown):
    assert parse_address(text, "--mqtt", 1883) == address
    assert str(address) == shown


@pytest.mark.parametrize(
    "text", ["", ":9000", "host:", "host:0", "host:65536", "host:x", "ho st:9", "u:p@host:9", "::1"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(UsageError, match=r"--mqtt needs HOST or HOST:PORT \(default 1883\) and perhaps /PATH, got"):
        parse_address(text, "--mqtt", 1883)


def test_a_port_without_default_must_be_given():
    with pytest.raises(UsageError, match="--osc needs HOST:PORT, with a port from 1 to 65535 and perhaps /PATH"):
        parse_address("host", "--osc")

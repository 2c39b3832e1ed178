"""One LSL stream as a source: units, stamps, markers, and refusals that name the remedy."""

from __future__ import annotations

import logging
import math
import time

import numpy as np
import pylsl
import pytest

from bci.errors import ChannelMismatch, StreamError, StreamLost, UsageError
from bci.sources.lsl_source import LslSource, parse_marker
from tests.bci.lsl_tools import names, opened, outlet, read_all


@pytest.mark.lsl
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": ("", "")}, r"must state the unit of its channels .* got a \(none\), b \(none\)\. .* --unit uV"),
        ({"units": ("g", "")}, r"must state the unit of its channels .* got a \(g\), b \(none\)\. .* --unit uV"),
        ({"labels": ("", ""), "units": ("", "")}, r"must name its 2 channels .* got 0 names"),
        ({"labels": ("a", ""), "units": ("uV", "uV")}, r"must name its 2 channels .* got 1 names"),
        ({"labels": ("a", "a")}, r"different channel names, got repeated: a\."),
        ({"sfreq": 0.0}, r"must carry numbers at a regular rate, got float32 at 0 Hz"),
        ({"form": "string"}, r"must carry numbers at a regular rate, got string at 250 Hz"),
    ],
)
def test_a_stream_that_cannot_be_used_names_the_remedy(options, message):
    name = next(names)
    there = outlet(name, **options)
    with pytest.raises(ChannelMismatch, match=message):
        LslSource(name).open()
    del there


@pytest.mark.lsl
@pytest.mark.parametrize(
    ("units", "unit", "kept", "factors", "left_out"),
    [
        (("mV", "uV", ""), "V", "EMX", [1e3, 1, 1e6], ""),
        (("T", "fT/cm", ""), "fT", "EMX", [1e15, 1, 1], ""),
        (("mV", "g", ""), None, "E", [1e3], "not in volts are left out: M (g), X (none)"),
        (("fT", "g", "T"), None, "EX", [1, 1e15], "not in tesla are left out: M (g)"),
        (("fT", "uV", "T"), None, "M", [1], "not in volts are left out: E (fT), X (T)"),
        (("fT", "uV", "T"), "fT", "EX", [1, 1e15], "not in tesla are left out: M (uV)"),
        (("fT", "fT", "T"), "uV", "EMX", [1, 1, 1e15], ""),
        (("uV", "counts", "uV"), "nV", "EMX", [1, 1e-3, 1], ""),
    ],
)
def test_channels_that_cannot_be_used_are_left_out(units, unit, kept, factors, left_out, caplog):
    """One accelerometer or trigger must not cost the EEG beside it."""
    name = next(names)
    there = outlet(name, labels=("E", "M", "X"), units=units, form="double64")
    with caplog.at_level(logging.WARNING), opened(name, unit=unit) as (source, info):
        columns = ["EMX".index(label) for label in kept]
        assert info.signal.names == tuple(kept)
        assert info.signal.unit == ("uV" if info.units[0] == "uV" else "fT")
        assert len(info.types) == len(info.units) == len(kept)
        values = np.array([[0.0123, 3e-13, 5e-5], [-1.5, -2e-12, 1e-7]])
        there.push_chunk(values, [1.0, 1.5])
        _, data, stamps, _ = read_all(source, until=lambda _: source.n_received == 2)
        assert data.dtype == np.float32
        np.testing.assert_array_equal(data, (values[:, columns] * factors).T.astype(np.float32))
        np.testing.assert_allclose(stamps, [1.0, 1.5], rtol=0, atol=1e-3)  # raw and clock offset, however odd
    assert left_out in caplog.text
    assert bool(caplog.messages) == bool(left_out)


def test_a_unit_that_is_none_is_refused_before_the_stream_is_looked_for():
    with pytest.raises(UsageError, match=r"--unit needs a voltage .* got 'foo'\. EEG is mostly in uV"):
        LslSource("absent", unit="foo")


@pytest.mark.lsl
@pytest.mark.parametrize(("stamp", "shown"), [(math.inf, "inf"), (math.nan, "nan"), (-1.8e18, r"-1\.8e\+18")])
def test_stamps_that_are_no_seconds_are_refused(stamp, shown):
    name = next(names)
    there = outlet(name)
    markers = pylsl.StreamOutlet(pylsl.StreamInfo(f"{name}-annotations", "Markers", 1, 0, "string", "m"))
    with opened(name) as (source, _):
        markers.push_sample(['{"kind": "loop"}'], math.nan)
        there.push_chunk(np.zeros((2, 2), np.float32), [1.0, 2.0])
        assert not read_all(source, until=lambda _: source.n_received == 2)[3]
        there.push_sample([0.0, 0.0], stamp)
        message = rf"must stamp .* finite times, in seconds, got {shown} for sample 2\. Correct the stamps"
        with pytest.raises(StreamError, match=message):
            source.read(5.0)


def test_a_stream_that_was_never_open_cannot_be_found_again():
    with pytest.raises(StreamLost, match="must have been open to be found again"):
        LslSource("nobody").reopen(0.0, lambda info: None)


@pytest.mark.lsl
def test_a_silent_stream_gives_empty_reads_and_a_closed_one_an_error():
    name = next(names)
    there = outlet(name, form="int16")
    with opened(name) as (source, _):
        received = source.read(0.05)
        assert (received.data.shape, received.times.shape, received.ended) == ((2, 0), (0,), False)
        there.push_chunk(np.arange(4, dtype=np.int16).reshape(2, 2), [5.0, 5.1])
        data = read_all(source, until=lambda _: source.n_received == 2)[1]
        np.testing.assert_array_equal(data, [[0, 2], [1, 3]])
    with pytest.raises(StreamLost, match="must be open to be read, got a closed one"):
        source.read(0.0)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"T1",
        b"[1]",
        b'"end"',
        b"{}",
        b'{"kind": 1}',
        b'{"kind": "end"}',
        b'{"kind": "end", "n_samples": "12"}',
        b'{"kind": "end", "n_samples": -1}',
        b'{"kind": "end", "n_samples": true}',
        b'{"kind": "end", "n_samples": 1e400}',
        b"[" * 60000,
        b'{"kind": "x", "y": "' + b"z" * 70000 + b'"}',
        b'\xff\xfe{"kind": "x"}',
    ],
)
def test_what_is_no_marker_is_none(text):
    assert parse_marker(text, 1.0) is None


@pytest.mark.lsl
def test_markers_of_a_stranger_are_checked():
    """A companion stream needs no replay, and what it says is not trusted."""
    name = next(names)
    there = outlet(name)
    markers = pylsl.StreamOutlet(pylsl.StreamInfo(f"{name}-annotations", "Markers", 1, 0, "string", "m"))
    with opened(name) as (source, info):
        assert info.annotated
        markers.push_sample(["Mühe".encode("latin-1")], 7.0)
        for text in ("no json", '{"kind": "annotation", "description": "ok"}', '{"kind": "end", "n_samples": 2}'):
            markers.push_sample([text], 7.0)
        there.push_chunk(np.zeros((2, 2), np.float32), [7.0, 8.0])
        _, data, stamps, found = read_all(source)
        assert [(m.kind, m.fields) for m in found] == [("annotation", {"description": "ok"}), ("end", {"n_samples": 2})]
        assert {m.time for m in found} == {stamps[0]}
        assert data.shape == (2, 2)


def wait_for_samples(source, n):
    deadline = time.monotonic() + 60.0
    while source._inlet.samples_available() < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.lsl
@pytest.mark.parametrize("n_read", [3, 5])
def test_samples_that_wait_when_their_sender_leaves_are_told(n_read, caplog):
    """A session that is behind must not take the loss of its backlog for an ordinary end."""
    name = next(names)
    there = outlet(name)
    markers = pylsl.StreamOutlet(pylsl.StreamInfo(f"{name}-annotations", "Markers", 1, 0, "string", "m"))
    with caplog.at_level(logging.WARNING), opened(name) as (source, _):
        there.push_chunk(np.zeros((n_read, 2), np.float32), np.arange(7.0, 7.0 + n_read).tolist())
        read_all(source, until=lambda _: source.n_received == n_read)
        markers.push_sample(['{"kind": "end", "n_samples": 6}'], 12.0)
        read_all(source, until=lambda received: received.markers)
        for stamp in range(7 + n_read, 12):
            there.push_sample([0.0, 0.0], float(stamp))
        wait_for_samples(source, 5 - n_read)  # an outlet that goes takes with it what it has not sent
        del there
        wait_for_samples(source, 6 - n_read)  # one stands for the loss
        assert source.read(5.0).ended
    assert ("with 2 samples unread. Let the sender wait longer" in caplog.text) == (n_read == 3)

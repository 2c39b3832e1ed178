"""LSL between processes: what is replayed arrives as it is in the file; what cannot be used is refused."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import math
import re
import signal
import subprocess
import sys
import threading

import mne
import numpy as np
import pylsl
import pytest

from bci.errors import ChannelMismatch, SpecError, StreamError, StreamLost, StreamNotFound, UsageError
from bci.sources.lsl_discovery import list_streams, predicate, printable
from bci.sources.lsl_player import recording_player
from bci.sources.lsl_source import ClockOffset, LslSource, parse_marker
from bci.sources.patient_source import PatientFeed, patient_player
from bci.sources.player import PlayerSettings
from bci.sources.recording import open_recording
from bci.sources.simulated_patient import PatientSpec, SimulatedPatient

SFREQ = 250.0
N_SAMPLES = 1000
NOTES = [(0.0, 0.0, "start"), (1.2, 0.5, "T1"), (2.6, 0.0, "T2")]
BCI = [sys.executable, "-m", "apps"]
names = (f"test-{i}" for i in itertools.count())


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recordings") / "patient one_raw.fif"
    volts = np.random.default_rng(1).normal(0, 20e-6, (5, N_SAMPLES))
    info = mne.create_info(["Fp1", "C3", "Cz", "C4", "O2"], SFREQ, "eeg", verbose="error")
    raw = mne.io.RawArray(volts, info, verbose="error")
    raw.set_annotations(mne.Annotations(*zip(*NOTES, strict=True)), verbose="error")
    raw.save(path, verbose="error")
    return open_recording(path)


@contextlib.contextmanager
def replay(recording, *options, name=None):
    """Run `bci replay` in its own process; it is ended in any case."""
    name = name or next(names)
    command = [*BCI, "replay", str(recording.path), "--name", name, *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield name, process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def opened(query, **options):
    source = LslSource(query, **options)
    try:
        yield source, source.open()
    finally:
        source.close()


def read_all(source, until=lambda received: received.ended):
    parts = [source.read(5.0)]
    while not until(parts[-1]):
        parts.append(source.read(5.0))
    data = np.concatenate([p.data for p in parts], axis=1)
    return parts, data, np.concatenate([p.times for p in parts]), [m for p in parts for m in p.markers]


def outlet(name, labels=("a", "b"), units=("uV", "uV"), sfreq=SFREQ, form="float32", source_id=None, kind="EEG"):
    """Return an outlet in this process, described as a device app might."""
    info = pylsl.StreamInfo(name, kind, len(labels), sfreq, form, source_id or f"sid-{name}")
    if any(labels):
        channels = info.desc().append_child("channels")
        for label, unit in zip(labels, units, strict=True):
            channel = channels.append_child("channel")
            if label:
                channel.append_child_value("label", label)
            if unit:
                channel.append_child_value("unit", unit)
    return pylsl.StreamOutlet(info)


@pytest.mark.lsl
@pytest.mark.parametrize("chunk_size", [1, 8, 1000])
def test_a_replay_delivers_the_file_sample_by_sample(recording, chunk_size):
    speed = 2.0
    options = ("--chunk-size", chunk_size, "--speed", speed, "--wait")
    with replay(recording, *options) as (name, process), opened(name) as (source, info):
        parts, data, stamps, markers = read_all(source)
        source.close()
        assert process.wait(timeout=5) == 0  # it stays no longer than its consumer
        assert f"replayed {N_SAMPLES} samples" in process.stdout.read()
    assert (info.signal, info.speed, info.n_samples, info.annotated) == (recording.signal, speed, N_SAMPLES, True)
    assert (info.types, info.units) == (recording.types, recording.units)
    assert info.source_id.startswith("bci-")
    np.testing.assert_array_equal(data, recording.read(0, N_SAMPLES))
    np.testing.assert_allclose(np.diff(stamps) * speed * SFREQ, 1, atol=0.1)  # the clock offset moves a little
    np.testing.assert_allclose(stamps[-1] - stamps[0], (N_SAMPLES - 1) / (speed * SFREQ), atol=1e-3)
    received = [p for p in parts if p.times.size]
    assert all(p.received_s > p.times.max() for p in received)  # no sample from the future
    assert all(np.abs(p.offset_s) < 0.005 for p in received)  # one machine, one clock
    *notes, end = markers
    assert (end.kind, end.fields) == ("end", {"n_samples": N_SAMPLES})
    assert [(m.kind, m.fields) for m in notes] == [
        ("annotation", {"description": text, "duration": duration}) for _, duration, text in NOTES
    ]
    assert [m.time for m in notes] == [stamps[round(onset * SFREQ)] for onset, _, _ in NOTES]


@pytest.mark.lsl
def test_the_description_of_a_replay(recording):
    with replay(recording, "--wait", "--speed", "1.5", "--start", 1, "--stop", 3) as (name, process):
        found = pylsl.resolve_bypred(f"name='{name}'", 1, 10.0)[0]
        info = pylsl.StreamInlet(found, recover=False).info(5.0)
        marker = pylsl.resolve_bypred(f"name='{name}-annotations'", 1, 10.0)[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
    assert (info.type(), info.nominal_srate(), info.channel_count()) == ("EEG", SFREQ, 5)
    assert info.get_channel_labels() == list(recording.signal.names)
    assert (info.get_channel_units(), info.get_channel_types()) == (["uV"] * 5, ["eeg"] * 5)
    described = info.desc().child("replay")
    keys = ("speed", "file", "n_samples", "first_sample")
    assert [described.child_value(key) for key in keys] == ["1.5", "patient one_raw.fif", "500", "250"]
    assert (marker.type(), marker.nominal_srate(), marker.channel_count()) == ("Markers", 0.0, 1)
    assert marker.source_id() == f"{info.source_id()}-annotations"


@pytest.mark.lsl
@pytest.mark.parametrize(("start_s", "first"), [(0.0, 100), (0.2, 100), (0.5, 125)])
def test_the_first_sample_is_the_first_that_is_sent(tmp_path, start_s, first):
    """A file that begins with a gap is counted from its start, what a consumer gets from the end of the gap."""
    info = mne.create_info(["C3"], SFREQ, "eeg", verbose="error")
    raw = mne.io.RawArray(np.full((1, N_SAMPLES), 1e-6), info, verbose="error")
    raw.set_annotations(mne.Annotations([0.0], [0.4], ["BAD_ACQ_SKIP"]), verbose="error")
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    name = next(names)
    player = recording_player(open_recording(tmp_path / "a_raw.fif"), name, PlayerSettings(start_s=start_s))
    described = pylsl.StreamInlet(pylsl.resolve_byprop("name", name, 1, 5.0)[0]).info(5.0).desc().child("replay")
    player.stop()
    player.run()
    assert described.child_value("first_sample") == str(first)


@pytest.mark.lsl
@pytest.mark.parametrize("chunk_size", [1, 8])
def test_a_loop_is_announced_before_its_samples(recording, chunk_size):
    options = ("--chunk-size", chunk_size, "--start", 1, "--stop", 1.4, "--loop", "--wait")
    with replay(recording, *options) as (name, _), opened(name) as (source, _):
        parts, data, stamps, markers = read_all(source, until=lambda _: source.n_received > 350)
    piece = recording.read(250, 350)
    np.testing.assert_array_equal(data, np.tile(piece, 5)[:, : data.shape[1]])
    np.testing.assert_allclose(np.diff(stamps) * SFREQ, 1, atol=0.1)
    loops = [m for m in markers if m.kind == "loop"]
    assert len(loops) >= 3
    assert loops[0].fields == {}
    assert [m.time for m in loops if m.time <= stamps[-1]] == stamps[100::100].tolist()
    known = set()
    for part in parts:  # never after a sample of its loop
        known |= {m.time for m in part.markers if m.kind == "loop"}
        assert len(known) >= np.count_nonzero(stamps[100::100] <= part.times.max(initial=0))


@pytest.mark.lsl
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_replay_cleanly(recording, number):
    with replay(recording, "--wait") as (name, process), opened(name) as (source, _):
        first = source.read(5.0)
        assert first.times.size
        process.send_signal(number)
        *_, last = read_all(source)[0]
        assert last.ended
        source.close()
        assert process.wait(timeout=5) == 0


@pytest.mark.lsl
def test_a_killed_sender_is_a_lost_stream(recording):
    with replay(recording, "--wait") as (name, process), opened(name) as (source, _):
        assert source.read(5.0).times.size
        process.kill()
        with pytest.raises(StreamLost, match=rf"{name}' must go on sending, got a lost connection after \d+ samples"):
            read_all(source)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.fif"], 1, "needs an existing file, got 'nowhere.fif'"),
        (["{file}", "--stop", "99"], 2, "0 <= start < stop <= 4 s"),
        (["{file}", "--start", "nan"], 2, "0 <= start < stop <= 4 s"),
        (["{file}", "--stop", "inf"], 2, "0 <= start < stop <= 4 s"),
        (["{file}", "--picks", "C3,C3"], 2, "got repeated: C3. Name every channel once"),
        (["{file}", "--picks", ","], 2, "got ','. Name every channel once"),
        (["{file}", "--unit", "foo"], 2, "--unit needs a voltage"),
        (["{file}", "--speed", "0"], 2, "speed above 0, got 0"),
        (["{file}", "--chunk-size", "0"], 2, "at least 1 sample, got 0"),
        (["{file}", "--picks", "Pz"], 1, "missing: Pz. It has: Fp1, C3"),
        ([], 2, "the following arguments are required: file"),
    ],
)
def test_a_replay_that_cannot_be_says_so_in_one_line(recording, arguments, code, message):
    command = [*BCI, "replay", *(a.format(file=recording.path) for a in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert message in done.stderr
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


@pytest.mark.lsl
def test_a_stream_is_found_by_name_type_source_id_and_description():
    name, other = next(names), next(names)
    streams = [outlet(name, kind="Odd'type", source_id="id=1,2"), outlet(other)]
    for query in (name, f"name={name}", "type=Odd'type", "source_id=id=1,2", f"type=Odd'type,name={name}"):
        with opened(query) as (_, info):
            assert info.name == name
    assert len(streams) == 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a", 'name="a"'),
        ('a"b', "name='a\"b'"),
        ("a'b\"c", 'name=concat("a\'b", \'"\', "c")'),
        ("type=EEG", 'type="EEG"'),
        ("type=EEG,desc/manufacturer=X, Inc", 'type="EEG" and desc/manufacturer="X, Inc"'),
        ("name=x' or '1'='1", "name=\"x' or '1'='1\""),
    ],
)
def test_what_the_user_writes_is_never_part_of_the_query_language(query, expected):
    assert predicate(query) == expected


def test_a_query_with_a_strange_key_is_refused():
    with pytest.raises(UsageError, match=r"by NAME or key=value \(type=EEG.*got '1 or 1=1'"):
        predicate("1 or 1=1")


@pytest.mark.lsl
def test_no_stream_lists_what_is_there():
    name = next(names)
    there = outlet(name)
    with pytest.raises(StreamNotFound, match=rf"answered to 'absent' within 0.2 s.*'{name}' \(type EEG, 2 ch, 250 Hz"):
        LslSource("absent", resolve_timeout_s=0.2).open()
    del there


@pytest.mark.lsl
def test_two_streams_of_one_name_are_both_listed():
    name = next(names)
    two = [outlet(name, source_id="left"), outlet(name, source_id="right")]
    with pytest.raises(StreamError, match=rf"One LSL stream must answer to '{name}', got 2: .*left.*right.*source_id="):
        LslSource(name).open()
    with opened("source_id=right") as (_, info):
        assert info.source_id == "right"
    assert len(two) == 2


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
def test_stamps_that_are_no_numbers_are_refused():
    name = next(names)
    there = outlet(name)
    markers = pylsl.StreamOutlet(pylsl.StreamInfo(f"{name}-annotations", "Markers", 1, 0, "string", "m"))
    with opened(name) as (source, _):
        markers.push_sample(['{"kind": "loop"}'], math.nan)
        there.push_chunk(np.zeros((2, 2), np.float32), [1.0, 2.0])
        assert not read_all(source, until=lambda _: source.n_received == 2)[3]
        there.push_sample([0.0, 0.0], math.inf)
        with pytest.raises(StreamError, match=r"must stamp .* finite times, got inf for sample 2\. Correct the stamps"):
            source.read(5.0)


@pytest.mark.lsl
def test_a_description_that_liblsl_cannot_read_is_listed_and_refused():
    source_id = next(names)
    there = outlet(next(names), sfreq=1e12, source_id=source_id, kind=source_id)
    assert any(stream.channel_format == "undefined" and not stream.n_channels for stream in list_streams(1.0))
    with pytest.raises(ChannelMismatch, match=r"must describe itself as LSL asks, .*: \(invalid: stoi\)\. Correct its"):
        LslSource(f"type={source_id}", resolve_timeout_s=1.0).open()
    good = outlet(next(names), kind=source_id)
    with opened(f"type={source_id}") as (_, info):
        assert info.name == good.get_info().name()
    del there


@pytest.mark.lsl
def test_two_replays_of_one_file_under_one_name_cannot_be_told_apart():
    name = next(names)
    two = [outlet(name, source_id="same"), outlet(name, source_id="same")]
    with pytest.raises(StreamError, match=rf"must answer to '{name}', got 2: .*\. Stop one of them\.$"):
        LslSource(name).open()
    assert len(two) == 2


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


HOSTILE = "<b>&\"']]>\n\x1b[31m[red]\u202e\x00"


@pytest.mark.lsl
def test_hostile_text_from_the_network_is_data():
    name = next(names) + "<&'[bold]\x1b"
    label = HOSTILE.replace("\x00", "\x01")
    there = outlet(name, labels=(label, "x" * 5000))
    with opened(f"name={name}") as (_, info):
        assert info.signal.names == (label, "x" * 5000)
    (listed,) = [stream for stream in list_streams(1.0) if stream.name.startswith(name[:7])]
    assert listed.labels[0].isprintable()
    assert len(listed.labels[1]) <= 80
    table = subprocess.run([*BCI, "streams"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "[bold]" in table
    assert "\x1b" not in table
    del there


@pytest.mark.lsl
def test_bci_streams_shows_what_cannot_be_used():
    """A unit that is missing, and a description that liblsl cannot read."""
    name = next(names)
    there = outlet(name, units=("uV", "")), outlet(next(names), sfreq=1e12)
    table = subprocess.run([*BCI, "streams"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.search(rf"{name} .* none, uV +a b", table)
    assert re.search(r"\(invalid: .* undefined ", table)
    assert len(there) == 2


def test_printable():
    assert printable(HOSTILE) == "<b>&\"']]>\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m[red]" + 2 * "\ufffd"


@pytest.mark.lsl
def test_bci_streams_lists_names_and_units():
    name = next(names)
    there = outlet(name, labels=("Fz", "Cz"))
    found = json.loads(
        subprocess.run([*BCI, "streams", "--json"], capture_output=True, text=True, timeout=60, check=True).stdout
    )
    (ours,) = [stream for stream in found if stream["name"] == name]
    assert (ours["labels"], ours["units"], ours["sfreq"], ours["n_channels"]) == (["Fz", "Cz"], ["uV", "uV"], 250.0, 2)
    del there


@pytest.mark.lsl
def test_bci_streams_says_so_if_there_is_none(tmp_path, monkeypatch):
    config = tmp_path / "alone.cfg"
    config.write_text("[lab]\nSessionID = nobody-else\n[multicast]\nResolveScope = machine\n")
    monkeypatch.setenv("LSLAPICFG", str(config))
    done = subprocess.run([*BCI, "streams", "--timeout", "0.3"], capture_output=True, text=True, timeout=60, check=True)
    assert "No LSL stream answered within 0.3 s" in done.stdout
    done = subprocess.run([*BCI, "streams", "--timeout", "0"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "--timeout must be above 0 s, got 0" in done.stderr) == (2, True)


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
        for text in ("no json", '{"kind": "annotation", "description": "ok"}', '{"kind": "end", "n_samples": 2}'):
            markers.push_sample([text], 7.0)
        there.push_chunk(np.zeros((2, 2), np.float32), [7.0, 8.0])
        _, data, stamps, found = read_all(source)
        assert [(m.kind, m.fields) for m in found] == [("annotation", {"description": "ok"}), ("end", {"n_samples": 2})]
        assert {m.time for m in found} == {stamps[0]}
        assert data.shape == (2, 2)


def test_a_marker_has_the_time_of_its_sample_when_the_clock_offset_changes():
    """Markers and samples come in either order; a sample's time must not depend on it."""
    offset = ClockOffset(0.5)
    marker_first = offset.local(np.array([10.0]))
    offset.change(0.6)
    np.testing.assert_array_equal(offset.local(np.array([9.0, 10.0, 11.0])), [9.5, 10.5, 11.6])
    assert marker_first == 10.5
    offset.change(0.7)
    np.testing.assert_array_equal(offset.local(np.array([11.0, 11.5])), [11.6, 12.2])
    assert offset.newest_s == 0.7


@pytest.mark.lsl
def test_who_comes_late_is_told_the_end(recording):
    """Fewer samples than announced have come, and no more do."""
    with replay(recording, "--linger", 3, "--speed", 0.5) as (name, _), opened(name) as (source, _):
        parts, data, _, markers = read_all(source)
    assert 0 < data.shape[1] < N_SAMPLES
    assert parts[-1].ended
    assert markers[-1].fields == {"n_samples": N_SAMPLES}
    np.testing.assert_array_equal(data, recording.read(N_SAMPLES - data.shape[1], N_SAMPLES))


@pytest.mark.lsl
def test_a_simulated_patient_is_a_live_stream_with_its_seizures():
    spec = PatientSpec(seed=3, duration_s=120.0)
    name = next(names)
    player = patient_player(spec, name, PlayerSettings(chunk_size=64, speed=60.0, wait=True))
    thread = threading.Thread(target=player.run)
    thread.start()
    try:
        with opened(name) as (source, info):
            _, data, _, markers = read_all(source)
    finally:
        player.stop()
        thread.join()
    patient = SimulatedPatient(spec)
    assert info.signal == patient.signal
    np.testing.assert_array_equal(data, patient.read(patient.n_samples))
    seizures = [(m.fields["description"], m.fields["duration"]) for m in markers if m.kind == "annotation"]
    assert seizures == [("seizure", s.duration_s) for s in patient.seizures]


def test_a_simulated_patient_is_read_in_order():
    feed = PatientFeed(PatientSpec(seed=3, duration_s=2.0))
    feed.read(0, 100)
    with pytest.raises(SpecError, match="read in order: sample 100 is next, got 0"):
        feed.read(0, 10)

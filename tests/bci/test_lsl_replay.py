"""LSL between processes: what is replayed arrives as it is in the file."""

from __future__ import annotations

import signal
import subprocess
import threading

import mne
import numpy as np
import pylsl
import pytest

from bci.errors import SpecError, StreamLost
from bci.sources.lsl_player import recording_player
from bci.sources.patient_source import PatientFeed, patient_player
from bci.sources.player import PlayerSettings
from bci.sources.recording import open_recording
from bci.sources.simulated_patient import PatientSpec, SimulatedPatient
from tests.bci.lsl_tools import BCI, SFREQ, names, opened, read_all, replay

N_SAMPLES = 1000
NOTES = [(0.0, 0.0, "start"), (1.2, 0.5, "T1"), (2.6, 0.0, "T2")]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recordings") / "patient one_raw.fif"
    volts = np.random.default_rng(1).normal(0, 20e-6, (5, N_SAMPLES))
    info = mne.create_info(["Fp1", "C3", "Cz", "C4", "O2"], SFREQ, "eeg", verbose="error")
    raw = mne.io.RawArray(volts, info, verbose="error")
    raw.set_annotations(mne.Annotations(*zip(*NOTES, strict=True)), verbose="error")
    raw.save(path, verbose="error")
    return open_recording(path)


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
        read_all(source, until=lambda received: received.times.size)
        process.send_signal(number)
        *_, last = read_all(source)[0]
        assert last.ended
        source.close()
        assert process.wait(timeout=5) == 0


@pytest.mark.lsl
def test_a_killed_sender_is_a_lost_stream(recording):
    with replay(recording, "--wait") as (name, process), opened(name) as (source, _):
        read_all(source, until=lambda received: received.times.size)
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == code
    assert message in done.stderr
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


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

"""BrainFlow's own boards as sources: the synthetic one, and the playback of a recording with known losses."""

from __future__ import annotations

import itertools
import logging
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pylsl import local_clock

from bci.chunk import Signal
from bci.errors import ChannelMismatch, SpecError, StreamLost, StreamNotFound, UsageError
from bci.identity import Identity
from bci.serving import serve
from bci.session import Session, SessionSettings
from bci.sources.base import StreamInfo
from bci.sources.brainflow_boards import boards, find_board, load_brainflow
from bci.sources.brainflow_settings import BoardSettings
from bci.sources.brainflow_source import BrainFlowSource
from offline.score import score_recording
from tests.bci.brainflow_files import SIGNAL, extend, pipeline, read_back, record
from tests.bci.scripted import Tape
from tests.bci.test_session_events import documented
from tests.bundles import noise, write_random_bundle

N_SAMPLES = 2100
LOST = [(60, 61), (300, 303), (700, 725), (900, 1000), (1100, 1400)]  # the last is more than the counter's cycle
TOLERANCE = 1e-5  # of a probability, as everywhere


def session_on(source, bundle, **options):
    """Return a session that decodes a source with a bundle, and the tape of what it said."""
    served, tape = serve(str(bundle), "eager"), Tape()
    identity = Identity("random", "ab" * 32, "eager", "fp32")
    settings = SessionSettings("out", **options)
    decoder = served.decoder(local_clock)
    return Session(source, decoder, identity, settings, None, [tape], local_clock, watches=[source.events]), tape


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A recording of BrainFlow that was made longer, with losses."""
    path = tmp_path_factory.mktemp("brainflow") / "board.csv"
    record(path, 60)
    extend(path, noise(SIGNAL, N_SAMPLES / SIGNAL.sfreq, seed=3), LOST)
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "random"
    write_random_bundle(path, SIGNAL, pipeline())
    return path


@pytest.fixture(scope="module")
def played(recording, bundle):
    """A session that has decoded the playback from start to end."""
    source = BrainFlowSource(BoardSettings("synthetic", file=str(recording)))
    session, tape = session_on(source, bundle)
    return SimpleNamespace(summary=session.run(), tape=tape, bundle=bundle, recording=recording)


@pytest.fixture
def synthetic():
    source = BrainFlowSource(BoardSettings("Synthetic"))
    yield source
    source.close()


def read_for(source, seconds):
    """Return what a source delivers in that time, joined."""
    until, parts = local_clock() + seconds, []
    while local_clock() < until:
        parts.append(source.read(0.2))
    return np.concatenate([p.data for p in parts], axis=1), np.concatenate([p.times for p in parts])


def test_a_playback_ends_with_its_file(played):
    assert (played.summary.ended, played.summary.lost) == ("end of stream", False)
    assert played.summary.counts["samples"] == N_SAMPLES - sum(stop - start for start, stop in LOST)


def test_every_dropped_packet_is_counted(played):
    """One sample early on, a few, many, and more than a whole cycle of the counter."""
    gaps = [event.fields for event in played.tape.events() if event.kind == "gap"]
    assert [gap["n_lost"] for gap in gaps] == [stop - start for start, stop in LOST]
    assert [gap["filled"] for gap in gaps] == [stop - start <= 25 for start, stop in LOST]
    for gap, (start, stop) in zip(gaps, LOST, strict=True):
        assert gap["t1"] - gap["t0"] == pytest.approx((stop - start + 1) / SIGNAL.sfreq, abs=0.001)
    assert not [e for e in played.tape.events() if e.kind in ("clock_jump", "lost", "clock_offset")]


def test_live_equals_offline(played):
    """The predictions are those of the whole recording at once."""
    served = serve(str(played.bundle), "eager")
    numbers = read_back(played.recording, N_SAMPLES, LOST)
    wanted = score_recording(numbers, served.bundle.pipeline, served.engine, served.bundle.decision)
    live = [output.prediction for output in played.tape.of("prediction")]
    assert [p.last_sample for p in live] == [p.last_sample for p in wanted]
    assert [p.quality for p in live] == pytest.approx([p.quality for p in wanted])
    got, expected = (np.array([p.probabilities for p in side]) for side in (live, wanted))
    assert len(got) == 8
    assert np.ptp(expected[:, 0]) > 0.1  # else anything would agree
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)


def test_a_board_tells_its_battery_once(played):
    (battery,) = [event for event in played.tape.events() if event.kind == "battery"]
    assert set(battery.fields) == documented()["battery"]
    assert battery.fields["board"] == "synthetic"
    assert 0 <= battery.fields["level"] <= 100


def test_a_battery_that_is_delivered_apart_from_the_eeg(synthetic):
    """As that of an Explore or a Galea."""
    synthetic.board = replace(synthetic.board, battery=(1, 1))
    assert synthetic.events() == []  # closed
    synthetic.open()
    read_for(synthetic, 0.2)
    (battery,) = synthetic.events()
    assert 0 <= battery.fields["level"] <= 100
    assert synthetic.events() == []  # not every time


def test_the_synthetic_board(synthetic):
    """Names, rate and unit are BrainFlow's; stamps are in the LSL clock, a period apart, and never in the future."""
    info = synthetic.open()
    assert info.signal == SIGNAL
    assert (info.name, info.counted, set(info.units), set(info.types)) == ("synthetic", True, {"uV"}, {"eeg"})
    begun_s = local_clock()
    data, times = read_for(synthetic, 2.0)
    assert data.dtype == np.float32
    assert data.shape == (16, len(times)) == (16, synthetic.n_received)
    assert 450 <= len(times) <= 520
    np.testing.assert_allclose(np.diff(times) * 250.0, 1.0, atol=0.03)
    assert begun_s - 0.5 < times[0] < begun_s + 0.5
    assert times[-1] < local_clock()
    assert 1.0 < np.abs(data).max() < 5000.0  # µV, not volts


def test_a_read_waits_no_longer_than_asked(synthetic):
    synthetic.open()
    synthetic.read(0.5)
    before = local_clock()
    synthetic.read(0.0)
    assert local_clock() - before < 0.05


def test_a_board_that_falls_silent_is_lost_and_comes_back(synthetic):
    """As a Muse does: no error from BrainFlow, no more samples."""
    source = BrainFlowSource(BoardSettings("synthetic"), silence_s=0.3)
    info = source.open()
    source.read(1.0)
    source._shim.stop_stream()
    with pytest.raises(StreamLost, match=r"must go on sending, got nothing for 0\.3 s after \d+ samples"):
        read_for(source, 5.0)
    offered = []
    assert source.reopen(0.1, offered.append) == info
    assert offered == [info]
    assert source.read(1.0).times.size
    source.close()


def test_a_session_goes_on_after_a_silence(bundle):
    """The board is connected again; what is missing is a gap."""
    source = BrainFlowSource(BoardSettings("synthetic"), silence_s=0.3)
    session, tape = session_on(source, bundle, duration_s=3.0)
    read, stops = source.read, itertools.count()

    def failing(timeout_s):
        received = read(timeout_s)
        if source.n_received > 100 and next(stops) == 0:
            source._shim.stop_stream()
        return received

    source.read = failing
    session.run()
    kinds = [event.kind for event in tape.events()]
    assert [kind for kind in kinds if kind in ("lost", "recovered", "gap")] == ["lost", "recovered", "gap"]
    assert source._shim is None  # released


def test_another_stream_is_not_taken_back(synthetic):
    def refuse(info: StreamInfo) -> None:
        raise ChannelMismatch("another")

    with pytest.raises(ChannelMismatch, match="another"):
        synthetic.reopen(0.0, refuse)
    with pytest.raises(StreamLost, match=r"must be open to be read, got a closed one\. Call open\(\) first\."):
        synthetic.read(0.1)


def test_a_failure_of_brainflow_is_a_lost_stream(synthetic):
    synthetic.open()
    synthetic._shim.release_session()
    with pytest.raises(StreamLost, match="must go on sending, got BOARD_NOT_CREATED_ERROR after 0 samples"):
        synthetic.read(0.1)
    assert synthetic.events() == []


def test_a_board_is_released_when_it_is_closed_or_cannot_be_opened(tmp_path, synthetic):
    """Or it could not be opened a second time in this process."""
    for _ in range(2):
        synthetic.open()
        synthetic.close()
        synthetic.close()
    other = BrainFlowSource(BoardSettings("cyton", serial_port=str(tmp_path / "tty")))
    with pytest.raises(StreamNotFound, match="Board cyton must answer, BrainFlow says UNABLE_TO_OPEN_PORT_ERROR"):
        other.open()
    assert other._shim is None
    assert other.reopen(0.0, lambda info: None) is None


def test_brainflow_says_nothing_unless_asked(capfd, tmp_path):
    settings = BoardSettings("cyton", serial_port=str(tmp_path / "tty"))
    for debug in (False, True):
        with pytest.raises(StreamNotFound):
            BrainFlowSource(settings, debug=debug).open()
        assert ("board_logger" in "".join(capfd.readouterr())) == debug
    load_brainflow().BoardShim.disable_board_logger()


def test_channels_that_do_not_fit_the_model(tmp_path):
    """The refusal names what is missing and what is there."""
    wanted = Signal(250.0, ("Fz", "T7", "T8"))
    write_random_bundle(tmp_path / "other", wanted, pipeline(wanted))
    source = BrainFlowSource(BoardSettings("synthetic"))
    session, _ = session_on(source, tmp_path / "other")
    with pytest.raises(
        ChannelMismatch, match=r"needs channels that the stream lacks: T7, T8\. The stream also has: C3"
    ):
        session.run()
    assert source._shim is None


def test_channels_can_be_named():
    names = tuple(f"X{i}" for i in range(16))
    source = BrainFlowSource(BoardSettings("synthetic", channels=names))
    assert source.open().signal.names == names
    source.close()
    for bad in (("X", "X"), ("X", *names[2:], "X"), ("", *names[1:]), ("\x1b", *names[1:])):
        with pytest.raises(UsageError, match="--channel-names needs 16 different, printable names for board synthetic"):
            BrainFlowSource(BoardSettings("synthetic", channels=bad))


def test_a_board_without_names_says_so(recording, caplog):
    """A Ganglion's inputs have numbers only."""
    source = BrainFlowSource(BoardSettings("ganglion", serial_port="none"))
    assert (source.channels_from, source._names) == ("numbers", ("EEG1", "EEG2", "EEG3", "EEG4"))
    rows = np.zeros((50, source.board.n_rows))
    rows[:, source.board.time_row] = time.time() + np.arange(50) / 200.0
    path = recording.with_name("ganglion.csv")
    np.savetxt(path, rows, fmt="%.6f", delimiter="\t")
    source = BrainFlowSource(BoardSettings("ganglion", file=str(path)))
    with caplog.at_level(logging.WARNING):
        info = source.open()
    assert not info.counted
    assert "no channel names for ganglion: they are EEG1" in caplog.text
    data, times = read_for(source, 0.5)
    source.close()
    assert data.shape == (4, 50)
    assert abs(times[-1] - local_clock()) < 1.0


def test_a_file_of_another_board(recording, tmp_path):
    source = BrainFlowSource(BoardSettings("cyton", file=str(recording)))
    with pytest.raises(UsageError, match=r"recording of board cyton, 24 values a line, got 32 in 'board\.csv'"):
        source.open()
    with pytest.raises(UsageError, match=r"needs a recording by BrainFlow, cannot read .*No such file"):
        BrainFlowSource(BoardSettings("cyton", file=str(tmp_path / "none"))).open()


def test_the_board_behind_a_playback(recording):
    by_master = BrainFlowSource(BoardSettings("playback_file", master_board="synthetic", file=str(recording)))
    assert by_master.board == find_board("synthetic")
    with pytest.raises(UsageError, match="--board playback_file needs --master-board and --file, got none"):
        BrainFlowSource(BoardSettings("playback_file"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"board": "cytn"}, r"needs the name of a board, got 'cytn'\. Did you mean cyton, "),
        ({"board": "qqqqqqqqq"}, r"got 'qqqqqqqqq'\. `bci boards` lists all"),
        ({"board": "cyton"}, r"--board cyton needs --serial-port, got none"),
        ({"board": "emotibit"}, "needs a board with EEG channels, emotibit has none"),
        ({"board": "synthetic", "mac": "a\x1bb"}, "--mac needs printable text of at most 4096 characters"),
        ({"board": "synthetic", "ip_port": 70000}, "--ip-port must be within 0 and 65535, got 70000"),
        ({"board": "synthetic", "timeout_s": -1}, "--board-timeout must be within 0 and 600 s, got -1"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(UsageError, match=message):
        BrainFlowSource(BoardSettings(**settings))


def test_a_silence_that_cannot_be():
    with pytest.raises(SpecError, match="longest silence above 0 s, got 0"):
        BrainFlowSource(BoardSettings("synthetic"), silence_s=0)


@pytest.mark.parametrize("name", ["muse_2", "MUSE_2_BOARD", "Muse-2", "38"])
def test_spellings_of_a_board(name):
    assert find_board(name).name == "muse_2"


def test_every_board_of_brainflow_is_described():
    found = boards()
    assert len(found) == len(load_brainflow().BoardIds) - 1
    assert len({board.name for board in found}) == len(found)
    assert all(len(board.rows) == len(board.channels) == len(set(board.channels)) for board in found)
    assert all(board.sfreq > 0 for board in found if board.rows)
    assert find_board("cyton_daisy").counter.step == 2
    assert find_board("muse_2").counter.n_rows == 12

"""The latency benchmark over real LSL, its rows, and its child processes; nothing here asserts a time."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from apps.bench import e2e, ours, peer, workload
from apps.bench.children import Child, children, reply
from apps.bench.hygiene import missing_hygiene
from apps.bench.sender import Sent
from apps.bench.trace import Trace, measure
from apps.cli import main
from bci.errors import StreamError, UsageError
from bci.stages.logmel import LogMel


def fail(pipe):
    """Work of a child that fails."""
    raise ValueError("no luck")


def wait_for_ever(pipe):
    """Work of a child that never answers."""
    pipe.recv()


def answer_pid(pipe):
    """Work of a child that answers once and then waits."""
    reply(pipe, "here")
    pipe.recv()


@pytest.mark.lsl
@pytest.mark.slow
def test_e2e_measures_us_and_the_peer_completely(capsys, tmp_path, monkeypatch):
    pytest.importorskip("mne_lsl")
    monkeypatch.setattr(e2e, "LONG_HISTORY_S", 10.0)  # the rows with 300 s of history take half a minute each
    monkeypatch.setattr(e2e, "SETTLE_S", 0.5)
    monkeypatch.setattr(peer, "MODES", ("manual",))
    monkeypatch.setattr(e2e, "missing_hygiene", lambda: ["priority: not possible, no."])
    target = tmp_path / "e2e.json"
    assert main(["bench", "e2e", "--duration", "2", "--rounds", "1", "--engine", "eager", "--json", str(target)]) == 0
    out = capsys.readouterr().out
    assert "Push → prediction" in out
    assert "The peer's best takes" in out
    result = json.loads(target.read_text())
    labels = [row["label"] for row in result["rows"]]
    assert labels == ["ours, eager", "peer, manual"]
    for row in result["rows"]:
        assert row["push_to_prediction"]["n"] > 0
        assert row["observed"]["n"] > 0
        times = [*row["push_to_prediction"].values(), *row["observed"].values()]
        assert all(math.isfinite(value) and value > 0 for value in times)
        parts = sum(stage["p50"] for stage in row["ledger"].values())
        assert 0 < parts < 2 * row["push_to_prediction"]["p99"]
    ledger = result["rows"][0]["ledger"]
    assert set(ledger) == {"receive", "filter", "features", "engine", "decision", "publish", "rest"}
    assert set(result["ratios"]) == {labels[0]}
    assert result["notes"] == ["Rows with --realtime were not measured: priority: not possible, no."]
    assert result["machine"]["packages"]["torch"]


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.skipif(bool(missing_hygiene()), reason="real-time hygiene needs root on Linux")
def test_a_turn_with_real_time_hygiene_is_measured(monkeypatch):
    monkeypatch.setattr(e2e, "SETTLE_S", 0.5)
    contender = e2e.Contender("ours", ours.decode, "eager", 10.0, real_time=True)
    turn = e2e.run_turn(contender, e2e.Settings(duration_s=2.0, n_rounds=1), seed=0)
    assert turn.measured.published_s.size > 0


def test_the_rows_show_both_engines_the_peer_and_a_long_history(monkeypatch):
    pytest.importorskip("mne_lsl")
    monkeypatch.setattr(e2e, "missing_hygiene", list)
    rows, notes = e2e.contenders(e2e.Settings())
    long = ", 300 s of history"
    assert [row.label for row in rows] == [
        "ours, auto",
        "ours, auto, --realtime",
        "peer, manual",
        "peer, manual, --realtime",
        "peer, thread",
        "peer, thread, --realtime",
        "ours, eager",
        f"ours, auto{long}",
        f"peer, manual{long}",
    ]
    assert [row.real_time for row in rows] == ["--realtime" in row.label for row in rows]
    assert notes == []


def test_alone_beside_the_control_there_is_one_row(monkeypatch):
    rows, notes = e2e.contenders(e2e.Settings(alone=True))
    assert ([row.label for row in rows], notes) == (["ours, auto"], [])
    monkeypatch.setattr(e2e, "missing_hygiene", list)
    (row,), notes = e2e.contenders(e2e.Settings(alone=True, real_time=True))
    assert (row.label, row.real_time, notes) == ("ours, auto, --realtime", True, [])


def test_real_time_hygiene_alone_must_be_possible(monkeypatch):
    monkeypatch.setattr(e2e, "missing_hygiene", lambda: ["priority: not possible, no."])
    with pytest.raises(UsageError, match=r"--realtime must be possible in full here, got priority: not possible, no\."):
        e2e.Settings(alone=True, real_time=True)


def test_a_missing_peer_is_a_note_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(e2e.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(e2e, "missing_hygiene", list)
    rows, notes = e2e.contenders(e2e.Settings())
    assert all(row.label.startswith("ours") for row in rows)
    assert notes == ["The peer was not measured: mne-lsl is not installed (pip install 'streaming-bci[bench]')."]


def test_the_peer_computes_our_features():
    """The comparison is fair: the same window gives the same frames on both sides."""
    data = workload.recording(workload.WINDOW_SAMPLES, seed=1)
    frames = workload.LOG_MEL.build(workload.SIGNAL).process(data)
    theirs = peer.LogMelOfWindow()(data)[0].numpy()
    assert frames.shape == theirs.shape == (19, 64, workload.N_FRAMES)
    np.testing.assert_allclose(theirs, frames, atol=1e-3)


def test_the_workload_is_the_declared_one():
    pipeline = workload.PIPELINE.build()
    assert (pipeline.window_frames, pipeline.hop_frames) == (workload.N_FRAMES, 4)
    assert isinstance(workload.PIPELINE.stages[-1], LogMel)
    assert sum(p.numel() for p in workload.network().parameters()) >= 75_000
    one, two = (workload.network().state_dict() for _ in range(2))
    assert all((one[key] == two[key]).all() for key in one)


def test_latency_counts_from_the_push_not_from_the_due_time():
    due = 100.0 + np.arange(64) / 32
    sent = Sent(due, due + 0.003)
    evidence = due[[8, 40]] + 1e-5
    outputs = [(stamp, stamp + 0.005, {"receive": 0.004, "engine": 0.0005, "total": 0.005}) for stamp in evidence]
    measured = measure(Trace.of(outputs, busy=0.1), sent, [(due[40], due[40] + 0.006)], settle_s=0.5)
    np.testing.assert_allclose(measured.published_s, [0.00201], rtol=1e-6)  # the first lies in the settling time
    np.testing.assert_allclose(measured.observed_s, [0.003], rtol=1e-6)
    np.testing.assert_allclose(measured.stages_s["receive"], [0.00101], rtol=1e-6)
    np.testing.assert_allclose(measured.stages_s["rest"], [0.0005], rtol=1e-6)


def test_nothing_measured_is_an_error():
    due = 100.0 + np.arange(8) / 32
    with pytest.raises(StreamError, match=r"At least one prediction is needed after the first 2 s, got none of 0\."):
        measure(Trace.of([], busy=0.0), Sent(due, due), [], settle_s=2.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "abacus"}, r"--engine must be one of auto, .*got 'abacus'"),
        ({"duration_s": 1.0}, r"--duration must be at least 2 s for 2 rounds, got 1"),
        ({"real_time": True}, r"--realtime must come with --control: without it, rows with and without are measured"),
        ({"history_s": 5.0}, r"--history-s must be a multiple of 0.25 s from 10 to 300, got 5"),
    ],
)
def test_settings_that_cannot_be_measured_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        e2e.Settings(**settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["e2e", "--rounds", "0"], "--rounds and --threads must be at least 1, got 0 and 1"),
    ],
)
def test_wrong_usage_is_one_line_before_any_work(capsys, options, message):
    assert main(["bench", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_failing_child_is_reported():
    with children() as started:
        started.append(Child("test", fail, ()))
        with pytest.raises(StreamError, match=r"The test process failed: ValueError: no luck"):
            started[0].answer(60.0)


def test_a_silent_child_is_reported_and_ended():
    with children() as started:
        started.append(Child("test", wait_for_ever, ()))
        with pytest.raises(StreamError, match=r"The test process must answer within 0.01 s, got nothing"):
            started[0].answer(0.01)


def test_an_ended_child_is_reported():
    with children() as started:
        started.append(Child("test", answer_pid, ()))
        assert started[0].answer(60.0) == "here"
        started[0].stop()
        with pytest.raises(StreamError, match=r"The test process must answer, got its end \(exit code"):
            started[0].answer(60.0)


def test_no_stream_of_predictions_is_an_error(monkeypatch):
    pylsl = pytest.importorskip("pylsl")
    monkeypatch.setattr(pylsl, "resolve_byprop", lambda *args: [])
    silent = e2e.Contender("nobody", answer_engine, "", 10.0)
    with pytest.raises(StreamError, match=r"predictions of 'nobody' must appear within 100 s, got no stream"):
        e2e.run_turn(silent, e2e.Settings(duration_s=2.0), seed=0)


def answer_engine(pipe, *arguments):
    """Work of a contender that says it is ready and publishes nothing."""
    reply(pipe, ("none", 0.0))
    pipe.recv()

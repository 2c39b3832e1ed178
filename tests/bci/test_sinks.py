"""What leaves a session: JSON Lines that any program reads, and two LSL outlets as docs/streams.md describes them."""

from __future__ import annotations

import dataclasses
import json
import threading

import numpy as np
import pylsl
import pytest

from bci.decision import State
from bci.decoder import Ledger, Prediction
from bci.errors import UsageError
from bci.events import Event
from bci.sinks.base import Output, SessionInfo
from bci.sinks.jsonl_sink import JsonlSink, prediction_record
from bci.sinks.lsl_sink import LslSink

INFO = SessionInfo(
    name="sink-out",
    stream="amplifier",
    bundle="seizure µ",
    bundle_sha256="ab" * 32,
    classes=("background", "seizure"),
    alarm_class="seizure",
    on_threshold=0.7,
    off_threshold=0.4,
    hop_s=0.25,
    window_s=2.0,
    delay_s=0.0373,
    reference_hz=3.0,
    smoothing_s=1.0,
    engine="onnx",
    precision="fp32",
    first_sample_time=1234.000244140625,
    sfreq=256.0,
    speed=1.5,
    k=2,
    n=3,
    latch=True,
    quality="mask",
    min_channels=11,
)


def output_of(index=0, probabilities=(0.25, 0.75), time=1300.5, state=State.ALARM, published=True):
    prediction = Prediction(
        index=index,
        last_sample=511 + 64 * index,
        time=time,
        logits=np.zeros(2),
        probabilities=np.array(probabilities),
        quality=0.9375,
        state=state,
        changed=None,
        level=0.6,
        ledger=Ledger(0.001, 0.002, 0.003, 0.004),
    )
    return Output(prediction, time + 0.01, time + 0.03, time + 0.031 if published else None)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_ledger_of_an_output():
    """Parts that are known add up to the whole: from the stamp of the last sample to the publication."""
    stages = output_of().stages_s()
    assert stages == pytest.approx(
        {
            "receive": 0.01,
            "filter": 0.001,
            "features": 0.002,
            "engine": 0.003,
            "decision": 0.004,
            "publish": 0.001,
            "total": 0.031,
        }
    )
    assert set(output_of(published=False).stages_s()) == set(stages) - {"publish", "total"}


# JSON Lines


def test_a_log_is_one_object_a_line(tmp_path):
    path = tmp_path / "session.jsonl"
    sink = JsonlSink(path)
    sink.open(INFO)
    sink.prediction(output_of())
    sink.event(Event("gap", 1301.0, {"n_lost": 3, "t0": 1300.9, "t1": 1301.0, "filled": True}))
    sink.close()
    session, prediction, event = lines(path)
    assert session == {"kind": "session", **dataclasses.asdict(INFO), "classes": ["background", "seizure"]}
    ledger = prediction.pop("ledger")
    assert prediction == {
        "kind": "prediction",
        "index": 0,
        "last_sample": 511,
        "t": 1300.5,
        "probabilities": {"background": 0.25, "seizure": 0.75},
        "quality": 0.9375,
        "state": "alarm",
        "level": 0.6,
    }
    assert ledger == pytest.approx({f"{stage}_ms": 1e3 * s for stage, s in output_of().stages_s().items()})
    assert event == {"kind": "gap", "t": 1301.0, "n_lost": 3, "t0": 1300.9, "t1": 1301.0, "filled": True}


def test_each_line_is_on_the_disk_at_once(tmp_path):
    """Who reads along, or finds the file after a crash, has every prediction."""
    path = tmp_path / "session.jsonl"
    sink = JsonlSink(path)
    assert not path.exists()  # a session that finds no stream leaves no file
    sink.open(INFO)
    for index in range(3):
        sink.prediction(output_of(index))
        assert [line.get("index") for line in lines(path)] == [None, *range(index + 1)]
    sink.close()


def test_a_log_that_exists_is_refused(tmp_path):
    path = tmp_path / "session.jsonl"
    path.write_text("old\n")
    with pytest.raises(
        UsageError, match=r"needs a file that does not exist yet, got .*another name or pass --overwrite"
    ):
        JsonlSink(path)
    assert path.read_text() == "old\n"


def test_a_log_that_exists_is_replaced_when_there_is_something_to_write(tmp_path):
    path = tmp_path / "session.jsonl"
    path.write_text("old\n")
    sink = JsonlSink(path, overwrite=True)
    sink.open(INFO)
    sink.event(Event("gap", 1301.0))
    assert path.read_text() == "old\n"
    sink.prediction(output_of())
    assert [line["kind"] for line in lines(path)] == ["session", "gap", "prediction"]
    sink.close()


def test_a_log_that_another_program_made_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "session.jsonl"
    sink = JsonlSink(path)
    sink.open(INFO)
    path.write_text("other\n")
    with pytest.raises(UsageError, match="needs a file that does not exist yet"):
        sink.prediction(output_of())
    assert path.read_text() == "other\n"
    sink.close()


def without_a_valid_sample(index=0, time=1300.5):
    output = output_of(index, time=time)
    return dataclasses.replace(output, prediction=dataclasses.replace(output.prediction, quality=0.0))


@pytest.mark.parametrize("old", [None, "old\n"])
def test_a_session_that_fails_without_a_valid_sample_leaves_no_log(tmp_path, old):
    path = tmp_path / "session.jsonl"
    if old is not None:
        path.write_text(old)
    sink = JsonlSink(path, overwrite=True)
    sink.open(INFO)
    for index in range(20):
        sink.prediction(without_a_valid_sample(index, 1300.5 + 0.25 * index))
        sink.event(Event("status", 1301.0))
    sink.close()
    assert [p.read_text() for p in tmp_path.iterdir()] == ([] if old is None else [old])


def test_what_waits_for_the_file_is_written_when_the_session_ends_in_order(tmp_path):
    path = tmp_path / "session.jsonl"
    sink = JsonlSink(path)
    sink.open(INFO)
    sink.event(Event("gap", 1301.0))
    sink.event(Event("ended", 1302.0))
    sink.close()
    assert [line["kind"] for line in lines(path)] == ["session", "gap", "ended"]


@pytest.mark.parametrize("limit", ["time", "lines"])
def test_a_session_that_goes_on_without_a_valid_sample_is_written(tmp_path, monkeypatch, limit):
    """One dead electrode is enough for that; the log must not wait in memory for ever."""
    path = tmp_path / "session.jsonl"
    sink = JsonlSink(path)
    sink.open(INFO)
    monkeypatch.setattr("bci.sinks.jsonl_sink.MAX_HELD", 5)
    step_s = 4.0 if limit == "time" else 0.01
    for index in range(3 if limit == "time" else 4):
        sink.prediction(without_a_valid_sample(index, 1300.5 + step_s * index))
        assert not path.exists()
    sink.prediction(without_a_valid_sample(9, 1300.5 + step_s * 4))
    assert [line["kind"] for line in lines(path)][:4] == ["session", *["prediction"] * 3]
    sink.close()


def test_probabilities_that_are_no_numbers_are_null(tmp_path):
    """A network that overflowed must not end the log: JSON has no NaN."""
    path = tmp_path / "session.jsonl"
    sink = JsonlSink(path)
    sink.open(INFO)
    sink.prediction(output_of(probabilities=(np.nan, np.inf), state=State.FAULT))
    sink.close()
    assert "NaN" not in path.read_text()
    assert lines(path)[1]["probabilities"] == {"background": None, "seizure": None}
    record = prediction_record(output_of(probabilities=(np.nan, 0.5)).prediction, INFO.classes)
    assert record["probabilities"] == {"background": None, "seizure": 0.5}


def test_closing_twice_and_without_opening(tmp_path):
    sink = JsonlSink(tmp_path / "session.jsonl")
    sink.close()
    sink.event(Event("ended", 1.0))  # nothing to write to: nothing happens
    sink.open(INFO)
    sink.close()
    sink.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [".", "missing/session.jsonl", "file/session.jsonl"])
def test_a_log_needs_a_folder_that_is_there(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UsageError, match=r"The log needs a file in a folder that can be written, got .*Make the folder"
    ):
        JsonlSink(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_event_is_strict_json():
    assert json.loads(Event("loop", 2.5, {"sample": 7}).to_json()) == {"kind": "loop", "t": 2.5, "sample": 7}
    with pytest.raises(ValueError, match="Out of range float values"):
        Event("gap", 2.5, {"t0": float("nan")}).to_json()


# LSL


class Listener:
    """An inlet that is connected before anything is published."""

    def __init__(self, name, kind):
        (found,) = pylsl.resolve_bypred(f"name='{name}' and type='{kind}'", 1, 20.0)
        self.inlet = pylsl.StreamInlet(found, recover=False)
        self.info = self.inlet.info(10.0)
        self.inlet.open_stream(10.0)

    def take(self, n):
        taken = []
        while len(taken) < n:
            values, stamp = self.inlet.pull_sample(10.0)
            assert values is not None, f"{len(taken)} of {n} samples came"
            taken.append((stamp, values))
        return taken


@pytest.fixture
def open_sink():
    sink = LslSink()
    sink.open(INFO)
    yield sink
    sink.close()


@pytest.mark.lsl
def test_the_prediction_stream(open_sink):
    listener = Listener("sink-out", "Predictions")
    info = listener.info
    assert (info.channel_count(), info.nominal_srate(), info.channel_format()) == (5, 0.0, pylsl.cf_float32)
    assert info.source_id() == f"sink-out-{'ab' * 8}"
    channels, channel = [], info.desc().child("channels").child("channel")
    while not channel.empty():
        channels.append((channel.child_value("label"), channel.child_value("unit")))
        channel = channel.next_sibling()
    assert channels == [
        ("background", "probability"),
        ("seizure", "probability"),
        ("quality", "fraction"),
        ("state", "code"),
        ("compute_ms", "milliseconds"),
    ]
    decoder = info.desc().child("decoder")
    for field in dataclasses.fields(INFO):
        value, text = getattr(INFO, field.name), decoder.child_value(field.name)
        spelled = {"classes": "background,seizure", "latch": "true"}.get(field.name, value)
        assert (float(text) if isinstance(value, float) else text) == (str(value) if type(value) is int else spelled)
    for index in range(3):
        open_sink.prediction(output_of(index, time=1300.5 + 0.25 * index, state=State(index)))
    for index, (stamp, values) in enumerate(listener.take(3)):
        assert stamp == 1300.5 + 0.25 * index  # the time of the evidence, to the bit
        assert values == pytest.approx([0.25, 0.75, 0.9375, index, 20.0], rel=1e-6)


@pytest.mark.lsl
def test_the_event_stream(open_sink):
    listener = Listener("sink-out-events", "Markers")
    info = listener.info
    assert (info.channel_count(), info.nominal_srate(), info.channel_format()) == (1, 0.0, pylsl.cf_string)
    assert info.source_id() == f"sink-out-events-{'ab' * 8}"
    open_sink.event(Event("alarm_on", 1301.25, {"last_sample": 575, "level": 0.75, "quality": 1.0}))
    ((stamp, (text,)),) = listener.take(1)
    assert stamp == 1301.25
    assert json.loads(text) == {"kind": "alarm_on", "t": 1301.25, "last_sample": 575, "level": 0.75, "quality": 1.0}


@pytest.mark.lsl
def test_probabilities_that_are_no_numbers_are_published_as_they_are(open_sink):
    listener = Listener("sink-out", "Predictions")
    open_sink.prediction(output_of(probabilities=(np.nan, np.nan), state=State.FAULT))
    ((_, values),) = listener.take(1)
    assert np.isnan(values[:2]).all()
    assert values[3] == 4


@pytest.mark.lsl
def test_what_was_published_last_arrives_before_the_outlets_go():
    """liblsl drops what it has not sent when an outlet goes; the sink waits while somebody listens."""
    sink = LslSink()
    sink.open(INFO)
    listener = Listener("sink-out", "Predictions")
    taken = []

    def take():
        taken.extend(listener.take(200))
        listener.inlet.close_stream()

    thread = threading.Thread(target=take)
    thread.start()
    for index in range(200):
        sink.prediction(output_of(index))
    sink.close()
    thread.join()
    assert len(taken) == 200


@pytest.mark.lsl
def test_closing_an_lsl_sink_twice_and_without_opening():
    sink = LslSink()
    sink.close()
    sink.open(INFO)
    sink.close()
    sink.close()
    assert not pylsl.resolve_bypred("name='sink-out'", 1, 1.0)

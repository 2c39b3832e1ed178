"""A seizure that is shorter than a window is learnt from; what has no room is left out, counted and told."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.train import main
from bci.chunk import Signal
from bci.errors import SpecError, UsageError
from bci.pipeline import PipelineSpec, Window
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from offline.config import TrainConfig
from offline.datasets.base import Dataset, Session, Stretch
from offline.identity import session_sha256
from offline.prepare import prepared
from offline.short_stretches import MARGIN_S, counted, whole, without_short
from offline.windows import require_windows, session_windows
from tests.offline.datasets.layouts import write_bids

SIGNAL = Signal(256.0, ("Fp1", "F7"))
N = 60 * 256
STAGES = {"plain": (), "half rate": (Resample(128.0),), "mel": (LogMel(512, 512, 64, 8, 0.5, 40.0),)}


def recording(*stretches: Stretch, name: str = "a", n_samples: int = N) -> Session:
    data = np.random.default_rng(0).standard_normal((2, n_samples)).astype(np.float32)
    return Session(name, name, Path(name), SIGNAL, n_samples, stretches, lambda start=0, stop=None: data[:, start:stop])


def seconds(start: float, stop: float, label: int) -> Stretch:
    return Stretch(round(start * 256), round(stop * 256), label, ending=512 if label else None)


def archive(*stretches: Stretch) -> Dataset:
    return Dataset("x", ("background", "seizure"), (recording(*stretches),))


@given(st.integers(0, 40), st.integers(1, 30), st.integers(1, 40), st.integers(1, 12))
def test_a_window_ends_where_the_rule_says(start, length, n_window, ending):
    stretch = Stretch(start, start + length, 1, ending=ending)
    least = min(ending, length)
    allowed = [
        at
        for at in range(100)
        if start + least <= at + n_window <= start + length or (at == 0 and start < n_window <= start + length)
    ]
    first, last = stretch.starts(n_window)
    if allowed and allowed[-1] + n_window >= start + least:
        assert list(range(first, last + 1)) == [at for at in allowed if at + n_window >= start + least]
    else:
        assert last < first or n_window < start + least


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("length_s", [0.5, 1.5, 3.0, 8.0, 9.1, 20.0])
def test_windows_end_in_the_seizure_with_context_before(name, length_s):
    """Of 8 s: from 2 s after the onset to the end; what is scored has as much of the seizure as there is."""
    whole_s = 8.0
    stretch = seconds(20.03, 20.03 + length_s, 1)
    spec = PipelineSpec(SIGNAL, STAGES[name], Window(6.25 if name == "mel" else whole_s, 0.25))
    pipeline = spec.build()
    windows = session_windows(pipeline, recording(stretch))
    last_input = pipeline.last_input(np.arange(N if name == "plain" else 7000))
    n, hop = pipeline.window_frames, round(256 / pipeline.signal_out.sfreq)
    ends = last_input[np.array([windows.first[0], windows.last[0], windows.scored[0]]) + n - 1] + 1
    least = min(512, stretch.stop - stretch.start)
    assert stretch.start + least - hop < ends[0] < stretch.start + least + hop
    assert stretch.stop - hop < ends[1] <= stretch.stop
    begin = last_input[windows.scored[0]] - last_input[0]
    if length_s > whole_s + 0.5:
        assert stretch.start <= begin < stretch.start + hop, "the first that sees nothing but the seizure"
    elif length_s < whole_s:
        assert ends[2] == ends[1], "all of a shorter one"


def test_a_seizure_at_the_begin_has_windows_once_enough_is_recorded():
    assert seconds(0, 30, 1).starts(2560) == (0, 20 * 256)
    first, last = seconds(0, 9, 1).starts(2560)
    assert last < first


def test_what_has_no_room_is_left_out_and_counted():
    stretches = (seconds(0, 3, 1), seconds(3, 20, 0), seconds(20, 23, 1), seconds(23, 30, 0), seconds(30, 60, 1))
    left = without_short(archive(*stretches), 10.0)
    assert left.sessions[0].stretches == (stretches[1], stretches[2], stretches[4])
    assert counted(left) == {
        "background": {"n": 1, "seconds": 7.0, "where": ["a from 23 to 30 s"]},
        "seizure": {"n": 1, "seconds": 3.0, "where": ["a from 0 to 3 s"]},
    }
    assert whole(left).sessions[0].stretches == stretches
    assert counted(whole(left)) == {}


@pytest.mark.parametrize("name", STAGES)
def test_what_is_kept_has_room_whatever_the_pipeline(name):
    """So models of one archive are compared on the same stretches."""
    spec = PipelineSpec(SIGNAL, STAGES[name], Window(6.25 if name == "mel" else 8.0, 0.25))
    rng = np.random.default_rng(1)
    for _ in range(100):
        start, length = rng.uniform(0, 20), rng.uniform(0.01, 12)
        dataset = archive(seconds(start, start + length, int(rng.integers(2))), seconds(40, 60, 0), seconds(40, 60, 1))
        require_windows(spec, without_short(dataset, 8.0).sessions)


def test_a_message_has_the_seconds_of_the_user():
    """Not those of the columns, of which each sees 2 s."""
    spec = PipelineSpec(SIGNAL, STAGES["mel"], Window(6.25, 0.25))
    short = [recording(Stretch(256, 512, 0))]
    with pytest.raises(SpecError, match=r"window of 8\.1 s must fit .*, a has one of 1 s, from 1 s on\. Use a shorter"):
        require_windows(spec, short, 8.1)
    with pytest.raises(SpecError, match=r"A window of 8 s must fit into every labelled stretch"):
        session_windows(spec.build(), short[0])


def test_a_class_without_room_is_refused():
    dataset = archive(seconds(0, 3, 1), seconds(3, 60, 0))
    with pytest.raises(
        UsageError, match=r"window of 10 s needs a stretch of each class .* 1 of seizure last 3 s at most"
    ):
        without_short(dataset, 10.0)


def test_stretches_whose_windows_lie_inside_keep_their_hash():
    """Folders of runs, and comparisons, know recordings by it."""
    plain = recording(Stretch(0, 100, 0))
    assert session_sha256(plain) != session_sha256(replace(plain, stretches=(Stretch(0, 100, 0, ending=9),)))
    stretch = {"start": 0, "stop": 100, "label": 0, "votes": None, "context": 0}
    content = json.dumps([asdict(plain.signal), "a", [stretch], plain.sha256], sort_keys=True)
    assert session_sha256(plain) == hashlib.sha256(content.encode()).hexdigest()


EVENTS = "0.0\t2.0\tsz\tn/a\tn/a\tn/a\t40.0\n14.0\t3.0\tsz\tn/a\tn/a\tn/a\t40.0\n"


@pytest.fixture
def people(tmp_path, monkeypatch):
    """Three people with two seizures each, the first of which has nothing before it."""
    monkeypatch.chdir(tmp_path)
    for i in (1, 2, 3):
        write_bids(tmp_path / "data", f"sub-0{i}", EVENTS, duration_s=40)
    return ["--task", "bids-eeg", "--data", "data", "--model", "mel_cnn", "--out", "out", "--window-s", "8"]


def test_a_corpus_with_short_seizures_is_learnt_from(people, caplog, capsys):
    words = ["--n-folds", "3", "--epochs", "1", "--batch-size", "8", "--alarm-class", "seizure", "--folds", "0"]
    assert main(["run", *people, *words]) == 0
    assert "no room for a window of 8 s: 3 stretches of seizure, 6 s in all, the first sub-01_ses-01" in caplog.text
    (fold,) = Path("out/folds").glob("*.json")
    scored = json.loads(fold.read_text())
    assert [(s["start"] / 256, label) for s, label in zip(scored["scored"], scored["labels"], strict=True)] == [
        (2.0, 0),
        (14.0, 1),
        (17.0, 0),
    ]
    assert main(["data", "check", "--task", "bids-eeg", "--data", "data"]) == 0
    assert "no room for a window of 10 s: 3 stretches of seizure, 6 s in all" in capsys.readouterr().out
    assert main(["data", "check", "--task", "bids-eeg", "--data", "data", "--window-s", "13"]) == 0
    assert "no room for a window of 13 s: 3 stretches of background, 36 s in all" in capsys.readouterr().out
    assert main(["data", "check", "--task", "bids-eeg", "--data", "data", "--window-s", "30"]) == 0
    assert "A window of 30 s needs a stretch of each class" in capsys.readouterr().out


def test_settings_without_room_are_refused(people, capsys):
    assert main(["run", *people, "--piece-s", "8"]) == 2
    assert "--piece-s must be at least 8.5, a window with 0.5 s to spare, got 8. Use longer" in capsys.readouterr().err
    assert main(["run", *people[:-1], "25"]) == 2
    assert "A window of 25 s needs a stretch of each class with 0.5 s to spare" in capsys.readouterr().err
    assert not Path("out").exists()
    for words, message in (
        (["check", "--task", "bids-eeg", "--window-s", "0"], "--window-s must be above 0, got 0"),
        (["download", "chb-mit", "--window-s", "9"], "A download needs no --window-s, got one. It belongs to a check"),
    ):
        assert main(["data", *words, "--data", "data"]) == 2
        assert message in capsys.readouterr().err


def test_in_time_windows_lie_inside_their_stretch(people):
    """What comes before a stretch may be on another side."""
    config = TrainConfig("bids-eeg", "mel_cnn", "out", data="data", window_s=2.0, split="temporal")
    stretches = [stretch for session in prepared(config).sessions for stretch in session.stretches]
    assert len(stretches) == 3 * 3
    assert {stretch.ending for stretch in stretches} == {None}
    assert {s.ending for x in prepared(replace(config, split="k-fold")).sessions for s in x.stretches} == {None, 512}
    assert MARGIN_S < 1

"""A session beside offline scoring of its recording: what counts as the same, and logs that cannot be read."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from bci.decision import State
from bci.decoder import Ledger, Prediction
from bci.errors import RecordingError
from bci.sinks.jsonl_sink import prediction_record
from offline.agreement import LIMIT, compare, read_predictions

CLASSES = ("background", "seizure")


def prediction(index, probability=0.25, state=State.OK):
    return Prediction(
        index=index,
        last_sample=100 * index + 99,
        time=float(index),
        logits=np.zeros(2),
        probabilities=np.array([1 - probability, probability]),
        quality=1.0,
        state=state,
        changed=None,
        level=probability,
        ledger=Ledger(0.0, 0.0, 0.0, 0.0),
    )


OFFLINE = [prediction(i, 0.1 * i) for i in range(5)]


def log(path, predictions, *more):
    records = [{"kind": "session", "bundle_sha256": "ab"}, *(prediction_record(p, CLASSES) for p in predictions)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + "".join(more))
    return path


def agreement(tmp_path, live, offline=OFFLINE):
    return compare(read_predictions(log(tmp_path / "live.jsonl", live), CLASSES), offline)


def test_the_same_predictions_agree(tmp_path):
    found = agreement(tmp_path, OFFLINE)
    assert found.holds
    assert (found.n_live, found.n_offline, found.n_common, found.n_states, found.difference) == (5, 5, 5, 0, 0.0)
    assert str(found).startswith("Live equals offline: 5 predictions of the session, 5 of the file, 5 at the same")


@pytest.mark.parametrize(
    ("live", "what"),
    [
        (OFFLINE[:-1], {"n_live": 4, "n_common": 4}),
        ([*OFFLINE, prediction(9)], {"n_live": 6, "n_common": 5}),
        ([*OFFLINE[:-1], replace(OFFLINE[-1], last_sample=500)], {"n_live": 5, "n_common": 4}),
        ([*OFFLINE[:-1], prediction(4, 0.4, State.ALARM)], {"n_states": 1}),
        ([*OFFLINE[:-1], prediction(4, 0.4 + 2 * LIMIT)], {"difference": pytest.approx(2 * LIMIT)}),
        ([*OFFLINE[:-1], prediction(4, math.nan)], {"difference": math.inf}),
        ([replace(p, last_sample=p.last_sample + 1) for p in OFFLINE], {"n_common": 0, "difference": 0.0}),
    ],
    ids=["missing", "more", "other sample", "other state", "other number", "no number", "nothing in common"],
)
def test_whatever_differs_is_told(tmp_path, live, what):
    found = agreement(tmp_path, live)
    assert not found.holds
    assert {name: getattr(found, name) for name in what} == what
    assert str(found).startswith("Live differs from offline: ")


def test_no_number_on_both_sides_is_the_same(tmp_path):
    lost = [prediction(0, math.nan)]
    assert agreement(tmp_path, lost, lost).holds


def test_events_are_passed_over_and_a_cut_last_line_is_forgiven(tmp_path):
    path = log(tmp_path / "live.jsonl", OFFLINE, '{"kind": "gap", "t": 1.0}\n', '{"kind": "predic')
    logged = read_predictions(path, CLASSES)
    assert (logged.bundle_sha256, len(logged.states)) == ("ab", 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"A log must hold at least one prediction, got none in live\.jsonl"),
        ('{"kind": "gap"}\n', r"A log must hold at least one prediction, got none"),
        ('{"kind": "pre\n{}\n', r"with the classes background, seizure in each line, got line 1 of live\.jsonl"),
        ("[1]\n", r"in each line, got line 1"),
        ('{"kind": "prediction", "last_sample": 1e400}\n', r"in each line, got line 1"),
        (
            '{"kind": "prediction", "probabilities": {"a": 1}}\n',
            r"got line 1 of live\.jsonl\. Is it of another model\?",
        ),
        (
            '{"kind": "prediction", "probabilities": {"background": 0, "seizure": 1}, "last_sample": 1e400}\n',
            r"in each line, got line 1",
        ),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, text, message):
    path = tmp_path / "live.jsonl"
    path.write_text(text)
    with pytest.raises(RecordingError, match=message):
        read_predictions(path, CLASSES)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(RecordingError, match=r"A log must be a file that can be read, got .*: No such file"):
        read_predictions(tmp_path / "none.jsonl", CLASSES)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(RecordingError, match=r"A log must be a file that can be read, got .*: it is not text"):
        read_predictions(tmp_path / "bytes", CLASSES)

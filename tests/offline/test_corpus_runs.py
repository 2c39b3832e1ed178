"""Seizure corpora from their own files to a served bundle with an alarm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apps.cli import main as bci
from apps.train import main
from bci.bundle import load_bundle
from bci.seizure_table import read_table
from offline.config import read_config
from tests.offline.datasets.layouts import write_bids, write_chbmit

EVENTS = "0.0\t2.0\tsz_foc\tn/a\tn/a\tn/a\t40.0\n12.0\t12.0\tsz_foc\tn/a\tn/a\t2020-01-01 12:00:00\t40.0\n30.0\t4.0\tsz_foc\tn/a\tn/a\tn/a\t40.0\n"
SEIZURES = [(12, 24), (30, 34)]
SHORT = ("--window-s", "4", "--piece-s", "5", "--n-folds", "3", "--epochs", "1", "--batch-size", "8")


def _chbmit(folder: Path) -> Path:
    """Write three children; chb21 is the first one again."""
    for i, case in enumerate(("chb01", "chb02", "chb03", "chb21")):
        write_chbmit(folder, case, {1: SEIZURES if i < 3 else []}, seed=100 * i, duration_s=40)
    return folder / "chb02" / "chb02_01.edf"


def _bids(folder: Path) -> Path:
    """Write three people."""
    return [write_bids(folder, f"sub-0{i}", EVENTS, duration_s=40) for i in (1, 2, 3)][1]


@pytest.mark.parametrize(
    ("task", "write", "model"), [("chb-mit", _chbmit, "mel_cnn"), ("bids-eeg", _bids, "causal_segmenter")]
)
def test_a_corpus_becomes_a_bundle_that_decodes_its_files(tmp_path, monkeypatch, capsys, task, write, model):
    monkeypatch.chdir(tmp_path)
    recording = write(tmp_path / "data")
    words = ["--task", task, "--data", "data", "--model", model, "--out", "out", "--alarm-class", "seizure"]
    assert main(["run", *words, *SHORT]) == 0
    said = capsys.readouterr().out
    assert "bundle: out/bundle" in said
    decision = json.loads(Path("out/bundle/decision.json").read_text())
    assert decision["alarm"]["label"] == "seizure"
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert len(metrics["data"]["subjects"]) == 3
    short = metrics["data"]["too_short"]
    assert {name: (part["n"], part["seconds"]) for name, part in short.items()} == (
        {} if task == "chb-mit" else {"seizure": (3, 6.0)}
    )
    assert metrics["events"]["n_seizures"] == 3, "seizures that are less than 90 s apart are one event"
    signal = load_bundle(Path("out/bundle")).pipeline.signal
    assert (signal.sfreq, signal.n_channels) == (256.0, 18 if task == "chb-mit" else 19)
    log = Path("log.jsonl")
    words = ["decode", str(recording), "--model", "out/bundle", "--adapt", "--engine", "eager"]
    assert bci([*words, "--log", str(log), "--events", "found_events.tsv"]) == 0
    levels = [json.loads(line)["probabilities"] for line in log.read_text().splitlines()]
    assert len(levels) == (37 if model == "mel_cnn" else 40), "one a second; a network with state waits for no window"
    read_table(Path("found_events.tsv"))
    np.testing.assert_allclose(np.sum([list(p.values()) for p in levels], axis=1), 1.0, atol=1e-6)


def test_a_corpus_has_settings_of_its_own():
    """Half minutes of long recordings, not one window an hour; TUSZ by its own parts."""
    for task, split in (("chb-mit", "k-fold"), ("siena-banana", "k-fold"), ("tusz", "archive")):
        config = read_config(None, {"task": task, "model": "mel_cnn", "out": "out", "data": "data"})
        assert (config.window_s, config.hop_s, config.piece_s, config.split) == (10.0, 1.0, 30.0, split)

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
from offline.feature_cache import FeatureCache
from tests.offline.datasets.layouts import write_bids, write_chbmit, write_tusz

EVENTS = "".join(f"{at}\t{s}\tsz_foc\tn/a\tn/a\tn/a\t40.0\n" for at, s in ((0.0, 2.0), (12.0, 12.0), (30.0, 4.0)))
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
    assert main(["run", *words, *SHORT, *([] if task == "chb-mit" else ["--no-baselines"])]) == 0
    said = capsys.readouterr().out
    assert "bundle: out/bundle" in said
    assert FeatureCache().size_bytes() > 0, "long recordings are not kept in memory"
    decision = json.loads(Path("out/bundle/decision.json").read_text())
    assert decision["alarm"]["label"] == "seizure"
    metrics = json.loads(Path("out/metrics.json").read_text())
    beside = [part["model"] for part in metrics["strong_baselines"]]
    assert beside == (["tangent_correlation", "spectrum_blocks"] if task == "chb-mit" else [])
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


def test_the_parts_of_tusz_are_used_as_its_authors_meant_them(tmp_path, monkeypatch, capsys):
    """Learnt on train, stopped and the alarm chosen on dev, eval scored once: nobody is scored in turn."""
    monkeypatch.chdir(tmp_path)
    people = {"train": "aaaaaaaa aaaaaaab", "dev": "aaaaaaac", "eval": "aaaaaaad aaaaaaae"}
    for part, names in people.items():
        for name in names.split():
            write_tusz(tmp_path / "data", part, name, "TERM,6.0,14.0,seiz,1\n")
    words = ["--task", "tusz", "--data", "data", "--model", "mel_cnn", "--alarm-class", "seizure", *SHORT[:4]]
    assert main(["run", *words, *SHORT[6:], "--out", "out"]) == 0
    assert "accuracy, the archive's own split of subjects: " in capsys.readouterr().out
    metrics = json.loads(Path("out/metrics.json").read_text())
    (fold,) = metrics["folds"]
    assert {"train": fold["train"], "dev": fold["validation"], "eval": fold["test"]} == {
        part: names.split() for part, names in people.items()
    }
    assert [person["subject"] for person in metrics["scores"]["subjects"]] == people["eval"].split()
    assert metrics["events"]["n_seizures"] == 2
    assert len(list(Path("out/folds").glob("*.alarm.safetensors"))) == 1


def test_parts_that_are_not_all_there_are_no_split(tmp_path, capsys):
    for part, name in (("train", "aaaaaaaa"), ("train", "aaaaaaab"), ("eval", "aaaaaaac")):
        write_tusz(tmp_path / "data", part, name, "TERM,6.0,14.0,seiz,1\n")
    words = ["run", "--task", "tusz", "--data", str(tmp_path / "data"), "--model", "mel_cnn", *SHORT[:4], "--out"]
    assert main([*words, str(tmp_path / "out")]) == 2
    assert "needs the parts train, dev, eval, tusz has eval, train. Add the others, or use" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

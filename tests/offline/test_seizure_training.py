"""A run on simulated patients: from seeds to a bundle that the runtime loads, the same every time."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from html import unescape
from multiprocessing import get_context

import pytest
from safetensors.torch import save_file

from apps.train import main
from bci.bundle import load_bundle
from bci.engines.eager_engine import EagerEngine
from bci.errors import UsageError
from bci.golden import compare, require
from models.registry import ModelSpec, build
from offline import seizure_training
from offline.config import TrainConfig
from offline.datasets.simulated import Cohort, end_with_parent
from offline.seizure_alarm import FIGURES
from offline.seizure_report import ROWS, table
from offline.seizure_training import command, train
from offline.tune import tune

SMALL = {
    "TRAIN": Cohort("train", 1, 2, 60.0, 24.0),
    "VALIDATION": Cohort("validation", 11, 1, 60.0, 24.0),
    "TEST": Cohort("test", 21, 2, 60.0, 24.0),
}


def config(out) -> TrainConfig:
    return TrainConfig("seizure-sim", "mel_cnn", str(out), window_s=4.0, hop_s=1.0, epochs=2, batch_size=8)


@pytest.fixture
def small(monkeypatch):
    """Few short patients, simulated in this process."""
    for name, cohort in SMALL.items():
        monkeypatch.setattr(seizure_training, name, cohort)
    monkeypatch.setattr(seizure_training, "COHORTS", tuple(SMALL.values()))
    monkeypatch.setattr("offline.datasets.simulated.COHORTS", tuple(SMALL.values()))
    monkeypatch.setattr(seizure_training, "SIMULATORS", 1)


def test_a_run_gives_a_bundle_and_honest_figures(small, tmp_path):
    steps = []
    outcome = train(config(tmp_path / "run"), "2026-01-01T00:00:00+00:00", steps.append)
    bundle = load_bundle(tmp_path / "run" / "seizure-small")
    assert [step.done for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert {step.total for step in steps} == {7}
    assert (steps[0].name, steps[-1].epoch.index) == ("train patient 1", 1)
    assert bundle.name == "seizure-small"
    assert bundle.decision.classes == ("background", "seizure")
    assert bundle.decision.alarm is not None
    golden = compare(bundle.golden(), bundle.pipeline, bundle.decision, EagerEngine(bundle.network()))
    require(golden, "seizure-small")
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(written["detectors"]) == set(ROWS)
    assert written["detectors"]["never"]["f1"]["value"] == 0
    assert written["detectors"]["never"]["hours"] == pytest.approx(2 / 60)
    low, high = written["detectors"]["never"]["false_per_day"]["poisson"]
    assert (low, high) == (0.0, pytest.approx(3.689 * 720, rel=1e-3)), "none in two minutes says little of a day"
    assert written["data"]["test"]["seizures"] == written["detectors"]["network"]["n_seizures"]
    card = (bundle.path / "card.md").read_text()
    assert all(line in card for line in table(outcome.metrics))
    assert bundle.manifest["training"]["command"] in card
    assert "epoch 1" in (tmp_path / "run" / "train.log").read_text()
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("<svg") == 1
    assert "the network's alarms at random" in unescape(page)


def test_epochs_are_written_for_tensorboard_and_weights_taken_from_a_file(small, tmp_path, monkeypatch, capsys):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.chdir(tmp_path)
    shape = {"n_channels": 19, "n_features": 40, "n_times": 9, "sfreq": 4.0, "n_classes": 3}
    save_file(build(ModelSpec("mel_cnn", shape)).state_dict(), "w.safetensors")
    words = ["run", "--task", "seizure-sim", "--model", "mel_cnn", "--window-s", "4", "--hop-s", "1", "--epochs", "2"]
    words += ["--batch-size", "8", "--out", "a"]
    assert main([*words, "--tensorboard", "logs", "--start-weights", "w.safetensors"]) == 0
    curve = accumulator.EventAccumulator("logs/a/seizure-small").Reload().Scalars("loss/train")
    history = json.loads((tmp_path / "a" / "metrics.json").read_text())["history"]
    assert [(event.step, event.value) for event in curve] == [
        (epoch["index"], pytest.approx(epoch["train_loss"])) for epoch in history
    ]
    bundle = load_bundle(tmp_path / "a" / "seizure-small")
    assert bundle.manifest["training"]["start_weights"]["fresh"] == ["head.weight", "head.bias"]
    said = "not checked: whether the weights that it started from were learnt from anybody who is scored here"
    assert said in capsys.readouterr().out.splitlines()
    card, page = (bundle.path / "card.md").read_text(), (tmp_path / "a" / "report.html").read_text()
    assert "started from" in card
    assert said in card
    assert f"N{said[1:]}." in page
    assert json.loads((tmp_path / "a" / "metrics.json").read_text())["unchecked"] == [said.split(": ")[1]]


def test_the_same_seed_gives_the_same_model(small, tmp_path):
    """Whether the features were there or not, in another folder, and resumed."""
    first = train(config(tmp_path / "a"), "2026-01-01T00:00:00+00:00")
    again = train(config(tmp_path / "a"), "2026-01-01T00:00:00+00:00")
    other = train(config(tmp_path / "b"), "2026-01-01T00:00:00+00:00")
    assert first.bundle.manifest["files"] == again.bundle.manifest["files"]
    weights = [outcome.bundle.manifest["files"]["weights.safetensors"] for outcome in (first, other)]
    assert weights[0] == weights[1]
    assert first.metrics == other.metrics


def test_the_command_repeats_the_run():
    assert command(config("runs/x")) == (
        "bci-train --task seizure-sim --model mel_cnn --window-s 4 --hop-s 1 --epochs 2 --batch-size 8 --out runs/x"
    )


def test_a_figure_without_value_is_a_dash():
    row = {name: {"value": None, "interval": None} for name in (*FIGURES, "window_auc")} | {"hours": 0.25}
    lines = table({"run": {"model": "mel_cnn"}, "detectors": dict.fromkeys(ROWS, row)})
    assert lines[2].count("–") == 7
    assert len(lines) == 2 + len(ROWS)


def test_a_folder_and_tuning_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"seizure-sim makes its own data"):
        train(TrainConfig("seizure-sim", "mel_cnn", str(tmp_path / "out"), data=str(tmp_path)), "")
    with pytest.raises(UsageError, match=r"Tuning needs folds of people, seizure-sim has fixed cohorts"):
        tune(config(tmp_path / "out"), 2)
    assert not (tmp_path / "out").exists()


def test_settings_without_effect_are_refused(tmp_path):
    settings = replace(config(tmp_path / "out"), patience=3, skip_bad=True)
    with pytest.raises(UsageError, match=r"fixed cohorts, got --patience, --skip-bad, which would have no effect"):
        train(settings, "")
    assert not (tmp_path / "out").exists()


def _parent(pipe):
    child = get_context("spawn").Process(target=_child, args=(pipe,))
    child.start()
    child.join()


def _child(pipe):
    end_with_parent()
    pipe.send(os.getpid())
    threading.Event().wait()


def test_a_simulating_process_ends_with_its_parent():
    """Killed parents cannot clean up."""
    receive, send = get_context("spawn").Pipe(duplex=False)
    parent = get_context("spawn").Process(target=_parent, args=(send,))
    parent.start()
    send.close()
    assert receive.poll(60)
    receive.recv()
    parent.kill()
    parent.join()
    assert receive.poll(10), "the pipe closes when the last process that holds it has ended"
    with pytest.raises(EOFError):
        receive.recv()

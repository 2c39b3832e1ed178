"""A corpus of marked seizures teaches a segmenter every sample, and an interruption changes no byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bci.bundle import load_bundle
from bci.errors import UsageError
from bci.serving import serve
from offline.config import TrainConfig
from offline.recipes import RECIPES
from offline.train import train
from tests.offline.datasets.layouts import write_bids
from tests.offline.toy_task import install

CREATED = "2026-01-01T00:00:00+00:00"
EVENTS = "".join(f"{at}\t{s}\tsz_foc\tn/a\tn/a\tn/a\t40.0\n" for at, s in ((0.0, 2.0), (12.0, 12.0), (30.0, 4.0)))
SMALL = ("widths=[4,6]", "kernels=[5,3]", "n_heads=2", "n_layers=1")


class Interrupted(Exception):
    """The power fails."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """Three people with three seizures each, the first of which is too short for a window."""
    folder = tmp_path_factory.mktemp("bids")
    for i in (1, 2, 3):
        write_bids(folder, f"sub-0{i}", EVENTS, duration_s=40)
    return folder


def config(archive: Path, out: Path, **changes) -> TrainConfig:
    settings = {"task": "bids-eeg", "model": "seizure_segmenter", "data": str(archive), "out": str(out)}
    settings |= {"window_s": 4.0, "hop_s": 1.0, "piece_s": 5.0, "split": "k-fold", "n_folds": 3, "epochs": 2}
    return TrainConfig(**settings | {"batch_size": 8, "arguments": SMALL} | changes)


@pytest.fixture(scope="module")
def run(archive, tmp_path_factory) -> tuple[Path, dict]:
    """A finished run: its folder and its metrics."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, train(config(archive, out), CREATED).metrics


def test_segmenters_learn_samples_where_seizures_are_marked():
    marked = {"chb-mit", "siena", "siena-banana", "tusz", "tusz-banana", "bids-eeg", "bids-eeg-banana"}
    found = {
        (task, name)
        for task, models in RECIPES.items()
        for name, recipe in models.items()
        if recipe.training.get("targets") == "samples"
    }
    assert found == {(task, name) for task in marked for name in ("seizure_segmenter", "causal_segmenter")}


def test_the_bundle_is_served(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    out, metrics = run
    assert metrics["run"]["resolved"]["training"]["targets"] == "samples"
    assert load_bundle(out / "bundle").model.name == "seizure_segmenter"
    assert serve(str(out / "bundle"), "eager").golden_report.passed


def test_an_interrupted_run_ends_with_the_same_bytes(run, archive, tmp_path):
    whole, metrics = run
    settings = config(archive, tmp_path / "cut")

    def fail(step):
        if step.epoch is not None and step.epoch.index == 0 and (tmp_path / "cut" / "folds").is_dir():
            done = list((tmp_path / "cut" / "folds").glob("*.json"))
            if done:  # in the second fold, after its first epoch
                raise Interrupted

    with pytest.raises(Interrupted):
        train(settings, CREATED, fail)
    resumed = train(settings, CREATED)
    assert resumed.metrics == metrics
    for name in ("weights.safetensors", "golden.safetensors", "manifest.json"):
        files = [(folder / "bundle" / name).read_bytes() for folder in (whole, tmp_path / "cut")]
        assert files[0] == files[1], name


def test_windows_can_be_learnt_instead(run, archive, tmp_path):
    """With other weights, and the record that runs had before there was a choice."""
    samples, _ = run
    metrics = train(config(archive, tmp_path / "window", targets="window", epochs=1), CREATED).metrics
    assert "targets" not in metrics["run"]["resolved"]["training"]
    assert metrics["run"]["settings"]["targets"] == "window"
    assert "targets" not in json.loads((samples / "run.json").read_text())["settings"]
    weights = [(folder / "bundle" / "weights.safetensors").read_bytes() for folder in (samples, tmp_path / "window")]
    assert weights[0] != weights[1]


def test_the_baselines_beside_it_learn_windows_though_samples_are_asked_for(run, archive, tmp_path):
    _, by_default = run
    metrics = train(config(archive, tmp_path / "asked", targets="samples"), CREATED).metrics
    assert metrics["scores"] == by_default["scores"]


@pytest.mark.parametrize(("model", "kind"), [("eegnet", "EEGNet"), ("band_power", "BandClassifier")])
def test_models_that_judge_windows_are_refused(archive, tmp_path, model, kind):
    settings = config(archive, tmp_path / "out", model=model, arguments=None, targets="samples")
    with pytest.raises(UsageError, match=f"a network that judges every sample, {kind} judges windows. Use a segmenter"):
        train(settings, CREATED)
    assert not (tmp_path / "out").exists()


def test_a_task_with_one_label_a_recording_is_refused(tmp_path, monkeypatch):
    install(monkeypatch)
    settings = TrainConfig("toy", "eegnet", str(tmp_path / "out"), window_s=0.5, targets="samples")
    with pytest.raises(UsageError, match=r"marked in long recordings \(chb-mit, .*\), got toy\. Use --targets w"):
        train(settings, CREATED)
    assert not (tmp_path / "out").exists()

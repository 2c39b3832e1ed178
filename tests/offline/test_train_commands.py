"""Parts of a run from the command line: some folds, trials only, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.train import main
from bci.errors import UsageError
from offline.config import TrainConfig, read_config
from offline.evaluate import loop_settings
from offline.recipes import RECIPES, Recipe, configured
from offline.seizure_training import train as train_seizures
from offline.tune import Workplace
from tests.offline.toy_task import install

WORDS = ["--task", "toy", "--model", "eegnet", "--window-s", "0.5", "--epochs", "1", "--batch-size", "4"]


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    install(monkeypatch, 3)
    monkeypatch.chdir(tmp_path)


def test_folds_are_run_apart_and_then_together(capsys):
    assert main(["run", *WORDS, "--out", "out", "--folds", "0,2"]) == 0
    assert "2 of 3 folds are done here" in capsys.readouterr().out
    assert not Path("out/bundle").exists()
    assert main(["run", *WORDS, "--out", "out"]) == 0
    assert "bundle: out/bundle" in capsys.readouterr().out


def test_a_worker_runs_trials_and_scores_nothing(monkeypatch, capsys):
    words = ["tune", *WORDS, "--out", "out", "--tune", "1", "--n-inner", "1", "--folds", "0", "--worker"]
    assert main(words) == 2, "two people are too few for an inner fold"
    assert "Inner folds (1) need at least 3 subjects left, got 2" in capsys.readouterr().err
    install(monkeypatch, 4)
    assert main(words) == 0
    assert "the trials or folds of this process are done" in capsys.readouterr().out
    assert not Path("out/tune.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "first"], "--folds needs numbers such as 0,2, got 'first'"),
        (["--worker"], "A worker runs trials, got none to run. Pass --tune"),
        (["--folds", "3"], "Folds are numbered 0 to 2 here, got 3"),
        (
            ["--n-folds", "1"],
            "--n-folds must be at least 2, --n-inner at least 1 and --tune not negative, got 1, 2 and 0",
        ),
        (
            ["--arguments", "dropout=0.1"],
            "The dropout of a model is a setting of its own, got 'dropout=0.1' in --arguments",
        ),
        (["--arguments", "sfreq=3"], "An argument of the model has the form name=value, got 'sfreq=3'; n_channels"),
        (["--arguments", "depth"], "has the form name=value, got 'depth'"),
        (["--augment", "flip", "blur"], "No augmentation is named 'blur'"),
        (["--label-smoothing", "1"], "A loss needs label_smoothing from 0 to below 1"),
        (["--vote-weights", "many"], "invalid choice: 'many'"),
    ],
)
def test_wrong_words_are_wrong_usage_and_leave_nothing(words, message, capsys):
    assert main(["run", *WORDS, "--out", "out", *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_fixed_cohorts_have_no_folds(tmp_path):
    config = TrainConfig("seizure-sim", "mel_cnn", str(tmp_path / "out"))
    with pytest.raises(UsageError, match="got --folds, --worker or --storage, which would have no effect"):
        train_seizures(config, "", None, Workplace(tmp_path / "out", folds=(0,)))


def test_settings_come_before_the_recipe_and_that_before_the_defaults(monkeypatch):
    training = {"augment": ("flip", "mixup"), "loss": "kl", "ema_decay": 0.99}
    monkeypatch.setitem(RECIPES["toy"], "eegnet", Recipe("eegnet", "", (), 3.0, training=training))
    flags = {"task": "toy", "model": "eegnet", "out": "o", "loss": "focal"}
    config = read_config(None, flags)
    loop = loop_settings(configured(config), config)
    assert (loop.augment, loop.loss, loop.ema_decay, loop.precision) == (("flip", "mixup"), "focal", 0.99, "float32")
    off = read_config(None, flags | {"augment": ["none"], "ema_decay": 0.0})
    assert loop_settings(configured(off), off).augment == ()
    assert loop_settings(configured(off), off).ema_decay == 0.0

"""Tuning: the scored people have no say, trials are the same every time, and several processes share a study."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from bci.errors import SpecError, UsageError
from offline import trials
from offline import tune as tuning
from offline.config import TrainConfig
from offline.fold import read_fold
from offline.recipes import configured
from offline.search import Choice, Range, drawn, space
from offline.temporal import TemporalSplit
from offline.train import train
from offline.trials import best, opened, run_trials
from offline.tune import Workplace, tune
from tests.offline.toy_task import dataset, install

ROOT = Path(__file__).resolve().parents[2]
CREATED = "2026-01-01T00:00:00+00:00"


def config(out: Path, **changes) -> TrainConfig:
    settings = {"task": "toy", "model": "eegnet", "out": str(out), "window_s": 0.5, "hop_s": 0.25, "n_inner": 1}
    return TrainConfig(**settings | {"epochs": 2, "batch_size": 4, "tune": 3} | changes)


@pytest.fixture
def toy(monkeypatch):
    install(monkeypatch)


def test_trials_never_meet_the_scored_people(toy, tmp_path):
    steps = []
    settings = config(tmp_path / "out")
    tuned = tune(settings, Workplace(tmp_path / "out"), steps.append)
    assert (steps[-1].done, steps[-1].total) == (steps[-1].total, steps[-1].done)
    assert [choice["fold"] for choice in tuned["choices"]] == ["sub-01", "sub-02", "sub-03", "sub-04"]
    assert all(len(choice["tried"]) == 3 for choice in tuned["choices"])
    assert tuned["scores"]["figures"]["stretches"]["n"] == 4 * 8
    folds = list((tmp_path / "out" / "inner").rglob("*.json"))
    assert len(folds) == 12
    for path in folds:
        split = read_fold(path).split
        outer = path.relative_to(tmp_path / "out" / "inner").parts[0]
        assert outer not in (*split.train, *split.validation, *split.test)
    for choice in tuned["choices"]:
        assert choice["score"] == max(trial["score"] for trial in choice["tried"] if trial["state"] == "complete")
        fold = json.loads((tmp_path / "out" / "folds" / f"{choice['fold']}.json").read_text())
        rate = fold["settings"]["training"]["learning_rate"]
        assert rate == choice["values"]["learning_rate"], "the outer fold is trained with what the inner ones chose"
    with pytest.raises(UsageError, match=r'holds another run, .*verb needs "tune", got "run"'):
        train(settings, CREATED)
    with pytest.raises(UsageError, match=r"holds another run, .*settings\.n_inner needs 1, got 3"):
        tune(replace(settings, n_inner=3), Workplace(tmp_path / "out"))


def test_trials_begin_with_the_settings_of_a_run_without_them(toy, tmp_path):
    """One that a range does not hold is drawn."""
    search = ("learning_rate=1e-4:1e-2:log", "dropout=0.3:0.6", "clip_norm=0:2", "balance=none|classes")
    tuned = tune(config(tmp_path / "out", tune=2, search=search), Workplace(tmp_path / "out"))
    usual = {"learning_rate": 3e-3, "clip_norm": 0.0, "balance": "none"}
    for choice in tuned["choices"]:
        first, second = (trial["values"] for trial in choice["tried"])
        assert {name: first[name] for name in usual} == usual
        assert 0.3 <= first["dropout"] <= 0.6
        assert second["learning_rate"] != first["learning_rate"]


def test_a_run_tunes_inside_each_fold_and_for_the_final_model(toy, tmp_path):
    outcome = train(config(tmp_path / "out", tune=2), CREATED)
    assert [choice["fold"] for choice in outcome.metrics["tuning"]] == ["sub-01", "sub-02", "sub-03", "sub-04", "all"]
    assert outcome.bundle.manifest["training"]["folds"][0]["test"] == ["sub-01"]


class Interrupted(Exception):
    """The power fails."""


def test_an_interrupted_study_ends_like_one_that_was_not(toy, tmp_path):
    expected = tune(config(tmp_path / "whole"), Workplace(tmp_path / "whole"))

    def fail(step):
        if step.name == "without sub-02, trial 2" and step.epoch is not None:
            raise Interrupted

    settings, place = config(tmp_path / "cut"), Workplace(tmp_path / "cut")
    with pytest.raises(Interrupted):
        tune(settings, place, fail)
    resumed = tune(settings, place)
    assert resumed["scores"] == expected["scores"]
    assert [c["values"] for c in resumed["choices"]] == [c["values"] for c in expected["choices"]]


def test_folds_are_done_apart_and_put_together(toy, tmp_path):
    """As two processes would, with trials in a database."""
    whole = tune(config(tmp_path / "a", tune=2), Workplace(tmp_path / "a"))
    settings, out = config(tmp_path / "b", tune=2, features=str(tmp_path / "features")), tmp_path / "b"
    storage = f"sqlite:///{tmp_path / 'trials.db'}"
    assert tune(settings, Workplace(out, storage, (1, 3))) == {}
    assert sorted(path.name for path in (out / "folds").glob("*.json")) == ["sub-02.json", "sub-04.json"]
    assert tune(settings, Workplace(out, storage, (0,), helps=True)) == {}
    assert not (out / "folds" / "sub-01.json").exists(), "who helps scores nothing"
    together = tune(settings, Workplace(out, storage))
    assert together == whole
    with pytest.raises(UsageError, match=r"The study toy/eegnet/sub-01 in sqlite.* belongs to another run"):
        tune(config(tmp_path / "c", tune=1), Workplace(tmp_path / "c", storage))


WORKER = """
import sys
from pathlib import Path
import pytest
from tests.offline.test_tune import config
from tests.offline.toy_task import install
from offline.tune import Workplace, tune
patch = pytest.MonkeyPatch()
install(patch, 4)
out = Path(sys.argv[1])
print(flush=True)
tune(config(out, tune=6), Workplace(out, None, (0,), helps=True), lambda step: print(step.name, flush=True))
"""


def worker(out: Path) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, str(out)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_processes_share_the_trials_of_a_study(tmp_path):
    """One of them is killed: what it had begun is done by the other."""
    workers = [worker(tmp_path / "out") for _ in range(2)]
    try:
        first, second = workers
        assert first.stdout is not None
        next(line for line in first.stdout if "trial" in line)
        first.send_signal(signal.SIGKILL)
        first.wait(60)
        second.communicate(timeout=120)
        assert second.returncode == 0
    finally:
        for process in workers:
            process.kill()
            process.communicate()
    install(patch := pytest.MonkeyPatch())
    with patch.context():
        tuned = {}
        settings = config(tmp_path / "out", tune=6)
        tune(settings, Workplace(tmp_path / "out", None, (0,)))
        tuned = json.loads((tmp_path / "out" / "folds" / "sub-01.json").read_text())
    patch.undo()
    study = opened(None, tmp_path / "out" / "inner" / "sub-01", "toy/eegnet/sub-01", run_of(tmp_path / "out"), 1)
    states = [trial.state.name for trial in study.trials]
    assert len([state for state in states if state in ("COMPLETE", "PRUNED")]) == 6
    assert "RUNNING" not in states
    workers_seen = {tuple(trial.user_attrs["worker"]) for trial in study.trials if "worker" in trial.user_attrs}
    assert len(workers_seen) >= 2
    assert tuned["labels"]


def run_of(out: Path) -> str:
    return tuning.hashlib.sha256((out / "run.json").read_bytes()).hexdigest()


def test_a_study_stops_at_its_number_and_counts_diverged_trials(tmp_path):
    study = opened(None, tmp_path, "s", "r", 1)
    seen = []

    def objective(trial):
        seen.append(trial.suggest_float("x", 0.0, 1.0))
        if len(seen) == 2:
            raise SpecError("Training needs a finite loss, got nan.")
        return -((seen[-1] - 0.3) ** 2)

    run_trials(study, 5, objective, 7)
    run_trials(study, 5, objective, 7)
    assert len(seen) == 5
    assert best(study).number == min((i for i in range(5) if i != 1), key=lambda i: ((seen[i] - 0.3) ** 2, i))
    again = opened(None, tmp_path / "again", "s", "r", 1) if (tmp_path / "again").mkdir() is None else None
    first = list(seen)
    seen.clear()
    run_trials(again, 5, objective, 7)
    assert seen == first


def test_trials_that_fall_behind_are_stopped(tmp_path):
    study = opened(None, tmp_path, "s", "r", 1)

    def objective(trial):
        value = float(trial.number < trials.N_RANDOM)
        for step in range(4):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    run_trials(study, 6, objective, 0)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4 + ["PRUNED"] * 2


def test_a_storage_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"a storage such as sqlite:///trials\.db, got sqlite:////absent"):
        opened("sqlite:////absent/folder/x.db", tmp_path, "s", "r", 1)
    with pytest.raises(UsageError, match=r"a storage such as sqlite:///trials\.db, got nonsense"):
        opened("nonsense", tmp_path, "s", "r", 1)


def test_a_study_without_a_whole_trial_has_no_best(tmp_path):
    with pytest.raises(SpecError, match="a trial that came to its end, s has none"):
        best(opened(None, tmp_path, "s", "r", 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_inner": 9}, r"between 1 and the 3 subjects left, got 9\. Choose another number"),
        ({"split": "k-fold", "n_folds": 3, "n_inner": 1}, r"Inner folds \(1\) need at least 3 subjects left, got 2"),
        ({"n_inner": 2}, r"Inner folds \(2\) need at least 4 subjects left, got 3"),
        ({"split": "temporal", "n_folds": 2}, "Tuning needs folds of people inside each fold, got a split in time"),
        ({"tune": 0}, "at least 1 trial, got 0. Pass --tune"),
        ({"dropout": 0.3}, "Trials choose learning_rate, .*dropout, each once and not set otherwise, got dropout"),
        ({"search": ("dropout=0:1", "dropout=0:0.5")}, "each once and not set otherwise, got one twice"),
        ({"search": ("epochs",)}, r"A range of --search has the form low:high, .*got 'epochs'"),
        ({"search": ("dropout=1:0",)}, "A range of --search has the form low:high, .*got 'dropout=1:0'"),
        ({"search": ("dropout=0:1:log",)}, "A range of --search has the form"),
        ({"search": ("loss=kl|focal",)}, r"Trials vary epochs, .* or arguments\.NAME, got 'loss'"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_written(toy, tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        tune(config(tmp_path / "out", **change), Workplace(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_folds_that_are_not_there_are_refused(toy, tmp_path):
    with pytest.raises(UsageError, match=r"Folds are numbered 0 to 3 here, got 4\. Change --folds"):
        tune(config(tmp_path / "out"), Workplace(tmp_path / "out", None, (0, 4)))


def test_trials_do_not_run_under_torchrun(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "n_processes", lambda: 2)
    with pytest.raises(UsageError, match="as workers of their own, not under torchrun"):
        tune(config(tmp_path / "out"), Workplace(tmp_path / "out"))


def test_a_split_in_time_has_no_inner_folds():
    split = TemporalSplit("sub-01", 0, ("a[0:1]",), (), ())
    with pytest.raises(UsageError, match="Inner folds need a split of people, got sub-01-1, which is in time"):
        tuning.inner_folds(dataset(1), split, config(Path()))


def test_a_closed_fit_is_not_tuned(tmp_path):
    with pytest.raises(UsageError, match="Tuning needs a network, riemann has a closed fit"):
        tune(TrainConfig("ssvep", "riemann", str(tmp_path), tune=1), Workplace(tmp_path))


def test_the_space_is_what_the_settings_say(toy):
    words = ("learning_rate=1e-4:1e-2:log", "batch_size=4:8:int", "balance=none|classes", "arguments.f1=4|8")
    plain = config(Path(), search=words, batch_size=32)
    found = space(plain, configured(plain))
    assert found == (
        Range("learning_rate", 1e-4, 1e-2, log=True),
        Range("batch_size", 4, 8, whole=True),
        Choice("balance", ("none", "classes")),
        Choice("arguments.f1", (4, 8)),
    )
    settings = drawn(plain, {"learning_rate": 0.002, "batch_size": 6, "balance": "classes", "arguments.f1": 8})
    assert (settings.learning_rate, settings.batch_size, settings.balance) == (0.002, 6, "classes")
    assert configured(settings).arguments["f1"] == 8
    assert [entry.name for entry in space(config(Path()), configured(config(Path())))] == [
        "learning_rate", "weight_decay", "dropout"
    ]  # fmt: skip

"""A whole run on a small archive: everything is written, nothing twice, and the bundle can be loaded."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from bci import golden
from bci.bundle import load_bundle
from bci.engines.eager_engine import EagerEngine
from bci.errors import RecordingError, SchemaError, UsageError
from bci.sources.recording import open_recording
from offline.config import TrainConfig
from offline.datasets.base import Problem
from offline.datasets.ssvep import load
from offline.evaluate import cross_validate, evaluate_split, fit_model, read_fold
from offline.recipes import RECIPES, STRONG_BASELINE, recipe
from offline.report import report_html, verdict
from offline.splits import leave_one_out
from offline.train import train, usable
from offline.tune import grid, tune
from tests.offline.ssvep_layout import write_archive, write_session

CREATED = "2026-01-01T00:00:00+00:00"


def config(archive, out, **changes) -> TrainConfig:
    settings = {"task": "ssvep", "data": str(archive), "model": "cca_net", "out": str(out), "window_s": 1.0}
    return TrainConfig(**settings | {"epochs": 3, "batch_size": 4} | changes)


@pytest.fixture(scope="module")
def run(archive, tmp_path_factory):
    """A finished run: its folder and its outcome."""
    out = tmp_path_factory.mktemp("runs") / "cca"
    return out, train(config(archive, out), CREATED)


def test_a_run_writes_everything(run):
    out, outcome = run
    files = ["bundle", "folds", "metrics.json", "report.html", "run.json", "train.log"]
    assert sorted(path.name for path in out.iterdir()) == files
    assert "sub-02: epoch 2: loss " in (out / "train.log").read_text()
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(outcome.metrics))
    assert [s["subject"] for s in metrics["scores"]["subjects"]] == ["sub-01", "sub-02", "sub-03"]
    assert metrics["trivial"] == {"chance": 0.25, "majority": 0.25, "trial_index": 1.0}
    assert metrics["strong_baseline"]["model"] == "riemann"
    assert metrics["run"]["seed"] == 0
    low, high = metrics["scores"]["accuracy"]["interval"]
    assert 0 <= low <= metrics["scores"]["accuracy"]["mean"] <= high <= 1


def test_the_bundle_reproduces_its_golden_run(run):
    out, _ = run
    bundle = load_bundle(out / "bundle")
    report = golden.compare(bundle.golden(), bundle.pipeline, bundle.decision, EagerEngine(bundle.network()))
    assert report.passed
    assert report.n_predictions > 3
    assert "leave one subject out" in (out / "bundle" / "card.md").read_text()


def test_the_pipeline_takes_what_a_replayed_file_delivers(run, archive):
    """The correction of the amplitudes is in the bundle, not in the loader."""
    out, _ = run
    recording = open_recording(archive / "sub-01_run-1_raw.fif")
    pipeline = load_bundle(out / "bundle").pipeline.build()
    assert recording.signal == pipeline.signal_in
    data = pipeline.process(recording.read(0, recording.n_samples)).data
    assert 1 < np.std(data) < 30  # µV


def test_an_interrupted_run_goes_on_and_ends_the_same(run, archive, tmp_path):
    done, outcome = run

    class Interrupted(Exception):
        pass

    def fail(step):
        if step.name == "sub-02" and step.epoch.index == 1:
            raise Interrupted

    settings = config(archive, tmp_path / "cca")
    with pytest.raises(Interrupted):
        train(settings, CREATED, fail)
    assert not (tmp_path / "cca" / "metrics.json").exists()
    resumed = train(settings, CREATED)
    assert resumed.metrics == outcome.metrics
    assert resumed.bundle.sha256 == outcome.bundle.sha256
    weights = [(folder / "bundle" / "weights.safetensors").read_bytes() for folder in (done, tmp_path / "cca")]
    assert weights[0] == weights[1]


def test_another_run_in_the_same_folder_is_refused(run, archive, tmp_path):
    out, _ = run
    with pytest.raises(UsageError, match=r"holds a run with other settings or data \(see run\.json\)"):
        train(config(archive, out, seed=1), CREATED)
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(UsageError, match="results need a new or empty folder"):
        train(config(archive, tmp_path), CREATED)


def test_the_report_is_self_contained_and_escaped(run):
    out, outcome = run
    page = (out / "report.html").read_text()
    HTMLParser().feed(page)
    assert page.count("<svg") == 4
    assert "http" not in page
    assert "<script" not in page
    hostile = json.loads(json.dumps(outcome.metrics))
    hostile["scores"]["classes"][0] = "<script>alert(1)</script>"
    hostile["description"] = "<b>"
    page = report_html(hostile, [read_fold(path) for path in sorted((out / "folds").glob("*.json"))])
    assert "<script>" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("interval", "words"), [((0.01, 0.2), "is above"), ((-0.2, -0.1), "is below"), ((-0.1, 0.1), "cannot be told from")]
)
def test_the_verdict_follows_the_interval(run, interval, words):
    metrics = json.loads(json.dumps(run[1].metrics))
    metrics["strong_baseline"]["difference"] = {"mean": float(np.mean(interval)), "interval": list(interval)}
    assert f"cca_net {words} the strong baseline riemann" in verdict(metrics)
    metrics["strong_baseline"] = None
    assert verdict(metrics) == ""


@pytest.mark.parametrize("model", [name for name in RECIPES["ssvep"] if name not in ("cca_net", "eegnet_ssvep")])
def test_every_model_goes_through_the_same_evaluation(archive, tmp_path, model):
    dataset = load(archive)
    (split, *_) = leave_one_out(dataset.subjects)
    settings = config(archive, tmp_path, model=model, epochs=1, window_s=2.0)
    (fold,) = cross_validate(dataset, [split], recipe("ssvep", model), settings, tmp_path)
    assert len(fold.predicted) == 8
    assert set(fold.predicted) <= {0, 1, 2, 3}
    assert read_fold(tmp_path / "sub-01.json") == fold


def test_the_baseline_finds_clear_responses(archive, tmp_path):
    dataset = load(archive)
    (split, *_) = leave_one_out(dataset.subjects)
    plan = recipe("ssvep", STRONG_BASELINE["ssvep"])
    fitted = fit_model(dataset, split, plan, config(archive, tmp_path, model="riemann", window_s=2.0))
    assert evaluate_split(dataset, split, fitted).accuracy >= 0.75


def test_an_unknown_model_and_task_are_usage_errors():
    with pytest.raises(UsageError, match=r"Task ssvep has no model 'bert'\. Models: eegnet,"):
        recipe("ssvep", "bert")
    with pytest.raises(UsageError, match=r"No task is named 'sleep'\. Tasks: ssvep"):
        recipe("sleep", "eegnet")


def test_bad_files_stop_a_run_unless_they_are_skipped(tmp_path):
    write_archive(tmp_path)
    write_session(tmp_path, "sub-04", codes=(1, 9))
    dataset = load(tmp_path)
    with pytest.raises(RecordingError, match=r"every file of ssvep to be usable, 1 are not; first sub-04.*--skip-bad"):
        usable(dataset, skip_bad=False)
    assert usable(dataset, skip_bad=True) is dataset
    assert isinstance(dataset.problems[0], Problem)


def test_a_damaged_fold_is_refused(tmp_path):
    path = tmp_path / "sub-01.json"
    path.write_text('{"split": {}}')
    with pytest.raises(SchemaError, match=r"complete JSON, .*sub-01\.json is damaged .* Delete it"):
        read_fold(path)


def test_tuning_chooses_without_the_scored_subject(archive, tmp_path):
    (tmp_path / "four").mkdir()
    write_archive(tmp_path / "four", 4)
    settings = config(tmp_path / "four", tmp_path / "out", epochs=1)
    tuned = tune(settings, n_inner=1)
    assert [choice["subject"] for choice in tuned["choices"]] == ["sub-01", "sub-02", "sub-03", "sub-04"]
    assert all(len(choice["tried"]) == len(grid(recipe("ssvep", "cca_net"))) for choice in tuned["choices"])
    for outer in sorted((tmp_path / "out" / "inner").iterdir()):
        for fold in outer.rglob("*.json"):
            split = read_fold(fold).split
            assert outer.name not in (*split.train, *split.validation, *split.test)
    with pytest.raises(UsageError, match="Tuning needs a network, riemann has a closed fit"):
        tune(config(archive, tmp_path / "r", model="riemann"), 1)


@pytest.mark.real
def test_one_real_fold_of_the_baseline(data_dir, tmp_path):
    """Without the person's own data: 46 of 64 were found when this was written, chance is 16."""
    dataset = load(data_dir / "ssvep")
    (split, *_) = leave_one_out(dataset.subjects)
    fitted = fit_model(dataset, split, recipe("ssvep", "riemann"), config("", tmp_path, model="riemann", window_s=2.0))
    assert evaluate_split(dataset, split, fitted).accuracy > 0.65

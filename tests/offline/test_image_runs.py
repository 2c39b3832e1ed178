"""Runs on ready-made images and raw segments: the archive's own folds, and nothing that could be streamed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.train import main
from bci.bundle import load_bundle
from bci.errors import SpecError, UsageError
from bci.stages.gather import GatherFeatures
from offline.config import TrainConfig, read_config
from offline.datasets.registry import load_dataset, load_examples
from offline.fit import thinned
from offline.oof import read_run
from offline.prepare import outer_splits
from offline.recipes import RECIPES
from offline.splits import archive_folds
from tests.offline.datasets import image_layout
from tests.offline.datasets.image_layout import made_fold, write_folds

SHAPE = (16, 24, 3)
MEL = "seizure-images-mel"


def fold_with_types(number: int, n: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images of two patients in which the type of seizure is a brighter band; every type is there."""
    data, _, patients = made_fold(number, SHAPE, np.float32, n)
    labels = np.arange(n) % 3
    for image, label in zip(data, labels, strict=True):
        image[5 * label : 5 * label + 5] += 300
    return data, labels, patients


@pytest.fixture(autouse=True)
def workplace(own_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def images(tmp_path):
    return write_folds(tmp_path / "images", image_layout.UPPER, "MEL", {k: fold_with_types(k) for k in range(1, 5)})


def run(*words: str) -> int:
    return main(["run", "--task", MEL, "--data", "images", "--out", "out", "--batch-size", "4", *words])


def test_an_image_is_a_session_of_columns(images):
    dataset, examples = load_dataset(MEL, images), load_examples(MEL, images)
    assert len(dataset.sessions) == len(examples)
    session = dataset.sessions[8]
    assert (session.subject, session.part, session.n_samples) == (examples.subjects[8], "fold-2", 24)
    (image,) = examples.read(np.array([8]))
    gathered = GatherFeatures().build(session.signal)
    assert gathered.signal_out.shape == (3, 16)
    np.testing.assert_array_equal(gathered.process(session.read()), image)
    np.testing.assert_array_equal(session.read(3, 9), session.read()[:, 3:9])
    assert session.sha256 == replace(session, name="copy").sha256 != dataset.sessions[9].sha256


def test_a_run_scores_each_fold_of_the_archive(images, capsys):
    assert run("--model", "mel_cnn", "--epochs", "2") == 0
    said = capsys.readouterr().out
    assert "accuracy, the archive's own split of subjects: " in said
    assert "not checked: whether two folds show the same seconds of a recording" in said
    assert "bundle: " not in said
    assert not Path("out/bundle").exists()
    metrics = json.loads(Path("out/metrics.json").read_text())
    (closed,) = metrics["strong_baselines"]
    assert (closed["model"], closed["accuracy"]["mean"]) == ("spectrum_blocks", 1.0)
    assert "the strong baseline spectrum_blocks (1.000" in said
    assert [fold["test"] for fold in metrics["folds"]] == [[f"p{10 * k + i}" for i in range(3)] for k in range(1, 5)]
    assert metrics["folds"][0]["validation"] == metrics["folds"][1]["test"]
    assert len(metrics["unchecked"]) == 3
    assert "Not checked: whether images were scaled" in Path("out/report.html").read_text()
    assert len(read_run(Path("out")).rows) == 24
    assert run("--model", "mel_cnn", "--epochs", "2") == 0, "the same command takes it over"


@pytest.mark.parametrize("kind", [*sorted({*image_layout.LAYOUTS} - {"mel upper"}), "matlab"])
def test_every_layout_runs(tmp_path, kind):
    folds = {k: made_fold(k, (16, 16, 20), np.float16) for k in range(1, 4)}
    if kind == "matlab":
        images = kind
        image_layout.write_matlab(
            tmp_path / "images", [(data.astype(np.float32), *more) for data, *more in folds.values()]
        )
    else:
        images, names, word = image_layout.LAYOUTS[kind]
        write_folds(tmp_path / "images", names, word, folds)
    words = ["run", "--task", f"seizure-images-{images}", "--data", "images", "--out", "out", "--model", "mel_cnn"]
    assert main([*words, "--epochs", "1", "--batch-size", "4"]) == 0
    assert len(read_run(Path("out")).rows) == 18


def test_what_a_network_sees_is_the_image(images):
    """A bright band is found in a patient that was not learnt from."""
    assert run("--model", "transformer", "--epochs", "12", "--folds", "0", "--dropout", "0.1") == 0
    (fold,) = Path("out/folds").glob("*.json")
    record = json.loads(fold.read_text())
    assert np.mean(np.equal(record["labels"], record["predicted"])) > 0.8


def test_two_classes_and_other_splits(images, capsys):
    words = ["--model", "mel_cnn", "--epochs", "1", "--classes", "no seizure"]
    assert run(*words, "seizure=seizure type 1+seizure type 2", "--split", "k-fold", "--n-folds", "3") == 0
    assert "accuracy, 3 folds of subjects" in capsys.readouterr().out


def test_trials_stay_inside_the_other_folds(images):
    words = ["tune", "--task", MEL, "--data", "images", "--out", "out", "--model", "mel_cnn", "--epochs", "1"]
    assert main([*words, "--batch-size", "4", "--tune", "1", "--n-inner", "1", "--folds", "1"]) == 0
    (scored,) = Path("out/folds").glob("*.json")
    of_trials = [json.loads(path.read_text())["split"] for path in Path("out/inner").rglob("p*.json")]
    outer = json.loads(scored.read_text())["split"]["test"]
    assert outer == ["p20", "p21", "p22"]
    assert of_trials
    for split in of_trials:
        assert not set(outer) & {name for side in ("train", "validation", "test") for name in split[side]}


@pytest.mark.parametrize("model", [name for name in RECIPES[MEL] if name not in ("mel_cnn", "transformer")])
def test_every_recipe_trains(tmp_path, model):
    shape = (32, 32, 3)
    write_folds(
        tmp_path / "images", image_layout.UPPER, "MEL", {k: made_fold(k, shape, np.float16, 4) for k in range(1, 4)}
    )
    assert run("--model", model, "--epochs", "1", "--folds", "0") == 0


def test_folds_that_leak_are_refused(images, tmp_path, capsys):
    twice = np.load(images / "MEL_PATIENTS_FOLD_fold_2.npy")
    twice[0] = "p10"
    np.save(images / "MEL_PATIENTS_FOLD_fold_2.npy", twice)
    assert run("--model", "mel_cnn") == 1
    said = capsys.readouterr().err
    assert "MEL_DATA_FOLD_fold_2.npy, row 0: a subject must be in one part of the archive, p10 is in fold-1 and" in said
    with pytest.raises(SpecError, match=r"each subject in one part, p10 is in fold-1, fold-2\. Use --split k-fold"):
        archive_folds(load_dataset(MEL, images))
    data = {k: fold_with_types(k) for k in range(1, 5)}
    data[3][0][1] = data[1][0][4]
    write_folds(images, image_layout.UPPER, "MEL", data)
    assert run("--model", "mel_cnn") == 1
    said = capsys.readouterr().err
    assert "MEL_DATA_FOLD_fold_3.npy, row 1: samples must be of one subject, these of p30 are the same as in" in said
    assert "images/MEL_DATA_FOLD_fold_1.npy, row 4 of p12" in said
    assert not Path("out").exists()


def test_folds_without_patients_are_patients(tmp_path):
    image_layout.write_matlab(tmp_path / "images", [fold_with_types(k) for k in range(1, 4)])
    dataset = load_dataset("seizure-images-matlab", tmp_path / "images")
    assert [split.test for split in archive_folds(dataset)] == [("fold-1",), ("fold-2",), ("fold-3",)]


def test_ten_folds_are_in_the_order_of_their_numbers(tmp_path):
    folder = write_folds(tmp_path / "a", image_layout.PLAIN, "", {k: made_fold(k, n=1) for k in range(1, 11)})
    folds = archive_folds(load_dataset("seizure-images-eeg", folder))
    assert [fold.test for fold in folds][:3] == [("p10",), ("p20",), ("p30",)]
    assert folds[9].test == ("p100",)
    assert folds[9].validation == ("p10",)


def test_what_has_no_effect_or_no_meaning_is_refused(images, capsys):
    assert run("--model", "mel_cnn", "--n-folds", "3") == 2
    assert "--n-folds has no effect with --split archive" in capsys.readouterr().err
    assert run("--model", "mel_cnn", "--alarm-class", "seizure type 1") == 2
    assert "An alarm needs recordings, seizure-images-mel has examples. Leave" in capsys.readouterr().err
    assert run("--model", "eegnet") == 2
    assert "Task seizure-images-mel has no model 'eegnet'. Models: spectrum_blocks, mixnet" in capsys.readouterr().err
    dataset = load_dataset(MEL, images)
    two = replace(dataset, sessions=tuple(s for s in dataset.sessions if s.part < "fold-3"))
    with pytest.raises(
        SpecError, match=r"need at least 3 parts .*, seizure-images-mel has fold-1, fold-2\. Use another"
    ):
        archive_folds(two)
    config = TrainConfig(MEL, "mel_cnn", "out", split="archive")
    none = replace(dataset, sessions=tuple(replace(s, part="") for s in dataset.sessions))
    with pytest.raises(UsageError, match=r"has none\. Use another --split"):
        outer_splits(none, config)


def test_a_task_may_have_settings_of_its_own():
    flags = {"task": MEL, "model": "vit", "out": "out"}
    assert read_config(None, flags).split == "archive"
    assert read_config(None, flags | {"split": "leave-one-out"}).split == "leave-one-out"
    assert read_config(None, flags | {"task": "ssvep"}).split == "leave-one-out"
    Path("s.toml").write_text('split = "k-fold"\nwindow_s = 3.0\n')
    config = read_config(Path("s.toml"), flags)
    assert (config.split, config.window_s, config.hop_s) == ("k-fold", 3.0, 1.0)


def test_segments_are_learnt_from_and_can_be_served(tmp_path, capsys):
    rng = np.random.default_rng(0)
    data = rng.standard_normal((6, 20, 5120)).astype(np.float32) * 30
    image_layout.write_segments(tmp_path, data=data, labels=np.arange(6) % 3, patients=np.arange(6))
    words = [
        "--task",
        "seizure-segments",
        "--data",
        str(tmp_path),
        "--out",
        "out",
        "--epochs",
        "1",
        "--batch-size",
        "2",
    ]
    assert main(["run", *words, "--model", "mel_cnn", "--n-folds", "3"]) == 0
    assert "not checked: whether a patient is there under two names" in capsys.readouterr().out
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert [strong["model"] for strong in metrics["strong_baselines"]] == ["tangent_correlation", "band_power"]
    bundle = load_bundle(Path("out/bundle"))
    assert bundle.decision.classes == ("no seizure", "seizure type 1", "seizure type 2")
    assert bundle.pipeline.signal.n_channels == 20


def test_no_more_is_fitted_to_than_fits_into_the_memory(images):
    sessions = load_dataset(MEL, images).sessions
    size = sessions[0].n_samples * sessions[0].signal.n_channels
    assert thinned(sessions, len(sessions) * size) == sessions
    few = thinned(sessions, 5 * size)
    assert len(few) == 5
    assert (few[0], few[-1]) == (sessions[0], sessions[20])
    assert thinned(sessions, 1) == sessions[:1]

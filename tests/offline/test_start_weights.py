"""Weights that a training starts from: they arrive, whatever else is in the file, and a run is known by them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from apps.train import main
from bci.errors import UsageError
from bci.stages.logmel import LogMel
from models.registry import ModelSpec
from offline.evaluate import resolve
from offline.recipes import RECIPES, Recipe, configured
from offline.seizure_training import command
from offline.start_weights import fresh_network, start_lines, start_record
from offline.train import train
from tests.offline.test_tune import config
from tests.offline.toy_task import dataset, install

CREATED = "2026-01-01T00:00:00+00:00"
SPEC = ModelSpec("eegnet", {"n_channels": 2, "n_times": 32, "sfreq": 64.0, "n_classes": 2})
FRAMES = {"n_channels": 4, "n_times": 20, "sfreq": 16.0, "n_classes": 3, "n_features": 10}


@pytest.fixture
def learnt(tmp_path):
    """Write the weights of another eegnet, with more classes, and return the file."""
    other = fresh_network(replace(SPEC, arguments={**SPEC.arguments, "n_classes": 6}), 7).state_dict()
    save_file(other | {"older.weight": torch.ones(3)}, tmp_path / "learnt.safetensors")
    return tmp_path / "learnt.safetensors"


def test_all_but_the_classifier_comes_from_the_file(learnt):
    fresh, started = fresh_network(SPEC, 0).state_dict(), fresh_network(SPEC, 0, str(learnt)).state_dict()
    other = fresh_network(replace(SPEC, arguments={**SPEC.arguments, "n_classes": 6}), 7).state_dict()
    record = start_record(SPEC, str(learnt))
    assert set(record["fresh"]) == {"head.weight", "head.bias"}
    assert record["taken"] == len(fresh) - 2
    assert record["unused"] == ["older.weight"]
    for name, value in started.items():
        torch.testing.assert_close(value, (fresh if name in record["fresh"] else other)[name], rtol=0, atol=0)
    assert any(not torch.equal(fresh[name], other[name]) for name in fresh if name not in record["fresh"])


def test_a_classifier_of_the_same_size_stays_fresh(tmp_path):
    """Nothing in the file says that its classes are the same, in the same order."""
    save_file(fresh_network(SPEC, 7).state_dict(), tmp_path / "same.safetensors")
    started = fresh_network(SPEC, 0, str(tmp_path / "same.safetensors"))
    assert torch.equal(started.state_dict()["head.weight"], fresh_network(SPEC, 0).state_dict()["head.weight"])


def test_a_backbone_of_timm_starts_from_its_own_file(monkeypatch, tmp_path):
    """Names in it are without the network around it."""

    class Maps(nn.Sequential):
        num_features = 6

        def __init__(self) -> None:
            super().__init__(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())

    timm = SimpleNamespace(__version__="1", create_model=lambda name, **_: Maps(), is_model=lambda name: True)
    monkeypatch.setitem(sys.modules, "timm", timm)
    photos = {"0.weight": torch.randn(6, 3, 3, 3), "0.bias": torch.randn(6), "classifier.weight": torch.ones(1000, 6)}
    save_file({name: value.half() for name, value in photos.items()}, tmp_path / "photos.safetensors")
    spec = ModelSpec("timm_backbone", FRAMES)
    started = fresh_network(spec, 0, str(tmp_path / "photos.safetensors"))
    torch.testing.assert_close(started.state_dict()["backbone.0.weight"], photos["0.weight"].half().float())
    record = start_record(spec, str(tmp_path / "photos.safetensors"))
    assert record["taken"] == 2
    assert set(record["fresh"]) == {"head.weight", "head.bias", "pool.p"}
    assert record["unused"] == ["classifier.weight"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {"blocks.0": torch.ones(1)}, r"weights of eegnet or of its backbone, .* but blocks\.0\. Use a file"),
        (
            lambda w: {"head.weight": w["head.weight"]},
            "has none by their names, but head.weight. Use a file of the same",
        ),
        (
            lambda w: {name: value[..., None] for name, value in w.items()},
            r"tensors of this network's sizes, .* of another one; first .* instead of .*same model and --arguments",
        ),
        (lambda w: w | {"head.weight": w["head.weight"] * float("nan")}, None),
        (
            lambda w: {name: value * float("nan") if value.is_floating_point() else value for name, value in w.items()},
            "--start-weights needs finite values, .* has others in .* more. Use another file",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, change, message):
    path = tmp_path / "w.safetensors"
    save_file(change(fresh_network(SPEC, 7).state_dict()), path)
    if message is None:  # what is not taken does not matter
        fresh_network(SPEC, 0, str(path))
        return
    with pytest.raises(UsageError, match=message):
        fresh_network(SPEC, 0, str(path))


def test_what_is_no_such_file_is_refused(tmp_path):
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x02}q\x00.")
    for path in (tmp_path / "pickle.pt", tmp_path / "absent", tmp_path):
        with pytest.raises(UsageError, match="--start-weights needs a safetensors file, got "):
            start_record(SPEC, str(path))


def test_a_run_starts_there_and_is_known_by_it(monkeypatch, tmp_path, learnt):
    install(monkeypatch, 3)
    out = tmp_path / "out"
    settings = config(out, tune=0, epochs=1, learning_rate=1e-9, weight_decay=0.0, start_weights=str(learnt))
    outcome = train(settings, CREATED)
    started = start_record(SPEC, str(learnt))
    assert outcome.bundle.manifest["training"]["start_weights"] == started
    given = fresh_network(SPEC, 0, str(learnt)).state_dict()
    final = outcome.bundle.network().state_dict()
    weights = [name for name in given if name.endswith("weight") and name not in started["fresh"]]
    assert weights
    for name in weights:
        torch.testing.assert_close(final[name], given[name], rtol=0, atol=1e-6)
    (line,) = start_lines(outcome.metrics["run"]["resolved"])
    assert started["sha256"][:12] in line
    assert line.endswith("fresh: head.weight, head.bias; only in the file: older.weight")
    texts = [(out / name).read_text() for name in ("run.json", "metrics.json", "report.html", "bundle/manifest.json")]
    assert all(started["sha256"][:12] in text and "learnt.safetensors" not in text for text in texts)
    assert line in outcome.lines
    assert line in (out / "bundle" / "card.md").read_text()
    assert json.loads((out / "folds" / "sub-01.json").read_text())["settings"]["training"]["start_weights"] == started

    moved = learnt.rename(tmp_path / "moved.safetensors")
    assert train(replace(settings, start_weights=str(moved)), CREATED).bundle.sha256 == outcome.bundle.sha256
    save_file(fresh_network(SPEC, 8).state_dict(), moved)
    with pytest.raises(UsageError, match=r"holds another run, .*start_weights\.sha256 needs"):
        train(replace(settings, start_weights=str(moved)), CREATED)


def test_a_closed_fit_starts_from_nothing(monkeypatch, tmp_path, learnt):
    install(monkeypatch)
    closed = replace(RECIPES["toy"]["eegnet"], fit="baseline")
    with pytest.raises(UsageError, match=r"--start-weights needs a network, eegnet has a closed fit\. Leave it out"):
        resolve(dataset(), closed, config(tmp_path, start_weights=str(learnt)))


def test_the_command_line_takes_a_file(monkeypatch, tmp_path, capsys):
    install(monkeypatch, 3)
    monkeypatch.chdir(tmp_path)
    words = ["run", "--task", "toy", "--model", "eegnet", "--window-s", "0.5", "--out", "out"]
    assert main([*words, "--start-weights", "absent"]) == 2
    assert "--start-weights needs a safetensors file, got absent" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_in_a_bundle_names_no_folder(tmp_path):
    settings = config(tmp_path, task="seizure-sim", tune=0, start_weights="home/somebody/w.safetensors")
    assert "--start-weights w.safetensors" in command(settings)
    assert "somebody" not in command(settings)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pretrained=true",), r"got unknown pretrained\. Check --arguments\.$"),
        (("n_groups=many",), r"Argument 'n_groups' .* got 'many'\. Check --arguments and --window-s\.$"),
        (None, r"must fit into every .*\. Check --window-s\.$"),
    ],
)
def test_the_remedy_is_what_was_wrong(monkeypatch, tmp_path, words, message):
    install(monkeypatch)
    monkeypatch.setitem(RECIPES["toy"], "eegnet", Recipe("grouped_cnn1d", "", (), 3.0))
    settings = config(tmp_path, arguments=words, **({} if words else {"window_s": 5.0}))
    with pytest.raises(UsageError, match=message):
        resolve(dataset(), configured(settings), settings)


def test_a_missing_package_is_no_matter_of_windows(monkeypatch, tmp_path):
    install(monkeypatch)
    monkeypatch.setitem(sys.modules, "timm", None)
    plan = Recipe("timm_backbone", "", (LogMel(16, 16, 8, 4, 4.0, 30.0),), 4.0)
    with pytest.raises(
        UsageError, match=r"which is not installed\. Install it: pip install 'streaming-bci\[timm\]'\.$"
    ):
        resolve(dataset(), plan, config(tmp_path, hop_s=0.125))

"""Recipes for votes of experts: all train on the HMS layout, at the shapes of the solutions that they follow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apps.train import main
from bci.chunk import Signal
from models.double_mel import DoubleMelNetwork
from models.registry import ModelSpec, build
from offline.config import TrainConfig
from offline.datasets.hms import NAMES, VOTES
from offline.evaluate import loop_settings, model_spec
from offline.recipes_icu import ICU
from tests.offline.datasets.layouts import write_hms

NETWORKS = [name for name, plan in ICU.items() if plan.fit == "network" and name != "timm_backbone"]
"""Those that need no package of their own."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_hms(tmp_path_factory.mktemp("hms"), 4)


@pytest.mark.parametrize("model", NETWORKS)
def test_a_recipe_trains_on_votes(archive, tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    words = ["--task", "hms", "--data", str(archive), "--model", model, "--epochs", "1", "--batch-size", "4"]
    assert main(["run", *words, "--window-s", "4", "--folds", "0", "--accumulate", "1", "--out", "out"]) == 0
    (fold,) = Path("out/folds").glob("*.json")
    record = json.loads(fold.read_text())
    np.testing.assert_allclose(record["scored"][0]["target"], [4 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 9])
    assert record["scored"][0]["n_votes"] == 9
    assert record["loss"] >= 0, "a divergence"
    assert record["settings"]["training"]["loss"] == "kl"


@pytest.mark.parametrize("model", [name for name, plan in ICU.items() if plan.fit == "baseline"])
def test_a_closed_fit_learns_shares_of_votes(archive, tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    words = ["--task", "hms", "--data", str(archive), "--model", model, "--window-s", "4", "--folds", "0"]
    assert main(["run", *words, "--out", "out"]) == 0
    (fold,) = Path("out/folds").glob("*.json")
    np.testing.assert_allclose(json.loads(fold.read_text())["scored"][0]["target"], np.array([4, 1, 1, 1, 1, 1]) / 9)


def test_the_double_mel_is_that_of_the_original():
    """50 s at 200 Hz: 16 pairs of the double banana, 844 columns (852 there, with centred frames)."""
    spec = ICU["double_mel_mixnet"].pipeline(Signal(200.0, NAMES), 50.0, 0.25)
    pipeline = spec.build()
    assert (pipeline.signal_out.n_channels, pipeline.window_frames) == (16, 10_000)
    assert pipeline.signal_out.names[:4] == ("Fp1-F7", "F7-T3", "T3-T5", "T5-O1")
    network = build(model_spec(ICU["double_mel_mixnet"], spec, len(VOTES), None))
    assert isinstance(network, DoubleMelNetwork)
    assert network.front_end.n_frames(10_000) == 844


def test_neighbours_are_the_pairs_of_a_chain():
    neighbours = ICU["mixnet_stacked"].arguments["neighbours"]
    assert neighbours[:5] == ((1,), (0, 2), (1, 3), (2,), (5,))
    assert len(neighbours) == 16
    assert ModelSpec("mixnet_stacked", ICU["mixnet_stacked"].arguments).arguments["neighbours"] == neighbours


def test_augmentations_are_those_that_won():
    config = TrainConfig("hms", "double_mel_mixnet", "out")
    names = [text.partition(":")[0] for text in loop_settings(ICU["double_mel_mixnet"], config).augment]
    assert names == ["time_shift", "flip", "random_bandpass", "channel_drop"], "no mix-up"
    assert loop_settings(ICU["mel_cnn"], config).augment == ()

"""What a training does beside descending: averages, precision, clipping, stages, balance; all of it resumes."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from bci.chunk import Signal
from bci.errors import SpecError
from models.registry import ModelSpec, build
from offline.checkpoint import load_checkpoint
from offline.ema import WeightAverage
from offline.learner import Learner, schedule
from offline.sampler import epoch_order, second_stage
from offline.training_loop import train_network
from offline.training_settings import Epoch, LoopSettings
from offline.windows import SessionWindows, WindowSet

SIGNAL = Signal(64.0, ("C3", "C4"))
SPEC = ModelSpec("eegnet", {"n_channels": 2, "n_times": 64, "sfreq": 64.0, "n_classes": 2, "dropout": 0.5})
SETTINGS = LoopSettings(4, 4, 8, 1e-2, 0.01, 5)
VARIANTS = {
    "average": {"ema_decay": 0.95},
    "half": {"precision": "float16"},
    "bfloat16": {"precision": "bfloat16", "accumulate": 2, "clip_norm": 1.0},
    "augmented": {"augment": ("flip", "mixup"), "balance": "classes", "loss": "focal"},
    "votes": {"loss": "kl", "vote_weights": "steps", "second_stage_votes": 6.0, "monitor": "loss"},
}


def windows(seed: int, n: int = 24) -> WindowSet:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    data = rng.standard_normal((2, 128 * n)).astype(np.float32) * np.repeat(1 + labels, 128).astype(np.float32)
    first = 128 * np.arange(n)
    votes = np.eye(2)[labels] * rng.integers(1, 12, n)[:, None] + 1
    return WindowSet([SessionWindows(data, first, first + 64, labels, votes=votes)], 64)


def fresh() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(SPEC)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_targets_are_made_once_for_each_step(accumulate):
    learner = Learner(fresh(), windows(0), replace(SETTINGS, accumulate=accumulate), SIGNAL)
    made, sizes = learner._taught, []

    def counted(stretches, starts):
        sizes.append(len(stretches))
        return made(stretches, starts)

    learner._taught = counted
    learner.epoch(0)
    assert sizes == [8, 8, 8]


class Interrupted(Exception):
    """The power fails."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_interrupted_run_ends_like_one_that_was_not(tmp_path, variant):
    """With the moving average, the gradient scaler and every other state."""
    settings = replace(SETTINGS, **VARIANTS[variant])
    whole, cut, resumed = fresh(), fresh(), build(SPEC)
    expected = train_network(whole, windows(0), windows(1), settings, signal=SIGNAL)

    def fail(epoch):
        if epoch.index == 1:
            raise Interrupted

    state = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted):
        train_network(cut, windows(0), windows(1), settings, state, fail, SIGNAL)
    assert train_network(resumed, windows(0), windows(1), settings, state, signal=SIGNAL) == expected
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert any(not torch.equal(a, b) for a, b in zip(whole.parameters(), fresh().parameters(), strict=True))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_setting_changes_the_weights(variant):
    plain, other = fresh(), fresh()
    train_network(plain, windows(0), None, SETTINGS)
    train_network(other, windows(0), None, replace(SETTINGS, **VARIANTS[variant]), signal=SIGNAL)
    assert all(torch.isfinite(value).all() for value in other.state_dict().values())
    assert any(not torch.equal(one, two) for one, two in zip(plain.parameters(), other.parameters(), strict=True))


def test_the_scaler_is_part_of_the_state(tmp_path):
    state = tmp_path / "state.safetensors"
    train_network(fresh(), windows(0), None, replace(SETTINGS, precision="float16"), state)
    record = load_checkpoint(state)[1]["learner"]
    assert record["scaler"]["scale"] > 0
    assert load_checkpoint(state)[1]["history"][0]["validation_loss"] is None


def test_the_average_is_its_formula():
    network = torch.nn.Linear(2, 1)
    average = WeightAverage(network, 0.5)
    expected = network.weight.detach().clone()
    for step in range(6):
        with torch.no_grad():
            network.weight.fill_(float(step))
        average.update(network)
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * step
    torch.testing.assert_close(average.network.weight, expected)
    assert not average.network.weight.requires_grad


def test_an_impossible_decay_is_refused():
    with pytest.raises(SpecError, match=r"a decay from 0 to below 1, got 1\. Use 0\.999"):
        WeightAverage(torch.nn.Linear(1, 1), 1.0)


def test_the_kept_network_is_the_average():
    settings = replace(SETTINGS, ema_decay=0.99, epochs=1)
    learner = Learner(fresh(), windows(0), settings, None)
    learner.epoch(0)
    kept = fresh()
    train_network(kept, windows(0), None, settings)
    for name, value in learner.evaluated.state_dict().items():
        assert torch.equal(value, kept.state_dict()[name])
    assert learner.evaluated is not learner.network


def test_gradients_are_clipped():
    """A step of plain descent is as long as the gradient."""
    lengths = {}
    for clip in (0.0, 0.01):
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 2))
        learner = Learner(network, windows(0), replace(SETTINGS, clip_norm=clip), None)
        learner.optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
        before = copy.deepcopy(network)
        learner._step(np.arange(8), windows(0).first[:8], [0])
        moved = [(a - b).detach().flatten() for a, b in zip(network.parameters(), before.parameters(), strict=True)]
        lengths[clip] = float(torch.cat(moved).norm())
    assert lengths[0.01] == pytest.approx(0.01, rel=1e-3)
    assert lengths[0.0] > 0.02


def test_a_loss_that_is_no_number_is_named():
    broken = windows(0)
    broken._sessions[0].data[:] = np.nan
    with pytest.raises(SpecError, match=r"a finite loss, got nan in epoch 0\. Lower the learning rate"):
        train_network(fresh(), broken, None, SETTINGS)


def test_augmentations_need_a_signal():
    with pytest.raises(SpecError, match="Augmentations need the signal that the windows are cut from"):
        Learner(fresh(), windows(0), replace(SETTINGS, augment=("flip",)), None)


def test_too_few_stretches_for_the_parts_are_refused():
    with pytest.raises(SpecError, match=r"A batch in 4 parts needs at least 8 stretches, got 6\. Use fewer processes"):
        train_network(fresh(), windows(0, 6), None, replace(SETTINGS, accumulate=4))


def test_a_batch_that_has_no_equal_parts_is_refused():
    with pytest.raises(SpecError, match=r"\(processes times accumulate\) needs a multiple of 16 windows, got"):
        Learner(fresh(), windows(0), replace(SETTINGS, accumulate=8), None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accumulate": 3}, "cut into equal parts, got batch_size 8 and accumulate 3"),
        ({"clip_norm": -1.0}, "clip_norm of at least 0 and second_stage_share between 0 and 1, got -1 and 0.5"),
        ({"second_stage_share": 1.0}, "second_stage_share between 0 and 1, got 0 and 1"),
        ({"label_smoothing": 1.0}, "label_smoothing from 0 to below 1"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(SpecError, match=message):
        replace(SETTINGS, **change)


def test_the_schedule_warms_up_and_falls_as_a_cosine():
    assert schedule(0.0) == pytest.approx(0.05)
    assert schedule(0.1) == pytest.approx(1.0)
    assert schedule(0.55) == pytest.approx(0.5)
    assert schedule(1.0) == pytest.approx(0.0, abs=1e-12)


def test_classes_are_drawn_equally_often():
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    every = np.arange(1000)
    drawn = np.concatenate([epoch_order(labels, every, "classes", np.random.default_rng(i)) for i in range(20)])
    assert np.bincount(labels[drawn]) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.02)
    once = epoch_order(labels, every[::2], "none", np.random.default_rng(0))
    assert sorted(once) == list(range(0, 1000, 2))


def test_the_second_stage_takes_stretches_with_many_votes():
    votes = np.array([[1.0, 1.0], [5.0, 5.0], [0.0, 9.0]])
    assert second_stage(votes, 9.0).tolist() == [1, 2]
    with pytest.raises(SpecError, match=r"at least 20 votes, the most that one has is 10\. Lower second_stage_votes"):
        second_stage(votes, 20.0)
    with pytest.raises(SpecError, match="A second stage needs votes, the stretches have labels only"):
        second_stage(None, 1.0)


def test_both_stages_show_what_they_should(monkeypatch):
    shown: list[int] = []
    learner = Learner(fresh(), windows(0), replace(SETTINGS, second_stage_votes=6.0), None)
    monkeypatch.setattr(
        "offline.learner.epoch_order", lambda labels, stage, balance, rng: shown.append(len(stage)) or stage
    )
    for index in range(4):
        learner.epoch(index)
    n_high = int((windows(0).votes.sum(axis=1) >= 6).sum())
    assert 0 < n_high < 24
    assert shown == [24, 24, n_high, n_high]


@pytest.mark.parametrize(
    ("monitor", "better"),
    [("accuracy", "a"), ("balanced_accuracy", "b"), ("loss", "c")],
)
def test_the_monitored_figure_decides(monitor, better):
    epochs = {"a": Epoch(0, 0, 0.5, 0.9, 0.5), "b": Epoch(1, 0, 0.5, 0.8, 0.9), "c": Epoch(2, 0, 0.1, 0.7, 0.7)}
    assert max(epochs, key=lambda name: epochs[name].score(monitor)) == better

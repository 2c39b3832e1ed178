"""A network that judges every sample is taught every sample: the loss, what it weighs, and all that goes with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bci.chunk import Signal
from bci.errors import SpecError
from models.registry import ModelSpec, build
from offline.augment.base import Batch, Draws
from offline.augment.registry import build_all
from offline.learner import Learner
from offline.sampler import epoch_order
from offline.targets import SampleTargets, taught
from offline.training_loop import train_network
from offline.training_settings import LoopSettings
from offline.windows import SessionWindows, WindowSet

SIGNAL = Signal(64.0, ("C3", "C4"))
N_WINDOW, LENGTH, N = 64, 96, 24
SETTINGS = LoopSettings(3, 3, 8, 1e-2, 0.01, 5, label_smoothing=0.0, targets="samples")
SIZES = {"n_channels": 2, "n_times": N_WINDOW, "sfreq": 64.0, "n_classes": 2}
SEGMENTERS = {
    "seizure_segmenter": {"widths": (4, 6), "kernels": (5, 3), "n_heads": 2, "n_layers": 1},
    "causal_segmenter": {"widths": (4, 6), "kernels": (3, 3), "n_heads": 2, "n_layers": 1, "smooth_s": 0.1},
}


def windows(seed: int = 0, *, back: int = 0, gap: int = 0) -> WindowSet:
    """Return stretches in turn of two classes, louder in class 1; channel 2 carries the class.

    Windows may begin `back` columns before their stretch, whose first `gap` columns are not judged.
    """
    labels = np.arange(N) % 2
    classes = np.repeat(labels, LENGTH).astype(np.int8)
    data = np.random.default_rng(seed).standard_normal((2, LENGTH * N)).astype(np.float32) * (20 + 60 * classes)
    data[1] = 100.0 * classes
    begin = LENGTH * np.arange(N)
    for at in begin:
        classes[at : at + gap] = -1
    first, last = np.maximum(begin - back, 0), begin + LENGTH - N_WINDOW
    return WindowSet([SessionWindows(data.astype(np.float32), first, last, labels, classes=classes)], N_WINDOW)


def segmenter(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(ModelSpec(name, SIZES | SEGMENTERS[name]))


class Copy(nn.Module):
    """Judges a sample by the channel that carries the class, so many columns late; windows always wrongly."""

    def __init__(self, late: int = 0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.late = late

    def segment(self, x: Tensor) -> Tensor:
        marker = torch.roll(x[:, 1], self.late, dims=-1)
        odds = self.scale * (marker - 50.0)
        return torch.stack([-odds, odds], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return -self.segment(x)[..., -1]


class Constant(nn.Module):
    """Gives the same logits for everything."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.3, -0.9]))

    def segment(self, x: Tensor) -> Tensor:
        return self.logits[None, :, None].expand(len(x), -1, x.shape[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.segment(x).mean(dim=-1)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("balance", ["none", "classes"])
def test_with_one_class_a_window_the_loss_is_that_of_windows(loss, balance):
    settings = replace(SETTINGS, loss=loss, balance=balance, label_smoothing=0.1)
    losses = [
        Learner(Constant(), windows(), replace(settings, targets=targets), None).epoch(0)
        for targets in ("window", "samples")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("late", [-1, 0, 1])
def test_only_what_lines_up_loses_nothing(late):
    loss = Learner(Copy(late), windows(back=48), SETTINGS, None).epoch(0)
    assert (loss < 1e-6) == (late == 0), loss


def test_what_is_not_judged_teaches_nothing():
    some = windows(back=48, gap=40)
    wanted = taught(some, 2, SETTINGS)(np.arange(N), some.last)
    assert wanted.distributions.shape == (N, 2, N_WINDOW)
    classes = some.classes(np.arange(N), some.last)
    assert (classes < 0).any()
    np.testing.assert_array_equal(wanted.weights, classes >= 0)
    np.testing.assert_array_equal(wanted.distributions.argmax(axis=1)[classes >= 0], classes[classes >= 0])


@pytest.mark.parametrize("targets", ["window", "samples"])
def test_targets_of_a_part_are_those_of_the_batch(targets):
    """Bit by bit: they are made once for a batch that is computed in parts."""
    some = windows(back=48, gap=40)
    make = taught(some, 2, replace(SETTINGS, targets=targets, balance="classes"))
    order = np.random.default_rng(0).permutation(N)
    batch, part = make(order, some.last[order]), slice(5, 11)
    alone = make(order[part], some.last[order[part]])
    np.testing.assert_array_equal(batch.distributions[part], alone.distributions)
    np.testing.assert_array_equal(batch.weights[part], alone.weights)


def test_classes_weigh_the_same_over_the_draws():
    rare = windows(back=48)
    rare.labels[1::4] = 0  # of two classes of stretches one is drawn more often; columns keep their own
    targets = SampleTargets(rare, 2, replace(SETTINGS, balance="classes"))
    learner = Learner(Constant(), rare, replace(SETTINGS, balance="classes"), None)
    rng = np.random.default_rng(0)
    mass = np.zeros(2)
    for _ in range(200):
        order = epoch_order(rare.labels, np.arange(N), "classes", rng)
        wanted = targets(order, rare.random_starts(order, rng))
        mass += np.einsum("nkt,nt->k", wanted.distributions, wanted.weights)
    assert learner.n_classes == 2
    assert mass / mass.sum() == pytest.approx([0.5, 0.5], abs=0.01)
    assert mass.sum() / (200 * N * N_WINDOW) == pytest.approx(1.0, abs=0.01)
    assert targets.class_weights[0] != pytest.approx(1.0, abs=0.02)
    np.testing.assert_array_equal(SampleTargets(rare, 2, SETTINGS).class_weights, 1.0)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_gradients_reach_every_parameter_and_it_learns(name):
    network, some = segmenter(name), windows(back=48)
    learner = Learner(network, some, replace(SETTINGS, epochs=8), None)
    learner._step(np.arange(8), some.first[:8], [0])
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key
    losses = [learner.epoch(i) for i in range(8)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_change_inside_a_window_is_found_better_than_by_a_network_taught_windows():
    """Of windows of other recordings, a third of which lies before their stretch."""
    unseen = windows(7, back=N_WINDOW // 3)
    x = torch.from_numpy(unseen.cut(np.arange(1, N), unseen.first[1:]))
    x[:, 1] = 0.0  # not by the channel that carries the class
    wanted = torch.from_numpy(unseen.classes(np.arange(1, N), unseen.first[1:]).astype(np.int64))
    found = {}
    for targets in ("window", "samples"):
        network = segmenter("seizure_segmenter")
        train = windows(back=48 if targets == "samples" else 0)
        train._sessions[0].data[1] = 0.0
        train_network(network, train, None, replace(SETTINGS, epochs=12, stop_after=12, targets=targets))
        with torch.no_grad():
            found[targets] = float((network.segment(x).argmax(dim=1) == wanted).float().mean())
    assert found["samples"] > 0.8, found
    assert found["samples"] > found["window"] + 0.1, found


@pytest.mark.parametrize("name", SEGMENTERS)
def test_windows_are_judged_by_their_end(name):
    """The last column of what is taught is what is served."""
    network = segmenter(name).eval()
    given = windows()
    x = torch.from_numpy(next(given.batches(given.scored, len(given))))
    with torch.no_grad():
        judged, whole = network.segment(x), network(x)
    assert judged.shape == (N, 2, N_WINDOW)
    end = judged[..., -network.n_judged :].mean(dim=-1) if name == "seizure_segmenter" else judged[..., -1]
    torch.testing.assert_close(end, whole, rtol=1e-4, atol=1e-5)


def test_validation_is_of_windows():
    history = train_network(Copy(), windows(back=48), windows(1), SETTINGS).history
    assert history[0].train_loss < 1e-6
    assert (history[0].validation_accuracy, history[0].validation_loss > 10) == (0.0, True)


def test_parts_of_a_batch_weigh_what_they_hold():
    """A part with few judged columns has no more say than they have in the whole."""
    found = []
    for accumulate in (1, 4):
        network = Constant()
        learner = Learner(network, windows(back=48, gap=70), replace(SETTINGS, accumulate=accumulate), None)
        found.append((learner.epoch(0), network.logits.detach().clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-6)


class Interrupted(Exception):
    """The power fails."""


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": ("time_shift", "window_mask", "mixup"), "balance": "classes", "loss": "focal"},
        {"precision": "bfloat16", "ema_decay": 0.9, "accumulate": 2, "clip_norm": 1.0},
    ],
    ids=["augmented", "half"],
)
def test_an_interrupted_training_ends_like_one_that_was_not(tmp_path, changes):
    settings = replace(SETTINGS, **changes)
    some = windows(back=48, gap=3)
    whole, cut, resumed, plain = (segmenter("seizure_segmenter") for _ in range(4))
    expected = train_network(whole, some, windows(1), settings, signal=SIGNAL)

    def fail(epoch):
        if epoch.index == 1:
            raise Interrupted

    state = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted):
        train_network(cut, some, windows(1), settings, state, fail, SIGNAL)
    assert train_network(resumed, some, windows(1), settings, state, signal=SIGNAL) == expected
    train_network(plain, some, windows(1), replace(settings, targets="window"), signal=SIGNAL)
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert any(not torch.equal(a, b) for a, b in zip(whole.parameters(), plain.parameters(), strict=True))


def batch() -> Batch:
    some = windows(back=48, gap=9)
    stretches = np.arange(8)
    starts = some.random_starts(stretches, np.random.default_rng(1))
    wanted = taught(some, 2, SETTINGS)(stretches, starts)
    tensors = (some.cut(stretches, starts), wanted.distributions, wanted.weights)
    return Batch(*(torch.from_numpy(x.astype(np.float32)) for x in tensors))


def changed(name: str) -> tuple[Batch, Batch]:
    before, draws = batch(), Draws(np.random.default_rng(0), 8, slice(0, 8), torch.device("cpu"))
    return before, build_all([name], SIGNAL)(before, draws)


def test_a_shift_moves_the_classes_too():
    before, after = changed("time_shift:p=1,longest_share=0.5")
    assert not torch.equal(before.windows, after.windows)
    judged = after.weights > 0
    assert 0 < judged.sum() < judged.numel()
    torch.testing.assert_close(after.windows[:, 1][judged], 100 * after.targets[:, 1][judged])
    moved = [torch.nonzero(a != b).numel() > 0 for a, b in zip(before.targets, after.targets, strict=True)]
    assert any(moved)


def test_hidden_time_is_not_judged():
    before, after = changed("window_mask:p=1,longest_share=0.5")
    hidden = (after.windows == 0).all(dim=1)
    assert hidden.any()
    assert (after.weights[hidden] == 0).all()
    shown = (after.windows == before.windows).all(dim=1) & ~hidden
    torch.testing.assert_close(after.weights[shown], before.weights[shown])


def test_a_blend_is_judged_where_both_are():
    before, after = changed("mixup:p=1,alpha=1")
    partner = torch.arange(8) ^ 1
    both = (before.weights > 0) & (before.weights[partner] > 0)
    assert 0 < both.sum() < both.numel()
    np.testing.assert_array_equal(after.weights > 0, both)
    torch.testing.assert_close(after.windows[:, 1][both], 100 * after.targets[:, 1][both], rtol=1e-4, atol=1e-3)
    untouched = changed("mixup:p=0")[1]
    torch.testing.assert_close(untouched.weights, before.weights, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["flip", "amplitude_jitter", "random_bandpass", "channel_drop", "cutout"])
def test_what_does_not_move_time_leaves_the_classes(name):
    before, after = changed(f"{name}:p=1")
    assert not torch.equal(before.windows, after.windows)
    torch.testing.assert_close(after.targets, before.targets, rtol=0, atol=0)
    torch.testing.assert_close(after.weights, before.weights, rtol=0, atol=0)


def test_a_network_that_judges_windows_is_refused():
    eegnet = build(ModelSpec("eegnet", SIZES))
    with pytest.raises(SpecError, match=r"a network that judges every sample, EEGNet judges windows\. Use a segmenter"):
        Learner(eegnet, windows(), SETTINGS, None)


@pytest.mark.parametrize("lacking", ["classes", "labels"])
def test_windows_that_do_not_know_their_columns_are_refused(lacking):
    (part,) = windows()._sessions
    part = replace(part, classes=None) if lacking == "classes" else replace(part, votes=np.ones((N, 2)))
    with pytest.raises(SpecError, match=r"windows whose columns have classes, of stretches without votes\. Cut them"):
        Learner(segmenter("seizure_segmenter"), WindowSet([part], N_WINDOW), SETTINGS, None)

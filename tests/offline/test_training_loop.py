"""Training is repeatable bit by bit, and an interruption changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bci.errors import SchemaError
from models.registry import ModelSpec, build
from offline.checkpoint import load_checkpoint, write_atomic
from offline.training_loop import LoopSettings, train_network
from offline.windows import SessionWindows, WindowSet

SETTINGS = LoopSettings(epochs=6, patience=6, batch_size=8, learning_rate=1e-2, weight_decay=0.01, seed=5)
SPEC = ModelSpec("eegnet", {"n_channels": 2, "n_times": 64, "sfreq": 64.0, "n_classes": 2, "dropout": 0.5})


def windows(seed: int, n: int = 24) -> WindowSet:
    """Return stretches of noise, louder in class 1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    data = rng.standard_normal((2, 128 * n)).astype(np.float32) * np.repeat(1 + labels, 128).astype(np.float32)
    first = 128 * np.arange(n)
    return WindowSet([SessionWindows(data, first, first + 64, labels)], 64)


def fresh() -> torch.nn.Module:
    """Return the network before training, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(SPEC)


class Interrupted(Exception):
    """The power fails."""


def assert_same(a: torch.nn.Module, b: torch.nn.Module) -> None:
    for (name, left), right in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(left, right), name


def test_two_runs_give_the_same_bits():
    first, second = fresh(), fresh()
    torch.manual_seed(1)
    one = train_network(first, windows(0), windows(1), SETTINGS)
    torch.manual_seed(2)  # the state of the process has no say
    two = train_network(second, windows(0), windows(1), SETTINGS)
    assert one == two
    assert_same(first, second)


@pytest.mark.parametrize("after", [1, 4])
def test_an_interrupted_run_ends_like_one_that_was_not(tmp_path, after):
    whole, cut = fresh(), fresh()
    expected = train_network(whole, windows(0), windows(1), SETTINGS)

    def fail(epoch):
        if epoch.index == after - 1:
            raise Interrupted

    state = tmp_path / "state.safetensors"
    with pytest.raises(Interrupted):
        train_network(cut, windows(0), windows(1), SETTINGS, state, fail)
    resumed = build(SPEC)
    assert train_network(resumed, windows(0), windows(1), SETTINGS, state) == expected
    assert_same(resumed, whole)


def test_the_best_weights_are_a_copy_of_their_epoch():
    """A reference to the live weights would make the last epoch "best"."""
    network = fresh()
    seen = []

    def keep(epoch):
        seen.append({k: v.clone() for k, v in network.state_dict().items()})

    trained = train_network(network, windows(0), windows(1), SETTINGS, on_epoch=keep)
    accuracies = [epoch.validation_accuracy for epoch in trained.history]
    assert accuracies[trained.best] == max(accuracies)
    for name, value in network.state_dict().items():
        assert torch.equal(value, seen[trained.best][name])


def test_training_stops_after_patience_and_without_validation_at_the_end():
    impatient = LoopSettings(40, 2, 8, 1e-2, 0.0, 0)
    stopped = train_network(fresh(), windows(0), windows(1, 6), impatient)
    assert len(stopped.history) == stopped.best + 1 + 2
    final = train_network(fresh(), windows(0), None, LoopSettings(6, 2, 8, 1e-2, 0.0, 0, stop_after=3))
    assert (len(final.history), final.best) == (3, 2)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"half a file")
    with pytest.raises(SchemaError, match=r"state\.safetensors is damaged .* Delete it to train from the start"):
        load_checkpoint(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "metrics.json"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]
    assert path.read_text() == "old"

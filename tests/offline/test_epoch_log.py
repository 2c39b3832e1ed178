"""Learning curves for TensorBoard: one for each part of a run, with all its epochs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from apps.train import main
from bci.errors import UsageError
from offline.epoch_log import CURVES, epoch_log
from offline.progress import Step
from offline.training_settings import Epoch
from tests.offline.toy_task import install

WORDS = ["run", "--task", "toy", "--model", "eegnet", "--window-s", "0.5", "--epochs", "2", "--batch-size", "4"]
needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    install(monkeypatch, 3)
    monkeypatch.chdir(tmp_path)


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return {name: [(event.step, event.value) for event in found.Scalars(name)] for name in found.Tags()["scalars"]}


@needs_tensorboard
def test_every_epoch_of_every_part_is_there():
    assert main([*WORDS, "--out", "runs/a", "--tensorboard", "logs"]) == 0
    assert sorted(path.name for path in Path("logs/a").iterdir()) == ["final", "sub-01", "sub-02", "sub-03"]
    of_fold = curves(Path("logs/a/sub-02"))
    assert set(of_fold) == set(CURVES)
    assert [step for step, _ in of_fold["loss/train"]] == [0, 1]
    logged = [line for line in Path("runs/a/train.log").read_text().splitlines() if "sub-02: epoch" in line]
    for (_, value), line in zip(of_fold["loss/train"], logged, strict=True):
        assert f"loss {value:.3f}," in line
    assert set(curves(Path("logs/a/final"))) == {"loss/train"}, "nobody is left to validate the final model on"


def test_other_processes_of_torchrun_write_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: object())
    monkeypatch.setenv("RANK", "1")
    with epoch_log(tmp_path, "a") as write:
        write(None)
    assert not (tmp_path / "a").exists()


@needs_tensorboard
def test_logs_may_be_inside_the_run():
    assert main([*WORDS, "--out", "a", "--tensorboard", "a/logs"]) == 0
    assert len(list(Path("a/logs/a").iterdir())) == 4


@needs_tensorboard
def test_a_part_that_begins_anew_has_a_curve_of_its_own(tmp_path):
    """Trials tell of one inner fold after the other under one name."""
    with epoch_log(tmp_path, "a") as write:
        for losses in ((3.0, 2.0), (5.0,)):
            for i, loss in enumerate(losses):
                write(Step("trial 1", i, 9, Epoch(i, loss, None, None)))
            write(Step("trial 1", len(losses), 9))
    assert curves(tmp_path / "a" / "trial 1")["loss/train"] == [(0, 3.0), (1, 2.0)]
    assert curves(tmp_path / "a" / "trial 1, 2")["loss/train"] == [(0, 5.0)]


@needs_tensorboard
def test_a_command_that_fails_leaves_no_folder():
    assert main([*WORDS, "--out", "a", "--window-s", "99", "--tensorboard", "logs"]) == 2
    assert not Path("logs").exists()


def test_what_is_missing_is_said_before_anything_is_trained(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    found = importlib.util.find_spec
    here = lambda name, *a: object() if name == "tensorboard" else found(name, *a)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", here)
    with (
        pytest.raises(UsageError, match=r"needs a folder that can be written, got .*file\. Choose another"),
        epoch_log(tmp_path / "file", "a"),
    ):
        pass
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "tensorboard" else found(name, *a))
    assert main([*WORDS, "--out", "runs/a", "--tensorboard", "logs"]) == 2
    assert "--tensorboard needs the package tensorboard, which is not installed: pip install" in capsys.readouterr().err
    assert not Path("runs").exists()

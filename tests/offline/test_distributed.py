"""Two processes under torchrun give what one gives with the same batches, and only the first one writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bci.errors import UsageError
from offline import processes
from offline.training_loop import LoopSettings, train_network
from offline.windows import SessionWindows, WindowSet

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {"epochs": 3, "patience": 3, "batch_size": 8, "learning_rate": 1e-2, "weight_decay": 0.01, "seed": 5}
CASES = {
    "plain": {},
    "all": {
        "augment": ("amplitude_jitter:p=1", "channel_drop", "mixup:p=1"),
        "accumulate": 2,
        "clip_norm": 0.5,
        "ema_decay": 0.9,
        "vote_weights": "count",
        "loss": "kl",
    },
    "samples": {"targets": "samples", "balance": "classes", "augment": ("time_shift:p=1", "window_mask:p=1")},
}


def windows(seed: int, n: int = 16, of_columns: bool = False) -> WindowSet:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    data = rng.standard_normal((2, 64 * n)).astype(np.float32) * np.repeat(1 + labels, 64).astype(np.float32)
    first = 64 * np.arange(n)
    votes = np.stack([3.0 - 2 * labels, 1.0 + labels], axis=1)
    if not of_columns:
        return WindowSet([SessionWindows(data, first, first + 32, labels, votes=votes)], 32)
    classes = np.repeat(labels, 64).astype(np.int8)
    classes[::7] = -1
    return WindowSet([SessionWindows(data, np.maximum(first - 20, 0), first + 32, labels, classes=classes)], 32)


class Segmenter(torch.nn.Module):
    """Judges every sample by its neighbours."""

    def __init__(self, norm: torch.nn.Module) -> None:
        super().__init__()
        first = torch.nn.Conv1d(2, 4, 9, padding=4, bias=isinstance(norm, torch.nn.Identity))
        self.layers = torch.nn.Sequential(first, norm, torch.nn.ELU(), torch.nn.Conv1d(4, 2, 1))

    def segment(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.segment(x).mean(dim=-1)


def network(normalised: bool, of_columns: bool = False) -> torch.nn.Module:
    """Return a network without dropout; a bias before normalisation has no gradient but rounding."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norm = torch.nn.BatchNorm1d(4) if normalised else torch.nn.Identity()
        if of_columns:
            return Segmenter(norm)
        first = torch.nn.Conv1d(2, 4, 9, bias=not normalised)
        return torch.nn.Sequential(first, norm, torch.nn.ELU(), torch.nn.Flatten(), torch.nn.Linear(96, 2))


def trained(case: str, normalised: bool, checkpoint: Path | None = None) -> tuple[dict, list]:
    from bci.chunk import Signal

    settings, of_columns = LoopSettings(**PLAIN | CASES[case]), case == "samples"
    model, sets = network(normalised, of_columns), [windows(seed, of_columns=of_columns) for seed in (0, 1)]
    found = train_network(model, *sets, settings, checkpoint, signal=Signal(32.0, ("C3", "C4")))
    return model.state_dict(), [epoch.train_loss for epoch in found.history]


JOB = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from offline import processes
from tests.offline.test_distributed import CASES, trained
out = Path(sys.argv[1])
torch.set_num_threads(1)
with processes.joined("cpu"):
    assert processes.n_processes() == 2
    assert processes.agreed({"rank": processes.rank()}) == {"rank": 0}
    for case in CASES:
        for normalised in (True, False):
            state, losses = trained(case, normalised, out / f"{case}-{normalised}-state.safetensors")
            state["losses"] = torch.tensor(losses, dtype=torch.float64)
            save_file(state, out / f"{case}-{normalised}-{processes.rank()}.safetensors")
assert processes.n_processes() == 1
"""


def torchrun(*arguments: str, limit_s: float = 200.0) -> subprocess.CompletedProcess:
    """Run two processes; they and their launcher end with this call."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, _ = child.communicate(timeout=limit_s)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, 9)
            child.communicate()
    return subprocess.CompletedProcess(command, child.returncode, out)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """What two processes trained."""
    out = tmp_path_factory.mktemp("two")
    job = out / "job.py"
    job.write_text(JOB)
    done = torchrun(str(job), str(out))
    assert done.returncode == 0, done.stdout
    return out


@pytest.mark.parametrize("normalised", [True, False], ids=["batch norm", "no norm"])
@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_what_one_gives(two, case, normalised):
    from safetensors.torch import load_file

    first, second = (load_file(two / f"{case}-{normalised}-{rank}.safetensors") for rank in (0, 1))
    for name, value in first.items():
        assert torch.equal(value, second[name]), f"both processes have the same {name}"
    if case == "all" and normalised:
        return  # parts of a batch have their own statistics, and other parts with one process
    state, losses = trained(case, normalised)
    np.testing.assert_allclose(first.pop("losses"), losses, rtol=1e-5)
    for name, value in state.items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_state_of_two_processes_goes_on_in_one(two, tmp_path):
    """The state is that of the network, whoever computed it."""
    state = tmp_path / "state.safetensors"
    state.write_bytes((two / "plain-False-state.safetensors").read_bytes())
    resumed, losses = trained("plain", False, state)
    expected, _ = trained("plain", False)
    assert len(losses) == 3
    for name, value in expected.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-5)


def test_accumulation_changes_no_gradient():
    """One batch in four parts, without batch statistics."""
    one, four = network(False), network(False)
    train_network(one, windows(0), None, LoopSettings(**PLAIN))
    train_network(four, windows(0), None, LoopSettings(**PLAIN, accumulate=4))
    for name, value in one.state_dict().items():
        torch.testing.assert_close(four.state_dict()[name], value, rtol=1e-4, atol=1e-5)


COMMAND = """
import sys
import pytest
from tests.offline.toy_task import install
from apps.train import main
install(pytest.MonkeyPatch(), 3)
sys.exit(main(sys.argv[1:]))
"""


def test_the_same_command_runs_under_torchrun(tmp_path):
    """One bundle, one log, written by the first process."""
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    out = tmp_path / "run"
    words = ["run", "--task", "toy", "--model", "eegnet", "--out", str(out), "--window-s", "0.5", "--epochs", "1"]
    done = torchrun(str(script), *words, "--batch-size", "4")
    assert done.returncode == 0, done.stdout
    metrics = json.loads((out / "metrics.json").read_text())
    assert len(metrics["folds"]) == 3
    assert (out / "bundle" / "manifest.json").is_file()
    assert (out / "train.log").read_text().count(", bundle ") == 1
    assert done.stdout.count("bundle: ") == 1, "the first process speaks"


def test_a_device_for_each_process_is_asked_for(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "7"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=r"a CUDA device of its own, got 1 for process 8"), processes.joined("cuda"):
        pass


def test_alone_a_process_agrees_with_itself():
    assert processes.agreed([1, None]) == [1, None]
    assert (processes.rank(), processes.n_processes(), processes.writes()) == (0, 1, True)
    with processes.first_alone():
        processes.wait_for_all()
    assert float(processes.summed(torch.tensor(2.0))) == 2.0

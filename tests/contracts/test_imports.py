"""Laziness, seen from outside: what a fresh process has loaded after a call.

import-linter counts imports inside functions too, so it cannot say what is loaded when.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from apps.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "mne", "numpy", "scipy", "pylsl", "onnxruntime", "sklearn", "PySide6", "rich", "h5py"}
HEAVY_FOR_COMMANDS = {"torch", "mne", "pylsl", "onnxruntime", "sklearn", "PySide6", "pyqtgraph", "brainflow"}


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after running `code`."""
    program = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 0, ended.stderr
    return {name.partition(".")[0] for name in json.loads(ended.stdout.splitlines()[-1])}


def signal_code() -> list[str]:
    """Return the modules that pyproject.toml restricts to numpy and scipy."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return next(c["source_modules"] for c in contracts if c["name"].startswith("signal code"))


def test_bci_help_loads_nothing_heavy():
    """`bci --help` answers before any library could be loaded."""
    assert not loaded_after("import apps.cli; assert apps.cli.main(['--help']) == 0") & HEAVY


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_loads_neither_torch_nor_mne(name):
    """A subcommand imports its libraries when it runs, not when it explains itself."""
    loaded = loaded_after(f"import apps.cli; assert apps.cli.main([{name!r}, '--help']) == 0")
    assert not loaded & HEAVY_FOR_COMMANDS


def test_bci_help_takes_under_0_3_s_of_cpu():
    """Processor time, not wall time: a busy machine must not fail this."""
    best_s = min(_cpu_s([sys.executable, "-m", "apps", "--help"]) for _ in range(3))
    assert best_s < 0.3


@pytest.mark.parametrize("name", signal_code())
def test_signal_code_loads_only_numpy_and_scipy(name):
    """A package is taken with all its modules."""
    code = (
        f"import importlib, pkgutil\nmodule = importlib.import_module({name!r})\n"
        "for info in pkgutil.walk_packages(getattr(module, '__path__', []), module.__name__ + '.'):\n"
        "    importlib.import_module(info.name)"
    )
    third_party = loaded_after(code) & (HEAVY | HEAVY_FOR_COMMANDS)
    assert third_party <= {"numpy", "scipy"}


def _cpu_s(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

"""Names and sizes that hold for the whole source, and tables that miss nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import bci.errors
import bci.stages
from bci.stages.registry import STAGES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bci", "offline", "apps", "models")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TREES = {path.relative_to(ROOT): ast.parse(path.read_text(), str(path)) for path in FILES}
MAX_LINES = 400
ONE_NAME = {
    "fs": "sfreq",
    "srate": "sfreq",
    "sample_rate": "sfreq",
    "sampling_rate": "sfreq",
    "n_chans": "n_channels",
    "n_chan": "n_channels",
    "n_outputs": "n_classes",
    "ch_names": "names",
    "timeout": "timeout_s",
    "duration": "duration_s",
    "lowcut": "low_hz",
    "highcut": "high_hz",
    "l_freq": "low_hz",
    "h_freq": "high_hz",
}


def test_files_are_short_and_none_is_a_drawer():
    """A file is one idea, under 400 lines; `utils` is no idea."""
    long = {str(path.relative_to(ROOT)): n for path in FILES if (n := len(path.read_text().splitlines())) >= MAX_LINES}
    drawers = [
        str(path.relative_to(ROOT)) for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")
    ]
    assert not long
    assert not drawers


def test_no_file_is_named_like_a_library():
    """`bci/engines/onnxruntime.py` would read as the library it wraps."""
    imported = {name for tree in TREES.values() for name in _imported(tree)}
    libraries = {name.lower() for name in imported if name not in PACKAGES and name not in sys.stdlib_module_names}
    assert "numpy" in libraries
    assert not [str(path.relative_to(ROOT)) for path in FILES if path.stem.lower() in libraries]


def test_one_thing_has_one_name():
    """Arguments and fields are full words with their unit."""
    found = [
        f"{path}:{line}: {name} → {ONE_NAME[name]}"
        for path, tree in TREES.items()
        for name, line in _defined(tree)
        if name in ONE_NAME
    ]
    assert not found


def test_every_stage_is_in_the_table():
    """The laws are tested over the table, so a stage outside it would be lawless."""
    specs = {
        value
        for info in pkgutil.iter_modules(bci.stages.__path__, "bci.stages.")
        for value in vars(importlib.import_module(info.name)).values()
        if inspect.isclass(value) and isinstance(getattr(value, "kind", None), str) and hasattr(value, "build")
    }
    assert specs == set(STAGES.values())
    assert all(kind == spec.kind for kind, spec in STAGES.items())


def test_every_error_is_in_the_drawing():
    """The tree in the first lines of errors.py is the tree of its classes."""
    classes = {name for name, value in vars(bci.errors).items() if inspect.isclass(value)}
    drawn = set(re.findall(r"[A-Z]\w+", (bci.errors.__doc__ or "").partition("\n\n")[2]))
    assert classes <= drawn


@pytest.mark.parametrize("folder", sorted({path.parent for path in (ROOT / "tests").rglob("test_*.py")}), ids=str)
def test_folders_of_tests_are_packages(folder):
    """Else `tests/bci` lands on the search path and two test files of one name collide."""
    assert (folder / "__init__.py").exists()


def _imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def _defined(tree: ast.Module) -> list[tuple[str, int]]:
    """Return the arguments and annotated fields that a file defines, with their lines."""
    found = [(node.arg, node.lineno) for node in ast.walk(tree) if isinstance(node, ast.arg)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            fields = (item for item in node.body if isinstance(item, ast.AnnAssign))
            found += [(item.target.id, item.lineno) for item in fields if isinstance(item.target, ast.Name)]
    return found

"""Bundles are written whole or not at all, never over something else, and found by path or by shipped name."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from safetensors import SafetensorError

import bci.bundle
from bci.bundle import find_bundle, write_bundle
from bci.chunk import Signal
from bci.errors import BundleError
from tests.bundles import write_random_bundle

SIGNAL = Signal(128.0, ("C3", "Cz"))
PARTS = {
    "metrics": {"note": "other"},
    "card": "# Other\n",
    "training": {"seed": 1},
    "created": "2026-02-02T00:00:00+00:00",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_random_bundle(tmp_path_factory.mktemp("bundles") / "random", SIGNAL)


@pytest.fixture
def folder(original, tmp_path):
    """A copy, in a folder of its own."""
    return shutil.copytree(original.path, tmp_path / "random")


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def write(bundle, path, **changes):
    """Write the parts of `bundle` again, elsewhere."""
    parts = {
        "pipeline": bundle.pipeline,
        "model": bundle.model,
        "network": bundle.network(),
        "decision": bundle.decision,
        "golden": bundle.golden(),
    }
    return write_bundle(path, **(parts | PARTS | changes))


def test_writing_makes_parents_and_replaces_a_bundle(original, tmp_path):
    path = tmp_path / "runs" / "first" / "bundle"
    first = write(original, path)
    second = write(original, path, card="# Second µV\n")
    assert first.sha256 != second.sha256
    assert (path / "card.md").read_text(encoding="utf-8") == "# Second µV\n"
    assert [p.name for p in path.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize("exists", [False, True], ids=["new", "replacing"])
@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        ("metrics", ValueError, "Out of range float values are not JSON compliant"),
        ("golden", SafetensorError, "Unknown dtype"),
        ("replace", OSError, "No space left"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_failure_while_writing_leaves_everything_as_it_was(
    original, folder, monkeypatch, exists, broken, error, message
):
    path = folder if exists else folder.parent / "new"
    before = contents(folder)
    changes = {}
    if broken == "metrics":
        changes = {"metrics": {"accuracy": float("nan")}}  # strict JSON has no NaN
    elif broken == "golden":
        changes = {"golden": {"input": np.zeros(3, dtype=object)}}
    else:
        moves = []

        def replace(source, target):
            moves.append(target)
            if target == path and len(moves) <= 1 + exists:
                raise OSError(28, "No space left on device")
            os.rename(source, target)

        monkeypatch.setattr(bci.bundle.os, "replace", replace)
    with pytest.raises(error, match=message):
        write(original, path, **changes)
    assert [p.name for p in folder.parent.iterdir()] == ["random"]
    assert contents(folder) == before


def test_what_is_no_bundle_is_never_replaced(original, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "notes").write_text("a file")
    for name in ("thesis", "notes"):
        with pytest.raises(BundleError, match=rf"A bundle needs a new folder, or one .* got .*{name}.*Choose another"):
            write(original, tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"
    assert (tmp_path / "notes").read_text() == "a file"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes", "thesis"]


def test_a_damaged_bundle_is_not_replaced_either(original, folder):
    (folder / "card.md").write_text("my notes")
    with pytest.raises(BundleError, match=r"an intact bundle to replace, got .*card\.md was changed"):
        write(original, folder)
    assert (folder / "card.md").read_text() == "my notes"


def test_a_bundle_is_found_by_path_or_by_its_shipped_name(folder, monkeypatch):
    monkeypatch.setattr(bci.bundle, "SHIPPED", folder.parent)
    assert find_bundle(str(folder)) == folder
    assert find_bundle("random") == folder


def test_a_folder_here_comes_before_a_shipped_bundle_of_that_name(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(bci.bundle, "SHIPPED", folder.parent)
    here = tmp_path / "here"
    shutil.copytree(folder, here / "random")
    monkeypatch.chdir(here)
    assert find_bundle("random").resolve() == here / "random"


@pytest.mark.parametrize("name", ["../random", "nothing", "random/manifest.json", ".hidden"])
def test_neither_a_folder_nor_shipped(folder, name, monkeypatch):
    """A name cannot lead out of the folder of shipped bundles."""
    monkeypatch.setattr(bci.bundle, "SHIPPED", folder.parent)
    monkeypatch.chdir("/")
    with pytest.raises(BundleError, match=rf"There is no bundle '{name}'.*Shipped: random\."):
        find_bundle(name)


def test_without_shipped_bundles_the_message_says_none(tmp_path, monkeypatch):
    monkeypatch.setattr(bci.bundle, "SHIPPED", tmp_path / "missing")
    with pytest.raises(BundleError, match=r"Shipped: none\."):
        find_bundle("seizure-demo")

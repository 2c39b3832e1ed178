"""A bundle from a stranger: it neither fills the memory, leaves its folder nor steers a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys

import pytest
import torch

from apps import cli
from bci import bundle_limits
from bci.bundle import FILES, load_bundle
from bci.bundle_limits import MAX_MIB, MIB
from bci.chunk import Signal
from bci.errors import BundleError, SchemaError
from bci.pipeline import PipelineSpec
from models.registry import ModelSpec, build
from tests.bci.bundle_edits import edit, rehash
from tests.bundles import write_random_bundle
from tests.models.test_registry import EXAMPLES

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
HOSTILE = ["\x1b]0;owned\x07", "\u202etxt.exe", "a\nb", "\u200b\x00", "", "x" * 300]
LIMIT_MIB = 3000  # of address space, for what must be refused before it is taken


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_random_bundle(tmp_path_factory.mktemp("security") / "random", SIGNAL).path


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "random")


def tamper(folder, name, change):
    """Change a file as somebody does who also knows to mend all hashes."""
    edit(folder, name, change)
    if name == "pipeline.json":
        try:
            sha256 = PipelineSpec.from_json((folder / name).read_text()).sha256()
        except ValueError:
            return
        edit(folder, "manifest.json", lambda m: m.update(pipeline_sha256=sha256))


# names


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_names_that_steer_a_terminal_are_refused(folder, name, capsys):
    """Class and channel names come to screens, reports, LSL descriptions and logs."""
    changes = {
        "class": ("decision.json", lambda c: c.update(classes=[name, "seizure"])),
        "channel": ("pipeline.json", lambda c: c["signal"].update(names=["C3", name, "C4"])),
        "bundle's name": ("manifest.json", lambda c: c.update(name=name)),
    }
    for what, (file, change) in changes.items():
        copy = shutil.copytree(folder, folder.with_name(what.replace("'", "")))
        tamper(copy, file, change)
        with pytest.raises(SchemaError, match=f"a {what} needs 1 to 200 printable characters, got ") as caught:
            load_bundle(copy)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400
    assert cli.main(["verify", str(copy)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.rstrip("\n").isprintable()


def test_markup_in_names_is_data(folder):
    """``<script>`` and ``[red]`` are printable: who shows them escapes them."""
    tamper(folder, "decision.json", lambda c: c.update(classes=["<script>alert(1)</script>", "seizure"]))
    assert load_bundle(folder).decision.classes[0] == "<script>alert(1)</script>"


# paths


@pytest.mark.parametrize(
    "name", ["../../outside", "/etc/passwd", "weights.safetensors/../../x", "C:\\x", "card.md\0", ".", ""], ids=ascii
)
def test_the_manifest_cannot_name_other_files(folder, name):
    (folder.parent / "outside").write_text("secret")
    edit(folder, "manifest.json", lambda m: m["files"].update({name: m["files"].pop("card.md")}))
    with pytest.raises(SchemaError, match="must name the bundle and hash exactly"):
        load_bundle(folder)


def test_the_name_in_the_manifest_is_no_path(folder, monkeypatch, tmp_path):
    """It is shown, never opened."""
    edit(folder, "manifest.json", lambda m: m.update(name="../../etc/passwd"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache" / "deep"))
    assert cli.main(["verify", str(folder), "--engine", "onnx"]) == 0
    files = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"random", "cache"}
    assert all("passwd" not in path.name for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("name", ["card.md", "weights.safetensors", "manifest.json"])
def test_what_is_no_plain_file_is_not_read(folder, name):
    """A pipe would never end, a device has no end."""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(BundleError, match=r"is missing|has no manifest"):
        load_bundle(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(BundleError, match=r"is missing|has no manifest"):
        load_bundle(folder)


# sizes


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_file_larger_than_its_kind_is_not_read(folder, name):
    """Sparse: it takes no room on the disk, and would take all the memory."""
    os.truncate(folder / name, (MAX_MIB[name] + 1) * MIB)
    with pytest.raises(SchemaError, match=rf"{name} must have at most {MAX_MIB[name]} MiB, got {MAX_MIB[name] + 1}\."):
        load_bundle(folder)


def test_all_files_have_a_limit():
    assert set(MAX_MIB) == {*FILES, "manifest.json"}


BOMBS = {
    "channels": (
        "pipeline.json",
        lambda p: p["signal"].update(names=[f"c{i}" for i in range(300_000)]),
        "at most 4096 channels",
    ),
    "window": ("pipeline.json", lambda p: p["window"].update(length_s=1e9), "a window has at most 134217728 values"),
    "long": ("pipeline.json", lambda p: p["window"].update(length_s=1e300), "a window has at most 134217728 values"),
    "bank": ("pipeline.json", lambda p: p["stages"][-1].update(n_fft=2**40), "needs n_fft <= 1048576"),
    "order": ("pipeline.json", lambda p: p["stages"][0].update(order=10**6), "order <= 20"),
    "classes": (
        "decision.json",
        lambda d: d.update(classes=["seizure", *map(str, range(30_000))]),
        "and 4096 classes",
    ),
    "outputs": (
        "model.json",
        lambda m: m["arguments"].update(n_classes=30_000_000),
        "weights.safetensors does not fit",
    ),
    "inputs": ("model.json", lambda m: m["arguments"].update(n_channels=2**40), "weights.safetensors does not fit"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_numbers_that_would_fill_the_memory(folder, bomb):
    """Refused in one line by a process that has hardly more memory than the toolkit itself needs."""
    name, change, message = BOMBS[bomb]
    tamper(folder, name, change)
    verify = [sys.executable, "-m", "apps", "verify", str(folder), "--engine", "eager"]
    limit = LIMIT_MIB * MIB
    ended = subprocess.run(
        verify,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert message in ended.stderr
    assert "unexpected" not in ended.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_network_can_be_sized_before_memory_is_taken(name):
    with torch.device("meta"):
        sized = build(ModelSpec(name, EXAMPLES[name])).state_dict()
    real = build(ModelSpec(name, EXAMPLES[name])).state_dict()
    assert {key: value.shape for key, value in sized.items()} == {key: value.shape for key, value in real.items()}
    assert all(value.is_meta for value in sized.values())


def test_limits_leave_room_for_the_largest_recordings(original):
    """306 MEG channels at 5 kHz over 10 s, raw; and the shipped bundle is far below all limits."""
    assert bundle_limits.MAX_WINDOW_VALUES > 306 * 5000 * 10
    assert all((original / name).stat().st_size < MAX_MIB[name] * MIB / 16 for name in FILES)


# JSON


@pytest.mark.parametrize("name", ["manifest.json", "pipeline.json", "model.json", "decision.json"])
@pytest.mark.parametrize(
    "text",
    [
        '{"a":' * 50_000,
        "[" * 500_000,
        "1" * 5000,
        '{"schema": 1e999}',
        "null",
        '"x"',
        '{"schema": {"$ref": "#"}}',
        "\ufeff{}",
    ],
    ids=["objects", "lists", "digits", "infinite", "null", "text", "reference", "mark"],
)
def test_json_that_is_none_or_another(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    if name != "manifest.json":
        rehash(folder)
    with pytest.raises(BundleError, match=r"^random: ") as caught:
        load_bundle(folder)
    assert len(str(caught.value)) < 1000


def test_wrong_types_everywhere_in_the_settings(folder):
    """Each value of each file, replaced by each other type: refused, or (where it means the same) loaded."""
    others = [None, True, -1, 1.5, "text", [], {}, [[]], "1", 10**400]
    for name in ("manifest.json", "pipeline.json", "model.json", "decision.json"):
        text = (folder / name).read_text()
        for path in _paths(json.loads(text)):
            for other in others:
                tamper(folder, name, lambda whole, path=path, other=other: _put(whole, path, other))
                with contextlib.suppress(BundleError):
                    load_bundle(folder)
                (folder / name).write_text(text)
        rehash(folder)


def _paths(value, path=()):
    """Yield the places of all values in a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))


def _put(whole, path, value):
    *way, last = path
    for key in way:
        whole = whole[key]
    whole[last] = value

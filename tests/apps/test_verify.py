"""`bci verify`: a bundle proves itself on an engine, or is refused with numbers."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch

from apps.cli import main
from bci.bundle import FILES
from bci.chunk import Signal
from tests.bundles import write_random_bundle

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield write_random_bundle(folder / "tiny", SIGNAL).path


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "tiny")


def rehash(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("engine", ["auto", "onnx", "eager"])
def test_a_good_bundle_passes_with_its_numbers(original, engine, capsys):
    assert main(["verify", str(original), "--engine", engine]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"tiny on {'eager' if engine == 'eager' else 'onnx'} (fp32)" in out
    for row in ("files and schema", "features, relative", "logits, relative", "probabilities", "engine against eager"):
        assert row in out
    assert f"Engine {'eager' if engine == 'eager' else 'onnx'} (fp32), built in " in out
    assert "golden predictions reproduced." in out
    assert "Algorithmic latency: " in out


def test_markup_in_the_name_of_a_bundle_is_text(folder, capsys):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"name": "[/bold]"}))
    assert main(["verify", str(folder), "--engine", "eager"]) == 0
    assert "[/bold] on eager (fp32)" in capsys.readouterr().out


def test_weights_that_are_not_those_of_the_golden_run_fail_with_the_numbers(folder, capsys):
    """Hashes and shapes agree; only what is computed does not."""
    weights = dict(safetensors.torch.load_file(folder / "weights.safetensors"))
    weights["head.bias"] = weights["head.bias"] + 0.5
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    rehash(folder)
    assert main(["verify", str(folder), "--engine", "eager"]) == 1
    out, err = capsys.readouterr()
    assert "logits, relative" in out  # the table shows what failed
    assert err.startswith("bci: error: tiny does not reproduce its golden run: features differ by")
    assert err.count("\n") == 1


def test_another_grid_of_windows_fails(folder, capsys):
    golden = dict(safetensors.numpy.load_file(folder / "golden.safetensors"))
    golden["last_sample"] = golden["last_sample"] + np.int64(1)
    safetensors.numpy.save_file(golden, folder / "golden.safetensors")
    rehash(folder)
    assert main(["verify", str(folder), "--engine", "eager"]) == 1
    assert "predicts at samples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "card.md").write_text("x"), "card.md was changed"),
        (lambda folder: (folder / "metrics.json").unlink(), "metrics.json is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json needs JSON"),
        (lambda folder: shutil.rmtree(folder), "There is no bundle"),
        (lambda folder: (folder / "manifest.json").unlink(), "is not a bundle"),
    ],
    ids=["changed", "missing", "json", "gone", "manifest"],
)
def test_a_damaged_bundle_is_refused_in_one_line(folder, damage, words, capsys):
    damage(folder)
    assert main(["verify", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_wrong_usage(original, capsys):
    assert main(["verify", str(original), "--engine", "abacus"]) == 2
    assert "no engine 'abacus'" in capsys.readouterr().err
    assert main(["verify"]) == 2

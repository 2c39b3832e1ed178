"""Bundles: read as they were written, and refused when a byte, a field or a shape is not as written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from bci.bundle import FILES, load_bundle
from bci.chunk import Signal
from bci.errors import BundleError, SchemaError
from bci.golden import compare
from bci.serving import examine
from tests.bci.bundle_edits import edit, rehash
from tests.bundles import CLASSES, write_random_bundle

SIGNAL = Signal(128.0, ("Fp1", "C3", "Cz", "C4", "O2"))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_random_bundle(tmp_path_factory.mktemp("bundles") / "random", SIGNAL)


@pytest.fixture
def folder(original, tmp_path):
    """A copy to damage."""
    return shutil.copytree(original.path, tmp_path / "random")


def test_what_is_written_is_read_back(original):
    """Settings, weights and golden run survive; the golden run is reproduced to the bit by the same engine."""
    again = load_bundle(original.path)
    assert again == original
    assert (again.name, again.decision.classes) == ("random", CLASSES)
    assert again.manifest["training"] == {"seed": 0}
    assert again.manifest["pipeline_sha256"] == again.pipeline.sha256()
    assert set(again.manifest["packages"]) == {"streaming-bci", "torch", "numpy", "scipy"}
    assert again.sha256 == hashlib.sha256((original.path / "manifest.json").read_bytes()).hexdigest()
    served = examine(str(original.path), "eager")
    assert served.golden_report.logit_error == 0
    assert served.golden_report.passed


def test_the_network_is_loaded_with_its_weights_ready_to_infer(original):
    network = original.network()
    stored = safetensors.torch.load_file(original.path / "weights.safetensors")
    assert not network.training
    assert set(stored) == set(network.state_dict())
    assert all(torch.equal(value, stored[name]) for name, value in network.state_dict().items())


def test_a_bundle_holds_its_files_and_no_others(original):
    assert {p.name for p in original.path.iterdir()} == {*FILES, "manifest.json"}
    assert os.stat(original.path).st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
def test_one_changed_byte_is_refused(folder, name, place):
    data = bytearray((folder / name).read_bytes())
    data[round(place * (len(data) - 1))] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"random: {name} was changed: its sha256 is \w+…, the manifest says"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"random: {name} is missing\. Copy the whole bundle again"):
        load_bundle(folder)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"is not a bundle: it has no manifest\.json"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("schema", [2, 0, "1", None, 1.5])
def test_another_schema_is_refused(folder, schema):
    edit(folder, "manifest.json", lambda m: m.update(schema=schema))
    with pytest.raises(SchemaError, match=rf"manifest\.json has schema {schema!r}, this version reads schema 1"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000, b"9" * 5000],
    ids=["empty", "cut", "list", "null", "bytes", "deep", "long"],
)
def test_a_manifest_that_is_no_json_object(folder, text):
    (folder / "manifest.json").write_bytes(text)
    with pytest.raises(SchemaError, match=r"^random: (manifest\.json needs|'utf-8' codec)"):
        load_bundle(folder)


@pytest.mark.parametrize("change", [lambda m: m.update(script="run.py"), lambda m: m.pop("training")])
def test_manifest_keys_are_exactly_the_known_ones(folder, change):
    edit(folder, "manifest.json", change)
    with pytest.raises(SchemaError, match=r"manifest\.json needs the keys schema, name, .* got created"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(name=7),
        lambda m: m.update(files=[]),
        lambda m: m["files"].pop("card.md"),
        lambda m: m["files"].update({"../../outside": "0" * 64}),
    ],
    ids=["name", "list", "fewer", "more"],
)
def test_the_manifest_hashes_exactly_the_files(folder, change):
    edit(folder, "manifest.json", change)
    with pytest.raises(SchemaError, match=r"must name the bundle and hash exactly pipeline\.json"):
        load_bundle(folder)


@pytest.mark.parametrize("value", [None, 5, ["0"], "", "0" * 63])
def test_a_hash_of_another_type_is_refused(folder, value):
    edit(folder, "manifest.json", lambda m: m["files"].update({"model.json": value}))
    with pytest.raises(BundleError, match=r"model\.json was changed"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pipeline.json", lambda c: c.update(schema=99), "A pipeline needs schema 1, got 99"),
        ("pipeline.json", lambda c: c.update(schema=True), "A pipeline needs schema 1, got True"),
        ("pipeline.json", lambda c: c.update(extra=1), "A pipeline needs the fields"),
        ("pipeline.json", lambda c: c.update(reference_hz="10"), "reference_hz must be a number, got '10'"),
        ("pipeline.json", lambda c: c["stages"].append({"kind": "exec"}), "A stage needs a known kind, got 'exec'"),
        ("pipeline.json", lambda c: c["stages"].append(5), "A stage needs a known kind, got 5"),
        ("pipeline.json", lambda c: c["signal"].update(sfreq="128"), "sfreq must be float, got '128'"),
        ("pipeline.json", lambda c: c["signal"].update(names="C3"), "names must be"),
        ("pipeline.json", lambda c: c["signal"].update(names=[]), "needs at least one channel name"),
        ("pipeline.json", lambda c: c["signal"].update(sfreq=-1), "needs a sampling rate above 0 Hz, got -1"),
        ("pipeline.json", lambda c: c["window"].pop("hop_s"), "window lacks hop_s"),
        ("decision.json", lambda c: c.update(classes=["a", 5]), "classes must be"),
        ("decision.json", lambda c: c.update(temperature=True), "temperature must be float, got True"),
        ("decision.json", lambda c: c.update(command="rm"), "decision has unknown fields command"),
        ("decision.json", lambda c: c["alarm"].update(k=1.5), "k must be int, got 1.5"),
        ("model.json", lambda c: c.update(module="os"), "A model spec needs the keys 'name' and 'arguments'"),
        ("model.json", lambda c: c.update(name=5), "A model spec needs a string 'name'"),
        ("model.json", lambda c: c["arguments"].update(n_times={"a": 1}), "must be a finite number"),
    ],
)
def test_tampered_settings_are_refused_although_the_hashes_agree(folder, name, change, message):
    edit(folder, name, change)
    with pytest.raises(SchemaError, match=f"^random: .*{message}"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "bandpass", "low_hz": 1e-9, "high_hz": 40.0, "order": 4}, "to settle within 3600 s"),
        ({"kind": "bandpass", "low_hz": 1.0, "high_hz": 40.0, "order": 100_000}, "1 <= order <= 20"),
        ({"kind": "select", "names": ["T7"]}, "Select needs channels T7"),
        ({"kind": "log_mel", "n_fft": 2**34}, "LogMel needs n_fft <= 1048576"),
    ],
    ids=["corner", "order", "channel", "fft"],
)
def test_stages_that_cannot_be_built_are_refused_on_loading(folder, change, message):
    def put(content):
        (at,) = [i for i, s in enumerate(content["stages"]) if s["kind"] == change["kind"]] or [slice(0, 0)]
        content["stages"][at] = [change] if isinstance(at, slice) else content["stages"][at] | change

    edit(folder, "pipeline.json", put)
    with pytest.raises(SchemaError, match=f"^random: .*{message}"):
        load_bundle(folder)


@pytest.mark.parametrize("value", [None, "0" * 64])
def test_a_pipeline_that_reads_as_another_is_refused(folder, value):
    edit(folder, "manifest.json", lambda m: m.update(pipeline_sha256=value))
    with pytest.raises(SchemaError, match=r"^random: pipeline\.json reads as another pipeline .* the manifest says"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["pipeline.json", "decision.json", "model.json"])
@pytest.mark.parametrize("text", [b"", b"NaN", b"[" * 100_000, b"\xff"], ids=["empty", "nan", "deep", "bytes"])
def test_settings_that_are_no_json_are_refused(folder, name, text):
    (folder / name).write_bytes(text)
    rehash(folder)
    with pytest.raises(SchemaError, match=r"^random: .+"):
        load_bundle(folder)


def test_an_unknown_model_is_refused_by_name(folder):
    """A file can name a row of the table, never a module."""
    edit(folder, "model.json", lambda c: c.update(name="os:system"))
    with pytest.raises(SchemaError, match=r"does not fit model\.json \(os:system\): No model is named 'os:system'"):
        load_bundle(folder).network()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["arguments"].update(n_classes=3), "size mismatch for head"),
        (lambda c: c["arguments"].update(n_classes="2"), "'n_classes' of model 'mel_cnn' must be of type int"),
        (lambda c: c["arguments"].pop("n_times"), "missing n_times"),
        (lambda c: c.update(name="mel_cnn_reference"), "size mismatch"),
    ],
)
def test_weights_that_do_not_fit_the_model(folder, change, message):
    edit(folder, "model.json", change)
    with pytest.raises(SchemaError, match=rf"^random: weights\.safetensors does not fit model\.json .*{message}"):
        load_bundle(folder).network()


def header_bomb():
    """A header that claims to be as long as the address space."""
    return struct.pack("<Q", 2**63) + b"{}"


def overlapping():
    """Two tensors in the same bytes."""
    header = json.dumps({k: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for k in ("a", "b")}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


def huge():
    """A tensor that is larger than the file."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


BROKEN = {
    "empty": lambda whole: b"",
    "header only": lambda whole: whole[:8],
    "cut header": lambda whole: whole[:60],
    "cut data": lambda whole: whole[:-5],
    "bomb": lambda whole: header_bomb(),
    "overlap": lambda whole: overlapping(),
    "huge": lambda whole: huge(),
    "pickle": lambda whole: b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    "html": lambda whole: b"<!doctype html><title>404</title>",
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_tensor_file_is_refused_although_the_hashes_agree(folder, damage):
    for name in ("weights.safetensors", "golden.safetensors"):
        (folder / name).write_bytes(BROKEN[damage]((folder / name).read_bytes()))
    rehash(folder)
    bundle = load_bundle(folder)
    with pytest.raises(SchemaError, match=r"^random: weights\.safetensors does not fit model\.json"):
        bundle.network()
    with pytest.raises(SchemaError, match=r"^random: golden\.safetensors must hold arrays of numbers"):
        bundle.golden()
    with pytest.raises(SchemaError, match=r"^random: "):
        examine(str(folder))


def test_a_number_format_that_numpy_lacks_is_refused(folder):
    safetensors.torch.save_file({"input": torch.zeros(3, dtype=torch.bfloat16)}, folder / "golden.safetensors")
    rehash(folder)
    with pytest.raises(SchemaError, match=r"golden\.safetensors (must hold arrays of numbers|needs features)"):
        examine(str(folder))


def retold(folder, **arrays):
    """Replace arrays of the golden run; None takes one away."""
    golden = dict(safetensors.numpy.load_file(folder / "golden.safetensors"))
    golden = {k: v for k, v in (golden | arrays).items() if v is not None}
    safetensors.numpy.save_file(golden, folder / "golden.safetensors")
    rehash(folder)


@pytest.mark.parametrize(
    "features", [None, np.zeros((5, 16, 3), np.float32), np.zeros((5, 99), np.float32)], ids=["none", "short", "flat"]
)
def test_golden_features_that_do_not_fit_the_pipeline(folder, features):
    retold(folder, features=features)
    with pytest.raises(SchemaError, match=r"golden\.safetensors needs features of shape \(5, 16\) with at least 32"):
        examine(str(folder))


def test_the_key_of_the_engine_cache_follows_weights_and_structure(original, folder):
    assert load_bundle(folder).engine_key == original.engine_key
    edit(folder, "decision.json", lambda c: c.update(temperature=2.0))
    assert load_bundle(folder).engine_key == original.engine_key
    edit(folder, "model.json", lambda c: c["arguments"].update(dropout=0.5))
    assert load_bundle(folder).engine_key != original.engine_key


def test_the_golden_run_of_a_copy_is_the_same(original, folder):
    bundle = load_bundle(folder)
    engine = examine(str(folder), "eager").engine
    assert compare(bundle.golden(), bundle.pipeline, bundle.decision, engine).passed

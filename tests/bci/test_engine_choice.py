"""What auto takes is measured once, remembered, and measured again when asked or when it is of no use any more."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from bci.engines import choice, selection
from bci.engines.choice import Choice, Trial, choice_file, recall, remember
from bci.engines.eager_engine import EagerEngine
from bci.engines.parity import compare
from bci.engines.selection import build_engine, cache_folder
from bci.errors import ParityError, UsageError
from models.registry import ModelSpec, build

KEY = "0" * 64
NUMBERS = {"n_channels": 3, "n_times": 128, "sfreq": 64.0, "n_classes": 2}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache that begins empty, on a machine that is calm."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    load_is(monkeypatch, 0.2)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build(ModelSpec("eegnet", NUMBERS)).eval()


@pytest.fixture(scope="module")
def example(network):
    return np.random.default_rng(0).normal(size=(3, *network.input_shape)).astype(np.float32)


def load_is(monkeypatch, load):
    for module in (choice, selection):
        monkeypatch.setattr(module, "load_per_core", lambda: load)


def choices():
    return sorted(cache_folder().glob("choice-*.json"))


def slowest_is(monkeypatch, name):
    """Let the clock say that one engine is slow: which one is, depends on the machine."""
    monkeypatch.setattr(selection, "medians_ms", lambda calls: {each: 1.0 + (each == name) for each in calls})


def forbid_measuring(monkeypatch):
    monkeypatch.setattr(selection, "medians_ms", lambda _: pytest.fail("measured again"))


@pytest.mark.parametrize(("slow", "fast"), [("onnx", "eager"), ("eager", "onnx")])
def test_auto_keeps_the_fastest_and_remembers_it(network, example, monkeypatch, slow, fast):
    slowest_is(monkeypatch, slow)
    engine, report = build_engine("auto", network, example, KEY)
    assert (engine.name, report.remembered) == (fast, False)
    assert {trial.name: trial.ms for trial in report.tried} == {slow: 2.0, fast: 1.0}
    assert "Measured: onnx" in str(report)
    forbid_measuring(monkeypatch)
    engine, again = build_engine("auto", network, example, KEY)
    assert (engine.name, again.remembered, again.tried) == (fast, True, report.tried)
    assert "Measured earlier: onnx" in str(again)
    assert len(choices()) == 1


def test_a_choice_is_measured_again_when_asked(network, example, monkeypatch):
    slowest_is(monkeypatch, "onnx")
    build_engine("auto", network, example, KEY)
    slowest_is(monkeypatch, "eager")
    engine, report = build_engine("auto", network, example, KEY, remeasure=True)
    assert (engine.name, report.remembered) == ("onnx", False)
    with pytest.raises(UsageError, match=r"Only auto measures engines, got 'onnx' to measure again\. Leave out one"):
        build_engine("onnx", network, example, KEY, remeasure=True)


def test_what_a_busy_moment_measured_is_measured_again_when_the_machine_is_calm(network, example, monkeypatch):
    """Until then it is kept, and the report tells of it."""
    load_is(monkeypatch, 2.34)
    slowest_is(monkeypatch, "onnx")
    _, first = build_engine("auto", network, example, KEY)
    assert (first.name, first.load) == ("eager", 2.34)
    assert "Measured at a load of 2.3 for each core: onnx" in str(first)
    assert str(first).endswith("Measured again when the machine is calm.")
    slowest_is(monkeypatch, "eager")
    load_is(monkeypatch, 1.01)
    _, kept = build_engine("auto", network, example, KEY)
    assert (kept.name, kept.remembered, kept.load) == ("eager", True, 2.34)
    assert "Measured earlier at a load of 2.3 for each core: onnx" in str(kept)
    load_is(monkeypatch, 1.0)
    _, calm = build_engine("auto", network, example, KEY)
    assert (calm.name, calm.remembered, calm.load) == ("onnx", False, 1.0)
    assert "load" not in str(calm)
    load_is(monkeypatch, 9.0)
    _, later = build_engine("auto", network, example, KEY)
    assert (later.name, later.remembered, later.load) == ("onnx", True, 1.0)


def test_where_the_system_tells_no_load_a_choice_is_kept(network, example, monkeypatch):
    load_is(monkeypatch, None)
    first = build_engine("auto", network, example, KEY)[1]
    load_is(monkeypatch, 0.0)
    again = build_engine("auto", network, example, KEY)[1]
    assert (first.remembered, again.remembered, again.load) == (False, True, None)


def test_the_load_is_for_each_core(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(choice.os, "getloadavg", lambda: (6.0, 1.0, 1.0))
    monkeypatch.setattr(choice.os, "cpu_count", lambda: 4)
    assert choice.load_per_core() == 1.5
    monkeypatch.delattr(choice.os, "getloadavg")
    assert choice.load_per_core() is None


def test_other_windows_and_precisions_have_their_own_choice(network, example):
    paths = {
        choice_file(cache_folder(), key, precision, n_late, shape)
        for key in (KEY, "1" * 64)
        for precision in ("fp32", "bf16")
        for n_late in (0, 4)
        for shape in (example.shape[1:], (9, 9))
    }
    assert len(paths) == 16


def test_another_machine_or_version_has_its_own_choice(example, monkeypatch):
    """What was fastest elsewhere, or before an update, is measured again."""

    def path():
        return choice_file(cache_folder(), KEY, "fp32", 0, example.shape[1:])

    paths = [path()]
    assert path() == paths[0]
    elsewhere = {
        "processor": lambda: "another processor",
        "_gpus": lambda: ["another GPU"],
        "version": lambda package: "0.0",
        "ENGINES": ("eager",),
    }
    for name, value in elsewhere.items():
        with monkeypatch.context() as patch:
            patch.setattr(choice, name, value)
            paths.append(path())
    assert len(set(paths)) == 5


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff", b'{"name": "onnx", "tried": [1], "passed_over": [], "load": 0}']
)
def test_a_damaged_memory_is_measured_again(network, example, caplog, content):
    build_engine("auto", network, example, KEY)
    (path,) = choices()
    path.write_bytes(content)
    _, report = build_engine("auto", network, example, KEY)
    assert not report.remembered
    assert "cannot be read" in caplog.text
    assert json.loads(path.read_text())["name"] == report.name


def test_a_remembered_engine_that_fails_now_is_replaced(network, example, caplog):
    path = choice_file(cache_folder(), KEY, "fp32", 0, example.shape[1:])
    remember(Choice("tensorrt", (Trial("tensorrt", 0.1, 0.0),), (), 0.2), path)
    assert recall(path).name == "tensorrt"
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU, where TensorRT may be usable")
    engine, report = build_engine("auto", network, example, KEY)
    assert engine.name in ("onnx", "eager")
    assert not report.remembered
    assert "engine tensorrt was chosen earlier and is no longer usable" in caplog.text


def test_what_is_remembered_comes_from_known_engines_only(tmp_path):
    remember(Choice("magic", (), (), None), tmp_path / "c.json")
    assert recall(tmp_path / "c.json") is None
    assert recall(tmp_path / "none.json") is None


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_really_computed_and_stays_near(network, example, precision):
    engine, report = build_engine("eager", network, example, KEY, precision)
    assert (engine.precision, report.precision) == (precision, precision)
    assert 1e-6 < report.parity_error <= 1e-2
    assert not np.array_equal(engine(example), EagerEngine(network)(example))


def test_another_class_is_refused_only_where_the_margin_is_larger():
    reference = np.array([[1.0, 0.0], [0.500, 0.499]], np.float32)
    assert compare(reference[:, ::-1], reference, "fp16").n_other == 1
    with pytest.raises(ParityError, match=r"Engine x differs .* and gives 1 windows another class, the limit is 1e-02"):
        compare(reference[:, ::-1], reference, "fp16").require("x")
    near = reference + np.array([[0.0, 0.0], [-0.001, 0.001]], np.float32)
    compare(near, reference, "fp16").require("x")

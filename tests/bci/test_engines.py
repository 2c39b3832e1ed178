"""Engines: equal to eager PyTorch, cached once, and refused or passed over with a reason."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bci.engines import selection
from bci.engines.base import TwoStepEngine
from bci.engines.catalog import ONNX
from bci.engines.eager_engine import EagerEngine
from bci.engines.onnx_engine import OnnxEngine
from bci.engines.selection import build_engine, cache_folder
from bci.errors import EngineError, ParityError, UsageError
from models.registry import ModelSpec, build, parameters

KEY = "0" * 64
NUMBERS = {"n_channels": 6, "n_times": 160, "sfreq": 128.0, "n_classes": 3, "n_features": 16}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def network_of(name, seed=0):
    """Return a registry model with random weights, built from what every builder takes."""
    torch.manual_seed(seed)
    arguments = {key: NUMBERS[key] for key, p in parameters(name).items() if p.default is p.empty}
    return build(ModelSpec(name, arguments)).eval()


def windows(network, n=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 1.0, (n, *network.input_shape)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    return network_of("eegnet")


@pytest.fixture(scope="module")
def exported(small, tmp_path_factory):
    """The cached form of `small`, made once: an export takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("exported")))
        build_engine("onnx", small, windows(small), KEY)
        (file,) = cached_files()
    return file


@pytest.fixture
def cached(exported):
    """A cache that already holds the compiled form of `small`."""
    cache_folder().mkdir(parents=True)
    return shutil.copy2(exported, cache_folder())


def cached_files():
    return sorted(cache_folder().glob("*.onnx")) if cache_folder().exists() else []


def test_an_export_of_one_window_takes_any_number(small):
    engine, _ = build_engine("onnx", small, windows(small, 1), KEY)
    assert engine(windows(small, 5)).shape == (5, NUMBERS["n_classes"])


def test_a_network_of_two_parts_is_begun_before_the_last_columns_come(caplog):
    """What comes last does not touch the first step, and a batch of any size gives what the whole network gives."""
    network = network_of("mel_cnn")
    engine, report = build_engine("onnx", network, windows(network), KEY, n_late=4)
    assert isinstance(engine, TwoStepEngine)
    assert report.parity_error <= 1e-5
    assert [file.name.rsplit(".", 2)[1] for file in cached_files()] == ["early-4", "late-4"]
    for n in (1, 7):
        batch = windows(network, n, seed=n)
        early = batch.copy()
        early[..., -4:] = np.nan
        logits = engine.late(batch, engine.early(early))
        np.testing.assert_array_equal(logits, engine(batch))
        np.testing.assert_allclose(logits, EagerEngine(network)(batch), atol=1e-5, rtol=1e-5)
    early, _ = cached_files()
    early.write_bytes(b"")
    build_engine("onnx", network, windows(network), KEY, n_late=4)
    assert "is damaged and made again" in caplog.text


@pytest.mark.parametrize(("name", "n_late"), [("mel_cnn", 159), ("mel_cnn", 0), ("eegnet", 4)])
def test_a_network_that_cannot_begin_early_runs_in_one_step(name, n_late):
    network = network_of(name)
    engine, _ = build_engine("onnx", network, windows(network), KEY, n_late=n_late)
    assert isinstance(engine, OnnxEngine)
    assert not isinstance(engine, TwoStepEngine)


def test_eager_is_itself_and_leaves_no_file(small):
    engine, report = build_engine("eager", small, windows(small), KEY)
    assert (engine.name, engine.precision, report.parity_error) == ("eager", "fp32", 0.0)
    assert not cached_files()


def test_an_engine_is_compiled_once(small, cached, monkeypatch):
    file = Path(cached)
    before = (file.stat().st_mtime_ns, file.stat().st_ino, file.read_bytes())
    assert KEY[:32] in file.name
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("exported again"))
    engine, report = build_engine("auto", small, windows(small), KEY)
    assert (engine.name, report.passed_over) == ("onnx", ())
    assert (file.stat().st_mtime_ns, file.stat().st_ino, file.read_bytes()) == before


def test_other_weights_make_another_file(small, cached):
    build_engine("onnx", network_of("eegnet", seed=1), windows(small), "1" * 64)
    assert len(cached_files()) == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "other network"])
def test_a_damaged_cache_is_made_again(small, cached, damage, caplog):
    """A file in the cache is no proof of anything: what cannot run is replaced, and the log says so."""
    file = Path(cached)
    whole = file.read_bytes()
    if damage == "other network":
        wider = build(ModelSpec("eegnet", NUMBERS_OF_EEGNET | {"n_channels": 9})).eval()
        build_engine("onnx", wider, windows(wider), "9" * 64)
        (other,) = set(cached_files()) - {file}
        other.replace(file)
    else:
        file.write_bytes(
            {"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"\x08" + bytes(range(256)) * 9}[damage]
        )
    engine, report = build_engine("onnx", small, windows(small), KEY)
    assert report.parity_error <= 1e-5
    assert "is damaged and made again" in caplog.text
    assert cached_files() == [file]
    assert OnnxEngine(file)(windows(small)).shape == engine(windows(small)).shape


NUMBERS_OF_EEGNET = {key: NUMBERS[key] for key in ("n_channels", "n_times", "sfreq", "n_classes")}


def test_a_cache_of_another_network_of_the_same_shape_is_refused(cached):
    """What runs but computes something else is caught by the comparison with eager."""
    other = network_of("eegnet", seed=1)
    with pytest.raises(
        ParityError, match=r"Engine onnx differs from eager fp32 by .* the limit is 1e-04\. Use --engine eager"
    ):
        build_engine("onnx", other, windows(other), KEY)


def test_auto_passes_over_an_engine_that_differs(cached):
    other = network_of("eegnet", seed=1)
    engine, report = build_engine("auto", other, windows(other), KEY)
    assert engine.name == "eager"
    assert str(report).startswith("Engine eager (fp32), built in ")
    assert "Passed over: onnx: Engine onnx differs from eager fp32 by " in str(report)


def test_a_cache_that_cannot_be_written_leaves_eager(small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(EngineError, match=r"cache folder that can be written, got .*file.*Set XDG_CACHE_HOME"):
        build_engine("onnx", small, windows(small), KEY)
    _, report = build_engine("auto", small, windows(small), KEY)
    assert report.name == "eager"
    assert "XDG_CACHE_HOME" in report.passed_over[0]


def test_without_the_variable_the_cache_is_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "streaming-bci" / "engines"


class Unexportable(nn.Module):
    """A network whose graph depends on the values: no exporter can follow."""

    def forward(self, x):
        return torch.cat([x.mean(dim=(1, 2))[:, None]] * (2 if float(x.detach().sum()) > 1e30 else 3), dim=1)


def test_a_network_that_the_exporter_cannot_follow():
    network, example = Unexportable(), np.ones((2, 4, 8), np.float32)
    with pytest.raises(EngineError, match=r"The network cannot be exported to ONNX: .+\. Use --engine eager"):
        build_engine("onnx", network, example, KEY)
    assert build_engine("auto", network, example, KEY)[1].name == "eager"
    assert not cached_files()


def test_an_exporter_that_gives_nothing(small, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: None)
    with pytest.raises(EngineError, match="the exporter gave nothing"):
        build_engine("onnx", small, windows(small), KEY)


def test_an_engine_that_has_not_the_precision_says_so(small):
    with pytest.raises(
        EngineError, match=r"The onnx engine computes in fp32, got precision 'fp16'\. Use --precision fp32"
    ):
        build_engine("onnx", small, windows(small), KEY, "fp16")
    with pytest.raises(UsageError, match=r"no precision 'int8'\. Known: fp32, fp16, bf16"):
        build_engine("auto", small, windows(small), KEY, "int8")


def test_auto_says_why_each_engine_failed(small, monkeypatch):
    monkeypatch.setattr(selection, "CATALOG", (ONNX,))
    with pytest.raises(EngineError, match=r"No engine could be built\. onnx: The onnx engine computes in fp32"):
        build_engine("auto", small, windows(small), KEY, "fp16")


def test_an_unknown_engine_is_wrong_usage(small):
    with pytest.raises(UsageError, match=r"no engine 'tensorflow'\. Known: auto, tensorrt, cuda-graph, onnx, eager"):
        build_engine("tensorflow", small, windows(small), KEY)


def test_a_network_that_overflows_fails_the_comparison():
    class Overflow(nn.Module):
        def forward(self, x):
            return x.mean(dim=(1, 2))[:, None] * torch.full((1, 2), float("inf"))

    with pytest.raises(ParityError, match=r"Engine eager differs from eager fp32 by nan"):
        build_engine("eager", Overflow(), np.zeros((2, 4, 8), np.float32), KEY)
    with pytest.raises(ParityError, match=r"Engine eager differs from eager fp32 by nan"):
        build_engine("auto", Overflow(), np.zeros((2, 4, 8), np.float32), KEY)  # the last one cannot be passed over


@pytest.mark.parametrize("missing", ["onnxruntime", "onnxscript"])
def test_a_missing_backend_is_named_and_auto_falls_back(missing):
    """In another process: this one has already imported it."""
    code = f"""
import sys
sys.modules[{missing!r}] = None
import numpy as np
from bci.engines.selection import build_engine
from bci.errors import EngineError
from models.registry import ModelSpec, build
network = build(ModelSpec("eegnet", {NUMBERS_OF_EEGNET!r})).eval()
example = np.zeros((2, *network.input_shape), np.float32)
print(build_engine("auto", network, example, "0" * 64)[1])
try:
    build_engine("onnx", network, example, "0" * 64)
except EngineError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    report, refusal = done.stdout.strip().splitlines()
    assert report.startswith("Engine eager (fp32)")
    assert f"The onnx engine needs {missing}. Install it: pip install onnxruntime onnxscript." in report
    assert f"The onnx engine needs {missing}. Install it: pip install onnxruntime onnxscript." in refusal

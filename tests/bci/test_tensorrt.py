"""The TensorRT engine up to its compiler: arguments, keys, refusals; what it computes, where it is installed."""

from __future__ import annotations

import importlib
import json
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bci.engines import catalog, host, selection, tensorrt_engine
from bci.engines.catalog import TENSORRT
from bci.engines.eager_engine import EagerEngine
from bci.engines.parity import LIMITS, compare
from bci.engines.selection import build_engine
from bci.engines.tensorrt_engine import (
    SIZES,
    _compile,
    _load,
    built_precision,
    compile_arguments,
    compile_tensorrt,
    engine_name,
    import_compiler,
    strongly_typed,
)
from bci.errors import EngineError
from models.mel_cnn import mel_cnn

GAP = TENSORRT.gap()
SHAPE = (4, 16, 32)
KEY = "0" * 64
ON = {"gpu": "H200", "sm": "9.0", "cuda": "13.0", "torch": "2.13.0", "torch_tensorrt": "2.13.0", "tensorrt": "11.0.0"}


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return mel_cnn(SHAPE[0], SHAPE[2], 16.0, 2, SHAPE[1]).eval()


def windows(n):
    return np.random.default_rng(0).normal(30.0, 10.0, (n, *SHAPE)).astype(np.float32)


class Refusing:
    """A compiler that notes what it is given, and compiles nothing."""

    def __init__(self, error):
        self.dynamo = SimpleNamespace(compile=self._compile)
        self.error, self.given = error, None

    def _compile(self, program, **arguments):
        self.given = program, arguments
        raise self.error

    def load(self, path):
        raise ValueError(f"The file {path} is no program")


# arguments


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_compiler_gets_the_exported_network_in_its_precision(dtype, tmp_path):
    """Strong typing: nothing is enabled, the program and its inputs have the precision."""
    precision = {torch.float32: "fp32", torch.float16: "fp16"}[dtype]
    compiler, given = Refusing(RuntimeError("no GPU\nsecond line")), torch.zeros((1, *SHAPE), dtype=dtype)
    with pytest.raises(EngineError, match=r"^TensorRT cannot compile the network: no GPU\. Use --engine cuda-graph\.$"):
        _compile(compiler, network().to(dtype), given, precision, tmp_path / "engines" / "a.ep")
    program, arguments = compiler.given
    assert isinstance(program, torch.export.ExportedProgram)
    assert {p.dtype for p in program.parameters()} == {dtype}
    (x,) = arguments.pop("arg_inputs")
    assert (x.dtype, tuple(x.shape)) == (dtype, (1, *SHAPE))
    assert arguments == compile_arguments(precision, tmp_path / "engines")
    assert not list((tmp_path / "engines").iterdir())


def test_the_arguments_leave_nothing_to_torch_and_fp32_is_no_tf32():
    arguments = compile_arguments("fp32", Path("cache"))
    assert arguments["require_full_compilation"] is True
    assert arguments["min_block_size"] == 1
    assert arguments["disable_tf32"] is True
    assert Path(arguments["timing_cache_path"]).parent == Path("cache")
    assert not {"enabled_precisions", "use_explicit_typing"} & set(arguments)  # refused under strong typing
    assert [compile_arguments(p, Path("cache"))["disable_tf32"] for p in ("fp16", "bf16")] == [False, False]
    json.dumps(arguments)


# keys


def test_all_that_changes_a_program_changes_its_name(monkeypatch):
    names = [engine_name(ON, KEY, "fp16", (1, *SHAPE))]
    names += [engine_name(ON | {what: "other"}, KEY, "fp16", (1, *SHAPE)) for what in ON]
    names += [engine_name(ON, "1" * 64, "fp16", (1, *SHAPE)), engine_name(ON, KEY, "bf16", (1, *SHAPE))]
    names += [engine_name(ON, KEY, "fp16", (64, *SHAPE))]
    assert engine_name(dict(reversed(ON.items())), KEY, "fp16", (1, *SHAPE)) == names[0]
    monkeypatch.setattr(tensorrt_engine, "OPTIMIZATION_LEVEL", 3)
    names += [engine_name(ON, KEY, "fp16", (1, *SHAPE))]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"tensorrt-[0-9a-f]{32}", name) for name in names)


def test_the_precision_is_that_of_the_outputs():
    """A build that came out in fp32 although fp16 was asked for says fp32."""
    assert built_precision({torch.float32}) == "fp32"
    assert built_precision({torch.float16}) == "fp16"
    assert built_precision({torch.bfloat16}) == "bf16"
    assert {built_precision(found) for found in (set(), {torch.float64}, {torch.float16, torch.float32})} == {"mixed"}


def test_an_engine_in_another_precision_is_refused(monkeypatch):
    built = SimpleNamespace(name="tensorrt", precision="fp32")
    monkeypatch.setattr(selection, "_compile", lambda *_: built)
    monkeypatch.setattr(
        selection, "kind_of", lambda _: SimpleNamespace(name="tensorrt", runs_on="any", precisions=["fp16"])
    )
    with pytest.raises(
        EngineError, match=r"The tensorrt engine must compute in fp16, it was built in fp32\. Use another"
    ):
        build_engine("tensorrt", network(), windows(1), KEY, "fp16")


# refusals


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_without_a_gpu_it_is_refused_before_the_compiler_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorrt_engine, "import_compiler", lambda: pytest.fail("imported"))
    with pytest.raises(
        EngineError, match=r"The tensorrt engine needs a CUDA GPU, torch .* finds none\. Use --engine onnx"
    ):
        compile_tensorrt(network(), windows(1), "fp32", tmp_path, KEY)
    with pytest.raises(EngineError, match=r"The tensorrt engine needs a CUDA GPU, .*\. Use --engine auto"):
        build_engine("tensorrt", network(), windows(1), KEY)
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_is_not_there_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(EngineError, match=r"needs torch-tensorrt: pip install 'torch-tensorrt==2\.13\.\*'\. Got: "):
        import_compiler()


@pytest.mark.parametrize(("torch_version", "release"), [("2.11.1+cu130", "2.11"), ("2.13.0", "2.13"), (None, "2.13")])
def test_the_compiler_is_that_for_the_torch_that_is_here(monkeypatch, torch_version, release):
    """Also where the GPU is missing: whoever gets one must know the rest."""
    monkeypatch.setattr(host, "version", lambda _: torch_version)
    monkeypatch.setattr(host, "cuda_devices", lambda: 0)
    monkeypatch.setattr(catalog, "installed", lambda _: False)
    wanted = f"offers none; needs torch_tensorrt: pip install 'torch-tensorrt=={release}.*'"
    assert TENSORRT.gap().endswith(wanted)


def test_a_compiler_for_another_torch_is_named(monkeypatch):
    def load(name):
        raise OSError(f"{name}: undefined symbol")

    monkeypatch.setattr(importlib, "import_module", load)
    with pytest.raises(
        EngineError, match=rf"loads beside torch {re.escape(torch.__version__)}: .*undefined symbol\. Install"
    ):
        import_compiler()


def test_a_compiler_that_types_weakly_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_tensorrt", SimpleNamespace(__version__="2.9.0+cu128"))
    with pytest.raises(EngineError, match=r"needs torch-tensorrt 2\.10 or newer, .* got 2\.9\.0\+cu128\. pip install"):
        import_compiler()


@pytest.mark.parametrize(
    ("version", "strong"), [("1.4.0", False), ("2.9.0", False), ("2.10.0", True), ("2.13.0+cu130", True), ("3.0", True)]
)
def test_releases_since_2_10_type_strongly(version, strong):
    assert strongly_typed(version) is strong


def test_a_cache_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        EngineError, match=r"needs a cache folder that can be written, got .*file: .*\. Set XDG_CACHE_HOME"
    ):
        _compile(Refusing(OSError), network(), torch.zeros((1, *SHAPE)), "fp32", tmp_path / "file" / "a.ep")


def test_a_kept_program_that_cannot_be_read_is_made_again(tmp_path, caplog):
    compiler, path = Refusing(RuntimeError("")), tmp_path / "a.ep"
    with caplog.at_level(logging.WARNING):
        assert _load(compiler, path) is None
        assert not caplog.records
        path.write_bytes(b"no program")
        assert _load(compiler, path) is None
    assert "a.ep is damaged and made again: The file" in caplog.text


# on hardware


@pytest.mark.skipif(bool(GAP), reason=f"not yet run on hardware: this machine {GAP}")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_it_computes_what_eager_does_and_is_built_once(precision, tmp_path):
    net, x = network(), windows(70)
    for _ in range(2):  # compiled, then loaded
        engine = compile_tensorrt(net, x, precision, tmp_path, KEY)
        parity = compare(engine(x), EagerEngine(net)(x), precision)
        assert (engine.name, engine.precision, parity.n_other) == ("tensorrt", precision, 0)
        assert parity.error <= LIMITS[precision]
        assert len(list(tmp_path.glob("tensorrt-*.ep"))) == len(SIZES)

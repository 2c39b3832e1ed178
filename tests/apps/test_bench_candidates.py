"""Compilers beside the engines: compared with eager float32, in the precision their row tells, or missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from apps.bench import candidates, networks
from bci.errors import EngineError


def test_a_candidate_is_compared_with_eager():
    net = networks.network()
    example = networks.windows(net.input_shape, 2)
    call, facts = candidates.build(
        lambda net, example: lambda batch: net(torch.from_numpy(batch)).detach().numpy(), net, example, (1, 2)
    )
    assert facts["parity"] < 1e-6
    assert call(example).shape == (2, 2)


def test_a_candidate_that_is_missing_or_fails_says_so(monkeypatch):
    net = networks.network()
    example = networks.windows(net.input_shape, 1)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match="openvino needs the package: pip install openvino"):
        candidates.openvino(net, example)

    def broken(net, example):
        raise RuntimeError("no compiler\nat all")

    with pytest.raises(EngineError, match="It cannot compile the network: no compiler"):
        candidates.build(broken, net, example, (1,))


def small():
    """Return a network with convolution and matrix product, which OpenVINO runs in bf16 where it may."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32 * 14 * 14, 2)
    ).eval()


traced = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")


@traced
def test_openvino_computes_in_fp32():
    pytest.importorskip("openvino", reason="needs openvino", exc_type=ImportError)
    example = networks.windows((3, 16, 16), 2)
    call, facts = candidates.build(candidates.openvino, small(), example, (1, 2))
    assert facts["parity"] < 1e-5
    assert call(example).shape == (2, 2)


@traced
def test_openvino_in_bf16_is_told_from_what_it_compiled(monkeypatch):
    ov = pytest.importorskip("openvino", reason="needs openvino", exc_type=ImportError)
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    monkeypatch.setitem(candidates.OPENVINO, "INFERENCE_PRECISION_HINT", "bf16")
    with pytest.raises(EngineError, match=r"must compute all layers in f32, it computes \d+ of \d+ in bf16\."):
        candidates.openvino(small(), networks.windows((3, 16, 16), 1))


def compiled(*formats):
    """Return what `formats` its layers have; None: a layer that tells none."""
    info = [{} if name is None else {"runtimePrecision": Told(name)} for name in formats]
    layers = [SimpleNamespace(get_rt_info=lambda told=told: told) for told in info]
    return SimpleNamespace(get_runtime_model=lambda: SimpleNamespace(get_ops=lambda: layers))


class Told(str):
    def astype(self, kind):
        return kind(self)


def test_every_layer_must_be_in_fp32():
    candidates._require_fp32(compiled("f32", None, "i32", "f32"))
    with pytest.raises(EngineError, match=r"openvino must .* in f32, it computes 2 of 4 in bf16, f16\. Its time would"):
        candidates._require_fp32(compiled("f32", "bf16", "i32", "f16"))
    with pytest.raises(EngineError, match=r"it computes none in f32\."):
        candidates._require_fp32(compiled(None, "i32"))

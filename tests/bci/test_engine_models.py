"""Every model of the registry on ONNX Runtime, equal to eager PyTorch, or a reason why not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from bci.engines.eager_engine import EagerEngine
from bci.engines.onnx_engine import OnnxEngine
from bci.engines.selection import build_engine, cache_folder
from bci.engines.stepping import OnnxSteps, build_stateful
from bci.errors import EngineError
from models.registry import ModelSpec, build, names, parameters

KEY = "0" * 64
NUMBERS = {
    "n_channels": 6, "n_times": 96, "sfreq": 128.0, "n_classes": 3, "n_features": 16, "n_bands": 2,
    "freqs": (9.0, 12.0, 15.0),
}  # fmt: skip
"""Whatever a builder takes without a default."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def network_of(name):
    """Return a model with random weights, from what every builder takes."""
    torch.manual_seed(0)
    arguments = {key: NUMBERS[key] for key, p in parameters(name).items() if p.default is p.empty}
    return settled(build(ModelSpec(name, arguments)))


def settled(network):
    """Let a network answer windows differently: an untrained deep one, or one of zeros, hides what is wrong."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(0.0, 0.1)
        for norm in norms:
            norm.momentum = None  # the mean over all that is seen
        if norms:
            network.train()(torch.from_numpy(windows(network, 8, seed=9)))
    return network.eval()


def windows(network, n=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 1.0, (n, *network.input_shape)).astype(np.float32)


@pytest.mark.parametrize("name", names())
def test_every_model_runs_on_onnx_as_in_eager_or_says_why_not(name):
    """The number of windows is free: the exporter saw 3, then 1 and 7 come."""
    if name == "timm_backbone":
        pytest.importorskip("timm", reason="needs the extra timm", exc_type=ImportError)
    network = network_of(name)
    example = windows(network)
    reason = getattr(network, "eager_only", None)
    stateful = hasattr(network, "step")  # it is served step by step
    if stateful and reason is None:
        engine, report = build_stateful("onnx", network, windows(network, 1)[0], KEY)
        assert isinstance(engine, OnnxSteps)
        assert report.parity_error <= 1e-5
        return
    if reason is not None:
        builder, example = (build_stateful, windows(network, 1)[0]) if stateful else (build_engine, example)
        with pytest.raises(EngineError, match=rf"cannot be exported to ONNX: {reason}\. Use --engine eager"):
            builder("onnx", network, example, KEY)
        engine, report = builder("auto", network, example, KEY)
        assert (engine.name, report.name) == ("eager", "eager")
        assert report.passed_over[0].startswith("onnx: The network cannot be exported")
        assert not list(cache_folder().glob("*.onnx"))
        return
    engine, report = build_engine("onnx", network, example, KEY)
    assert isinstance(engine, OnnxEngine)
    assert (report.name, report.precision, report.passed_over) == ("onnx", "fp32", ())
    assert report.build_s > 0
    assert report.parity_error <= 1e-5
    reference = EagerEngine(network)
    assert np.ptp(reference(windows(network, 7, seed=7)), axis=0).max() > 1e-4
    for n in (1, 7):
        batch = windows(network, n, seed=n)
        logits = engine(batch)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, reference(batch), atol=1e-5, rtol=1e-5)

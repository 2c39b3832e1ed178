"""Bundles with fixed random weights, for tests that need a network but no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from bci.bundle import Bundle, write_bundle
from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.engines.eager_engine import EagerEngine
from bci.engines.stepping import EagerSteps
from bci.golden import record
from bci.pipeline import Pipeline, PipelineSpec, Window
from bci.serving import windows_at
from bci.stages.channels import AverageReference
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.scale import Scale
from models.registry import ModelSpec, build

CLASSES = ("background", "seizure")
LOGIT_STD = 1.5  # of the difference of the logits over the data: probabilities vary by about 0.25
GOLDEN_S = 4.0
N_WINDOWS = 200


def mel_pipeline(signal: Signal) -> PipelineSpec:
    """Return a small log-mel pipeline: 16 mels, a frame every 1/16 of a second, 2 s windows every 0.25 s."""
    hop = round(signal.sfreq / 16)
    log_mel = LogMel(n_fft=128, win_length=128, hop_length=hop, n_mels=16, low_hz=1.0, high_hz=40.0)
    stages = (Bandpass(1.0, 40.0), AverageReference(), log_mel)
    return PipelineSpec(signal, stages, Window(length_s=2.0, hop_s=0.25), reference_hz=10.0)


def raw_pipeline(signal: Signal) -> PipelineSpec:
    """Return a small pipeline without features: filtered signals, 1 s windows every 0.25 s."""
    stages = (Bandpass(1.0, 40.0), AverageReference(), Scale(0.05))
    return PipelineSpec(signal, stages, Window(length_s=1.0, hop_s=0.25), reference_hz=10.0)


def noise(signal: Signal, seconds: float = GOLDEN_S, seed: int = 0) -> np.ndarray:
    """Return white noise with a rhythm that comes and goes: float32 (n_channels, n_samples), in µV."""
    rng = np.random.default_rng(seed)
    n = round(seconds * signal.sfreq)
    t = np.arange(n) / signal.sfreq
    rhythm = 60.0 * np.sin(2 * np.pi * 10.0 * t) * np.sin(2 * np.pi * t / 3.0)
    return (20.0 * rng.standard_normal((signal.n_channels, n)) + rhythm).astype(np.float32)


def write_random_bundle(
    path: Path,
    signal: Signal,
    pipeline: PipelineSpec | None = None,
    data: np.ndarray | None = None,
    seed: int = 0,
    architecture: str | None = None,
) -> Bundle:
    """Write a bundle with random weights whose output varies over signals like `data`.

    Parameters
    ----------
    path : Path
        Where to.
    signal : Signal
        What it decodes.
    pipeline : PipelineSpec or None, default=None
        Preprocessing; None takes `mel_pipeline`. With features the network is a mel CNN, without it is EEGNet.
    data : ndarray of float32, shape (n_channels, n_samples), or None, default=None
        Signals over which the logits are centred and scaled; None takes `noise`.
    seed : int, default=0
        Of the weights.
    architecture : str or None, default=None
        Another network for features: ``mel_tcn`` has state.
    """
    pipeline = pipeline or mel_pipeline(signal)
    data = noise(signal, 3 * GOLDEN_S, seed) if data is None else data
    running = pipeline.build()
    model = _model(running, architecture)
    torch.manual_seed(seed)
    network = build(model).eval()
    _spread(network, running.process(data).data, running)
    decision = DecisionSpec(CLASSES, smoothing_s=1.0, alarm=AlarmSpec("seizure", 0.6, 0.4, k=2, n=3))
    engine = EagerSteps(network) if hasattr(network, "frames") else EagerEngine(network)
    golden = data[:, : round(GOLDEN_S * signal.sfreq)]
    sizes = np.array([8] * (golden.shape[1] // 8) + [golden.shape[1] % 8])
    return write_bundle(
        path,
        pipeline=pipeline,
        model=model,
        network=network,
        decision=decision,
        golden=record(pipeline, decision, engine, golden, sizes),
        metrics={"note": "random weights"},
        card="# Random weights\n\nFor tests only.\n",
        training={"seed": seed},
        created="2026-01-01T00:00:00+00:00",
    )


def _model(running: Pipeline, architecture: str | None) -> ModelSpec:
    signal = running.signal_out
    numbers = {
        "n_channels": signal.n_channels,
        "n_times": running.window_frames,
        "sfreq": signal.sfreq,
        "n_classes": len(CLASSES),
    }
    if signal.n_features is None:
        return ModelSpec("eegnet", numbers)
    return ModelSpec(architecture or "mel_cnn", numbers | {"n_features": signal.n_features})


def _spread(network: nn.Module, columns: np.ndarray, running: Pipeline) -> None:
    """Give the normalisation layers statistics, and the head a gain and an offset, so that the output varies."""
    last = columns.shape[-1] - running.window_frames
    starts = np.unique(np.linspace(0, last, min(N_WINDOWS, last + 1)).astype(np.int64))
    windows = torch.from_numpy(windows_at(columns.astype(np.float32), starts, running.window_frames).copy())
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.momentum = None  # the plain mean over what comes
                layer.reset_running_stats()
                layer.train()
        network(windows)
        logits = network.eval()(windows)
        gain = LOGIT_STD / (logits[:, 1] - logits[:, 0]).std()
        network.head.weight.mul_(gain)
        network.head.bias.sub_(logits.mean(dim=0)).mul_(gain)

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
from bci.golden import record
from bci.pipeline import PipelineSpec, Window
from bci.serving import windows_at
from bci.stages.channels import AverageReference
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from models.registry import ModelSpec, build

CLASSES = ("background", "seizure")


def mel_pipeline(signal: Signal) -> PipelineSpec:
    """Return a small log-mel pipeline: 16 mels, a frame every 1/16 of a second, 2 s windows every 0.25 s."""
    hop = round(signal.sfreq / 16)
    log_mel = LogMel(n_fft=128, win_length=128, hop_length=hop, n_mels=16, low_hz=1.0, high_hz=40.0)
    stages = (Bandpass(1.0, 40.0), AverageReference(), log_mel)
    return PipelineSpec(signal, stages, Window(length_s=2.0, hop_s=0.25), reference_hz=10.0)


def write_random_bundle(path: Path, signal: Signal, pipeline: PipelineSpec | None = None, seed: int = 0) -> Bundle:
    """Write a bundle whose mel CNN has random weights."""
    pipeline = pipeline or mel_pipeline(signal)
    running = pipeline.build()
    torch.manual_seed(seed)
    model = ModelSpec(
        "mel_cnn",
        {
            "n_channels": running.signal_out.n_channels,
            "n_features": running.signal_out.n_features,
            "n_times": running.window_frames,
            "sfreq": running.signal_out.sfreq,
            "n_classes": len(CLASSES),
        },
    )
    network = build(model).eval()
    rng = np.random.default_rng(seed)
    data = (30.0 * rng.standard_normal((signal.n_channels, round(4 * signal.sfreq)))).astype(np.float32)
    _spread(network, running.process(data).data, running.window_frames)
    decision = DecisionSpec(CLASSES, smoothing_s=1.0, alarm=AlarmSpec("seizure", 0.6, 0.4, k=2, n=3))
    sizes = np.array([8] * (data.shape[1] // 8) + [data.shape[1] % 8])
    return write_bundle(
        path,
        pipeline=pipeline,
        model=model,
        network=network,
        decision=decision,
        golden=record(pipeline, decision, EagerEngine(network), data, sizes),
        metrics={"note": "random weights"},
        card="# Random weights\n\nFor tests only.\n",
        training={"seed": seed},
        created="2026-01-01T00:00:00+00:00",
    )


def _spread(network: nn.Module, features: np.ndarray, n_columns: int) -> None:
    """Give the normalisation layers statistics and the head a gain, so that the output depends on the input."""
    starts = np.arange(0, features.shape[-1] - n_columns + 1, 4)
    windows = torch.from_numpy(windows_at(features.astype(np.float32), starts, n_columns).copy())
    with torch.no_grad():
        network.train()
        for _ in range(30):
            network(windows)
        network.eval()
        spread = network(windows).std(dim=0).mean()
        network.head.weight.mul_(0.5 / spread)

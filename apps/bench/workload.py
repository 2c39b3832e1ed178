"""The reference workload of the latency benchmarks, the same for us and for the peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bci.chunk import Signal
from bci.decision import DecisionSpec
from bci.pipeline import PipelineSpec, Window
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel

if TYPE_CHECKING:
    from torch import nn

# fmt: off
CHANNELS = ("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz", "P4", "P8",
            "O1", "O2")
# fmt: on
SIGNAL = Signal(256.0, CHANNELS)
CHUNK_SAMPLES = 8
LOW_HZ, HIGH_HZ = 0.5, 40.0
LOG_MEL = LogMel(n_fft=512, win_length=512, hop_length=16, n_mels=64, low_hz=LOW_HZ, high_hz=45.0)
WINDOW_SAMPLES = 2560  # 10 s of signal
N_FRAMES = 1 + (WINDOW_SAMPLES - LOG_MEL.win_length) // LOG_MEL.hop_length
HOP_S = 0.25
HOP_SAMPLES = 64
PIPELINE = PipelineSpec(
    SIGNAL,
    (Bandpass(LOW_HZ, HIGH_HZ), LOG_MEL),
    Window(N_FRAMES * LOG_MEL.hop_length / SIGNAL.sfreq, HOP_S),
    reference_hz=10.0,
)
DECISION = DecisionSpec(("background", "event"))
NETWORK_KEY = "bench-reference-2024-v2"
AMPLITUDE_UV = 20.0


def network() -> nn.Module:
    """Return the reference network with its fixed random weights: 121,171 parameters, 47.1 MFLOP a window."""
    from apps.bench import networks

    return networks.network(networks.REFERENCE)


def recording(n_samples: int, seed: int, n_channels: int = SIGNAL.n_channels) -> np.ndarray:
    """Return noise that looks like EEG in amplitude, float32 (n_channels, n_samples), in µV."""
    rng = np.random.default_rng(seed)
    return (AMPLITUDE_UV * rng.standard_normal((n_channels, n_samples))).astype(np.float32)

"""The declared age of the evidence is the one that a burst through pipeline, window and smoothing shows."""

from __future__ import annotations

import numpy as np
import pytest

from bci.algorithmic import algorithmic_latency
from bci.chunk import Chunk, Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.decoder import Decoder
from bci.pipeline import PipelineSpec, Window
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample

SFREQ = 256.0
SIGNAL = Signal(SFREQ, ("C3",))
BURST_HZ, BURST_S, AT_S = 10.0, 0.15, 9.0
MOST = 1e-3  # of the probability, so that it is linear in the power


class MeanPower:
    """A network that sees the mean power of its window and says so as a small probability."""

    name, precision = "mean power", "fp32"

    def __init__(self, power, scale=1.0):
        self.power, self.scale = power, scale

    def __call__(self, batch):
        mean = self.power(batch.astype(np.float64)).reshape(len(batch), -1).mean(axis=1)
        p = np.clip(mean * self.scale, 1e-12, 0.5)
        return np.stack([np.zeros_like(p), np.log(p / (1 - p))], axis=1)


LOG_MEL = LogMel(n_fft=128, win_length=128, hop_length=16, n_mels=16, low_hz=4.0, high_hz=40.0)
PIPELINES = {
    "filters": ((Bandpass(5.0, 20.0),), Window(2.0, 1 / SFREQ), np.square),
    "resampled": ((Bandpass(5.0, 20.0), Resample(128.0)), Window(1.0, 1 / 128), np.square),
    "log-mel": ((Bandpass(5.0, 20.0), LOG_MEL), Window(2.0, 0.25), lambda db: 10 ** (db / 10)),
    "one column": ((Bandpass(5.0, 20.0),), Window(1 / SFREQ, 1 / SFREQ), np.square),
}


@pytest.mark.parametrize("smoothing_s", [0.0, 1.5])
@pytest.mark.parametrize("kind", PIPELINES)
def test_a_burst_comes_out_as_late_as_declared(kind, smoothing_s):
    """The centre of what the level does is the centre of the burst and the declared latency."""
    stages, window, power = PIPELINES[kind]
    spec = PipelineSpec(SIGNAL, stages, window, reference_hz=BURST_HZ)
    decision = DecisionSpec(("no", "burst"), smoothing_s=smoothing_s, alarm=AlarmSpec("burst", 0.9, 0.8))
    t = np.arange(round(27 * SFREQ)) / SFREQ
    burst = 30 * np.exp(-(((t - AT_S) / BURST_S) ** 2) / 2) * np.sin(2 * np.pi * BURST_HZ * t)
    engine = MeanPower(power, MOST / 500.0)
    decoder = Decoder(spec.build(), engine, decision)
    predictions = decoder.push(Chunk(burst[None].astype(np.float32), 0, t))
    level = np.array([p.level for p in predictions])
    at_s = np.array([p.time for p in predictions])
    level -= level[(at_s > 5) & (at_s < 7)].min()  # the floor of a log-mel
    during = at_s > 7
    centre_s = (level[during] * at_s[during]).sum() / level[during].sum()
    declared = algorithmic_latency(spec.build(), smoothing_s)
    assert centre_s - AT_S == pytest.approx(declared.total_s, abs=0.01)
    assert declared.window_s == pytest.approx((window.length_s - 1 / spec.build().signal_out.sfreq) / 2)


def test_it_is_told_in_one_line():
    pipeline = PipelineSpec(SIGNAL, (), Window(2.0, 0.5), reference_hz=3.0).build()
    assert str(algorithmic_latency(pipeline)) == (
        "0.998 s = group delay 0.000 s (at 3 Hz) + half the window 0.998 s + smoothing 0.000 s"
    )


def test_smoothing_is_the_mean_age_of_an_exponential_mean():
    pipeline = PipelineSpec(SIGNAL, (), Window(2.0, 0.5)).build()
    keep = np.exp(-0.5 / 2.0)
    ages = 0.5 * np.arange(1000)
    mean = ((1 - keep) * keep ** np.arange(1000) * ages).sum()
    assert algorithmic_latency(pipeline, 2.0).smoothing_s == pytest.approx(mean)

"""An example of each kind of stage, with a signal that suits it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bci.chunk import Signal
from bci.stages.base import Stage
from bci.stages.channels import AverageReference, Bipolar, Select
from bci.stages.filters import Bandpass, FilterBank, Highpass, Lowpass, Notch
from bci.stages.gather import GatherFeatures
from bci.stages.logmel import LogMel
from bci.stages.montages import TEN_TWENTY_19
from bci.stages.quality import InterpolateBad, MaskBad, ReportQuality
from bci.stages.resample import Resample
from bci.stages.running_norm import RunningNorm
from bci.stages.scale import Clip, RobustScale, Scale
from bci.stages.stft import Stft

ABC = ("a", "b", "c")
# white noise is bad in about every second hop of these, silence and slow bursts never are
FLICKER: dict[str, Any] = {"hop_s": 0.25, "bad_after": 2, "good_after": 1, "min_amplitude": 0.0, "max_rail_share": 1.0}


@dataclass(frozen=True)
class Example:
    """A stage, a signal that suits it, and a frequency at which its delay is measured."""

    spec: Any
    sfreq: float = 256.0
    names: tuple[str, ...] = ABC
    n_features: int | None = None
    hz: float = 10.0

    @property
    def signal(self) -> Signal:
        return Signal(self.sfreq, self.names, n_features=self.n_features)

    def build(self) -> Stage:
        return self.spec.build(self.signal)

    def noise(self, n_samples: int, seed: int = 0) -> np.ndarray:
        """Return noise of about 20 units over an electrode offset, as float32."""
        rng = np.random.default_rng(seed)
        offset = 300.0 * rng.standard_normal((*self.signal.shape, 1))
        return (offset + 20.0 * rng.standard_normal((*self.signal.shape, n_samples))).astype(np.float32)

    def zeros(self, n_samples: int) -> np.ndarray:
        return np.zeros((*self.signal.shape, n_samples))

    def __str__(self) -> str:
        values = "-".join(str(v) for v in dataclasses.astuple(self.spec) if isinstance(v, int | float | str))
        features = "" if self.n_features is None else f"-x{self.n_features}"
        return f"{self.spec.kind}-{values}-at-{self.sfreq:g}Hz{features}"


def _frames(spec: Any, hz: float = 1.0) -> Example:
    """Return an example on log-mel frames instead of a plain signal."""
    return Example(spec, sfreq=16.0, n_features=4, hz=hz)


EXAMPLES = [
    Example(Select(("c", "a"))),
    _frames(Select(("b",))),
    Example(Bipolar(), names=TEN_TWENTY_19),
    Example(Bipolar("double_banana_16"), 200.0, TEN_TWENTY_19),
    Example(Bipolar(pairs=(("a", "b"), ("a", "c")))),
    _frames(Bipolar(pairs=(("c", "b"),))),
    Example(AverageReference()),
    Example(AverageReference(exclude=("b",)), 160.0),
    _frames(AverageReference()),
    Example(Bandpass(0.5, 40.0)),
    Example(Bandpass(1.0, 40.0), 250.0, hz=3.0),
    Example(Bandpass(0.5, 40.0, order=2), 160.0),
    Example(Bandpass(0.1, 100.0), 2000.0),
    Example(Bandpass(8, 13), hz=10.5),
    Example(Highpass(0.5)),
    Example(Highpass(0.1, order=1), 2000.0, hz=2.0),
    Example(Highpass(1.0, order=4), 160.0, hz=3.0),
    Example(Lowpass(40.0)),
    Example(Lowpass(100.0, order=8), 2000.0, hz=30.0),
    Example(Lowpass(30.0), 250.0, hz=25.0),
    _frames(Lowpass(2.0, order=1)),
    Example(Notch(50.0), hz=47.0),
    Example(Notch(60.0, quality=10.0), 160.0),
    Example(Notch(50.0), 2000.0, hz=48.0),
    Example(FilterBank(((6.0, 10.0), (14.0, 20.0), (26.0, 40.0))), hz=8.0),
    Example(FilterBank(((1.0, 30.0),), order=2), 2000.0),
    Example(Resample(256.0), 250.0),
    Example(Resample(250.0), 256.0),
    Example(Resample(200.0), 1000.0),
    Example(Resample(256.0), 128.0),
    Example(Resample(128.0), 256.0),
    Example(Resample(256.0), 160.0, hz=30.0),
    Example(Resample(256.0, half_length=3), 2000.0),
    Example(Resample(256.0), 256.0),
    Example(Scale(1e-3, "mV")),
    _frames(Scale(0.1)),
    Example(Clip(200.0)),
    _frames(Clip(20.0)),
    Example(RobustScale((10.0, -300.0, 0.0), (20.0, 5.0, 1.0))),
    _frames(RobustScale((0.0, 1.0, 2.0), (3.0, 4.0, 5.0))),
    # the burst and the impulse below are small beside min_std: there, dividing by the deviation is linear
    Example(RunningNorm(1.0, min_std=1.0), hz=2.0),
    Example(RunningNorm(0.3, min_std=1.0), 2000.0, hz=1.0),
    _frames(RunningNorm(5.0, min_std=1.0)),
    Example(GatherFeatures(), names=("a:0", "b:0", "a:1", "b:1")),
    Example(LogMel(512, 512, 16, 64, 0.5, 40.0)),
    Example(LogMel(256, 256, 20, 32, 0.5, 40.0)),
    Example(LogMel(512, 128, 32, 64, 0.53, 30.0), 200.0),
    Example(LogMel(2048, 16, 4, 64, 0.53, 30.0), 200.0),
    Example(LogMel(64, 50, 75, 8, 1.0, 70.0, 1e-3, "slaney", "slaney"), 160.0),
    Example(Stft(256, 256, 16, 0.5, 40.0)),
    Example(Stft(400, 100, 25, 0.5, 20.0, 1e-3), 200.0),
    Example(Stft(64, 50, 75, 1.0, 70.0), 160.0),
    Example(ReportQuality()),
    Example(ReportQuality(**FLICKER), 200.0),
    Example(InterpolateBad(**FLICKER), names=TEN_TWENTY_19),
    Example(InterpolateBad(**FLICKER, min_valid_channels=2), 160.0, ("Fp1", "Cz", "Oz")),
    Example(MaskBad(**FLICKER)),
    Example(MaskBad(**FLICKER), 1000.0),
]


def each(examples: list[Example]) -> Callable[[Any], Any]:
    """Run a test with each of the examples, as its argument ``example``."""
    return pytest.mark.parametrize("example", examples, ids=str)

"""A pipeline for an engine that computes the last spectrum itself: its frames come as samples, on the same grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bci.chunk import Signal
from bci.pipeline import PipelineSpec
from bci.stages.logmel import LogMel
from bci.stages.spectrum import SpectrumStage


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a log-mel spectrum before their transform.

    It stands in pipelines that run, never in one that is written: a bundle always names the spectrum.

    Parameters
    ----------
    spectrum : LogMel
        What the engine computes.
    """

    kind: ClassVar[str] = "frames"
    spectrum: LogMel

    @property
    def centres_hz(self) -> np.ndarray:
        """Frequency at which each band of the spectrum has its peak, shape (n_mels,), in Hz."""
        return self.spectrum.centres_hz

    def build(self, signal: Signal) -> FrameStage:
        """Return the running stage for `signal`."""
        return FrameStage(signal, self.spectrum)


class FrameStage(SpectrumStage):
    """Samples of each frame, (n_channels, win_length, n_frames); times, delay and warm-up are those of the spectrum.

    Parameters
    ----------
    signal : Signal
        What comes in.
    spectrum : LogMel
        Its frames.
    """

    def __init__(self, signal: Signal, spectrum: LogMel) -> None:
        self._spectrum = spectrum.build(signal)
        self.win_length, self.hop_length = spectrum.win_length, spectrum.hop_length
        super().__init__(signal, spectrum, slice(0, spectrum.win_length))
        self.signal_out = replace(self.signal_out, unit=signal.unit)

    def _features(self, frames: np.ndarray) -> np.ndarray:
        return frames.swapaxes(-1, -2)

    @property
    def features_out(self) -> Signal:
        """What the spectrum puts out."""
        return self._spectrum.signal_out

    def features(self, frames: np.ndarray) -> np.ndarray:
        """Return the features (n_channels, n_mels, n_frames) of frames, for those who want to see them."""
        return self._spectrum._features(frames.swapaxes(-1, -2))

    def n_samples(self, n_frames: int) -> int:
        """Return how many samples so many frames span."""
        return self.win_length + (n_frames - 1) * self.hop_length if n_frames else 0

    def new_samples(self, frames: np.ndarray, first: bool) -> np.ndarray:
        """Return the samples (n_channels, n) that `frames` bring; `first`: before them there were none."""
        if first and frames.shape[-1]:
            rest = self.new_samples(frames[..., 1:], first=False)
            return np.concatenate([frames[..., 0], rest], axis=-1)
        return frames[:, -self.hop_length :].swapaxes(-1, -2).reshape(len(frames), -1)


def can_be_framed(pipeline: PipelineSpec) -> bool:
    """Return whether an engine may compute the end of a pipeline: a log-mel spectrum that leaves out no sample."""
    last = pipeline.stages[-1] if pipeline.stages else None
    return isinstance(last, LogMel) and last.hop_length <= last.win_length


def framed(pipeline: PipelineSpec) -> PipelineSpec:
    """Return a pipeline with the frames of its last spectrum in place of the spectrum."""
    *others, last = pipeline.stages
    return replace(pipeline, stages=(*others, Frames(last))) if isinstance(last, LogMel) else pipeline

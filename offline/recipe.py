"""What one model is fed: preprocessing, fixed arguments and the settings it trains best with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from bci.chunk import Signal
from bci.errors import UsageError
from bci.pipeline import PipelineSpec, Window
from bci.stages.base import StageSpec
from bci.stages.scale import RobustScale


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model is trained for one task.

    Parameters
    ----------
    architecture : str
        Name in the model registry.
    line : str
        What it is, in one line.
    stages : tuple of stage specs
        Preprocessing; unfitted stages are fitted to each training split.
    reference_hz : float
        Frequency at which delays are declared.
    arguments : mapping
        Arguments of the builder besides the shape of its input.
    fit : {"network", "baseline"}, default="network"
        Gradient descent, or the closed fit of `offline.baseline`.
    epochs, patience : int
        Defaults of training.
    learning_rate, dropout : float
        Defaults of training.
    label_s : float or None, default=None
        Seconds at the end of a window that decide its class, where windows of a long recording are labelled; None
        takes all of it.
    training : mapping, default={}
        Other defaults of training, by the names in `offline.config.LOOP`.
    note : str, default=""
        What may limit it; reports call it a possible reason where the model is below the first strong baseline.
    """

    architecture: str
    line: str
    stages: tuple[StageSpec, ...]
    reference_hz: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fit: Literal["network", "baseline"] = "network"
    epochs: int = 60
    patience: int = 60
    learning_rate: float = 3e-3
    dropout: float = 0.25
    label_s: float | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def pipeline(self, signal: Signal, window_s: float, hop_s: float) -> PipelineSpec:
        """Return the pipeline for a signal, with its fitted stages not yet fitted.

        A window has as many columns as fit into `window_s` of raw samples: frames of a spectrum reach back, so that
        a second of frames would see more than a second.

        Raises
        ------
        UsageError
            If not even one column fits, or the window or hop is not a whole number of samples or columns.
        """
        timing = [stage for stage in self.stages if not isinstance(stage, RobustScale)]  # it may not be fitted yet
        built, out = [], signal
        for stage in timing:
            built.append(stage.build(out))
            out = built[-1].signal_out
        n_samples = _steps(window_s, signal.sfreq, "window_s", "samples")
        _steps(hop_s, out.sfreq, "hop_s", "columns")
        reach = np.arange(n_samples)
        for running in reversed(built):
            reach = running.last_input(reach)
        reach = reach + 1
        n_columns = int(np.searchsorted(reach, n_samples, side="right"))
        if n_columns == 0:
            raise UsageError(
                f"--window-s must be at least {reach[0] / signal.sfreq:g} s for this model, got {window_s:g}."
            )
        return PipelineSpec(signal, self.stages, Window(n_columns / out.sfreq, hop_s), self.reference_hz)


def _steps(seconds: float, rate_hz: float, name: str, what: str) -> int:
    n = max(1, round(seconds * rate_hz))
    if abs(seconds * rate_hz - n) > 1e-6:
        raise UsageError(
            f"{name} must be a whole number of {what} at {rate_hz:g} Hz for this model, got {seconds:g} s. "
            f"Use {n / rate_hz:.9g} s."
        )
    return n

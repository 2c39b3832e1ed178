"""What each model is fed for each task: preprocessing, fixed arguments and the settings it trains best with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from bci.chunk import Signal
from bci.errors import UsageError
from bci.pipeline import PipelineSpec, Window
from bci.stages.base import StageSpec
from bci.stages.channels import AverageReference
from bci.stages.filters import Bandpass, FilterBank
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.scale import RobustScale, Scale
from offline.config import TrainConfig
from offline.datasets.registry import TASKS

_SHAPE = ("n_channels", "n_times", "n_features", "sfreq", "n_classes")


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
        What may limit it; reports call it a possible reason where the model is below the strong baseline.
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
                f"window_s must be at least {reach[0] / signal.sfreq:g} s for this model, got {window_s:g}."
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


# the files hold amplitudes 1000 times too large
_TO_UV = Scale(1e-3)
_CCA_BANDS = ((5.0, 45.0), (11.0, 45.0), (15.0, 45.0), (22.0, 90.0))
_STIMULI_HZ = (13.0, 21.0, 17.0)
_FIXED_SPATIAL = (
    "its spatial filters are fixed after training, while the pattern of the response differs between "
    "people. The baseline finds them anew in every window."
)
_TANGENT_BANDS = tuple((f - 1.0, f + 1.0) for f in _STIMULI_HZ)

RECIPES: dict[str, dict[str, Recipe]] = {
    "ssvep": {
        "eegnet": Recipe(
            "eegnet",
            "EEGNet-8,2 on 5–50 Hz at 128 Hz",
            (_TO_UV, Bandpass(5.0, 50.0), Resample(128.0), RobustScale()),
            15.0,
            epochs=120,
            patience=40,
            note=_FIXED_SPATIAL,
        ),
        "eegnet_ssvep": Recipe(
            "eegnet_ssvep",
            "EEGNet with 96 temporal filters of 1 s on 5–50 Hz at 128 Hz",
            (_TO_UV, Bandpass(5.0, 50.0), Resample(128.0), RobustScale()),
            15.0,
            epochs=60,
            patience=20,
            dropout=0.5,
            note=_FIXED_SPATIAL,
        ),
        "mel_cnn": Recipe(
            "mel_cnn",
            "mel CNN with GeM pooling on 1 s spectra every 62.5 ms",
            (_TO_UV, Bandpass(5.0, 60.0), LogMel(512, 256, 16, 64, 6.0, 48.0, 1.0)),
            15.0,
            epochs=40,
            patience=20,
            note=(
                "each channel enters as log power, so that the phase between channels, by which "
                "correlation separates the response from alpha rhythm, is lost; it overfits the few people there are."
            ),
        ),
        "cca_net": Recipe(
            "cca_net",
            "learnt canonical correlation in four bands, whitened within the window",
            (_TO_UV, FilterBank(_CCA_BANDS)),
            15.0,
            arguments={"n_bands": len(_CCA_BANDS), "freqs": _STIMULI_HZ},
            epochs=40,
            patience=20,
            learning_rate=6e-3,
            dropout=0.1,
        ),
        "riemann": Recipe(
            "tangent_cca",
            "filter-bank canonical correlation and tangent space of the extended covariance, logistic regression",
            (_TO_UV, FilterBank(_CCA_BANDS + _TANGENT_BANDS)),
            15.0,
            arguments={
                "n_bands": len(_CCA_BANDS + _TANGENT_BANDS),
                "freqs": _STIMULI_HZ,
                "cca_bands": tuple(range(len(_CCA_BANDS))),
                "tangent_bands": tuple(range(len(_CCA_BANDS), len(_CCA_BANDS + _TANGENT_BANDS))),
            },
            fit="baseline",
        ),
    },
    "seizure-sim": {
        "mel_cnn": Recipe(
            "mel_cnn",
            "mel CNN with GeM pooling on 2 s spectra every 0.25 s",
            (Bandpass(0.5, 40.0), AverageReference(), LogMel(512, 512, 64, 40, 0.5, 40.0)),
            3.0,
            arguments={"offset_db": 45.0},
            epochs=20,
            dropout=0.2,
        ),
        "mel_tcn": Recipe(
            "mel_tcn",
            "mel TCN with state on 2 s spectra every 0.25 s",
            (Bandpass(0.5, 40.0), AverageReference(), LogMel(512, 512, 64, 40, 0.5, 40.0)),
            3.0,
            arguments={"offset_db": 45.0},
            epochs=20,
            dropout=0.2,
            label_s=8.0,
        ),
    },
}
"""Task → name of the model → recipe. Filters are causal; the response frequencies of ssvep lie at 13–63 Hz."""


def configured(config: TrainConfig) -> Recipe:
    """Return the recipe of a run, with the arguments that its settings put in place of the recipe's.

    Raises
    ------
    UsageError
        If there is no such recipe, or an argument has another form than ``name=value`` or belongs to the input.
    """
    plan = recipe(config.task, config.model)
    given: dict[str, Any] = {}
    for text in config.arguments or ():
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier() or name in _SHAPE:
            raise UsageError(
                f"An argument of the model has the form name=value, got {text!r}; {', '.join(_SHAPE)} come from the "
                "input. Change --arguments."
            )
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value
    return replace(plan, arguments={**plan.arguments, **given})


def recipe(task: str, model: str) -> Recipe:
    """Return the recipe of a model for a task.

    Raises
    ------
    UsageError
        If there is none; the message lists what there is.
    """
    if task not in TASKS:
        raise UsageError(f"No task is named {task!r}. Tasks: {', '.join(TASKS)}.")
    models = RECIPES.get(task, {})
    if model not in models:
        raise UsageError(f"Task {task} has no model {model!r}. Models: {', '.join(models) or 'none'}.")
    return models[model]


STRONG_BASELINE: dict[str, str] = {"ssvep": "riemann"}
"""Task → the model that every other one is compared with, on the same folds."""

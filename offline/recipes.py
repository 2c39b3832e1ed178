"""The table of recipes: task, then model."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from bci.errors import UsageError
from bci.stages.channels import AverageReference
from bci.stages.filters import Bandpass, FilterBank
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.scale import RobustScale, Scale
from offline.config import TrainConfig
from offline.datasets.registry import EXAMPLES, row_of
from offline.recipe import Recipe
from offline.recipe_baselines import on_bands
from offline.recipes_archives import ECOG, EPOC
from offline.recipes_corpora import AVERAGE, BANANA
from offline.recipes_icu import ICU
from offline.recipes_seizures import IMAGES, SEGMENTS

__all__ = ["RECIPES", "STRONG_BASELINES", "Recipe", "configured", "recipe"]

_SHAPE = ("n_channels", "n_times", "n_features", "sfreq", "n_classes")

# the files hold amplitudes 1000 times too large
_TO_UV = Scale(1e-3)
_CCA_BANDS = ((5.0, 45.0), (11.0, 45.0), (15.0, 45.0), (22.0, 90.0))
_STIMULI_HZ = (13.0, 21.0, 17.0)
_FIXED_SPATIAL = (
    "its spatial filters are fixed after training, while the pattern of the response differs between "
    "people. The baseline finds them anew in every window."
)
_TANGENT_BANDS = tuple((f - 1.0, f + 1.0) for f in _STIMULI_HZ)


def _simulated(architecture: str, line: str, label_s: float | None = None) -> Recipe:
    return Recipe(
        architecture,
        line,
        (Bandpass(0.5, 40.0), AverageReference(), LogMel(512, 512, 64, 40, 0.5, 40.0)),
        3.0,
        arguments={"offset_db": 45.0},
        epochs=20,
        dropout=0.2,
        label_s=label_s,
        training={"augment": ("flip:p=0.5",)},
    )


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
        "band_power": on_bands(
            "band_power",
            "logistic regression on log powers around the three stimuli",
            _TANGENT_BANDS,
            15.0,
            (_TO_UV,),
        ),
    },
    "seizure-sim": {
        "mel_cnn": _simulated("mel_cnn", "mel CNN with GeM pooling on 2 s spectra every 0.25 s"),
        "mel_cnn_reference": _simulated("mel_cnn_reference", "wide mel CNN on 2 s spectra every 0.25 s"),
        "mel_tcn": _simulated("mel_tcn", "mel TCN with state on 2 s spectra every 0.25 s", label_s=8.0),
    },
    "epoc-epilepsy": EPOC,
    "ecog-seizures": ECOG,
    "hms": ICU,
    "icu-hms": ICU,
    "seizure-segments": SEGMENTS,
    "chb-mit": BANANA,
    **dict.fromkeys(("siena", "tusz", "bids-eeg"), AVERAGE),
    **dict.fromkeys(("siena-banana", "tusz-banana", "bids-eeg-banana"), BANANA),
    **dict.fromkeys(EXAMPLES, IMAGES),
}
"""Task → name of the model → recipe. Filters are causal; the response frequencies of ssvep lie at 13–63 Hz."""


def configured(config: TrainConfig) -> Recipe:
    """Return the recipe of a run, with the arguments that its settings put in place of the recipe's.

    Raises
    ------
    UsageError
        If there is no such recipe, or an argument has another form than ``name=value``, belongs to the input or is the
        dropout.
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
        if name == "dropout":  # the setting decides it
            raise UsageError(
                f"The dropout of a model is a setting of its own, got {text!r} in --arguments. Use --dropout."
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
    row_of(task)
    models = RECIPES.get(task, {})
    if model not in models:
        raise UsageError(f"Task {task} has no model {model!r}. Models: {', '.join(models) or 'none'}.")
    return models[model]


_BOTH = ("tangent_correlation", "band_power")
_ON_SPECTRA = ("tangent_correlation", "spectrum_blocks")
STRONG_BASELINES: dict[str, tuple[str, ...]] = {
    "ssvep": ("riemann", "band_power"),
    "epoc-epilepsy": ("tangent_nuisance", *_BOTH),
    **dict.fromkeys(("ecog-seizures", "hms", "icu-hms", "seizure-segments"), _BOTH),
    # the spectra of the networks do for band powers there, without band-passed copies of many hours
    **dict.fromkeys((task for task, models in RECIPES.items() if models in (AVERAGE, BANANA)), _ON_SPECTRA),
    **dict.fromkeys(EXAMPLES, ("spectrum_blocks",)),
}
"""Task → the models that every other one is compared with, on the same folds; simulated seizures have their own."""

"""Recipes for long EEG with marked seizures: CHB-MIT, Siena, TUSZ, and any BIDS-EEG with the events of SzCORE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bci.stages.base import StageSpec
from bci.stages.channels import AverageReference
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.scale import Clip, RobustScale
from offline.recipe import Recipe
from offline.recipe_baselines import BALANCED, band_baselines

_RHYTHM_HZ = 3.0
_BANDS = ((0.5, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
# 2 s spectra of 256 Hz signals four times a second, about 45 dB: as the shipped detector of seizures has them
_SPECTRA = LogMel(512, 512, 64, 40, 0.5, 40.0)
_LEVEL = {"offset_db": 45.0}
_EVERY = {"targets": "samples"}
_ON_SPECTRA = {
    "mel_cnn": "mel CNN with GeM pooling",
    "mel_tcn": "mel TCN with state",
    "mixnet": "MixNet with GeM pooling",
    "lstm_attention": "LSTM with attention",
    "transformer": "transformer over the frames",
    "transformer_cnn": "convolutions, then a transformer,",
    "vit": "vision transformer",
    "swin": "Swin transformer",
}


def _network(
    architecture: str,
    line: str,
    stages: tuple[StageSpec, ...],
    arguments: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return a recipe for few seizures in much background: classes are drawn equally often."""
    return Recipe(
        architecture,
        line,
        stages,
        _RHYTHM_HZ,
        arguments=arguments or {},
        epochs=30,
        patience=10,
        learning_rate=1e-3,
        dropout=0.2,
        training={"balance": "classes", "monitor": "balanced_accuracy", **(training or {})},
    )


def _corpus(reference: tuple[StageSpec, ...]) -> dict[str, Recipe]:
    """Return the recipes for one form of the corpora; `reference` brings a live stream into it."""
    band = (*reference, Bandpass(0.5, 40.0), Clip(500.0))
    scaled = (*reference, Bandpass(0.5, 40.0), Resample(128.0), RobustScale(), Clip(10.0))
    # a network with a step for every sample has a quarter as many to take live
    slower = (*reference, Bandpass(0.5, 28.0), Clip(500.0), Resample(64.0))
    return {
        # half the samples do for the same bands
        **band_baselines(_BANDS, _RHYTHM_HZ, (*reference, Resample(128.0))),
        "spectrum_blocks": Recipe(
            "spectrum_blocks",
            "logistic regression on log powers in eight bands of 2 s spectra",
            (*band, _SPECTRA),
            _RHYTHM_HZ,
            fit="baseline",
            training=BALANCED,
        ),
        **{
            name: _network(name, f"{line} on 2 s spectra", (*band, _SPECTRA), _LEVEL)
            for name, line in _ON_SPECTRA.items()
        },
        "eegnet": _network("eegnet", "EEGNet-8,2 on 0.5–40 Hz at 128 Hz", scaled),
        "grouped_cnn1d": _network("grouped_cnn1d", "parallel grouped convolutions on 0.5–40 Hz at 128 Hz", scaled),
        "seizure_segmenter": _network(
            "seizure_segmenter", "segmenter of samples: convolutions, transformer", band, training=_EVERY
        ),
        "causal_segmenter": _network(
            "causal_segmenter", "the same with state, on 0.5–28 Hz at 64 Hz", slower, training=_EVERY
        ),
    }


AVERAGE: dict[str, Recipe] = _corpus((AverageReference(),))
"""For 19 electrodes. The archive has the average reference already; a live stream gets it here."""
BANANA: dict[str, Recipe] = _corpus(())
"""For the 18 derivations of the double banana: CHB-MIT has no other form."""

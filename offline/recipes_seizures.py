"""Recipes for types of seizure in ready-made images and raw segments: the zoo of networks that their authors tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bci.stages.base import StageSpec
from bci.stages.filters import Bandpass
from bci.stages.gather import GatherFeatures
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.scale import Clip, RobustScale
from offline.recipe import Recipe
from offline.recipe_baselines import BALANCED, band_baselines

# nobody knows in which unit images are: each channel is scaled by numbers of the learners
_IMAGE = (GatherFeatures(), RobustScale(), Clip(10.0))
_PLAIN = {"offset_db": 0.0, "scale_db": 1.0}
# 20 channels of one or two electrodes each, without names: nothing is re-referenced or mirrored
_BAND = (Bandpass(0.5, 40.0), Clip(500.0))
_SCALED = (Bandpass(0.5, 40.0), Resample(128.0), RobustScale(), Clip(10.0))
_MEL = (*_BAND, LogMel(512, 512, 64, 40, 0.5, 40.0))
_RHYTHM_HZ = 3.0
_BANDS = ((0.5, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
# a tile of a montage of 20 channels is two or three blocks wide
_GRID = {"n_bands": 10, "n_spans": 10}


def _zoo(
    architecture: str, line: str, stages: tuple[StageSpec, ...], arguments: Mapping[str, Any] | None = None
) -> Recipe:
    return Recipe(
        architecture,
        line,
        stages,
        _RHYTHM_HZ,
        arguments=arguments or {},
        epochs=30,
        patience=10,
        learning_rate=5e-4,
        dropout=0.3,
        training={"balance": "classes", "monitor": "balanced_accuracy", "label_smoothing": 0.1},
    )


IMAGES: dict[str, Recipe] = {
    "spectrum_blocks": Recipe(
        "spectrum_blocks",
        "logistic regression on the mean of each of 10 by 10 blocks of every plane of an image",
        _IMAGE,
        _RHYTHM_HZ,
        arguments=_GRID,
        fit="baseline",
        training=BALANCED,
    ),
    **{
        name: _zoo(name, f"{line} on ready-made images", _IMAGE, _PLAIN)
        for name, line in (
            ("mixnet", "MixNet with GeM pooling"),
            ("mel_cnn", "CNN with GeM pooling over time"),
            ("lstm_attention", "LSTM with attention"),
            ("transformer", "transformer over columns"),
            ("transformer_cnn", "convolutions, then a transformer,"),
            ("inception_transformer", "inception blocks, then a transformer,"),
            ("vit", "vision transformer"),
            ("swin", "Swin transformer"),
        )
    },
}
"""Models of these can be scored; no stream carries images, so none is written as a bundle."""

SEGMENTS: dict[str, Recipe] = {
    **band_baselines(_BANDS, _RHYTHM_HZ, (Resample(128.0),)),
    "eegnet": _zoo("eegnet", "EEGNet-8,2 on 0.5–40 Hz at 128 Hz", _SCALED),
    "grouped_cnn1d": _zoo("grouped_cnn1d", "parallel grouped convolutions on 0.5–40 Hz at 128 Hz", _SCALED),
    "mel_cnn": _zoo("mel_cnn", "mel CNN with GeM pooling on 2 s spectra", _MEL),
    "lstm_attention": _zoo("lstm_attention", "LSTM with attention on 2 s spectra", _MEL),
    "transformer": _zoo("transformer", "transformer over the frames of 2 s spectra", _MEL),
    "transformer_cnn": _zoo("transformer_cnn", "convolutions, then a transformer, on 2 s spectra", _MEL),
    "vit": _zoo("vit", "vision transformer on 2 s spectra", _MEL),
    "swin": _zoo("swin", "Swin transformer on 2 s spectra", _MEL),
    "mixnet": _zoo("mixnet", "MixNet with GeM pooling on 2 s spectra", _MEL),
    "cwt_network": _zoo("cwt_network", "mel CNN on wavelet power", _BAND),
    "image_network": _zoo("image_network", "vision transformer on 100 by 100 images, a plane a channel", _BAND),
}
"""No seizure, or one of two types, in 20 s."""

"""Recipes for recorded archives: every network on one headset archive, some on intracranial and intensive-care EEG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bci.stages.base import StageSpec
from bci.stages.channels import AverageReference
from bci.stages.filters import Bandpass, Notch
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.scale import Clip, RobustScale
from offline.recipe import Recipe

_BAND = (Bandpass(1.0, 45.0), AverageReference())
_CLIPPED = (*_BAND, Clip(200.0))
_SCALED = (*_BAND, RobustScale(), Clip(10.0))
# 2 s spectra of 128 Hz signals four times a second; a level of about 30 dB
_MEL = (*_CLIPPED, LogMel(256, 256, 32, 32, 1.0, 45.0))
_ALPHA_HZ = 10.0


def _small(
    architecture: str, line: str, stages: tuple[StageSpec, ...], arguments: Mapping[str, Any] | None = None, **more: Any
) -> Recipe:
    """Return a recipe for few people: short training, much dropout, classes drawn equally often."""
    settings = {"epochs": 12, "patience": 12, "learning_rate": 1e-3, "dropout": 0.4} | more
    return Recipe(
        architecture,
        line,
        stages,
        _ALPHA_HZ,
        arguments=arguments or {},
        training={"balance": "classes", "monitor": "balanced_accuracy"},
        **settings,
    )


EPOC: dict[str, Recipe] = {
    "eegnet": _small("eegnet", "EEGNet-8,2 on 1–45 Hz", _SCALED),
    "grouped_cnn1d": _small("grouped_cnn1d", "parallel grouped convolutions on 1–45 Hz", _SCALED),
    "mel_cnn": _small("mel_cnn", "mel CNN with GeM pooling on 2 s spectra", _MEL),
    "mel_tcn": _small("mel_tcn", "mel TCN with state on 2 s spectra", _MEL),
    "lstm_attention": _small("lstm_attention", "LSTM with attention on 2 s spectra", _MEL),
    "transformer": _small("transformer", "transformer over the frames of 2 s spectra", _MEL),
    "vit": _small("vit", "vision transformer on 2 s spectra", _MEL),
    "swin": _small("swin", "Swin transformer on 2 s spectra", _MEL),
    "transformer_cnn": _small("transformer_cnn", "convolutions, then a transformer, on 2 s spectra", _MEL),
    "inception_transformer": _small("inception_transformer", "inception blocks, then a transformer", _MEL),
    "mixnet": _small("mixnet", "MixNet with GeM pooling on 2 s spectra", _MEL),
    "mixnet_stacked": _small("mixnet_stacked", "MixNet on channels stacked with their neighbours", _MEL),
    "cwt_network": _small("cwt_network", "mel CNN on wavelet power", _CLIPPED),
    "image_network": _small("image_network", "vision transformer on 100 by 100 images, a plane a channel", _CLIPPED),
    "picture_network": _small(
        "picture_network", "MixNet on one picture of three transforms", _CLIPPED, {"side": 96}, epochs=6, patience=6
    ),
    "seizure_segmenter": _small("seizure_segmenter", "segmenter of samples: convolutions, transformer", _CLIPPED),
    "causal_segmenter": _small("causal_segmenter", "the same with state", _CLIPPED),
}
"""Epilepsy or control, for each person. `timm_backbone` needs a package of its own; the two-chain mel needs pairs."""

_ECOG = (Notch(60.0), Bandpass(1.0, 100.0), Resample(256.0), RobustScale(), Clip(10.0))

ECOG: dict[str, Recipe] = {
    "eegnet": _small("eegnet", "EEGNet-8,2 on 1–100 Hz without mains hum", _ECOG),
}

ICU: dict[str, Recipe] = {
    "mel_cnn": Recipe(
        "mel_cnn",
        "mel CNN with GeM pooling on votes of experts",
        (*_BAND, Clip(1000.0), LogMel(400, 400, 50, 40, 0.5, 40.0)),
        5.0,
        epochs=10,
        learning_rate=1e-3,
        training={"loss": "kl", "vote_weights": "count", "monitor": "loss"},
    ),
}
"""The votes are of the middle 10 s of each segment."""

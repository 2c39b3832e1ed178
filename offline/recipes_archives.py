"""Recipes for recorded archives: every network on one headset archive, one on intracranial EEG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bci.stages.base import StageSpec
from bci.stages.channels import AverageReference, Bipolar
from bci.stages.filters import Bandpass, FilterBank, Notch
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.scale import Clip, RobustScale
from offline.recipe import Recipe
from offline.recipe_baselines import BALANCED, band_baselines, on_bands

_BAND = (Bandpass(1.0, 45.0), AverageReference())
_CLIPPED = (*_BAND, Clip(200.0))
_SCALED = (*_BAND, RobustScale(), Clip(10.0))
# 2 s spectra of 128 Hz signals four times a second; a level of about 30 dB
_MEL = (*_CLIPPED, LogMel(256, 256, 32, 32, 1.0, 45.0))
# a network with a step for every sample has half as many to take live
_SLOWER = (Bandpass(1.0, 28.0), AverageReference(), Clip(200.0), Resample(64.0))
# the headset's outer and inner chain of each side, three pairs each
_PAIRS = Bipolar(
    pairs=(
        ("F7", "T7"), ("T7", "P7"), ("P7", "O1"), ("AF3", "F3"), ("F3", "FC5"), ("FC5", "P7"),
        ("F8", "T8"), ("T8", "P8"), ("P8", "O2"), ("AF4", "F4"), ("F4", "FC6"), ("FC6", "P8"),
    )
)  # fmt: skip
_RHYTHM_BANDS = ((2.0, 45.0), (8.0, 45.0))
_ALPHA_HZ = 10.0
_BRAIN_BANDS = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
# drifts of electrodes, and what the headset's filters leave above 45 Hz
_NUISANCE_BANDS = ((0.2, 1.0), (45.0, 62.0))


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
    **band_baselines(_BRAIN_BANDS, _ALPHA_HZ),
    "tangent_nuisance": on_bands(
        "tangent_correlation",
        "logistic regression on tangent vectors of drifts below 1 Hz and of 45–62 Hz: no brain signal",
        _NUISANCE_BANDS,
        0.5,
    ),
    "spectrum_blocks": Recipe(
        "spectrum_blocks",
        "logistic regression on mean levels of eight bands of 2 s spectra",
        _MEL,
        _ALPHA_HZ,
        fit="baseline",
        training=BALANCED,
    ),
    "eegnet": _small("eegnet", "EEGNet-8,2 on 1–45 Hz", _SCALED),
    "eegnet_ssvep": _small("eegnet_ssvep", "EEGNet with 96 temporal filters of 1 s on 1–45 Hz", _SCALED, epochs=6),
    "grouped_cnn1d": _small("grouped_cnn1d", "parallel grouped convolutions on 1–45 Hz", _SCALED),
    "mel_cnn": _small("mel_cnn", "mel CNN with GeM pooling on 2 s spectra", _MEL),
    "mel_cnn_reference": _small("mel_cnn_reference", "the larger mel CNN of the benchmarks", _MEL),
    "mel_tcn": _small("mel_tcn", "mel TCN with state on 2 s spectra", _MEL),
    "lstm_attention": _small("lstm_attention", "LSTM with attention on 2 s spectra", _MEL),
    "transformer": _small("transformer", "transformer over the frames of 2 s spectra", _MEL),
    "vit": _small("vit", "vision transformer on 2 s spectra", _MEL),
    "swin": _small("swin", "Swin transformer on 2 s spectra", _MEL),
    "transformer_cnn": _small("transformer_cnn", "convolutions, then a transformer, on 2 s spectra", _MEL),
    "inception_transformer": _small("inception_transformer", "inception blocks, then a transformer", _MEL),
    "mixnet": _small("mixnet", "MixNet with GeM pooling on 2 s spectra", _MEL),
    "mixnet_stacked": _small("mixnet_stacked", "MixNet on channels stacked with their neighbours", _MEL),
    "timm_backbone": _small("timm_backbone", "mixnet_s of timm with fresh weights on 2 s spectra", _MEL, epochs=4),
    "double_mel_mixnet": _small(
        "double_mel_mixnet",
        "MixNet on two mel spectrograms, the sharper one in the middle, of 12 pairs",
        (Bandpass(1.0, 45.0), _PAIRS, Clip(200.0)),
        {"chain": 3},
        epochs=6,
    ),
    "cca_net": _small(
        "cca_net",
        "canonical correlation with learnt references, from 6, 10 and 14 Hz on",
        (*_BAND, FilterBank(_RHYTHM_BANDS)),
        {"n_bands": len(_RHYTHM_BANDS), "freqs": (6.0, 10.0, 14.0)},
        note="it is made for responses to a stimulus; here nothing keeps a phase.",
    ),
    "cwt_network": _small("cwt_network", "mel CNN on wavelet power", _CLIPPED),
    "image_network": _small("image_network", "vision transformer on 100 by 100 images, a plane a channel", _CLIPPED),
    "picture_network": _small(
        "picture_network", "MixNet on one picture of three transforms", _CLIPPED, {"side": 96}, epochs=6, patience=6
    ),
    "seizure_segmenter": _small("seizure_segmenter", "segmenter of samples: convolutions, transformer", _CLIPPED),
    "causal_segmenter": _small("causal_segmenter", "the same with state, on 1–28 Hz at 64 Hz", _SLOWER),
}
"""Epilepsy or control, for each person. `timm_backbone` needs a package of its own."""

# below and above the hum that separates some recordings
_ECOG_BANDS = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 55.0), (65.0, 100.0))
_HUM = Notch(60.0)
_ECOG = (_HUM, Bandpass(1.0, 100.0), Resample(256.0), RobustScale(), Clip(10.0))

ECOG: dict[str, Recipe] = {
    **band_baselines(_ECOG_BANDS, _ALPHA_HZ, (_HUM,)),
    # ten recordings: an epoch is one step or two of the optimiser
    "eegnet": _small(
        "eegnet", "EEGNet-8,2 on 1–100 Hz without mains hum", _ECOG, epochs=30, patience=30, learning_rate=3e-3
    ),
}

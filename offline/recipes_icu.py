"""Recipes for votes of experts on EEG of intensive care, after the best published ones of the HMS competition.

References
----------
Third place of "HMS - Harmful Brain Activity Classification", Kaggle, 2024: ``cfg_5a`` (mel spectrograms) and ``cfg_2a``
(signals). Here filters run through the whole recording, gaps hold the value before, and decibels have a fixed floor.
"""

from __future__ import annotations

from typing import Any

from bci.stages.channels import AverageReference, Bipolar
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.scale import Clip, Scale
from offline.recipe import Recipe
from offline.recipe_baselines import band_baselines

_PAIRS = Bipolar("double_banana_16")
_CHAIN = 4
_NEIGHBOURS = tuple(tuple(k for k in (i - 1, i + 1) if k // _CHAIN == i // _CHAIN) for i in range(16))
_BIPOLAR = (_PAIRS, Bandpass(0.5, 20.0, order=2), Clip(1024.0))
# hop 25 where the original has 32: eight frames a second, so that a quarter of one is whole frames
_MEL = (*_BIPOLAR, LogMel(512, 128, 25, 64, 0.53, 30.0))
_BANDS = ((0.5, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
_RHYTHM_HZ = 3.0
_VOTES = {"loss": "kl", "label_smoothing": 0.0, "monitor": "loss"}
_CHANGES = ("flip:p=0.5", "random_bandpass:p=0.2,most_channels=8", "channel_drop:p=0.5,most=8")
# few rows with many votes each in the original; here all rows, by weight
_IMAGE = {
    **_VOTES,
    "vote_weights": "steps",
    "clip_norm": 20.0,
    "accumulate": 2,
    "augment": _CHANGES,
}
# the original moves its 50 s by a third to either side and fills the edge
_SIGNAL_IMAGE = {**_IMAGE, "augment": ("time_shift:p=1.0,longest_share=0.33", *_CHANGES)}


def _image_network(architecture: str, line: str, **changes: Any) -> Recipe:
    """Return the recipe of a network on images of spectra, trained as ``cfg_5a`` but for `changes`."""
    usual = {"stages": _MEL, "training": _IMAGE}
    return Recipe(
        architecture, line, reference_hz=_RHYTHM_HZ, epochs=16, learning_rate=1.2e-3, dropout=0.2, **(usual | changes)
    )


ICU: dict[str, Recipe] = {
    # votes count as they were given
    **band_baselines(_BANDS, _RHYTHM_HZ, (_PAIRS,), training={}),
    "mel_cnn": Recipe(
        "mel_cnn",
        "mel CNN with GeM pooling on votes of experts",
        (Bandpass(1.0, 45.0), AverageReference(), Clip(1000.0), LogMel(400, 400, 50, 40, 0.5, 40.0)),
        5.0,
        epochs=10,
        learning_rate=1e-3,
        training={"loss": "kl", "vote_weights": "count", "monitor": "loss"},
    ),
    "mixnet": _image_network("mixnet", "MixNet with GeM pooling on mel spectra of 16 pairs, a plane each"),
    "mixnet_stacked": _image_network(
        "mixnet_stacked",
        "MixNet on mel spectra of 16 pairs, stacked with their neighbours",
        arguments={"neighbours": _NEIGHBOURS},
    ),
    "double_mel_mixnet": _image_network(
        "double_mel_mixnet",
        "the same on two mel spectrograms, the sharper one in the middle: use windows of 50 s",
        stages=_BIPOLAR,
        arguments={"chain": _CHAIN},
        training=_SIGNAL_IMAGE,
    ),
    "timm_backbone": _image_network(
        "timm_backbone",
        "mixnet_s of timm with fresh weights on the stacked mel spectra (backbone=mixnet_xl for the original's size)",
        arguments={"neighbours": _NEIGHBOURS},
    ),
    "grouped_cnn1d": Recipe(
        "grouped_cnn1d",
        "parallel grouped convolutions on 1.6–30 Hz of 16 pairs",
        (_PAIRS, Bandpass(1.6, 30.0, order=1), Clip(1024.0), Scale(1 / 32)),
        _RHYTHM_HZ,
        epochs=30,
        learning_rate=1e-3,
        training={**_VOTES, "vote_weights": "steps", "clip_norm": 4.0, "augment": ("flip:p=0.5",)},
    ),
}
"""The votes are of the middle 10 s of each segment."""

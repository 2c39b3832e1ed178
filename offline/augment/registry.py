"""Augmentations by name, and how settings write them: ``flip`` or ``channel_drop:p=0.3,most=4``."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence

from bci.chunk import Signal
from bci.errors import SpecError
from bci.records import record_from_dict
from offline.augment.base import Augmentation, Batch, Change, Draws
from offline.augment.masks import ChannelDrop, CutOut, WindowMask
from offline.augment.mixup import Mixup
from offline.augment.signal_changes import AmplitudeJitter, LeftRightFlip, RandomBandpass, TimeShift

AUGMENTATIONS: dict[str, type] = {
    "flip": LeftRightFlip,
    "time_shift": TimeShift,
    "amplitude_jitter": AmplitudeJitter,
    "random_bandpass": RandomBandpass,
    "channel_drop": ChannelDrop,
    "window_mask": WindowMask,
    "cutout": CutOut,
    "mixup": Mixup,
}
"""Fixed table: settings can name a row of it, nothing else."""

NOTHING = "none"
"""Stands for an empty list where an absent one takes the recipe's."""


def augmentations(names: Sequence[str]) -> tuple[Augmentation, ...]:
    """Return the augmentations that settings name, in their order.

    Parameters
    ----------
    names : sequence of str
        Each a name, or a name with numbers as in ``time_shift:p=0.5,longest_share=0.3``. ``none`` alone is none.

    Returns
    -------
    augmentations : tuple of Augmentation

    Raises
    ------
    SpecError
        If a name or a number is unknown or out of range, or a name comes twice.
    """
    if list(names) == [NOTHING]:
        return ()
    found = [_one(text) for text in names]
    kinds = [type(one) for one in found]
    twice = [text for text, kind in zip(names, kinds, strict=True) if kinds.count(kind) > 1]
    if twice:
        raise SpecError(f"Augmentations must be named once each, got {' and '.join(twice)}. Leave one out.")
    return tuple(found)


def build_all(names: Sequence[str], signal: Signal) -> Change:
    """Return one change that applies all that are named, in their order, to windows of a signal.

    Raises
    ------
    SpecError
        If one is unknown or does not fit the signal.
    """
    changes = [augmentation.build(signal) for augmentation in augmentations(names)]

    def change(batch: Batch, draws: Draws) -> Batch:
        for one in changes:
            batch = one(batch, draws)
        return batch

    return change


def _one(text: str) -> Augmentation:
    name, _, rest = text.partition(":")
    if name not in AUGMENTATIONS:
        raise SpecError(f"No augmentation is named {name!r}. Augmentations: {', '.join(AUGMENTATIONS)}, or none alone.")
    kind = AUGMENTATIONS[name]
    hints = typing.get_type_hints(kind)
    numbers: dict[str, float | int] = {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        try:
            numbers[key] = int(value) if hints.get(key) is int else float(value)
        except ValueError as error:
            known = ", ".join(field.name for field in dataclasses.fields(kind))
            raise SpecError(
                f"The augmentation {name} takes numbers as in {name}:p=0.5, got {pair!r}. Known: {known}."
            ) from error
    augmentation: Augmentation = record_from_dict(kind, numbers, f"The augmentation {name}")
    return augmentation

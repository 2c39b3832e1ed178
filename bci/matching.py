"""Whether a stream or a recording is what a model was trained for."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bci.chunk import Signal
from bci.errors import ChannelMismatch
from bci.texts import printable

MAX_NAMED = 8  # channel names in a message
RATE_TOLERANCE = 1e-6  # relative

_RATE_REMEDIES = {  # an adapted recording has the rate
    "stream": "Set the amplifier to that rate, or train a model for this one.",
    "recording": "Resample it with --adapt (bci decode) or --like BUNDLE (bci replay), or train a model for this rate.",
}
_NAME_REMEDIES = {
    "stream": "Rename or connect the electrodes; name the unit with --unit if they were left out for want of one.",
    "recording": "Other spellings are found with --adapt (bci decode) or --like BUNDLE (bci replay).",
    "adapted recording": "Choose a recording or a bundle with other channels.",
}
_UNIT_REMEDIES = {
    "stream": "Choose a stream in that unit, or train a model for this one.",
    "recording": "Choose channels in that unit with --picks.",
    "adapted recording": "Choose channels in that unit with --picks.",
}


def channel_rows(
    wanted: Signal, offered: Signal, kind: Literal["stream", "recording", "adapted recording"] = "stream"
) -> np.ndarray:
    """Return which rows of `offered` make up `wanted`.

    Channels are matched by name: permuted ones are put in order, extra ones are left out.

    Parameters
    ----------
    wanted : Signal
        What the model was trained on.
    offered : Signal
        What the stream or file has.
    kind : ``stream``, ``recording`` or ``adapted recording``, default="stream"
        What `offered` describes, for the messages.

    Returns
    -------
    rows : ndarray of int64, shape (wanted.n_channels,)

    Raises
    ------
    ChannelMismatch
        If the rate or the unit differs, or a channel is missing.
    """
    if abs(offered.sfreq - wanted.sfreq) > RATE_TOLERANCE * wanted.sfreq:
        raise ChannelMismatch(
            f"The model needs {wanted.sfreq:g} Hz, the {kind} has {offered.sfreq:g} Hz. {_RATE_REMEDIES[kind]}"
        )
    where = {name: i for i, name in enumerate(offered.names)}
    missing = [name for name in wanted.names if name not in where]
    if missing:
        known = set(wanted.names)
        extra = [name for name in offered.names if name not in known]
        raise ChannelMismatch(
            f"The model needs channels that the {kind} lacks: {_listed(missing)}. "
            f"The {kind} also has: {_listed(extra) if extra else 'nothing else'}. {_NAME_REMEDIES[kind]}"
        )
    if offered.unit != wanted.unit:
        raise ChannelMismatch(f"The model needs {wanted.unit}, the {kind} has {offered.unit}. {_UNIT_REMEDIES[kind]}")
    return np.array([where[name] for name in wanted.names], dtype=np.int64)


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(printable(name) for name in names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")

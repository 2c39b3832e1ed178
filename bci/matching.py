"""Whether a stream is the one a model was trained for."""

from __future__ import annotations

import numpy as np

from bci.chunk import Signal
from bci.errors import ChannelMismatch

MAX_NAMED = 8  # channel names in a message
RATE_TOLERANCE = 1e-6  # relative


def channel_rows(wanted: Signal, offered: Signal) -> np.ndarray:
    """Return which rows of `offered` make up `wanted`.

    Channels are matched by name: permuted ones are put in order, extra ones are left out.

    Parameters
    ----------
    wanted : Signal
        What the model was trained on.
    offered : Signal
        What the stream or file has.

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
            f"The model needs {wanted.sfreq:g} Hz, the stream has {offered.sfreq:g} Hz. "
            "Set the amplifier to that rate, or train a model for this one."
        )
    where = {name: i for i, name in enumerate(offered.names)}
    missing = [name for name in wanted.names if name not in where]
    if missing:
        extra = [name for name in offered.names if name not in wanted.names]
        raise ChannelMismatch(
            f"The model needs channels that the stream lacks: {_listed(missing)}. "
            f"The stream also has: {_listed(extra) if extra else 'nothing else'}. Rename or connect the electrodes."
        )
    if offered.unit != wanted.unit:
        raise ChannelMismatch(
            f"The model needs {wanted.unit}, the stream has {offered.unit}. State the true unit with --unit."
        )
    return np.array([where[name] for name in wanted.names], dtype=np.int64)


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")

"""Colour maps as data: perceptually uniform, and told apart by people who see few colours."""

from __future__ import annotations

import numpy as np

# 17 evenly spaced colours of matplotlib's viridis, and of a blue-white-orange map for signed values
_ANCHORS: dict[str, tuple[int, ...]] = {
    "viridis": (0x440154, 0x48186A, 0x472D7B, 0x424086, 0x3B528B, 0x33638D, 0x2C728E, 0x26828E, 0x21918C, 0x1FA088,
                0x28AE80, 0x3FBC73, 0x5EC962, 0x84D44B, 0xADDC30, 0xD8E219, 0xFDE725),
    "signed": (0x08306B, 0x16488E, 0x2A62A9, 0x4580BC, 0x6A9FCD, 0x94BCDD, 0xBBD5E9, 0xDDE9F2, 0xF7F7F7, 0xFBE6D2,
               0xFDD0A8, 0xFBB47C, 0xF39350, 0xE0712A, 0xC25510, 0x9A3D06, 0x702A04),
}  # fmt: skip

MAPS = tuple(_ANCHORS)
N_COLOURS = 256


def colour_map(name: str) -> np.ndarray:
    """Return the colours of a map from its lowest to its highest value.

    Parameters
    ----------
    name : str
        ``viridis``, or ``signed`` with white in the middle.

    Returns
    -------
    colours : ndarray of uint32, shape (256,)
        ``0xffRRGGBB``.

    References
    ----------
    Viridis: van der Walt & Smith, matplotlib 1.5.
    """
    anchors = np.array(_ANCHORS[name], np.uint32)
    at = np.linspace(0, len(anchors) - 1, N_COLOURS)
    colours = np.full(N_COLOURS, 0xFF, np.uint32)
    for shift in (16, 8, 0):
        part = np.interp(at, np.arange(len(anchors)), (anchors >> shift) & 0xFF)
        colours = (colours << 8) | np.round(part).astype(np.uint32)
    return colours

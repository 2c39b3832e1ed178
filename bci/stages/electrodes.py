"""Where electrodes are: the 10-20 and 10-10 systems on a sphere, made from their rule, and the spellings of names."""

from __future__ import annotations

import functools
import re

import numpy as np

OLD_NAMES = {"t7": "t3", "t8": "t4", "p7": "t5", "p8": "t6"}
"""Names of the 10-10 system for electrodes that the 10-20 system calls otherwise."""

_DECORATION = re.compile(r"^eeg[ _-]*|[ _-]*(?:ref|le|avg)$|\.+$")
_REPEATED = re.compile(r"-\d$")  # MNE numbers channels that have the same name
_MIDLINE = {"Nz": 90, "Fpz": 72, "AFz": 54, "Fz": 36, "FCz": 18, "Cz": 0, "CPz": -18, "Pz": -36, "POz": -54, "Oz": -72,
            "Iz": -90}  # fmt: skip
_RING = {"Fp{1}": 18, "AF{7}": 36, "F{7}": 54, "FT{7}": 72, "T{7}": 90, "TP{7}": 108, "P{7}": 126, "PO{7}": 144,
         "O{1}": 162}  # fmt: skip
_LOWER_RING = {"AF{9}": 36, "F{9}": 54, "FT{9}": 72, "T{9}": 90, "TP{9}": 108, "P{9}": 126, "PO{9}": 144, "O{9}": 162}
_ROWS = {"AF": "AF", "F": "F", "FC": "FT", "C": "T", "CP": "TP", "P": "P", "PO": "PO"}  # row: its end on the ring


def plain_name(name: str) -> str:
    """Return what the spellings of one electrode have in common: ``EEG FP1-REF``, ``Fp1.`` and ``fp1`` give ``fp1``.

    ``T7``, ``T8``, ``P7`` and ``P8`` give the old names ``t3``, ``t4``, ``t5`` and ``t6``.
    """
    bare = _DECORATION.sub("", name.strip().casefold())
    bare = _DECORATION.sub("", bare)  # a prefix and a suffix
    return OLD_NAMES.get(bare, bare)


def plain_pair(name: str) -> tuple[str, str] | None:
    """Return the plain names of the two electrodes of a derivation: ``F7-T7``, ``F7-T3`` and ``F7-T7-0`` give one pair.

    None if the name is none of a derivation.
    """
    first, *rest = (plain_name(part) for part in _REPEATED.sub("", name.strip()).split("-"))
    places = electrode_positions()
    return (first, rest[0]) if len(rest) == 1 and first in places and rest[0] in places else None


@functools.cache
def electrode_positions() -> dict[str, np.ndarray]:
    """Return the unit vector of each electrode by its plain name; x points right, y to the nose, z to the vertex.

    The ideal sphere of the 10-10 system: steps of 10 % (18°) from nasion over vertex to inion and around the head;
    electrodes between midline and ring divide the arc in four. ``M1`` and ``M2`` are taken for ``TP9`` and ``TP10``.

    References
    ----------
    Oostenveld & Praamstra (2001), doi:10.1016/S1388-2457(00)00527-7
    """
    known = {name: _direction(abs(polar), 0 if polar >= 0 else 180) for name, polar in _MIDLINE.items()}
    for polar, ring in ((72, _RING), (90, _LOWER_RING)):
        for pattern, azimuth in ring.items():
            known[_numbered(pattern, 0)] = _direction(polar, azimuth)
            known[_numbered(pattern, 1)] = _direction(polar, -azimuth)
    for row, end in _ROWS.items():
        for number in (1, 2, 3, 4, 5, 6):
            side = f"{end}{8 - number % 2}"
            known[f"{row}{number}"] = _between(known[f"{row}z"], known[side], (number + 1) // 2 / 4)
    known |= {"M1": known["TP9"], "M2": known["TP10"]}
    return {plain_name(name): place for name, place in known.items()}


def _numbered(pattern: str, side: int) -> str:
    stem, number = pattern.rstrip("}").split("{")
    return f"{stem}{int(number) + side}"


def _direction(polar_deg: float, azimuth_deg: float) -> np.ndarray:
    """Return a unit vector; the azimuth runs from the nose to the left."""
    polar, azimuth = np.deg2rad(polar_deg), np.deg2rad(azimuth_deg)
    return np.array([-np.sin(polar) * np.sin(azimuth), np.sin(polar) * np.cos(azimuth), np.cos(polar)])


def _between(start: np.ndarray, stop: np.ndarray, share: float) -> np.ndarray:
    """Return the point at `share` of the great circle between two unit vectors."""
    angle = np.arccos(start @ stop)
    between: np.ndarray = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * stop) / np.sin(angle)
    return between

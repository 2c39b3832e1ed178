"""What both layouts of the EPOC epilepsy archive share: the groups, and how a recording is cut into pieces."""

from __future__ import annotations

from bci.errors import AnnotationError
from bci.texts import printable
from offline.datasets.base import Stretch

CLASSES = ("control", "epilepsy")
PIECE_S = 10.0
"""Each recording is cut into stretches of this length: training sees one window of each in an epoch."""


def group_label(text: str, where: str) -> int:
    """Return the label of a group, whatever its case.

    Parameters
    ----------
    text : str
        The group as a table has it.
    where : str
        Table and row, for the message.

    Raises
    ------
    AnnotationError
        If it is neither epilepsy nor control.
    """
    if text.lower() not in CLASSES:
        raise AnnotationError(
            f"{where}: group must be one of {', '.join(CLASSES)}, got {printable(text)!r}. Correct the row."
        )
    return CLASSES.index(text.lower())


def pieces(n_samples: int, sfreq: float, label: int) -> tuple[Stretch, ...]:
    """Return the stretches of a recording; what is left at its end belongs to none."""
    piece = round(PIECE_S * sfreq)
    return tuple(Stretch(start, start + piece, label) for start in range(0, n_samples - piece + 1, piece))

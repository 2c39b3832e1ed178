"""What a widget shows, as numbers."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QWidget


def pixels_of(widget: QWidget) -> np.ndarray:
    """Return what a widget shows, ``0xffRRGGBB``, shape (height, width)."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    rows = np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), image.bytesPerLine() // 4)
    return rows[:, : image.width()] | np.uint32(0xFF000000)


def argb(colour: str) -> int:
    """Return ``0xffRRGGBB`` of ``#rrggbb``."""
    return 0xFF000000 | int(colour[1:], 16)

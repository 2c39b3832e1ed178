"""A picture of pixels that somebody else paints, put on the screen as it is."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QImage, QPainter


class Picture:
    """Shares memory with an array of pixels, so that new ones need no copy.

    Parameters
    ----------
    pixels : ndarray of uint32, shape (height_px, width_px)
        ``0xffRRGGBB``, in C order; its owner paints it between two frames.
    ratio : float, default=1.0
        Pixels of the screen per pixel of Qt.
    """

    def __init__(self, pixels: np.ndarray, ratio: float = 1.0) -> None:
        self.pixels = pixels
        height, width = pixels.shape
        self.image = QImage(pixels.data, width, height, pixels.strides[0], QImage.Format.Format_RGB32)
        self.image.setDevicePixelRatio(ratio)

    def draw(self, painter: QPainter, head: int = 0) -> None:
        """Draw it from the top left corner, pixel by pixel, the ring of columns turned so that `head` comes first."""
        height, width = self.pixels.shape
        left = (width - head) / self.image.devicePixelRatio()
        painter.drawImage(QPointF(0, 0), self.image, QRectF(head, 0, width - head, height))
        if head:
            painter.drawImage(QPointF(left, 0), self.image, QRectF(0, 0, head, height))

    def draw_within(self, painter: QPainter, place: QRectF, head: int = 0) -> None:
        """Draw it stretched to a place, likewise turned."""
        height, width = self.pixels.shape
        turned = place.left() + place.width() * (width - head) / width
        newer = QRectF(turned, place.top(), place.right() - turned, place.height())
        painter.drawImage(
            QRectF(place.topLeft(), QPointF(turned, place.bottom())), self.image, QRectF(head, 0, width - head, height)
        )
        if head:
            painter.drawImage(newer, self.image, QRectF(0, 0, head, height))

"""A picture as PNG, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice
from PySide6.QtGui import QImage

from bci.errors import UsageError


def write_png(path: Path, image: QImage) -> None:
    """Write a picture; the file appears whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    image : QImage
        What is written.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]
    try:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(buffer.data().data())
            os.replace(scratch, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(scratch)
            raise
    except OSError as error:
        raise UsageError(
            f"A picture needs a file in a folder that can be written, got {path}: {error.strerror}."
        ) from error

"""Which files are not an archive's own, but what systems and programs leave beside them."""

from __future__ import annotations

from pathlib import PurePosixPath


def is_hidden(name: str) -> bool:
    """Whether a path below a folder is one of the hidden files that systems add; one that leads upwards is not.

    Parameters
    ----------
    name : str
        The path from the folder, with ``/``. A part that begins with a dot hides it, and so does ``__MACOSX``.
    """
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in PurePosixPath(name).parts)

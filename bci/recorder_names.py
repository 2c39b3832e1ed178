"""Names of recordings in the way of BIDS, and the next run that is free: nothing is ever overwritten."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bci.errors import UsageError

MAX_LABEL = 40  # characters; a file's name has room for 255
_LABEL = re.compile(r"[A-Za-z0-9]+")
_RUN = re.compile(r"_run-(\d{1,9})_")


@dataclass(frozen=True, slots=True)
class RecordingName:
    """Who is recorded, when and at what: the parts of the files' names.

    Parameters
    ----------
    subject : str, default="unknown"
        Letters and digits.
    session : str or None, default=None
        Likewise; None leaves it out.
    task : str, default="live"
        Likewise.

    Raises
    ------
    UsageError
        If one has other characters, which could lead out of the folder or read as another part.
    """

    subject: str = "unknown"
    session: str | None = None
    task: str = "live"

    def __post_init__(self) -> None:
        for option, label in (("--subject", self.subject), ("--session", self.session), ("--task", self.task)):
            if label is not None and (not _LABEL.fullmatch(label) or len(label) > MAX_LABEL):
                raise UsageError(
                    f"{option} needs 1 to {MAX_LABEL} letters and digits (A-Z, a-z, 0-9), got {label[:80]!r}."
                )

    @property
    def prefix(self) -> str:
        """What the names of all runs begin with."""
        session = "" if self.session is None else f"_ses-{self.session}"
        return f"sub-{self.subject}{session}_task-{self.task}"


def standing(folder: Path) -> Path:
    """Return `folder`, or what is there of the path to it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def check_folder(folder: Path) -> None:
    """Refuse a folder for recordings that cannot be made or written; nothing is made yet.

    Raises
    ------
    UsageError
        If it cannot.
    """
    there = standing(folder.absolute())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            f"Recording needs a folder that can be made and written, got {folder} ({there} is no such folder). "
            "Take another one."
        )


def reserve_run(folder: Path, name: RecordingName, suffix: str) -> Path:
    """Take the next run's number by making its sidecar, empty.

    Parameters
    ----------
    folder : Path
        Where recordings are; made if it is missing.
    name : RecordingName
        What they are called.
    suffix : str
        ``eeg`` or ``meg``.

    Returns
    -------
    base : Path
        What the run's files begin with, up to the underscore before `suffix`; ``{base}_{suffix}.json`` is there.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = [_RUN.match(path.name, len(name.prefix)) for path in folder.glob(f"{name.prefix}_run-*")]
    number = max((int(match[1]) for match in taken if match), default=0) + 1
    while True:
        base = folder / f"{name.prefix}_run-{number:02d}"
        try:
            os.close(os.open(_sidecar(base, suffix), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:  # another program has just taken it
            number += 1
        else:
            return base


def _sidecar(base: Path, suffix: str) -> Path:
    return base.with_name(f"{base.name}_{suffix}.json")

"""Epilepsy or not, from five minutes of a consumer headset: a diagnosis for each person, no seizures marked.

Layout: ``sub-001_eeg.edf`` with 14 channels at 128 Hz, and ``participants.tsv`` with ``participant_id`` and ``group``
(epilepsy or control). Bands without brain signal predict the group almost as well as brain bands do: a high score is
not yet epilepsy.

References
----------
van Hees et al. (2018), doi:10.1038/s41598-018-23425-y. Data: Zenodo, doi:10.5281/zenodo.1252141.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from bci.chunk import Signal
from bci.errors import AnnotationError, BciError, RecordingError
from bci.sources.recording import Recording, open_recording
from bci.texts import printable
from offline.datasets.annotated import nothing_usable
from offline.datasets.base import Dataset, Problem, Session, Stretch
from offline.datasets.edf_header import require_complete
from offline.datasets.tables import read_rows

CLASSES = ("control", "epilepsy")
LAYOUT = "participants.tsv with sub-XXX_eeg.edf"
PIECE_S = 10.0
"""Each recording is cut into stretches of this length: training sees one window of each in an epoch."""


def load(folder: Path) -> Dataset:
    """Read the archive.

    Parameters
    ----------
    folder : Path
        Folder with ``participants.tsv`` and the recordings.

    Returns
    -------
    dataset : Dataset
        One session per person. People without a recording, recordings of nobody, unknown groups, and recordings that
        are cut off or have another rate or other channels than most are listed as problems.

    Raises
    ------
    AnnotationError
        If ``participants.tsv`` cannot be read or lacks a column.
    RecordingError
        If no recording can be used.
    """
    table = folder / "participants.tsv"
    problems: list[Problem] = []
    groups: dict[str, int] = {}
    bad: list[str] = []
    for row, cells in read_rows(table, ("participant_id", "group"), delimiter="\t", bad=bad):
        where = f"{table.name}, row {row}"
        name, group = cells["participant_id"], cells["group"].lower()
        if group not in CLASSES:
            reason = f"{where}: group must be one of {', '.join(CLASSES)}, got {printable(group)!r}. Correct the row."
            problems.append(Problem(table, reason))
        elif name in groups:
            reason = f"{where}: each participant must have one row, {printable(name)} has two. Take one out."
            problems.append(Problem(table, reason))
        else:
            groups[name] = CLASSES.index(group)
    problems += [Problem(table, reason) for reason in bad]
    opened: list[tuple[Path, str, Recording]] = []
    for path in sorted(folder.glob("*_eeg.edf")):
        try:
            opened.append((path, _listed(path, groups), _opened(path)))
        except BciError as error:
            problems.append(Problem(path, str(error)))
    sessions: list[Session] = []
    common = Counter(recording.signal for _, _, recording in opened).most_common(1)
    for path, name, recording in opened:
        try:
            sessions.append(_session(path, name, recording, common[0][0], groups[name]))
        except BciError as error:
            problems.append(Problem(path, str(error)))
    for name in groups:
        if not (folder / f"{printable(name)}_eeg.edf").is_file():
            reason = "The table of participants names it, it is missing. Fetch it."
            problems.append(Problem(folder / f"{printable(name)}_eeg.edf", reason))
    if not sessions:
        raise nothing_usable("epoc-epilepsy", LAYOUT, folder, problems)
    return Dataset("epoc-epilepsy", CLASSES, tuple(sessions), tuple(problems))


def _listed(path: Path, groups: dict[str, int]) -> str:
    name = path.name.removesuffix("_eeg.edf")
    if name not in groups:
        raise AnnotationError(f"participants.tsv must give the group of {name}, it does not. Leave the file out.")
    return name


def _session(path: Path, name: str, recording: Recording, common: Signal, label: int) -> Session:
    signal = recording.signal
    if signal != common:
        raise RecordingError(
            f"The recording must have {common.n_channels} channels at {common.sfreq:g} Hz like most "
            f"({', '.join(common.names)}), got {signal.n_channels} at {signal.sfreq:g} Hz ({', '.join(signal.names)}). "
            "Leave it out."
        )
    piece = round(PIECE_S * signal.sfreq)
    starts = range(0, recording.n_samples - piece + 1, piece)
    stretches = tuple(Stretch(start, start + piece, label) for start in starts)
    if not stretches:
        raise RecordingError(
            f"The recording must last {PIECE_S:g} s at least, it lasts {recording.duration_s:g} s. Leave it out."
        )
    return Session(name, name, path, signal, recording.n_samples, stretches, partial(_read, path))


def _read(path: Path, start: int = 0, stop: int | None = None) -> np.ndarray:
    recording = _opened(path)
    return recording.read(start, recording.n_samples if stop is None else stop)


@lru_cache(maxsize=64)  # windows are read one after the other; opening takes longer than reading one
def _opened(path: Path) -> Recording:
    require_complete(path)
    return open_recording(path)

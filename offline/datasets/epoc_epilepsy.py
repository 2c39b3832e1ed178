"""Epilepsy or not, from five minutes of a consumer headset: a diagnosis for each person, no seizures marked.

Layouts: ``sub-001_eeg.edf`` with 14 channels at 128 Hz, and ``participants.tsv`` with ``participant_id`` and ``group``
(epilepsy or control); or that of the authors, see `offline.datasets.epoc_original`. Bands without brain signal predict
the group almost as well as brain bands do: a high score is not yet epilepsy.

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
from offline.datasets.base import Dataset, Problem, Session
from offline.datasets.edf_header import require_complete
from offline.datasets.epoc_original import COUNTRIES, read_original
from offline.datasets.epoc_people import CLASSES, PIECE_S, group_label, pieces
from offline.datasets.tables import read_rows

PARTICIPANTS = "participants.tsv"
LAYOUT = f"{PARTICIPANTS} with sub-XXX_eeg.edf, or {' or '.join(COUNTRIES)} with signal-XXX.csv.gz"


def load(folder: Path) -> Dataset:
    """Read the archive, in either layout.

    Parameters
    ----------
    folder : Path
        Folder with ``participants.tsv`` and the recordings, or with the authors' tables and theirs.

    Returns
    -------
    dataset : Dataset
        People without a recording or in two groups, recordings of nobody, unknown groups, and recordings that are cut
        off, too short or have another rate or other channels than they should are listed as problems.

    Raises
    ------
    AnnotationError
        If there is no table of people or two sorts of them, or one cannot be read or lacks a column.
    RecordingError
        If no recording can be used.
    """
    tables = [name for name in (PARTICIPANTS, *COUNTRIES) if (folder / name).is_file()]
    if not tables or (PARTICIPANTS in tables and len(tables) > 1):
        raise AnnotationError(
            f"The task epoc-epilepsy needs {PARTICIPANTS}, or {' or '.join(COUNTRIES)}, {folder} has "
            f"{' and '.join(tables) or 'none'}. Fetch what is missing, or keep one sort in a folder."
        )
    sessions, problems = (_read_edfs if PARTICIPANTS in tables else read_original)(folder)
    if not sessions:
        raise nothing_usable("epoc-epilepsy", LAYOUT, folder, problems)
    return Dataset("epoc-epilepsy", CLASSES, sessions, problems)


def _read_edfs(folder: Path) -> tuple[tuple[Session, ...], tuple[Problem, ...]]:
    """Read ``participants.tsv`` and the EDF of each person."""
    problems: list[Problem] = []
    groups, in_two = _groups(folder / PARTICIPANTS, problems)
    opened: list[tuple[Path, str, Recording]] = []
    for path in sorted(folder.glob("*_eeg.edf")):
        if path.name.removesuffix("_eeg.edf") in in_two:
            continue
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
    return tuple(sessions), tuple(problems)


def _groups(table: Path, problems: list[Problem]) -> tuple[dict[str, int], set[str]]:
    """Return the labels of the people who are in one group, and who is in two."""
    groups: dict[str, int] = {}
    in_two: set[str] = set()
    bad: list[str] = []
    for row, cells in read_rows(table, ("participant_id", "group"), delimiter="\t", bad=bad):
        where, name = f"{table.name}, row {row}", cells["participant_id"]
        try:
            label = group_label(cells["group"], where)
        except BciError as error:
            problems.append(Problem(table, str(error)))
            continue
        if name not in groups:
            groups[name] = label
        elif groups[name] == label:
            reason = f"{where}: each participant must have one row, {printable(name)} has two. Take one out."
            problems.append(Problem(table, reason))
        else:
            in_two.add(name)
            reason = (
                f"{where}: each participant must be in one group, {printable(name)} is in two and not used. Correct "
                "the table."
            )
            problems.append(Problem(table, reason))
    problems += [Problem(table, reason) for reason in bad]
    return {name: label for name, label in groups.items() if name not in in_two}, in_two


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
    stretches = pieces(recording.n_samples, signal.sfreq, label)
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

"""HMS harmful brain activity: segments of ICU EEG with the votes of experts for six patterns.

Layout: ``train.csv`` with one row per labelled segment of 50 s, ``train_eegs/EEG_ID.parquet`` with 19 electrodes and
EKG at 200 Hz, ``test.csv`` and ``test_eegs/EEG_ID.parquet``. A label belongs to the 10 s in the middle of its segment,
which begins ``eeg_label_offset_seconds`` after the first sample. Many rows repeat the votes of a neighbour: rows of one
EEG with the same votes are one example here, at the row that overlaps most with the others.

References
----------
Jing et al. (2023), doi:10.1212/WNL.0000000000207127. Data: Kaggle, hms-harmful-brain-activity-classification; the same
layout holds samples of bdsp-core's IIIC-SPaRCNet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bci.chunk import Signal
from bci.errors import AnnotationError, BciError, RecordingError
from bci.texts import printable
from offline.datasets.annotated import nothing_usable
from offline.datasets.base import UNKNOWN, Dataset, Problem, Session, Stretch
from offline.datasets.plausible import Guarded
from offline.datasets.tables import number, read_rows, whole_number

CLASSES = ("seizure", "lpd", "gpd", "lrda", "grda", "other")
VOTES = tuple(f"{name}_vote" for name in CLASSES)
SFREQ = 200.0
NAMES = (
    "Fp1", "F3", "C3", "P3", "F7", "T3", "T5", "O1", "Fz", "Cz", "Pz", "Fp2", "F4", "C4", "P4", "F8", "T4", "T6", "O2",
)  # fmt: skip
"""The electrodes in the order of the files; the EKG is left out."""
SEGMENT_S, LABELLED_S = 50.0, 10.0
OVERLAP_S = 600.0
"""Rows are taken to overlap as far as the spectrograms of 10 min do that the experts saw."""
LAYOUT = "train.csv with train_eegs/EEG_ID.parquet"
_SIGNAL = Signal(SFREQ, NAMES)
_CONTEXT = round((SEGMENT_S - LABELLED_S) / 2 * SFREQ)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of ``train.csv``.

    Parameters
    ----------
    number : int
        Line in the file.
    eeg_id, patient_id : str
        As in the file.
    offset_s : float
        Begin of the segment, from the first sample.
    votes : tuple of float
        For each class.
    label : int
        The class with most votes; the experts' consensus where several have.
    """

    number: int
    eeg_id: str
    patient_id: str
    offset_s: float
    votes: tuple[float, ...]
    label: int


def load(folder: Path) -> Dataset:
    """Read the labelled part of an archive.

    Parameters
    ----------
    folder : Path
        Folder with ``train.csv`` and ``train_eegs``.

    Returns
    -------
    dataset : Dataset
        One session per EEG, with a stretch of 10 s per example: its votes, and the 20 s on either side as context.
        Samples that were not recorded are NaN. Rows and files that cannot be used are listed as problems.

    Raises
    ------
    AnnotationError
        If ``train.csv`` cannot be read or lacks a column.
    RecordingError
        If no EEG can be used.
    """
    table = folder / "train.csv"
    problems: list[Problem] = []
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in _rows(table, problems):
        rows[row.eeg_id].append(row)
    sessions: list[Session] = []
    for eeg_id, of_eeg in rows.items():
        path = folder / "train_eegs" / f"{eeg_id}.parquet"
        try:
            sessions.append(_session(path, one_patient(of_eeg, table.name), table, of_eeg, problems))
        except BciError as error:
            problems.append(Problem(path, str(error)))
    if not sessions:
        raise nothing_usable("hms", LAYOUT, folder, problems)
    return Dataset("hms", CLASSES, tuple(sorted(sessions, key=lambda s: s.name)), tuple(problems))


def load_test(folder: Path) -> Dataset:
    """Read the part without labels: what a submission predicts.

    Parameters
    ----------
    folder : Path
        Folder with ``test.csv`` and ``test_eegs``.

    Returns
    -------
    dataset : Dataset
        One session per row in the order of the file, with one stretch of label `UNKNOWN`.

    Raises
    ------
    AnnotationError
        If ``test.csv`` cannot be read or lacks a column.
    RecordingError
        If no EEG can be used.
    """
    table = folder / "test.csv"
    sessions: list[Session] = []
    problems: list[Problem] = []
    bad: list[str] = []
    for row, cells in read_rows(table, ("eeg_id", "patient_id"), bad=bad):
        path = folder / "test_eegs" / f"{printable(cells['eeg_id'])}.parquet"
        try:
            eeg_id = str(whole_number(cells["eeg_id"], "eeg_id", f"{table.name}, row {row}"))
            n_samples = n_rows(path)
            stretch = _stretch(0.0, UNKNOWN, None)
            if stretch.stop + _CONTEXT > n_samples:
                raise _too_short(f"{table.name}, row {row}", path, n_samples, 0.0)
            session = _made(eeg_id, f"patient-{cells['patient_id']}", path, n_samples, (stretch,))
            sessions.append(replace(session, read=Guarded(session)))  # a submission reads them without another check
        except BciError as error:
            problems.append(Problem(path, str(error)))
    problems += [Problem(table, reason) for reason in bad]
    if not sessions:
        raise nothing_usable("hms", "test.csv with test_eegs/EEG_ID.parquet", folder, problems)
    return Dataset("hms", CLASSES, tuple(sessions), tuple(problems))


def grouped(rows: Iterable[Row]) -> list[Row]:
    """Return one row for each group with the same votes: the one that overlaps most with the others.

    Of several, the earliest.

    Parameters
    ----------
    rows : iterable of Row
        Of one EEG.
    """
    groups: dict[tuple[float, ...], list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: r.offset_s):
        groups[row.votes].append(row)

    def overlap_s(row: Row, group: Sequence[Row]) -> float:
        return sum(max(0.0, OVERLAP_S - abs(row.offset_s - other.offset_s)) for other in group)

    chosen = [max(group, key=lambda row: overlap_s(row, group)) for group in groups.values()]
    return sorted(chosen, key=lambda r: r.offset_s)


def n_rows(path: Path) -> int:
    """Return the number of samples in a Parquet file, from its footer.

    Raises
    ------
    RecordingError
        If it is missing, damaged, or lacks an electrode.
    """
    try:
        with pq.ParquetFile(path) as file:
            names, n = file.schema_arrow.names, int(file.metadata.num_rows)
    except FileNotFoundError as error:
        raise RecordingError(f"The EEG {path.name} is missing in {path.parent.name}. Fetch it.") from error
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    missing = [name for name in NAMES if name not in names]
    if missing:
        raise RecordingError(
            f"{path.name} must have the 19 electrodes of the 10-20 system, it lacks {', '.join(missing)}. Leave it out."
        )
    return n


def _rows(table: Path, problems: list[Problem]) -> Iterable[Row]:
    bad: list[str] = []
    for at, cells in read_rows(table, ("eeg_id", "eeg_label_offset_seconds", "patient_id", *VOTES), bad=bad):
        try:
            yield _row(at, cells, f"{table.name}, row {at}")
        except AnnotationError as error:
            problems.append(Problem(table, str(error)))
    problems += [Problem(table, reason) for reason in bad]


def _row(at: int, cells: Mapping[str, str], where: str) -> Row:
    votes = tuple(number(cells[name], name, where) for name in VOTES)
    if not any(votes):
        raise AnnotationError(f"{where}: a row must have at least one vote, got none. Leave it out.")
    label = votes.index(max(votes))
    consensus = cells.get("expert_consensus", "").lower()
    if consensus and consensus not in CLASSES:
        raise AnnotationError(
            f"{where}: expert_consensus must be one of {', '.join(CLASSES)}, got {printable(consensus)!r}. Correct it, "
            "or take the row out."
        )
    if consensus and votes[CLASSES.index(consensus)] == max(votes):
        label = CLASSES.index(consensus)
    return Row(
        at,
        str(whole_number(cells["eeg_id"], "eeg_id", where)),
        str(whole_number(cells["patient_id"], "patient_id", where)),
        number(cells["eeg_label_offset_seconds"], "eeg_label_offset_seconds", where),
        votes,
        label,
    )


def one_patient(rows: Sequence[Row], table: str) -> str:
    """Return the patient whose EEG it is.

    Raises
    ------
    AnnotationError
        If rows of one EEG name several.
    """
    first = rows[0]
    for row in rows:
        if row.patient_id != first.patient_id:
            raise AnnotationError(
                f"{table}, row {row.number}: all rows of EEG {row.eeg_id} must have one patient, got {row.patient_id} "
                f"after {first.patient_id}. Leave the EEG out."
            )
    return first.patient_id


def _session(path: Path, patient: str, table: Path, rows: Sequence[Row], problems: list[Problem]) -> Session:
    n_samples = n_rows(path)
    inside: list[Row] = []
    for row in rows:
        if round(row.offset_s * SFREQ) + round(SEGMENT_S * SFREQ) <= n_samples:
            inside.append(row)
        else:
            error = _too_short(f"{table.name}, row {row.number}", path, n_samples, row.offset_s)
            problems.append(Problem(table, str(error)))
    if not inside:
        raise RecordingError(f"{path.name} must hold at least one labelled segment, it holds none. Leave it out.")
    stretches = tuple(_stretch(row.offset_s, row.label, row.votes) for row in grouped(inside))
    return _made(path.stem, f"patient-{patient}", path, n_samples, stretches)


def _made(name: str, subject: str, path: Path, n_samples: int, stretches: tuple[Stretch, ...]) -> Session:
    return Session(name, subject, path, _SIGNAL, n_samples, stretches, partial(_read, path))


def _stretch(offset_s: float, label: int, votes: tuple[float, ...] | None) -> Stretch:
    start = int(offset_s * SFREQ) + _CONTEXT
    return Stretch(start, start + round(LABELLED_S * SFREQ), label, votes, _CONTEXT)


def _too_short(where: str, path: Path, n_samples: int, offset_s: float) -> RecordingError:
    return RecordingError(
        f"{where}: a segment of {SEGMENT_S:g} s must lie in its EEG, {path.name} has {n_samples / SFREQ:g} s and the "
        f"segment begins at {offset_s:g} s. Leave it out."
    )


def _read(path: Path, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return samples of a file that agrees with what it states of itself: few writers add checksums to its pages.

    A damaged page may still be decoded, to numbers of any size. The footer has the smallest and the largest value of
    each column, if the writer put them there; without them, only `Guarded` finds what no amplifier gives.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table, metadata = file.read(columns=list(NAMES)), file.metadata
        columns = {name: table[name].to_numpy() for name in NAMES}
        _require_stated(path, metadata, columns)
        data = np.stack([columns[name][start:stop] for name in NAMES])
        with np.errstate(over="ignore"):  # to infinity, which `Guarded` refuses
            return data.astype(np.float32)  # what was not recorded is null, and then NaN
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        raise _damaged(path, error) from error


def _require_stated(path: Path, metadata: pq.FileMetaData, columns: Mapping[str, np.ndarray]) -> None:
    first = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            name, stated = chunk.path_in_schema, chunk.statistics
            if name not in columns or stated is None or not stated.has_min_max:
                continue
            values = columns[name][first : first + group.num_rows]
            for row in np.flatnonzero((values < stated.min) | (values > stated.max)):
                raise RecordingError(
                    f"{path.name}, column {name}, row {first + row}: a value must lie in the {stated.min:g} to "
                    f"{stated.max:g} that the file states, got {values[row]:g}. Fetch it again, or leave it out."
                )
        first += group.num_rows


def _damaged(path: Path, error: BaseException) -> RecordingError:
    reason = printable(" ".join(str(error).split()))
    return RecordingError(
        f"{path.name} must be a Parquet file of numbers, it cannot be read: {reason}. Fetch it again, or leave it out."
    )

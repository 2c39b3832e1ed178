"""TUH Seizure Corpus (TUSZ): clinical EEG of many hospitals' patients, with fixed sides for training and scoring.

Layout of version 2: ``edf/{train,dev,eval}/PATIENT/SESSION/MONTAGE/PATIENT_s001_t000.edf`` with ``….csv_bi`` beside it,
a table of the whole recording as ``seiz`` and ``bckg``. Rates and electrodes differ between files.

References
----------
Shah et al. (2018), doi:10.3389/fninf.2018.00083. Data: isip.piconepress.com/projects/nedc, on request.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bci.errors import AnnotationError
from bci.texts import printable
from offline.datasets.annotated import AnnotatedFile, annotated_dataset
from offline.datasets.base import Dataset
from offline.datasets.normalise import AVERAGE
from offline.datasets.tables import number, read_rows
from offline.seizure_events import Span

PARTS = ("train", "dev", "eval")
LAYOUT = "edf/{train,dev,eval}/PATIENT/SESSION/MONTAGE/NAME.edf with NAME.csv_bi"
_COLUMNS = ("channel", "start_time", "stop_time", "label", "confidence")
_ALL_CHANNELS = "TERM"
_SEIZURE, _BACKGROUND = "seiz", "bckg"


def load(folder: Path, montage: str = AVERAGE) -> Dataset:
    """Read the corpus.

    Parameters
    ----------
    folder : Path
        Folder with the folder ``edf``, or that one.
    montage : {"average", "banana"}, default="average"
        Form, see `offline.datasets.normalise`.

    Returns
    -------
    dataset : Dataset
        Sessions know their part. Recordings without a table, or without the electrodes, are listed as problems.

    Raises
    ------
    RecordingError
        If no recording can be used.
    """
    return annotated_dataset("tusz", folder, _files(folder), montage, LAYOUT)


def read_seizures(path: Path) -> tuple[Span, ...]:
    """Return the seizures in a file ``.csv_bi``.

    Raises
    ------
    AnnotationError
        If it cannot be read, or a row has a label other than seiz and bckg, a channel, or times that are none.
    """
    spans: list[Span] = []
    for row, cells in read_rows(path, _COLUMNS):
        where = f"{path.name}, row {row}"
        label, channel = cells["label"].lower(), cells["channel"]
        if channel != _ALL_CHANNELS:
            raise AnnotationError(
                f"{where}: channel must be {_ALL_CHANNELS} in a file .csv_bi, got {printable(channel)!r}. Put the "
                "archive's .csv_bi there, not its .csv, or leave the file out."
            )
        if label not in (_SEIZURE, _BACKGROUND):
            raise AnnotationError(
                f"{where}: label must be {_SEIZURE} or {_BACKGROUND}, got {printable(label)!r}. Leave the file out."
            )
        start_s = number(cells["start_time"], "start_time", where)
        stop_s = number(cells["stop_time"], "stop_time", where, least=start_s)
        if label == _SEIZURE:
            spans.append(Span(start_s, stop_s))
    return tuple(spans)


def _files(folder: Path) -> Iterator[AnnotatedFile]:
    root = folder / "edf" if (folder / "edf").is_dir() else folder
    for part in PARTS:
        for path in sorted((root / part).glob("*/*/*/*.edf")):
            subject = path.relative_to(root / part).parts[0]
            yield AnnotatedFile(path, path.stem, subject, partial(read_seizures, path.with_suffix(".csv_bi")), part)

"""BIDS-EEG with seizures marked by the rules of SzCORE.

Layout: ``sub-01/[ses-01/]eeg/sub-01_…_eeg.edf`` (or .bdf, .vhdr, .set) with ``sub-01_…_events.tsv`` beside it, columns
``onset``, ``duration`` and ``eventType``. The library epilepsy2bids writes CHB-MIT, Siena, TUSZ and SeizeIT so.

References
----------
Pernet et al. (2019), doi:10.1038/s41597-019-0104-8; Dan et al. (2024), doi:10.1111/epi.18113.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bci.errors import AnnotationError
from bci.seizure_table import read_table
from offline.datasets.annotated import AnnotatedFile, annotated_dataset
from offline.datasets.base import Dataset, Problem
from offline.datasets.normalise import AVERAGE
from offline.seizure_events import Span

ENDINGS = (".edf", ".bdf", ".vhdr", ".set")
LAYOUT = "sub-*/[ses-*/]eeg/*_eeg.edf with *_events.tsv"


def load(folder: Path, montage: str = AVERAGE) -> Dataset:
    """Read the archive.

    Parameters
    ----------
    folder : Path
        Folder with the folders ``sub-*``.
    montage : {"average", "banana"}, default="average"
        Form, see `offline.datasets.normalise`; archives of bipolar recordings, such as CHB-MIT, have the second only.

    Returns
    -------
    dataset : Dataset
        Recordings without events file, or with one that does not fit, are listed as problems, and so are events files
        without recording.

    Raises
    ------
    RecordingError
        If no recording can be used.
    """
    files = tuple(_files(folder))
    recorded = {_stem(file.path) for file in files}
    problems = [
        Problem(path, "The recording that it belongs to is missing. Fetch it.")
        for path in sorted(folder.glob("sub-*/**/eeg/*_events.tsv"))
        if path.name.removesuffix("_events.tsv") not in recorded
    ]
    return annotated_dataset("bids-eeg", folder, files, montage, LAYOUT, problems)


def _files(folder: Path) -> Iterator[AnnotatedFile]:
    for path in sorted(p for ending in ENDINGS for p in folder.glob(f"sub-*/**/eeg/*_eeg{ending}")):
        events = path.with_name(f"{_stem(path)}_events.tsv")
        subject = path.relative_to(folder).parts[0]
        yield AnnotatedFile(path, _stem(path), subject, partial(_seizures, events))


def _seizures(path: Path) -> tuple[Span, ...]:
    if not path.is_file():
        raise AnnotationError(f"The events file {path.name} is missing. Fetch it, or leave the recording out.")
    return tuple(Span(e.onset_s, e.onset_s + e.duration_s) for e in read_table(path).seizures)


def _stem(path: Path) -> str:
    return path.name[: path.name.rindex("_eeg.")]

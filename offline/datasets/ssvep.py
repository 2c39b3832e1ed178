"""SSVEP sessions of the exoskeleton data set: FIF recordings with event files beside them.

Layout: ``sub-01_run-1_raw.fif`` and ``sub-01_run-1-eve.fif``; event codes 1 rest, 2 13 Hz, 3 21 Hz, 4 17 Hz. The order
of the trials is the same in every run, so the index of a trial or its time in the run predicts the class: neither
is part of a `Stretch`. Amplitudes are stored 1000 times too large; pipelines undo it, so that a replayed file and
training start from the same numbers.

References
----------
Kalunga et al. (2016), doi:10.1016/j.neucom.2016.01.007. Data: github.com/sylvchev/dataset-ssvep-exoskeleton, CC0.
"""

from __future__ import annotations

import re
import warnings
from functools import partial
from pathlib import Path

import mne
import numpy as np

from bci.errors import BciError, RecordingError
from bci.sources.recording import Recording, open_recording
from offline.datasets.base import Dataset, Problem, Session, Stretch

CLASSES = ("rest", "13 Hz", "21 Hz", "17 Hz")
CODES = {1: 0, 2: 1, 3: 2, 4: 3}
RESPONSE_S = (1.0, 6.0)
"""The response lasts from about 1 s to 6 s after the event."""
_NAME = re.compile(r"(?P<subject>sub-[A-Za-z0-9]+)_run-[A-Za-z0-9]+_raw\.fif")


def load(folder: Path) -> Dataset:
    """Read the sessions in a folder.

    Parameters
    ----------
    folder : Path
        Folder with ``sub-*_run-*_raw.fif`` and ``sub-*_run-*-eve.fif``.

    Returns
    -------
    dataset : Dataset
        Files that are unreadable, without partner, or recorded at another rate or with other channels than the
        first session are listed as problems.

    Raises
    ------
    RecordingError
        If no session can be used.
    """
    sessions: list[Session] = []
    problems: list[Problem] = []
    for path in sorted(folder.glob("*_raw.fif")):
        try:
            sessions.append(_session(path, sessions[0] if sessions else None))
        except BciError as error:
            problems.append(Problem(path, str(error)))
    for path in sorted(folder.glob("*-eve.fif")):
        partner = _recording_path(path)
        if not partner.is_file():
            problems.append(Problem(path, f"The recording {partner.name} is missing."))
    if not sessions:
        found = f" First problem: {problems[0].path.name}: {problems[0].reason}" if problems else ""
        raise RecordingError(
            "The task ssvep needs files sub-XX_run-Y_raw.fif with sub-XX_run-Y-eve.fif, "
            f"found no usable one in {folder}.{found}"
        )
    return Dataset("ssvep", CLASSES, tuple(sessions), tuple(problems))


def _session(path: Path, first: Session | None) -> Session:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise RecordingError("The name must be sub-XX_run-Y_raw.fif. Rename it.")
    recording = open_recording(path)
    signal = recording.signal
    if first is not None and (signal.sfreq, set(signal.names)) != (first.signal.sfreq, set(first.signal.names)):
        raise RecordingError(
            f"The recording must have {first.signal.n_channels} channels at {first.signal.sfreq:g} Hz like "
            f"{first.name} ({', '.join(first.signal.names)}), got {signal.n_channels} at {signal.sfreq:g} Hz "
            f"({', '.join(signal.names)})."
        )
    stretches = _stretches(_event_path(path), recording, path)
    read = partial(_read, path, first.signal.names if first else signal.names)
    shown = first.signal if first else signal
    name = path.name.removesuffix("_raw.fif")
    return Session(name, match["subject"], path, shown, recording.n_samples, stretches, read)


def _stretches(events_path: Path, recording: Recording, path: Path) -> tuple[Stretch, ...]:
    if not events_path.is_file():
        raise RecordingError(f"The event file {events_path.name} is missing.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MNE dislikes the name
            events = mne.read_events(events_path, verbose="ERROR")
            first_sample = mne.io.read_raw_fif(path, preload=False, verbose="ERROR").first_samp
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RecordingError(f"The event file {events_path.name} cannot be read: {error}") from error
    unknown = sorted(set(events[:, 2].tolist()) - set(CODES))
    if unknown:
        raise RecordingError(f"Event codes must be {', '.join(map(str, CODES))}, {events_path.name} has {unknown}.")
    onsets = events[:, 0].astype(np.int64) - first_sample
    begin, end = (round(s * recording.signal.sfreq) for s in RESPONSE_S)
    outside = (onsets < 0) | (onsets + begin >= recording.n_samples)
    if outside.any():
        raise RecordingError(
            f"Events must lie inside the recording of {recording.n_samples} samples, {events_path.name} has "
            f"{int(outside.sum())} outside (first at sample {int(onsets[outside][0])})."
        )
    return tuple(
        Stretch(int(onset) + begin, min(int(onset) + end, recording.n_samples), CODES[int(code)])
        for onset, code in sorted(zip(onsets, events[:, 2], strict=True))
    )


def _read(path: Path, names: tuple[str, ...]) -> np.ndarray:
    recording = open_recording(path, picks=list(names))
    data = recording.read(0, recording.n_samples)
    recording.close()
    return data


def _event_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix("_raw.fif") + "-eve.fif")


def _recording_path(events_path: Path) -> Path:
    return events_path.with_name(events_path.name.removesuffix("-eve.fif") + "_raw.fif")

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

from bci.chunk import Signal
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
        Files that are unreadable, without partner, with gaps, with samples that are not finite inside a stretch, or
        recorded at another rate or with other channels than most are listed as problems.

    Raises
    ------
    RecordingError
        If no session can be used.
    """
    sessions: list[Session] = []
    problems: list[Problem] = []
    opened: list[tuple[Path, str, Recording]] = []
    for path in sorted(folder.glob("*_raw.fif")):
        try:
            opened.append((path, _subject(path), open_recording(path)))
        except BciError as error:
            problems.append(Problem(path, str(error)))
    signals = [(_name(path), recording.signal) for path, _, recording in opened]
    for path, subject, recording in opened:
        recording.close()
        try:
            sessions.append(_session(path, subject, recording, *_most_frequent(signals)))
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


def _subject(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise RecordingError("The name must be sub-XX_run-Y_raw.fif. Rename it.")
    return match["subject"]


def _most_frequent(signals: list[tuple[str, Signal]]) -> tuple[str, Signal]:
    """Return name and signal of the first session with the rate and channels that most sessions have."""
    kinds = [_kind(signal) for _, signal in signals]
    return signals[kinds.index(max(kinds, key=kinds.count))]


def _kind(signal: Signal) -> tuple[float, frozenset[str]]:
    return signal.sfreq, frozenset(signal.names)


def _session(path: Path, subject: str, recording: Recording, like: str, common: Signal) -> Session:
    signal = recording.signal
    if _kind(signal) != _kind(common):
        raise RecordingError(
            f"The recording must have {common.n_channels} channels at {common.sfreq:g} Hz like most, such as "
            f"{like} ({', '.join(common.names)}), got {signal.n_channels} at {signal.sfreq:g} Hz "
            f"({', '.join(signal.names)})."
        )
    if recording.gaps:
        start, stop = recording.gaps[0]
        raise RecordingError(
            f"The recording must be continuous, it has {len(recording.gaps)} gap(s), the first from {start} to {stop} "
            "samples. Cut it there into runs, or leave it out."
        )
    stretches = _stretches(_event_path(path), recording, path)
    session = Session(
        _name(path), subject, path, common, recording.n_samples, stretches, partial(_read, path, common.names)
    )
    _require_finite(session)
    return session


def _require_finite(session: Session) -> None:
    finite = np.isfinite(session.read()).all(axis=0)
    bad = [stretch for stretch in session.stretches if not finite[stretch.start : stretch.stop].all()]
    if bad:
        raise RecordingError(
            f"Labelled stretches must hold finite samples, {len(bad)} of {len(session.stretches)} do not, the first "
            f"from {bad[0].start} to {bad[0].stop} samples. Drop their events, or leave the recording out."
        )


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


def _read(path: Path, names: tuple[str, ...], start: int = 0, stop: int | None = None) -> np.ndarray:
    recording = open_recording(path, picks=list(names))
    data = recording.read(start, recording.n_samples if stop is None else stop)
    recording.close()
    return data


def _name(path: Path) -> str:
    return path.name.removesuffix("_raw.fif")


def _event_path(path: Path) -> Path:
    return path.with_name(_name(path) + "-eve.fif")


def _recording_path(events_path: Path) -> Path:
    return events_path.with_name(events_path.name.removesuffix("-eve.fif") + "_raw.fif")

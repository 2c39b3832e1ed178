"""Recordings on disk, read lazily, in µV and fT."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import logging
import re
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import mne
import numpy as np
from scipy.io.matlab import MatReadError

from bci.chunk import Signal
from bci.errors import ChannelMismatch, RecordingError, UsageError
from bci.sources.base import Annotation
from bci.sources.recorded_markers import recorded_annotations
from bci.sources.units import check_unit, common_unit, conversion

_VOLTAGE_TYPES = ("eeg", "ecog", "seeg", "dbs")
_FIELD_TYPES = ("mag", "grad")
_KINDS = ("eeg", "meg", "all")
_SI_UNITS = {"mag": "T", "grad": "T/m"}  # what MNE returns; everything else comes in V
_SCALED_BY_MNE = ("V", "mV", "uV", "µV", "μV", "\x83\xcaV")  # its readers return other units as they are
_NO_UNIT = -1  # FIFF_UNIT_NONE
log = logging.getLogger(__name__)
_SCAN_SAMPLES = 65536
# what MNE's readers let through when a file is not what its name says
_READER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    configparser.Error,
    struct.error,
    zlib.error,
    MatReadError,
)
# what MNE says of a file that ends early: EDF and BDF; Curry and eXimia; BrainVision; FIF
_TRUNCATED = re.compile(
    r"number of records|truncat|corrupt|file size|data shape|only \d+/\d+ bytes|missing at the end", re.IGNORECASE
)
FORMATS = "FIF, EDF, BDF, GDF, BrainVision (.vhdr), EEGLAB (.set), CTF, KIT, BTi, …: whatever mne.io.read_raw reads"


class Recording:
    """The EEG or MEG channels of a file. Made by `open_recording`.

    Attributes
    ----------
    path : Path
        The file.
    signal : Signal
        Rate, channel names and unit.
    types, units : tuple of str
        Type (MNE's word) and unit (``uV``, ``fT`` or ``fT/cm``) of each channel.
    positions_mm : ndarray of float64, shape (n_channels, 3)
        Where the sensors are: to the right, to the front, up, in mm; NaN where the file does not say.
    n_samples : int
        Length of the recording, gaps included.
    annotations : tuple of Annotation
        All annotations of the file, by onset, relative to the first sample.
    gaps : tuple of (int, int)
        Stretches ``[start, stop)`` in samples in which nothing was recorded (``BAD_ACQ_SKIP``).
    started : datetime or None
        When it began, as the file says; None if it does not.
    seekable : bool
        True: `read` may be called in any order.
    """

    seekable = True

    def __init__(self, path: Path, raw: Any, picks: np.ndarray, units: tuple[str, ...], factors: np.ndarray):
        self.path = path
        self._raw = raw
        self._picks = picks
        self._factors = factors[:, None]
        kinds = raw.get_channel_types(picks=picks)
        sfreq = float(raw.info["sfreq"])
        self.signal = Signal(sfreq, tuple(raw.ch_names[i] for i in picks), common_unit(units))
        self.types = tuple(kinds)
        self.units = units
        self.positions_mm = _positions_mm(raw, picks)
        self.n_samples = int(raw.n_times)
        date = raw.info["meas_date"]  # of sample 0; the first in the file may come later
        self.started: datetime | None = None if date is None else date + timedelta(seconds=float(raw.first_time))
        self.annotations = _annotations(path, raw)
        self.gaps = _gaps(self.annotations, sfreq, self.n_samples)

    @property
    def duration_s(self) -> float:
        """Length of the recording, in seconds."""
        return self.n_samples / self.signal.sfreq

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read samples.

        Parameters
        ----------
        start, stop : int
            First sample, and the one after the last; ``0 <= start <= stop <= n_samples``.

        Returns
        -------
        data : ndarray of float32, shape (n_channels, stop - start)
            Values in the unit of each channel, equal however the file is cut.

        Raises
        ------
        RecordingError
            If the samples are not in the recording or cannot be read.
        """
        if not 0 <= start <= stop <= self.n_samples:
            raise RecordingError(
                f"Samples must lie in [0, {self.n_samples}) of {self.path.name}, got [{start}, {stop}). "
                "Ask for a stretch inside the recording."
            )
        if start == stop:
            return np.empty((self.signal.n_channels, 0), np.float32)
        try:
            volts = self._raw[self._picks, start:stop][0]
        except _READER_ERRORS as error:
            raise _unreadable(self.path, error) from error
        return (volts * self._factors).astype(np.float32)

    def fingerprint(self) -> str:
        """Return a short hash of the name, size and first MiB of the file."""
        digest = hashlib.sha256(f"{self.path.name}:{self.path.stat().st_size}".encode())
        if self.path.is_file():
            with self.path.open("rb") as file:
                digest.update(file.read(1 << 20))
        return digest.hexdigest()[:16]

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


def open_recording(path: str | Path, unit: str | None = None, picks: str | Sequence[str] | None = None) -> Recording:
    """Open a recording without loading its samples.

    Parameters
    ----------
    path : str or Path
        A file (or CTF/BTi folder) that `mne.io.read_raw` can read.
    unit : str or None, default=None
        Unit of channels for which the file states none, for example ``uV``.
    picks : ``eeg``, ``meg``, ``all``, sequence of str, or None, default=None
        Channels: all EEG (also intracranial), all MEG, both, or these names in this order. None takes the EEG
        channels, or the MEG channels if there are none. Channels marked bad are included.

    Returns
    -------
    recording : Recording

    Raises
    ------
    RecordingError
        If the path is missing, the file cannot be read, it lacks the channels or
        their unit, or no sample is finite.
    UsageError
        If `unit` is not a voltage or a field, or `picks` names no channel or one twice.
    """
    if unit is not None:
        check_unit(unit)
    names = _names(picks)
    path = Path(path)
    if not path.exists():
        raise RecordingError(f"A recording needs an existing file, got {str(path)!r}. Check the path.")
    try:
        with warnings.catch_warnings(record=True) as said, _muted(logging.getLogger("mne")):
            warnings.simplefilter("always")
            raw = mne.io.read_raw(path, preload=False, verbose="WARNING")
            if _rates_differ(path):
                raw.load_data(verbose="ERROR")  # MNE resamples what it reads: the values would depend on the cut
    except _READER_ERRORS as error:
        raise _unreadable(path, error) from error
    _report_truncation(path, [str(warning.message) for warning in said])
    chosen = _kinds(path, raw, picks) if names is None else _named(path, raw, names)
    chosen, units, factors = _units(path, raw, chosen, unit, named=names is not None)
    recording = Recording(path, raw, chosen, units, factors)
    _need_finite_sample(recording)
    return recording


@contextlib.contextmanager
def _muted(logger: logging.Logger) -> Iterator[None]:
    """Keep a logger from writing what is also warned of: MNE prints to standard output."""

    def nothing(record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)


def _report_truncation(path: Path, said: Sequence[str]) -> None:
    """Log that a file is not complete; readers also warn about header details that do not touch the samples."""
    reasons = [" ".join(text.split()) for text in said if _TRUNCATED.search(text)]
    if reasons:
        log.warning("%s seems to be cut off; what is left of it is read: %s", path.name, reasons[0][:200])


def _unreadable(path: Path, error: BaseException) -> RecordingError:
    words = "".join(c if c.isprintable() else " " for c in str(error)).split()
    reason = " ".join(words)[:200] or type(error).__name__
    return RecordingError(
        f"A recording must be in a format that MNE reads ({FORMATS}), got {path.name}: {reason} "
        "Convert it, or check that it is complete."
    )


def _rates_differ(path: Path) -> bool:
    """Whether an EDF or BDF file stores its signals at several rates, or the format does not tell quickly."""
    if path.suffix.lower() == ".gdf":
        return True
    if path.suffix.lower() not in (".edf", ".bdf"):
        return False
    with path.open("rb") as file:
        n = int(file.read(256)[252:256])
        header = file.read(256 * n)
    labels = [header[16 * i : 16 * i + 16].decode("latin-1").strip() for i in range(n)]
    counts = [int(header[216 * n + 8 * i : 216 * n + 8 * i + 8]) for i in range(n)]
    signals = {c for c, name in zip(counts, labels, strict=True) if not name.endswith("Annotations")}
    return len(signals) > 1


def _names(picks: str | Sequence[str] | None) -> list[str] | None:
    """Return the channels that are picked by name; None if they are picked by kind."""
    if picks in (None, *_KINDS):
        return None
    names = [name.strip() for name in picks.split(",")] if isinstance(picks, str) else list(picks or ())
    repeated = sorted(name for name, n in Counter(names).items() if n > 1 and name)
    if repeated or not names or not all(names):
        got = f"repeated: {', '.join(repeated)}" if repeated else f"{','.join(names)!r}"
        raise UsageError(
            "--picks needs eeg, meg, all, or channel names joined by commas, each once, "
            f"got {got}. Name every channel once."
        )
    return names


def _named(path: Path, raw: Any, names: Sequence[str]) -> np.ndarray:
    missing = [name for name in names if name not in raw.ch_names]
    if missing:
        raise RecordingError(
            f"{path.name} must have the channels asked for, missing: {', '.join(missing)}. "
            f"It has: {', '.join(raw.ch_names)}."
        )
    return np.array([raw.ch_names.index(name) for name in names])


def _kinds(path: Path, raw: Any, picks: Any) -> np.ndarray:
    kinds = raw.get_channel_types()
    voltage = [i for i, kind in enumerate(kinds) if kind in _VOLTAGE_TYPES]
    field = [i for i, kind in enumerate(kinds) if kind in _FIELD_TYPES]
    chosen = {None: voltage or field, "eeg": voltage, "meg": field, "all": sorted(voltage + field)}[picks]
    if not chosen:
        found = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        raise RecordingError(
            f"{path.name} must have {'EEG or MEG' if picks in (None, 'all') else picks.upper()} channels, "
            f"got {found}. Name channels with --picks."
        )
    return np.array(chosen)


def _units(
    path: Path, raw: Any, picks: np.ndarray, unit: str | None, named: bool
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Return the channels that have a unit, their units, and the factors from what MNE returns."""
    kept, units, factors, left_out = [], [], [], []
    for index in picks:
        name, returned = raw.ch_names[index], _returned_unit(raw, index) or unit
        try:
            inside, factor = conversion(returned or "none", name)
        except ChannelMismatch:
            left_out.append(f"{name} ({returned or 'none'})")
            continue
        kept.append(index)
        units.append(inside)
        factors.append(factor)
    listed = ", ".join(left_out[:8]) + (", …" if len(left_out) > 8 else "")
    if left_out and (named or not kept):
        raise RecordingError(
            f"{path.name} must state a voltage or field unit for each channel, got {listed}. "
            "Pass it, for example --unit uV, or choose other channels with --picks."
        )
    if left_out:
        log.warning("%s: channels without a voltage or field unit are left out: %s", path.name, listed)
    return np.array(kept), tuple(units), np.array(factors)


def _returned_unit(raw: Any, index: int) -> str | None:
    """Return the unit of the numbers that MNE returns for a channel; None if the file states none."""
    kind = raw.get_channel_types(picks=[index])[0]
    if kind in _SI_UNITS:
        return _SI_UNITS[kind]
    stated = (getattr(raw, "_orig_units", None) or {}).get(raw.ch_names[index], "V")  # EDF, BDF, BrainVision
    if stated in ("", "n/a") or int(raw.info["chs"][index]["unit"]) == _NO_UNIT:
        return None
    scaled = (
        (*_SCALED_BY_MNE, "nV") if isinstance(raw, mne.io.brainvision.brainvision.RawBrainVision) else _SCALED_BY_MNE
    )
    return "V" if stated in scaled else str(stated)


def _annotations(path: Path, raw: Any) -> tuple[Annotation, ...]:
    # onsets count from the measurement date; the first sample may come later (raw.first_time)
    rows = zip(raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True)
    found = [Annotation(float(o - raw.first_time), float(d), str(text)) for o, d, text in rows]
    if all(_is_gap(note) for note in found):
        found += recorded_annotations(path)
    return tuple(sorted(found, key=lambda a: a.onset_s))


def _is_gap(note: Annotation) -> bool:
    return note.description.upper().startswith("BAD_ACQ_SKIP")


def _positions_mm(raw: Any, picks: np.ndarray) -> np.ndarray:
    places = np.array([raw.info["chs"][i]["loc"][:3] for i in picks], float).reshape(len(picks), 3) * 1e3
    places[~(np.isfinite(places).all(axis=1) & places.any(axis=1))] = np.nan  # files without places have zeros
    return places


def _gaps(annotations: tuple[Annotation, ...], sfreq: float, n_samples: int) -> tuple[tuple[int, int], ...]:
    gaps: list[tuple[int, int]] = []
    for note in annotations:
        if not _is_gap(note):
            continue
        start = max(0, round(note.onset_s * sfreq))
        stop = min(n_samples, round((note.onset_s + note.duration_s) * sfreq))
        if gaps and start <= gaps[-1][1]:
            start, stop = gaps[-1][0], max(stop, gaps.pop()[1])
        if stop > start:
            gaps.append((start, stop))
    return tuple(gaps)


def _need_finite_sample(recording: Recording) -> None:
    for start in range(0, recording.n_samples, _SCAN_SAMPLES):
        if np.isfinite(recording.read(start, min(start + _SCAN_SAMPLES, recording.n_samples))).any():
            return
    raise RecordingError(
        f"{recording.path.name} must have at least one finite sample, got none in {recording.n_samples} "
        f"samples of {recording.signal.n_channels} channels. Pass other --picks or another file."
    )

"""What stands in a FIF recording before and after its samples: the measurement information and the annotations."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import mne
import numpy as np

from bci import fif_tags as fif
from bci.sources.base import Annotation, StreamInfo

_VOLTAGE_TYPES = ("eeg", "ecog", "seeg", "dbs")
_FIELD_TYPES = {"fT": "mag", "fT/cm": "grad"}
# (cal, range) as float32: their product is so close to 1e-6 V, 1e-15 T and 1e-13 T/m that the division when a file is
# read (by the exact power of ten, in float64) gives back each float32
_SCALES = {"uV": (1e-6, 1.0), "fT": (1e-15, 1.0), "fT/cm": (1e-15, 100.0)}


def fif_suffix(stream: StreamInfo) -> str:
    """Return ``eeg``, or ``meg`` if no channel is electric."""
    return "eeg" if "uV" in _units(stream) else "meg"


def fif_header(stream: StreamInfo, begun: datetime) -> bytes:
    """Return the file's tags up to the first sample.

    Parameters
    ----------
    stream : StreamInfo
        What is recorded; channels in µV, fT or fT/cm.
    begun : datetime
        When the first sample was taken, with time zone.

    Returns
    -------
    tags : bytes
        From the file's identity to the start of the block of the measurement, which stays open. Each follows the one
        before.
    """
    info = _info(stream, begun)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "header-info.fif"
        mne.io.write_info(path, info, data_type=fif.FLOAT, reset_range=False)
        contents = path.read_bytes()
    kept = []
    for kind, data_type, data in fif.tags_of(contents):
        if kind == fif.NOP or (kind == fif.BLOCK_END and data == fif.word(fif.MEAS)):
            continue
        if kind == fif.SFREQ and float(np.float32(stream.signal.sfreq)) != stream.signal.sfreq:
            kept.append(fif.double_tag(kind, [stream.signal.sfreq]))  # readers take either
        else:
            kept.append(fif.tag(kind, data_type, data))
    return b"".join(kept)


def annotation_block(annotations: Sequence[Annotation], begun: datetime) -> bytes:
    """Return the tags of annotations.

    Parameters
    ----------
    annotations : sequence of Annotation
        Onsets count from the first sample.
    begun : datetime
        As for `fif_header`.
    """
    texts = [a.description.replace("{COLON}", ":").replace(":", "{COLON}") for a in annotations]
    return fif.block(
        fif.ANNOTATIONS,
        fif.double_tag(fif.ONSETS, [a.onset_s for a in annotations]),
        fif.double_tag(fif.ENDS, [a.onset_s + a.duration_s for a in annotations]),
        fif.text_tag(fif.COMMENT, ":".join(texts)),
        fif.double_tag(fif.MEAS_DATE, [int(begun.timestamp()), begun.microsecond]),
    )


def _units(stream: StreamInfo) -> tuple[str, ...]:
    return stream.units or (stream.signal.unit,) * stream.signal.n_channels


def _info(stream: StreamInfo, begun: datetime) -> mne.Info:
    units = _units(stream)
    stated = stream.types or ("",) * len(units)
    types = [
        _FIELD_TYPES.get(unit, kind.lower() if kind.lower() in _VOLTAGE_TYPES else "eeg")
        for unit, kind in zip(units, stated, strict=True)
    ]
    names = [_spelled(name) for name in stream.signal.names]
    info = mne.create_info(names, stream.signal.sfreq, types, verbose="ERROR")
    for channel, unit in zip(info["chs"], units, strict=True):
        channel["cal"], channel["range"] = _SCALES.get(unit, _SCALES["uV"])
    info.set_meas_date(begun)
    return info


def _spelled(name: str) -> str:
    """Return a channel name that the format can hold: printable ASCII, the rest as escapes."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return shown.encode("ascii", "backslashreplace").decode().replace("{COLON}", ":")

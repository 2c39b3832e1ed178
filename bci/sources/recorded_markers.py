"""Annotations of a recording that was not closed in order: they are beside the FIF file, not yet in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bci.sources.base import Annotation

log = logging.getLogger(__name__)

MAX_ANNOTATIONS = 100_000  # of a recording
MAX_DURATION_S = 1e9
MAX_LINE = 1 << 17  # characters; a marker has 64 KiB at most
_SIGNALS = ("_eeg", "_meg")


def annotation_of(onset_s: float, fields: Mapping[str, Any]) -> Annotation | None:
    """Return the annotation that a marker describes, or None if its fields are none.

    Parameters
    ----------
    onset_s : float
        From the first sample of the recording, in seconds.
    fields : mapping
        ``description`` and ``duration`` as the sender gives them.
    """
    description, duration = fields.get("description"), fields.get("duration", 0.0)
    # bool is an int in Python, and NaN fails every comparison
    is_number = isinstance(duration, int | float) and not isinstance(duration, bool) and 0 <= duration < MAX_DURATION_S
    if not isinstance(description, str) or not is_number or not onset_s >= 0:
        return None
    return Annotation(onset_s, float(duration), description)


def recorded_annotations(path: Path) -> tuple[Annotation, ...]:
    """Return the annotations in ``*_markers.jsonl`` beside a recording; lines that are none are passed over.

    Parameters
    ----------
    path : Path
        The recording, ``*_eeg.fif`` or ``*_meg.fif``.

    Returns
    -------
    annotations : tuple of Annotation
        By onset; empty if there is no such file.
    """
    beside = _beside(path)
    if beside is None or not beside.is_file():
        return ()
    found: list[Annotation] = []
    n_bad = 0
    with beside.open("rb") as file:
        while len(found) < MAX_ANNOTATIONS and (line := file.readline(MAX_LINE)):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                n_bad += 1  # the last line of a recording that was killed may be cut
                continue
            onset_s = record.get("onset") if isinstance(record, dict) else None
            if not isinstance(onset_s, float) or record.get("kind") != "annotation":
                continue
            annotation = annotation_of(onset_s, record)
            if annotation is not None:
                found.append(annotation)
    if n_bad:
        log.warning("%s: %d lines are no JSON and are passed over", beside.name, n_bad)
    return tuple(sorted(found, key=lambda annotation: annotation.onset_s))


def _beside(path: Path) -> Path | None:
    for signal in _SIGNALS:
        if path.suffix == ".fif" and path.stem.endswith(signal):
            return path.with_name(path.stem.removesuffix(signal) + "_markers.jsonl")
    return None

"""One run of a recording: the signal as FIF, and beside it stamps, markers and a description."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bci.fif_header import fif_header, fif_suffix
from bci.fif_writer import MAX_BYTES, FifWriter
from bci.recorder_files import RecordFile, json_lines, replace_json, stamps
from bci.recorder_names import RecordingName, reserve_run
from bci.recorder_numbers import Mark, Stretch
from bci.sources.base import Annotation, StreamInfo
from bci.sources.recorded_markers import MAX_ANNOTATIONS, annotation_of

PIECE_S = 1.0  # longest buffer


class Run:
    """The files of a run; the names are taken when it is made.

    Parameters
    ----------
    folder, name : Path and RecordingName
        Where, and what it is called.
    stream : StreamInfo
        What is recorded.
    first_sample : int
        Number of its first sample in the stream.
    begun : datetime
        When that was taken.
    about : mapping
        JSON values for the description: what decodes.
    max_bytes : int, default=2_000_000_000
        Longest FIF file.

    Raises
    ------
    OSError
        If the files cannot be made; none of them is left.
    """

    def __init__(
        self,
        folder: Path,
        name: RecordingName,
        stream: StreamInfo,
        first_sample: int,
        begun: datetime,
        about: Mapping[str, Any],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._stream, self._name, self._about, self._begun = stream, name, about, begun
        self.sfreq = stream.signal.sfreq
        self.first_sample = self.stop = first_sample
        self._suffix = fif_suffix(stream)
        self.base = reserve_run(folder, name, self._suffix)
        self.path = self._beside(f"{self._suffix}.fif")
        self._n_received = 0
        self._annotations: list[Annotation] = []
        self._markers: RecordFile | None = None
        self._times: RecordFile | None = None
        is_made = False
        try:
            self._describe(is_complete=False)
            self._times = RecordFile(self._beside("times.bin"))
            self._fif = FifWriter(self.path, fif_header(stream, begun), stream.signal.n_channels, begun, max_bytes)
            is_made = True
        finally:
            if not is_made:
                self._discard()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The FIF files so far."""
        return self._fif.paths

    def write(self, stretch: Stretch) -> None:
        """Write samples; `stop` says how far it came.

        Raises
        ------
        OSError
            If not all could be written.
        """
        piece = max(1, round(PIECE_S * self._stream.signal.sfreq))
        for at in range(0, len(stretch.times), piece):
            part = slice(at, at + piece)
            first = stretch.first_sample + at - self.first_sample
            if self._times is not None:  # first: each sample in the signal's file has its stamp
                self._times.add(stamps(first, stretch.times[part]))
            try:
                self._fif.append(first, stretch.data[:, part])
            finally:
                self.stop = self.first_sample + self._fif.n_samples
            self._n_received += len(stretch.times[part])

    def mark(self, mark: Mark) -> None:
        """Write a marker of the stream.

        Raises
        ------
        OSError
            If it could not be written.
        """
        sample, marker = mark.sample - self.first_sample, mark.marker
        onset_s = sample / self._stream.signal.sfreq
        record = {**marker.fields, "kind": marker.kind, "t": marker.time, "sample": sample, "onset": onset_s}
        if self._markers is None:
            self._markers = RecordFile(self._beside("markers.jsonl"))
        self._markers.add(json_lines([_finite(record)]))
        annotation = annotation_of(onset_s, marker.fields) if marker.kind == "annotation" else None
        if annotation is not None and len(self._annotations) < MAX_ANNOTATIONS:
            self._annotations.append(annotation)

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        self._fif.sync()
        if self._times is not None:
            self._times.sync()

    def close(self) -> None:
        """Finish the files; a run without samples leaves none.

        Raises
        ------
        OSError
            If the end could not be written; the samples are there.
        """
        if not self._fif.paths:
            self._fif.close()
            self._discard()
            return
        with contextlib.ExitStack() as stack:
            for file in (self._times, self._markers):
                if file is not None:
                    stack.callback(file.close)
            self._times = self._markers = None
            self._fif.close(self._annotations)
            self._describe(is_complete=True)

    def _beside(self, ending: str) -> Path:
        return self.base.with_name(f"{self.base.name}_{ending}")

    def _discard(self) -> None:
        """Leave no file of a run that has no sample."""
        for file in (self._times, self._markers):
            if file is not None:
                file.close()
                file.path.unlink(missing_ok=True)
        self._times = self._markers = None
        self._beside(f"{self._suffix}.json").unlink(missing_ok=True)

    def _describe(self, is_complete: bool) -> None:
        stream = self._stream
        record: dict[str, Any] = {
            "TaskName": self._name.task,
            "SamplingFrequency": stream.signal.sfreq,
            f"{self._suffix.upper()}ChannelCount": stream.signal.n_channels,
            "RecordingType": "continuous",
            "PowerLineFrequency": "n/a",
            "SoftwareFilters": "n/a",
            "SoftwareVersions": f"streaming-bci {version('streaming-bci')}, Python {platform.python_version()}",
            "Begun": self._begun.isoformat(),
            "FirstSample": self.first_sample,
            "Stream": {
                "name": stream.name,
                "source_id": stream.source_id,
                "host": stream.host,
                "speed": stream.speed,
                "channels": list(stream.signal.names),
                "types": list(stream.types),
                "units": list(stream.units),
            },
            "Times": "records of <i8 sample (of this recording) and <f8 time (seconds of the LSL clock)",
            "IsComplete": is_complete,
            **self._about,
        }
        if self._suffix == "eeg":
            record["EEGReference"] = "n/a"
        if is_complete:
            record |= {
                "RecordingDuration": self._fif.n_samples / stream.signal.sfreq,
                "SampleCount": self._fif.n_samples,
                "ReceivedSampleCount": self._n_received,
            }
        replace_json(self._beside(f"{self._suffix}.json"), record)


def _finite(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record from outside with null for what JSON has no number for."""
    finite: dict[str, Any] = json.loads(json.dumps(record), parse_constant=lambda _: None)
    return finite

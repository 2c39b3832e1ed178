"""What a recorder's thread does: runs one after another, what to do when the disk fails, and when it is back."""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bci.clock import ClockSpec
from bci.errors import BciError, SpecError
from bci.events import Event
from bci.fif_writer import MAX_BYTES
from bci.recorder_files import RecordFile, json_lines
from bci.recorder_log import Line
from bci.recorder_names import RecordingName, standing
from bci.recorder_numbers import Mark, Stretch
from bci.recorder_run import Run
from bci.sources.base import StreamInfo

log = logging.getLogger(__name__)

Item = Stretch | Mark | Line | StreamInfo
MAX_GAP_S = 3600.0  # a longer gap begins a new run: a reader makes zeros of it
MAX_CLOCK_OFFSET_S = 10.0  # stamps that lie further off are of another clock
MAX_LINES = 20_000  # that wait; an hour at four predictions a second
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
FAILURES = (OSError, BciError, ValueError, RuntimeError)  # one of these must not end the thread in silence


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """How a recording is written.

    Parameters
    ----------
    flush_s : float, default=0.5
        Time between writes: what a killed program loses at most, in seconds.
    sync_s : float, default=10.0
        Time between waits for the disk: what a power failure loses at most, in seconds.
    queue_s : float, default=60.0
        Signal that is held while the disk is slow, in seconds; more is dropped, and a gap in the file.
    retry_s : float, default=10.0
        Time between attempts after a failure, in seconds.
    min_free_bytes : int, default=67108864
        Free space that an attempt needs.
    max_bytes : int, default=2_000_000_000
        Longest FIF file.
    clock : ClockSpec
        Tolerances for gaps; those of the session.
    """

    flush_s: float = 0.5
    sync_s: float = 10.0
    queue_s: float = 60.0
    retry_s: float = 10.0
    min_free_bytes: int = 1 << 26
    max_bytes: int = MAX_BYTES
    clock: ClockSpec = field(default_factory=ClockSpec)

    def __post_init__(self) -> None:
        if not (0 < self.flush_s <= self.queue_s and self.sync_s > 0 and self.retry_s >= 0):
            raise SpecError(
                "A recorder needs 0 < flush_s <= queue_s, sync_s above 0 and retry_s of at least 0 s, got "
                f"flush_s={self.flush_s:g}, queue_s={self.queue_s:g}, sync_s={self.sync_s:g}, retry_s={self.retry_s:g}."
            )


class RecordWriter:
    """Writes items into runs; nothing that goes wrong is raised, all of it is told.

    Parameters
    ----------
    folder, name : Path and RecordingName
        Where to, and what the files are called.
    clock : callable
        The LSL clock, in seconds.
    settings : RecorderSettings
    tell : callable
        Takes events.

    Attributes
    ----------
    about : mapping
        JSON values for the description of each run.
    paths : list of Path
        First FIF file of each run.
    n_written, n_missed : int
        Samples that are in the files, and that are not because of failures.
    """

    def __init__(
        self,
        folder: Path,
        name: RecordingName,
        clock: Callable[[], float],
        settings: RecorderSettings,
        tell: Callable[[Event], None],
    ) -> None:
        self._folder, self._name, self._settings = folder, name, settings
        self.about: Mapping[str, Any] = {}
        self._clock, self._tell = clock, tell
        self._stream: StreamInfo | None = None
        self._run: Run | None = None
        self._log: RecordFile | None = None
        self._lines: list[Line] = []  # that wait for the log
        self._failed_s: float | None = None  # when the last attempt failed
        self._synced_s = time.monotonic()
        self._n_missed_since = self._n_missed_lines = 0
        self.paths: list[Path] = []
        self.n_written = self.n_missed = 0

    def write(self, items: Iterable[Item]) -> None:
        """Write what came since the last call, samples that follow each other as one buffer."""
        following: list[Stretch] = []
        for item in items:
            if isinstance(item, Line):
                self._lines.append(item)
                continue
            if isinstance(item, Stretch) and following and not item.is_new and following[-1].stop == item.first_sample:
                following.append(item)
                continue
            self._record(following)
            following = [item] if isinstance(item, Stretch) else []
            if isinstance(item, StreamInfo):
                self._stream = item
            elif isinstance(item, Mark):
                self._mark(item)
        self._record(following)
        self._write_lines()
        if time.monotonic() - self._synced_s >= self._settings.sync_s:
            self._synced_s = time.monotonic()
            self._sync()

    def close(self) -> None:
        """Finish the files."""
        self._end_run()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _record(self, following: Sequence[Stretch]) -> None:
        if not following:
            return
        first = following[0]
        whole = Stretch(
            first.first_sample,
            np.concatenate([s.data for s in following], axis=1),
            np.concatenate([s.times for s in following]),
            first.is_new,
        )
        n_before = self.n_written
        if self._may_try():
            try:
                self._run = self._run_for(whole)
                try:
                    self._run.write(whole)
                finally:
                    self._note(self._run, whole)
            except FAILURES as error:
                self._fail(error)
        n_missed = len(whole.times) - (self.n_written - n_before)
        self.n_missed += n_missed
        self._n_missed_since += n_missed

    def _note(self, run: Run, whole: Stretch) -> None:
        """Count what a run has taken, and tell of a run that is there now."""
        n_written = max(0, run.stop - whole.first_sample)
        self.n_written += n_written
        if not n_written or (self.paths and self.paths[-1] == run.path):
            return
        self.paths.append(run.path)
        fields = {"file": run.path.name, "sample": run.first_sample}
        if self._failed_s is None:
            self._tell(Event("recording", self._clock(), fields))
        else:
            lost = {"n_missed": self._n_missed_since, "n_missed_lines": self._n_missed_lines}
            self._tell(Event("record_resumed", self._clock(), fields | lost))
        self._failed_s = None
        self._n_missed_since = self._n_missed_lines = 0
        if self._log is None:
            self._log = RecordFile(run.base.with_name(f"{run.base.name}_log.jsonl"))

    def _may_try(self) -> bool:
        """Whether the disk works, or it is time to see whether it does again."""
        if self._failed_s is None:
            return True
        now = time.monotonic()
        if now - self._failed_s < self._settings.retry_s:
            return False
        self._failed_s = now
        try:
            return shutil.disk_usage(standing(self._folder.absolute())).free >= self._settings.min_free_bytes
        except OSError:
            return False

    def _run_for(self, stretch: Stretch) -> Run:
        """Return the run that a stretch belongs to, a new one where it cannot go on."""
        if self._run is not None:
            n_skipped = stretch.first_sample - self._run.stop
            if not stretch.is_new and 0 <= n_skipped <= MAX_GAP_S * self._run.sfreq:
                return self._run
            self._end_run()
        if self._stream is None:
            raise SpecError("A recording needs a stream before its samples, got none. Call open() first.")
        begun = self._wall_time(float(stretch.times[0]))
        return Run(
            self._folder, self._name, self._stream, stretch.first_sample, begun, self.about, self._settings.max_bytes
        )

    def _wall_time(self, stamp_s: float) -> datetime:
        ago_s = self._clock() - stamp_s
        return datetime.now(UTC) - timedelta(seconds=ago_s if abs(ago_s) <= MAX_CLOCK_OFFSET_S else 0.0)

    def _mark(self, mark: Mark) -> None:
        try:
            if self._run is not None:
                self._run.mark(mark)
        except FAILURES as error:
            self._fail(error)

    def _write_lines(self) -> None:
        if self._log is None or self._failed_s is not None:  # no place for them now
            self._n_missed_lines += max(0, len(self._lines) - MAX_LINES)
            del self._lines[MAX_LINES:]
            return
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            self._log.add(json_lines(line.record() for line in lines))
        except FAILURES as error:
            self._n_missed_lines += len(lines)
            self._fail(error)

    def _sync(self) -> None:
        try:
            if self._run is not None:
                self._run.sync()
            if self._log is not None:
                self._log.sync()
        except FAILURES as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Tell that nothing is recorded from here on, and end the run with what is there."""
        is_full = isinstance(error, OSError) and error.errno in DISK_FULL
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        file = self._run.path.name if self._run is not None else ""
        if self._failed_s is None:
            fields = {"reason": reason, "file": file, "n_recorded": self.n_written}
            self._tell(Event("disk_full" if is_full else "record_failed", self._clock(), fields))
        self._failed_s = time.monotonic()
        run, self._run = self._run, None
        if run is not None:
            _close(run)

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            _close(run)


def _close(run: Run) -> None:
    """Finish a run; its samples are there even if its end cannot be written."""
    try:
        run.close()
    except FAILURES as error:
        log.warning("%s has no end (its samples are complete): %s", run.path.name, error)

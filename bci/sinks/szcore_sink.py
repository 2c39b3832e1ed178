"""Alarms as a table of seizure events, as SzCORE has it: kept whole on the disk while the session runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from bci.decision import DecisionSpec
from bci.decoder import Prediction
from bci.errors import UsageError
from bci.events import Event
from bci.seizure_table import NOTHING, SEIZURE, SeizureEvent, SeizureTable, write_whole
from bci.sinks.base import Output, SessionInfo
from bci.sinks.jsonl_sink import check_log

UPDATE_EVERY_S = 60.0  # of signal: how far the length and a running alarm in the file may lie behind
SEIZURE_CLASSES = ("seizure", "ictal")
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"


class AlarmRecord:
    """Alarms by sample number, live or offline: both make the same table.

    An alarm begins at the last sample of the window that raised it and ends at that of the window that cleared it; one
    that still runs ends with the recording. Its confidence is the highest smoothed probability meanwhile.

    Parameters
    ----------
    sfreq : float
        Rate of the decoded stream, in Hz.
    """

    def __init__(self, sfreq: float) -> None:
        self._sfreq = sfreq
        self._ended: list[SeizureEvent] = []
        self._on: int | None = None
        self._peak = 0.0
        self.n_samples = 0

    def reach(self, n_samples: int) -> None:
        """Note that the recording is at least `n_samples` long."""
        self.n_samples = max(self.n_samples, n_samples)

    def level(self, last_sample: int, level: float) -> None:
        """Take the smoothed probability of the window that ends with `last_sample`."""
        self.reach(last_sample + 1)
        self._peak = max(self._peak, level)

    def raised(self, last_sample: int, level: float) -> None:
        """Begin an alarm, unless one runs."""
        self.reach(last_sample + 1)
        if self._on is None:
            self._on, self._peak = last_sample, level

    def cleared(self, last_sample: int) -> None:
        """End the running alarm, if there is one."""
        self.reach(last_sample + 1)
        if self._on is not None:
            self._ended.append(self._event(self._on, last_sample))
            self._on = None

    def table(self, started: datetime | None) -> SeizureTable:
        """Return the table of a recording that began at `started` and is as long as is known."""
        running = [] if self._on is None else [self._event(self._on, self.n_samples)]
        date_time = NOTHING if started is None else started.strftime(DATE_FORMAT)
        return SeizureTable((*self._ended, *running), self.n_samples / self._sfreq, date_time)

    def _event(self, start: int, stop: int) -> SeizureEvent:
        return SeizureEvent(start / self._sfreq, (stop - start) / self._sfreq, SEIZURE, self._peak)


def table_of(predictions: Sequence[Prediction], sfreq: float, n_samples: int, started: datetime | None) -> SeizureTable:
    """Return the alarms of a decoded recording.

    Parameters
    ----------
    predictions : sequence of Prediction
        All of the recording, in order.
    sfreq : float
        Rate of the recording, in Hz.
    n_samples : int
        Its length.
    started : datetime or None
        When it began; None if the recording does not say.

    Returns
    -------
    table : SeizureTable
    """
    record = AlarmRecord(sfreq)
    for p in predictions:
        record.level(p.last_sample, p.level)
        if p.changed == "alarm_on":
            record.raised(p.last_sample, p.level)
        elif p.changed == "alarm_off":
            record.cleared(p.last_sample)
    record.reach(n_samples)
    return record.table(started)


class SzcoreSink:
    """A table of the alarms of a session.

    The file appears with the first prediction that saw a valid sample. It is replaced as a whole at each begin and end
    of an alarm, after each minute of signal, and at the end, so that after a kill it is valid and at most a minute
    short; an alarm that ran then is in it, with its length so far. Writing may fail with an `OSError`; the next call
    tries again.

    Parameters
    ----------
    path : Path
        File to write.
    overwrite : bool, default=False
        Whether a file that exists is replaced when the new one appears.
    now : callable
        The time of day where the recording is made.

    Raises
    ------
    UsageError
        If the folder does not exist or cannot be written, or the file exists and must not be replaced.
    """

    def __init__(self, path: Path, overwrite: bool = False, now: Callable[[], datetime] = datetime.now) -> None:
        check_log(path, "table of events")
        self._path, self._overwrite, self._now = path, overwrite, now
        self._record: AlarmRecord | None = None
        self._started: datetime | None = None
        self._update_every = 1
        self._n_unseen = 0  # lost samples, less those that came twice or after their place
        self._n_written: int | None = None  # length of the recording in the file; None before there is one
        self._changed = False
        self._refuse_existing()

    def open(self, info: SessionInfo) -> None:
        """Begin: this is the time of the first sample."""
        self._record = AlarmRecord(info.sfreq)
        self._started = self._now()
        self._update_every = round(UPDATE_EVERY_S * info.sfreq)

    def prediction(self, output: Output) -> None:
        """Take one prediction.

        Raises
        ------
        UsageError
            If this is the moment to start the file, and another program has made it meanwhile.
        """
        if self._record is None:
            return
        p = output.prediction
        self._record.level(p.last_sample, p.level)
        if self._n_written is None and p.quality > 0:
            self._write()
        self._update()

    def event(self, event: Event) -> None:
        """Take one event.

        Raises
        ------
        UsageError
            As `prediction`.
        """
        if self._record is None:
            return
        if event.kind == "alarm_on":
            self._record.raised(event.fields["last_sample"], event.fields["level"])
            self._changed = True
        elif event.kind == "alarm_off" and event.fields["reason"] != "ended":  # that one lasts to the very end
            self._record.cleared(event.fields["last_sample"])
            self._changed = True
        elif event.kind == "gap":
            self._n_unseen += event.fields["n_lost"]
            return  # nothing to write: an event that cannot be written may come again, and must not count twice
        elif event.kind in ("duplicate", "late"):
            self._n_unseen -= event.fields["n_samples"]
            return
        elif event.kind == "status":
            self._record.reach(event.fields["samples"] + self._n_unseen)
        elif event.kind == "ended":
            self._write()
        self._update()

    def close(self) -> None:
        """Write what the file lacks; a session without a valid sample leaves none."""
        if self._record is not None and self._n_written is not None:
            self._write()
        self._record = None

    def _update(self) -> None:
        if self._record is None or self._n_written is None:
            return
        if self._changed or self._record.n_samples - self._n_written >= self._update_every:
            self._write()

    def _write(self) -> None:
        if self._record is None:
            return
        if self._n_written is None:
            self._refuse_existing()
        write_whole(self._path, self._record.table(self._started).to_tsv())
        self._n_written, self._changed = self._record.n_samples, False

    def _refuse_existing(self) -> None:
        if self._path.exists() and not self._overwrite:
            raise UsageError(
                f"The table of events needs a new file, got {self._path}, which exists. "
                "Choose another name, or add --overwrite."
            )


def check_watches_seizures(decision: DecisionSpec) -> None:
    """Refuse a model whose alarms are no seizures.

    Raises
    ------
    UsageError
        If it has no alarm, or one for something else.
    """
    label = decision.alarm.label if decision.alarm is not None else "none"
    if label not in SEIZURE_CLASSES and not label.startswith(SEIZURE):
        raise UsageError(
            f"A table of seizures needs a model whose alarm watches a class named {' or '.join(SEIZURE_CLASSES)} or "
            f"sz…, got {label!r}. Leave --events out; --log holds all predictions."
        )

"""The summary of a session as a table: what was shown, in rows that a spreadsheet opens."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from apps.monitor.snapshot import Snapshot
from bci.errors import UsageError

COLUMNS = ("section", "name", "value", "unit", "lsl_s", "utc")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_summary(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot as CSV; the file appears whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists: the user has been asked by then.
    snapshot : Snapshot

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([[_plain(cell) for cell in row] for row in summary_rows(snapshot)])
    try:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text.getvalue())
            os.replace(scratch, path)
        except OSError:
            os.unlink(scratch)
            raise
    except OSError as error:
        raise UsageError(
            f"The summary needs a file in a folder that can be written, got {path}: {error.strerror}."
        ) from error


def summary_rows(snapshot: Snapshot) -> list[tuple[str, ...]]:
    """Return the rows of the table: section, name, value, unit, LSL time and universal time."""
    session, health, state = snapshot.session, snapshot.health, snapshot.state
    rows: list[tuple[str, ...]] = [("session", "written", "", "", *_times(snapshot.now_s, snapshot))]
    for name in ("name", "stream", "bundle", "alarm_class"):
        rows.append(("session", name, getattr(session, name), "", "", ""))
    rows.append(("session", "engine", health.engine or session.engine, "", "", ""))
    rows.append(("session", "precision", health.precision or session.precision, "", "", ""))
    for name in ("on_threshold", "off_threshold"):
        rows.append(("session", name, f"{getattr(session, name):g}", "probability", "", ""))
    for name in ("hop_s", "window_s", "delay_s", "smoothing_s"):
        rows.append(("session", name.removesuffix("_s"), f"{getattr(session, name):g}", "s", "", ""))
    rows.append(("state", "state", state.state, "", "", ""))
    rows += [("state", "reason", reason, "", "", "") for reason in state.reasons]
    for name in ("p50_ms", "p99_ms", "max_ms", "budget_ms"):
        rows.append(("health", name.removesuffix("_ms"), _number(getattr(health, name)), "ms", "", ""))
    for name in ("predictions", "dropped", "gaps", "held", "missed", "monitor_dropped"):
        rows.append(("health", name, str(getattr(health, name)), "", "", ""))
    rows.append(("health", "rate", _number(health.rate), "Hz", "", ""))
    rows.append(("health", "clock_offset", _number(health.clock_offset_s), "s", "", ""))
    rows += [("bad channel", name, why, "", "", "") for name, why in snapshot.bad_channels.items()]
    rows += [("event count", kind, str(n), "", "", "") for kind, n in sorted(snapshot.events.counts.items())]
    rows.append(("event count", "not in this table", str(snapshot.events.left_out), "", "", ""))
    rows += [("event", row.kind, row.text, "", *_times(row.time, snapshot)) for row in snapshot.events.rows]
    for on, off in snapshot.curves.alarms:
        rows.append(("alarm", "begin", "", "", *_times(on, snapshot)))
        rows.append(("alarm", "end", "running" if off == snapshot.window[1] else "", "", *_times(off, snapshot)))
    for index, time in enumerate(snapshot.curves.times):
        at = _times(float(time), snapshot)
        for name, raw, smoothed in zip(
            snapshot.curves.classes, snapshot.curves.raw[:, index], snapshot.curves.smoothed[:, index], strict=True
        ):
            if np.isfinite(raw):
                rows.append(("probability", name, f"{raw:.6g}", "probability", *at))
            if np.isfinite(smoothed):
                rows.append(("smoothed probability", name, f"{smoothed:.6g}", "probability", *at))
    return rows


def _number(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def _times(stamp_s: float, snapshot: Snapshot) -> tuple[str, str]:
    """Return an LSL time, and the universal time of it; empty where it is none."""
    if not np.isfinite(stamp_s):
        return "", ""
    try:
        utc = datetime.fromtimestamp(stamp_s + snapshot.wall_offset_s, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # a stamp from outside can be any number
        utc = ""
    return f"{stamp_s:.6f}", utc


def _plain(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    try:
        float(cell)
    except ValueError:
        return f"'{cell}" if cell.startswith(FORMULA) else cell
    return cell

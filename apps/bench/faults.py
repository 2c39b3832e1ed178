"""A gap, a restart and a stall of the sender, seen by our session and by mne-lsl at the same time."""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apps.bench import fault_sides, machine, report
from apps.bench.children import Child, children, private_lsl
from apps.bench.counted import SFREQ
from apps.bench.fault_sides import HOP_S, Account
from apps.bench.peer import INSTALL

STEP_UV = 20000.0  # what an electrode's offset does when it is connected again
QUIET_S = 15.0  # before the fault: filters settle, both sides connect
AFTER_S = 20.0
FAULTS = {
    "gap": (f"drop:{QUIET_S:g},2", f"dc:{QUIET_S + 1:g},{STEP_UV:g},C3,Cz,C4"),
    "restart": (f"restart:{QUIET_S:g},3", f"dc:{QUIET_S + 1:g},{STEP_UV:g},C3,Cz,C4"),
    "stall": (f"stall:{QUIET_S:g},6",),
}
"""By name: 2 s that never come, 3 s without streams, 6 s of silence that come late; a step hides in the first two."""

CLEAN = 1.5  # of the largest value before the fault
COLUMNS = (
    report.Column("missing"),
    report.Column("reported"),
    report.Column("alarms"),
    report.Column("peak_before", "µV"),
    report.Column("peak_after", "µV"),
    report.Column("disturbed", "s"),
    report.Column("recovery", "s"),
    report.Column("events"),
)
START_TIMEOUT_S = 60.0
SLACK_S = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one side made of one fault.

    Parameters
    ----------
    fault, side : str
        Which.
    n_missing, n_reported : int
        Samples that did not come to it, by the counter, and that it said were missing.
    said : mapping of str to int
        What it reported, by kind.
    n_alarms : int
        Alarms that it raised; there is no seizure.
    peak_before_uv, peak_after_uv : float
        Largest magnitude in the windows that were offered as good, before and after the fault.
    disturbed_s : float
        From the return of the samples to the end of the last such window with more than `CLEAN` times the peak before.
    recovery_s : float
        From the return of the samples to the first window from which on all is offered as good, and is; None if
        there is none.
    """

    fault: str
    side: str
    n_missing: int
    n_reported: int
    said: dict[str, int]
    n_alarms: int
    peak_before_uv: float
    peak_after_uv: float
    disturbed_s: float
    recovery_s: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """All rows, with the machine and what could not be measured."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"bench": "faults", "step_uv": STEP_UV, **asdict(self)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--peer", action=argparse.BooleanOptionalAction, default=True, help="let mne-lsl take part (default)"
    )


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> report.Report:
    """Play every fault and tabulate what was made of it."""
    found = run(args.peer, progress)
    load = f"Load before and after: {found.machine['load_average']}, {found.machine['load_average_after']}."
    explained = "Peaks are of windows that were offered as good; times count from the return of the samples."
    return report.Report(
        bench="faults",
        table=report.Table("Faults of the sender", COLUMNS, tuple(map(_line, found.rows))),
        chart=report.Chart(("peak_before", "peak_after")),
        settings={},
        notes=(*found.notes, explained, load),
        details={**found.to_dict(), "notes": list(found.notes)},
        machine=found.machine,
    )


def _line(row: Row) -> report.Row:
    values: dict[str, report.Value] = {
        "missing": row.n_missing,
        "reported": row.n_reported,
        "alarms": row.n_alarms,
        "peak_before": row.peak_before_uv,
        "peak_after": row.peak_after_uv,
        "disturbed": row.disturbed_s,
        "recovery": "never" if row.recovery_s is None else row.recovery_s,
        "events": ", ".join(f"{kind} {n}" for kind, n in sorted(row.said.items())) or "none",
    }
    return report.Row(f"{row.fault}, {row.side}", values, ours=row.side == "ours")


def run(with_peer: bool, progress: Callable[[str], None]) -> Report:
    """Play every fault once to all sides.

    Parameters
    ----------
    with_peer : bool
        Whether mne-lsl takes part, if it is there.
    progress : callable
        Told what is being measured.

    Returns
    -------
    report : Report

    Raises
    ------
    StreamError
        If a process fails.
    """
    before = machine.describe()
    sides = {"ours": fault_sides.ours}
    notes = []
    if with_peer and importlib.util.find_spec("mne_lsl") is not None:
        sides["mne-lsl"] = fault_sides.peer
    elif with_peer:
        notes.append(f"The peer was not measured: mne-lsl is not installed ({INSTALL}).")
    rows: list[Row] = []
    with private_lsl():
        for fault in FAULTS:
            progress(fault)
            rows += _play(fault, sides)
    return Report(tuple(rows), tuple(notes), {**before, "load_average_after": machine.load()})


def _play(fault: str, sides: dict[str, Callable[..., None]]) -> list[Row]:
    stream = f"bci-faults-{uuid.uuid4().hex[:8]}"
    seconds = QUIET_S + 6.0 + AFTER_S
    with children() as started, tempfile.TemporaryDirectory(prefix="bci-faults-") as folder:
        log = Path(folder) / "faults.jsonl"
        for name, work in sides.items():
            started.append(Child(name, work, (stream,)))
        for child in started:
            child.answer(START_TIMEOUT_S)
        sender = Child("sending", fault_sides.send, (stream, seconds, FAULTS[fault], str(log)))
        started.append(sender)
        sender.answer(START_TIMEOUT_S)
        sender.answer(seconds + SLACK_S)
        accounts: list[Account] = []
        for child in started[:-1]:
            child.stop()
            accounts.append(child.answer(SLACK_S))
        injected = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    (strike,) = [line for line in injected if line["kind"] in ("drop", "restart", "stall")]
    return [
        row_of(fault, name, account, strike["t0"], strike["t1"] + 1 / SFREQ)
        for name, account in zip(sides, accounts, strict=True)
    ]


def row_of(fault: str, side: str, account: Account, start_s: float, back_s: float) -> Row:
    """Return the result of one side.

    Parameters
    ----------
    fault, side : str
        Which.
    account : Account
        What the side has seen and said.
    start_s, back_s : float
        Stamps of the first sample that the fault strikes, and of the first after it.

    Returns
    -------
    row : Row
    """
    calm = [w.peak_uv for w in account.windows if w.trusted and start_s - QUIET_S / 2 < w.last_s < start_s]
    after = [w for w in account.windows if w.last_s >= start_s]
    limit = CLEAN * max(calm, default=0.0)
    disturbed = [w.last_s - back_s for w in after if w.trusted and w.peak_uv > limit]
    spoiled = [w.last_s for w in after if w.last_s >= back_s and (not w.trusted or w.peak_uv > limit)]
    good = [w.last_s for w in after if w.last_s >= max(spoiled, default=back_s) + HOP_S / 2]
    return Row(
        fault=fault,
        side=side,
        n_missing=account.n_missing,
        n_reported=account.n_reported,
        said=account.said,
        n_alarms=account.n_alarms,
        peak_before_uv=max(calm, default=0.0),
        peak_after_uv=max((w.peak_uv for w in after if w.trusted), default=0.0),
        disturbed_s=max(disturbed, default=0.0),
        recovery_s=min(good) - back_s if good else None,
    )

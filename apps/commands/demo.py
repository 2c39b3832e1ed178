"""`bci demo`: decode a simulated patient live, and compare the alarms with the truth."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.engine_options import add_engine_options

if TYPE_CHECKING:
    from bci.sources.simulated_patient import PatientSpec
    from offline.seizure_events import Span

MODEL = "seizure-demo"
DEFAULT_SEED = 40_006
SHORTEST_S = 20.0
LOG_NAME = "predictions.jsonl"
STAGES = ("receive", "filter", "features", "engine", "decision", "publish", "total")
_START_S = 60.0  # the sender imports its packages and opens its outlets
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class DemoLog:
    """What the log of the session holds.

    Parameters
    ----------
    n_predictions : int
        Predictions.
    n_incomplete : int
        Those whose ledger lacks a stage.
    alarms : tuple of Span
        When the alarm was on, in seconds after the first sample.
    """

    n_predictions: int
    n_incomplete: int
    alarms: tuple[Span, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci demo`."""
    parser.add_argument("--duration", type=float, default=60.0, metavar="S", help="length (default 60; at least 20)")
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help=f"which simulated patient (default {DEFAULT_SEED})"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the log (default: bci-demo-DATE)")
    add_engine_options(parser)
    parser.add_argument("--no-view", action="store_true", help="do not draw the live view")


def run(args: argparse.Namespace) -> int:
    """Run the demo; fail unless predictions were published with complete ledgers."""
    from apps.commands.run import run_session
    from apps.console import print_summary
    from apps.outputs import Outputs, log_queue
    from bci.bundle import SHIPPED, load_bundle
    from bci.errors import StreamError, UsageError
    from bci.sources.simulated_patient import PatientSpec, SimulatedPatient
    from offline.seizure_events import Span

    if not SHORTEST_S <= args.duration < math.inf:
        raise UsageError(f"--duration must be at least {SHORTEST_S:g} s, got {args.duration:g}.")
    bundle = SHIPPED / MODEL  # by path: a folder of that name here would win over the shipped one
    refuse_known(args.seed, load_bundle(bundle).manifest["training"])
    spec = PatientSpec(args.seed, duration_s=args.duration)
    out = args.out or Path(f"bci-demo-{datetime.now():%Y%m%d-%H%M%S}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out must be a folder that can be written, got {out}: {error.strerror}.") from error
    log = out / LOG_NAME
    if log.exists():
        raise UsageError(f"--out must be a folder without a {LOG_NAME}, got {out}, which has one. Choose another.")
    stream = f"demo-patient-{os.getpid()}"
    with sender(stream, spec):
        summary = run_session(
            stream=stream,
            model=str(bundle),
            duration_s=None,
            engine=args.engine,
            precision=args.precision,
            remeasure=args.remeasure,
            timeout_s=_START_S,
            outputs=Outputs((log_queue(log),)),
            view=not args.no_view,
        )
    found = read_log(log, spec.sfreq, args.duration)
    seizures = tuple(Span(s.onset_s, s.onset_s + s.duration_s) for s in SimulatedPatient(spec).seizures)
    print_summary(summary)
    for line in report(seizures, found.alarms, args.duration):
        print(line)
    print(f"Predictions: {log} ({found.n_predictions})")
    if not found.n_predictions:
        raise StreamError(f"The demo must publish predictions, got none. The session ended with: {summary.ended}.")
    if found.n_incomplete:
        raise StreamError(
            f"Every prediction must have the time of all stages ({', '.join(STAGES)}), "
            f"got {found.n_incomplete} of {found.n_predictions} without. See {log}."
        )
    if summary.lost:
        raise StreamError(f"The demo must see the patient to the end, the stream was lost: {summary.ended}")
    return 0


def refuse_known(seed: int, training: dict[str, Any]) -> None:
    """Refuse a patient whom the model has met.

    Raises
    ------
    UsageError
        If the seed is in one of the cohorts of the training record.
    """
    from bci.errors import UsageError

    for cohort in training["cohorts"]:
        first, n = cohort["first_seed"], cohort["n_patients"]
        if first <= seed < first + n:
            raise UsageError(
                f"--seed must be a patient that the model has not met, {seed} is in its {cohort['name']} cohort "
                f"({first} to {first + n - 1}). Take another."
            )


@contextlib.contextmanager
def sender(stream: str, spec: PatientSpec) -> Iterator[subprocess.Popen[bytes]]:
    """Publish a simulated patient from a process of its own, which ends with the block."""
    command = [sys.executable, "-m", "apps.commands._demo_patient", "--name", stream]
    command += ["--seed", str(spec.seed), "--duration", repr(spec.duration_s)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # Ctrl-C is for the session
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()  # asks it to end
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def read_log(path: Path, sfreq: float, duration_s: float) -> DemoLog:
    """Return what a log says.

    Parameters
    ----------
    path : Path
        JSON Lines of a session.
    sfreq : float
        Rate of the stream, in Hz.
    duration_s : float
        End of an alarm that was still on, in seconds.
    """
    from offline.seizure_events import Span

    n_predictions = n_incomplete = 0
    alarms: list[Span] = []
    begin: float | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["kind"] == "prediction":
            n_predictions += 1
            n_incomplete += not is_complete(record)
        elif record["kind"] == "alarm_on":
            begin = record["last_sample"] / sfreq
        elif record["kind"] == "alarm_off" and begin is not None:
            alarms.append(Span(begin, record["last_sample"] / sfreq))
            begin = None
    if begin is not None:
        alarms.append(Span(begin, max(begin, duration_s)))
    return DemoLog(n_predictions, n_incomplete, tuple(alarms))


def is_complete(record: dict[str, Any]) -> bool:
    """Return whether a prediction has the time of every stage."""
    ledger = record.get("ledger", {})
    times = [ledger.get(f"{stage}_ms") for stage in STAGES]
    return all(isinstance(t, int | float) and math.isfinite(t) for t in times)


def report(seizures: Sequence[Span], alarms: Sequence[Span], duration_s: float) -> list[str]:
    """Return the comparison of alarms and truth, line by line."""
    from offline.seizure_events import score_events

    whole = score_events(seizures, alarms, duration_s)
    lines = [f"Seizures: {whole.n_seizures} true, {whole.n_found} detected, {whole.n_false} false alarms"]
    for seizure in seizures:
        alone = score_events([seizure], alarms, duration_s)
        if alone.delays_s:
            said = f"detected after {alone.delays_s[0]:.1f} s"
        elif alone.n_found:
            said = "alarm just before it (within the 30 s that the score allows)"
        else:
            said = "missed"
        lines.append(f"  {seizure.start_s:.1f} to {seizure.stop_s:.1f} s: {said}")
    lines += [f"  alarm from {alarm.start_s:.1f} to {alarm.stop_s:.1f} s" for alarm in alarms]
    return lines

"""`bci bench e2e`: options, and the rows of `apps.bench.e2e` as tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from apps.bench import e2e
from apps.bench.options import positive, seed
from apps.bench.report import TIMES, Chart, Column, Report, Row, Table, shown, times
from apps.bench.timing import Latencies
from apps.bench.trace import BUDGET_MS
from bci.errors import UsageError

COLUMNS = (
    Column("n"),
    *TIMES,
    Column("seen_p50", "ms"),
    Column("seen_p99", "ms"),
    Column("missed"),
    Column("control_missed"),
    Column("control_n"),
    Column("core", "%"),
    Column("build", "s"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--engine", default="auto", help="auto (default) or an engine of bci engines")
    parser.add_argument(
        "--duration", type=positive, default=60.0, metavar="S", help="measured time per row (default 60)"
    )
    parser.add_argument(
        "--history-s", type=positive, default=10.0, metavar="S", help="signal kept at hand (default 10)"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="turns in which the rows alternate (default 2)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="for us and the peer (default 1)")
    parser.add_argument("--seed", type=seed, default=0, help="of the noise that is decoded (default 0)")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True, help="measure mne-lsl beside us")
    parser.add_argument(
        "--control",
        action="store_true",
        help="measure our row only, in one turn, beside a process that only sleeps and stamps: for an hour, say",
    )
    parser.add_argument("--realtime", action="store_true", help="with --control: that row with real-time hygiene")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Measure all rows."""
    rounds = args.rounds if args.rounds is not None else (1 if args.control else 2)
    if rounds < 1 or args.threads < 1:
        raise UsageError(f"--rounds and --threads must be at least 1, got {rounds} and {args.threads}.")
    settings = e2e.Settings(
        duration_s=args.duration,
        engine=args.engine,
        history_s=args.history_s,
        with_peer=args.peer,
        n_rounds=rounds,
        n_threads=args.threads,
        seed=args.seed,
        alone=args.control,
        real_time=args.realtime,
    )
    return tables(e2e.run(settings, progress))


def tables(report: e2e.Report) -> Report:
    """Return latencies, ledgers, ratios and notes as one report."""
    stages: dict[str, None] = {}
    for row in report.rows:
        stages.update(dict.fromkeys(row.ledger))
    whole: dict[str, list[Latencies | None]] = {
        "push → prediction": [row.push_to_prediction for row in report.rows],
        "control late": [row.control for row in report.rows],
        "sender late": [row.sender_late for row in report.rows],
    }
    parts = {stage: [row.ledger.get(stage) for row in report.rows] for stage in stages} | whole
    ledger = Table(
        "Where the time goes, p50 / p99 in ms",
        tuple(Column(row.label) for row in report.rows),
        tuple(
            Row(stage, {row.label: _pair(part) for row, part in zip(report.rows, found, strict=True)})
            for stage, found in parts.items()
        ),
    )
    ratios = e2e.ratios(report.rows)
    notes = [
        f"The peer's best takes {ratio['p50']:.1f} times (p50), {ratio['p99']:.1f} times (p99) as long as {label}."
        for label, ratio in ratios.items()
    ]
    notes += [f"{row.label}: events {dict(row.events)}" for row in report.rows if row.events]
    notes += report.notes
    notes += [
        "seen: received by another process. missed: later than "
        f"{BUDGET_MS:g} ms. control: a process that only sleeps and stamps, beside each row.",
        f"Load before and after: {report.machine['load_average']}, {report.machine['load_average_after']}.",
    ]
    return Report(
        bench="e2e",
        table=Table("Push → prediction published", COLUMNS, tuple(map(_row, report.rows))),
        chart=Chart(("p50", "p99")),
        settings={},
        notes=tuple(notes),
        more=(ledger,),
        details={**report.to_dict(), "notes": list(report.notes)},
        machine=report.machine,
    )


def _row(row: e2e.Row) -> Row:
    values = {
        "n": row.push_to_prediction.n,
        **times(row.push_to_prediction),
        "seen_p50": row.observed.p50,
        "seen_p99": row.observed.p99,
        "missed": row.over_budget,
        "control_missed": row.control_over_budget,
        "control_n": row.control.n,
        "core": 100 * row.busy,
        "build": row.build_s,
    }
    return Row(row.label, values, ours=row.label.startswith("ours"))


def _pair(part: Latencies | None) -> str | None:
    return None if part is None else f"{shown(part.p50)} / {shown(part.p99)}"

"""Results of the benchmarks as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from apps.bench import faults
    from apps.bench.e2e import Report, Row
    from apps.bench.offline_speed import SpeedRow
    from apps.bench.rings import RingRow

_PIPE_WIDTH = 160


def console() -> Console:
    """Return a console; a pipe has no width, so its tables get a fixed one."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=_PIPE_WIDTH)


def print_e2e(report: Report) -> None:
    """Print latencies, ledgers, ratios and notes."""
    from apps.bench.e2e import ratios

    out = console()
    main = _table(
        "Push → prediction published, in ms",
        (
            "",
            "n",
            "p50",
            "p99",
            "p99.9",
            "max",
            "seen p50",
            "seen p99",
            "> 10 ms",
            "control > 10 ms",
            "core",
            "build s",
        ),
    )
    for row in report.rows:
        took, seen = row.push_to_prediction, row.observed
        times = [f"{ms:.2f}" for ms in (took.p50, took.p99, took.p999, took.max, seen.p50, seen.p99)]
        main.add_row(
            row.label,
            str(took.n),
            *times,
            str(row.over_budget),
            f"{row.control_over_budget} of {row.control.n}",
            f"{100 * row.busy:.0f} %",
            f"{row.build_s:.2f}",
        )
    out.print(main)
    stages: dict[str, None] = {}
    for row in report.rows:
        stages.update(dict.fromkeys(row.ledger))
    ledger = _table("Where the time goes, p50 / p99 in ms", ("", *(row.label for row in report.rows)))
    for stage in (*stages, "push → prediction", "control late", "sender late"):
        ledger.add_row(stage, *(_pair(row, stage) for row in report.rows))
    out.print(ledger)
    for label, ratio in ratios(report.rows).items():
        out.print(
            f"The peer's best takes {ratio['p50']:.1f} times (p50), {ratio['p99']:.1f} times (p99) as long as {label}."
        )
    for row in report.rows:
        if row.events:
            out.print(f"{row.label}: events {row.events}")
    for note in report.notes:
        out.print(note)
    out.print("seen: received by another process. control: a process that only sleeps and stamps, beside each row.")
    out.print(f"Load before and after: {report.machine['load_average']}, {report.machine['load_average_after']}.")


def print_ring(rows: list[RingRow]) -> None:
    """Print the cost of pushes and windows."""
    table = _table(
        "Median cost of one call, in µs", ("channels", "history", "push", "10 s window", "rolled push", "rolled window")
    )
    for row in rows:
        costs = (row.push_us, row.window_us, row.roll_push_us, row.roll_window_us)
        table.add_row(str(row.n_channels), f"{row.history_s:g} s", *(f"{cost:.2f}" for cost in costs))
    console().print(table)


def print_speed(rows: list[SpeedRow], length_s: float) -> None:
    """Print the speed of decoding."""
    table = _table(
        f"Decoding {length_s:g} s of 19 channels at 256 Hz", ("", "engine", "predictions", "s", "times real time")
    )
    for row in rows:
        table.add_row(row.path, row.engine, str(row.n_predictions), f"{row.spent_s:.2f}", f"{row.times_real_time:.0f}")
    console().print(table)


def print_faults(report: faults.Report) -> None:
    """Print what each side made of each fault."""
    out = console()
    table = _table(
        "Faults of the sender",
        (
            "",
            "samples missing",
            "reported",
            "alarms",
            "peak before µV",
            "after µV",
            "disturbed s",
            "recovery s",
            "events",
        ),
    )
    for row in report.rows:
        numbers = (f"{row.peak_before_uv:.0f}", f"{row.peak_after_uv:.0f}", f"{row.disturbed_s:.1f}")
        events = ", ".join(f"{kind} {n}" for kind, n in sorted(row.said.items())) or "none"
        table.add_row(
            f"{row.fault}, {row.side}",
            str(row.n_missing),
            str(row.n_reported),
            str(row.n_alarms),
            *numbers,
            "never" if row.recovery_s is None else f"{row.recovery_s:.1f}",
            events,
        )
    out.print(table)
    for note in report.notes:
        out.print(note)
    out.print("Peaks are of windows that were offered as good; times count from the return of the samples.")
    out.print(f"Load before and after: {report.machine['load_average']}, {report.machine['load_average_after']}.")


def _pair(row: Row, stage: str) -> str:
    whole = {"push → prediction": row.push_to_prediction, "control late": row.control, "sender late": row.sender_late}
    part = whole.get(stage) or row.ledger.get(stage)
    return f"{part.p50:.3f} / {part.p99:.3f}" if part else "-"


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table

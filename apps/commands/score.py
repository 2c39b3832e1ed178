"""`bci score`: compare tables of seizures by the rules of SzCORE."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offline.seizure_scoring import Report

COLUMNS = ("h", "found", "false", "sens", "prec", "F1", "FP/24 h", "delay s", "alarm %")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci score`."""
    parser.add_argument("reference", type=Path, help="table of true seizures (_events.tsv), or a folder of them")
    parser.add_argument("hypothesis", type=Path, help="what a detector says: a table, or a folder with the same names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --json")


def run(args: argparse.Namespace) -> int:
    """Score, print a table, write the figures if asked to."""
    from bci.seizure_table import read_table
    from offline.seizure_files import match
    from offline.seizure_scoring import Report, score_tables

    pairs, unmatched = match(args.reference, args.hypothesis)
    if args.json is not None:
        tables = [path for pair in pairs for path in (pair.reference, pair.hypothesis) if path is not None]
        _check_output(args.json, args.overwrite, tables)
    report = Report(notes=[f"{name!r}: a hypothesis without a reference; not scored." for name in unmatched])
    for pair in pairs:
        said = None if pair.hypothesis is None else read_table(pair.hypothesis)
        score, notes = score_tables(read_table(pair.reference), said, pair.name)
        report.recordings[pair.name], report.subjects[pair.name] = score, pair.subject
        report.notes.extend(notes)
    if args.json is not None:
        _write(args.json, report)
    _print(report)
    return 0


def _check_output(path: Path, overwrite: bool, tables: list[Path]) -> None:
    from bci.errors import UsageError
    from bci.sinks.jsonl_sink import check_log

    check_log(path, "report")
    if path.exists() and any(path.samefile(table) for table in tables):
        raise UsageError(f"The report needs a file of its own, got the table {path}. Choose another name.")
    if path.exists() and not overwrite:
        raise UsageError(f"The report needs a new file, got {path}, which exists. Choose another name or --overwrite.")


def _write(path: Path, report: Report) -> None:
    import json

    from bci.errors import UsageError
    from bci.seizure_table import write_whole

    try:
        write_whole(path, json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise UsageError(f"The report needs a file that can be written, got {path}: {error.strerror}.") from error


def _print(report: Report) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, figures = Console(), report.to_dict()
    table = Table(title="SzCORE scores", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("subject", overflow="fold")
    for column in COLUMNS:
        table.add_column(column, no_wrap=True)
    for subject, row in figures["subjects"].items():
        name = Text(
            repr(subject)[1:-1]
        )  # it may hold brackets, which rich would take for markup, or control characters
        table.add_row(name, *_cells(row))
    table.add_section()
    means = {name: value["mean"] for name, value in figures["macro"]["events"].items()}
    table.add_row("mean", "", "", "", *_ratios(means))
    table.add_row("total", *_cells(figures["total"]))
    console.print(table)
    for line in [*_lines(figures["total"]), *[f"Note: {note}" for note in report.notes]]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    events = row["events"]
    return (
        f"{row['hours']:.2f}",
        f"{events['n_found']}/{events['n_seizures']}",
        str(events["n_false"]),
        *_ratios(events),
        _number(row["delay"]["median_s"], 1),
        f"{100 * row['alarm']['share']:.2f}",
    )


def _ratios(events: dict[str, Any]) -> tuple[str, ...]:
    ratios = (_number(events[name], 3) for name in ("sensitivity", "precision", "f1"))
    return (*ratios, _number(events["false_per_day"], 2))


def _lines(total: dict[str, Any]) -> list[str]:
    """Return in words what the table has no room for."""
    events, samples, delay, alarm = total["events"], total["samples"], total["delay"], total["alarm"]
    low, high = events["false_per_day_interval"]
    lines = [
        f"False alarms: {events['n_false']} in {total['hours']:.2f} h, {events['false_per_day']:.2f} per 24 h "
        f"(95 % Poisson interval {low:.2f} to {high:.2f}).",
        f"By second: sensitivity {_number(samples['sensitivity'], 3)}, precision {_number(samples['precision'], 3)}, "
        f"F1 {_number(samples['f1'], 3)}. In alarm {alarm['hours']:.2f} h, {100 * alarm['share']:.2f} %.",
    ]
    if delay["n"]:
        lines.append(
            f"Delay from onset to alarm: median {delay['median_s']:.1f} s, quartiles {delay['q25_s']:.1f} and "
            f"{delay['q75_s']:.1f} s, of {delay['n']} seizures; the alarm was on before {delay['n_on_before']} of them."
        )
    return lines


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"

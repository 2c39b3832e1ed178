"""The same work done by others: each side in a process of its own, in turn; medians and ratios."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable

from apps.bench import callback_peers, e2e, filter_peers
from apps.bench.callback_peers import SIDES, Case
from apps.bench.children import private_lsl
from apps.bench.hygiene import missing_hygiene
from apps.bench.options import positive, seed
from apps.bench.peer import INSTALL
from apps.bench.report import TIMES, Chart, Column, Report, Row, Table, Value, joined, times
from apps.bench.timing import Latencies
from bci.errors import StreamError, UsageError

HISTORIES_S = (10.0, 300.0)
PREDICT, CALLBACK, FILTER = "predict", "callback", "filter"
WORKS = {
    PREDICT: "push → prediction, reference workload",
    CALLBACK: "filtered → callback, 64 ch 1 kHz",
    FILTER: "filter 10 samples, 64 ch 1 kHz",
}
COLUMNS = (
    Column("work"),
    Column("n"),
    *TIMES,
    Column("core", "%"),
    Column("ratio_p50", "×"),
    Column("ratio_p99", "×"),
)
MNE_RT = "MNE-RT reads and filters with mne-lsl's StreamLSL: its samples come no earlier than mne-lsl's."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--works", default=",".join(WORKS), metavar="WORK,…", help=f"default {','.join(WORKS)}")
    parser.add_argument(
        "--duration", type=positive, default=20.0, metavar="S", help="measured time per row (default 20)"
    )
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="turns in which the rows alternate (2)")
    parser.add_argument("--bursts", type=int, default=20, metavar="N", help="of 200 chunks, for filter (default 20)")
    parser.add_argument("--engine", default="auto", help="of our predictions: auto (default) or of bci engines")
    parser.add_argument("--seed", type=seed, default=0, help="of the noise that is sent (default 0)")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Measure what was asked for, and relate each peer to ours."""
    asked = args.works.split(",")
    if unknown := [work for work in asked if work not in WORKS]:
        raise UsageError(f"--works takes {', '.join(WORKS)}, got {', '.join(unknown)}.")
    if args.rounds < 1 or args.bursts < 1 or args.duration / args.rounds < 1:
        raise UsageError(
            f"--rounds and --bursts must be at least 1 and --duration 1 s for each round, got {args.rounds}, "
            f"{args.bursts} and {args.duration:g}."
        )
    notes = [MNE_RT]
    has_peer = importlib.util.find_spec("mne_lsl") is not None
    if not has_peer:
        notes.append(f"mne-lsl was not measured: it is not installed ({INSTALL}).")
    if (missing := missing_hygiene()) and asked != [FILTER]:
        notes.append(f"Rows with --realtime were not measured: {' '.join(missing)}")
    rows: list[Row] = []
    measures = {PREDICT: _predictions, CALLBACK: _callbacks, FILTER: _filters}
    with private_lsl():
        for work in asked:
            progress(WORKS[work])
            try:
                rows += measures[work](args, has_peer, notes, progress)
            except StreamError as error:  # the others' numbers stay
                notes.append(f"{WORKS[work]} was not measured: {error}")
    return Report(
        bench="peers",
        table=Table("The same work, beside peers", COLUMNS, tuple(rows)),
        chart=Chart(("p50", "p99")),
        settings={"works": asked, "duration_s": args.duration, "rounds": args.rounds, "seed": args.seed},
        notes=(
            *notes,
            "ratio: how many times as long as ours. BrainFlow's filters keep no state: it filters the newest second "
            "again for each chunk. ezmsg: a call of its filter, without its graph.",
        ),
    )


def related(work: str, found: dict[str, tuple[str, Latencies, float | None]]) -> list[Row]:
    """Return rows of one work with ratios to ours of the same case.

    Parameters
    ----------
    work : str
        Of `WORKS`.
    found : dict
        By label: the case that a row is compared in, the latencies, and the share of a core or None. Ours begin with
        ``ours``, one for each case.
    """
    rows = []
    ours_by_case = {case: latencies for label, (case, latencies, _) in found.items() if label.startswith("ours")}
    for label, (case, latencies, busy) in found.items():
        ours = ours_by_case[case]
        values: dict[str, Value] = {"work": WORKS[work], "n": latencies.n, **times(latencies)}
        values["core"] = None if busy is None else 100 * busy
        values |= {"ratio_p50": latencies.p50 / ours.p50, "ratio_p99": latencies.p99 / ours.p99}
        rows.append(Row(joined([work, label]), values, ours=label.startswith("ours")))
    return rows


def _predictions(
    args: argparse.Namespace, has_peer: bool, notes: list[str], progress: Callable[[str], None]
) -> list[Row]:
    settings = e2e.Settings(args.duration, args.engine, 10.0, has_peer, args.rounds, 1, args.seed)
    wanted = [row for row in e2e.contenders(settings)[0] if row.history_s == settings.history_s]
    if args.engine != "eager":
        wanted = [row for row in wanted if row.label != "ours, eager"]
    rows = e2e.measure_all(wanted, settings, progress)
    cases = [str(contender.real_time) for contender in wanted]
    return related(
        PREDICT,
        {row.label: (case, row.push_to_prediction, row.busy) for case, row in zip(cases, rows, strict=True)},
    )


def _callbacks(
    args: argparse.Namespace, has_peer: bool, notes: list[str], progress: Callable[[str], None]
) -> list[Row]:
    cases = tuple(
        Case(side, history_s, real_time)
        for history_s in HISTORIES_S
        for real_time in ((False,) if missing_hygiene() else (False, True))
        for side in SIDES
        if has_peer or side == "ours"
    )
    found = callback_peers.run(cases, args.rounds, args.duration, args.seed)
    return related(
        CALLBACK, {str(case): (f"{case.history_s:g} {case.real_time}", *told) for case, told in found.items()}
    )


def _filters(args: argparse.Namespace, has_peer: bool, notes: list[str], progress: Callable[[str], None]) -> list[Row]:
    sides = tuple(side for side in filter_peers.SIDES if has_peer or side != "mne-lsl")
    found, missing = filter_peers.run(args.bursts, args.seed, sides)
    notes += missing
    return related(FILTER, {side: ("", latencies, None) for side, latencies in found.items()})

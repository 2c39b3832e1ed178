"""Push → prediction over real LSL: our session and the peer, in turn, each with its own fresh sender."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from apps.bench import machine, ours, peer, sender
from apps.bench.children import Child, children, private_lsl
from apps.bench.hygiene import in_real_time, missing_hygiene
from apps.bench.sender import Sent
from apps.bench.timing import Latencies
from apps.bench.trace import BUDGET_MS, Measured, Trace, measure
from apps.bench.workload import HOP_S
from bci.engines.selection import ENGINES
from bci.errors import StreamError, UsageError

SETTLE_S = 2.0
CATCH_UP = 25.0  # times real time, at which everybody has worked through the past at the latest
LONG_HISTORY_S = 300.0
BUILD_TIMEOUT_S = 180.0
SLACK_S = 100.0  # finding the stream and taking in the past
_LISTEN_S = 0.1


@dataclass(frozen=True, slots=True)
class Settings:
    """What `bci bench e2e` was asked for.

    Parameters
    ----------
    duration_s : float, default=60.0
        Measured time of each row, in seconds.
    engine : str, default="auto"
        Engine of our first row; ``eager`` is shown besides.
    history_s : float, default=10.0
        Signal kept at hand, in seconds, filled before the measurement; at least one window.
    with_peer : bool, default=True
        Measure mne-lsl + torch too.
    n_rounds : int, default=2
        The rows are measured in turn this many times, so that a busy moment of the machine does not meet one only.
    n_threads : int, default=1
        Threads of the numerical libraries, for us and the peer.
    seed : int, default=0
        Of the noise that is sent.
    alone : bool, default=False
        Measure our row only, for as long as it takes to say how often a deadline is missed.
    real_time : bool, default=False
        Measure this row with real-time hygiene.
    """

    duration_s: float = 60.0
    engine: str = "auto"
    history_s: float = 10.0
    with_peer: bool = True
    n_rounds: int = 2
    n_threads: int = 1
    seed: int = 0
    alone: bool = False
    real_time: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ("auto", *ENGINES):
            raise UsageError(f"--engine must be one of auto, {', '.join(ENGINES)}, got {self.engine!r}.")
        if not self.duration_s / self.n_rounds >= 4 * HOP_S:
            raise UsageError(
                f"--duration must be at least {4 * HOP_S * self.n_rounds:g} s for {self.n_rounds} rounds, "
                f"got {self.duration_s:g}."
            )
        if not 10.0 <= self.history_s <= LONG_HISTORY_S or self.history_s % HOP_S:
            raise UsageError(
                f"--history-s must be a multiple of {HOP_S:g} s from 10 to {LONG_HISTORY_S:g}, got {self.history_s:g}."
            )
        if self.real_time and not self.alone:
            raise UsageError("--realtime must come with --control: without it, rows with and without are measured.")
        if self.real_time and (missing := missing_hygiene()):
            raise UsageError(f"--realtime must be possible in full here, got {' '.join(missing)}")


@dataclass(frozen=True, slots=True)
class Contender:
    """One row: who decodes, and how."""

    label: str
    work: Callable[..., None]
    choice: str  # engine, or mode of the peer
    history_s: float
    real_time: bool = False  # with what `bci run --realtime` does to the process and the machine
    left_out: tuple[str, ...] = ()  # of its steps


@dataclass(frozen=True, slots=True)
class Row:
    """Result of one contender, latencies in milliseconds.

    Parameters
    ----------
    label, engine : str
        Who, and what computed.
    history_s : float
        Signal kept at hand, in seconds.
    push_to_prediction : Latencies
        From right before the push of the newest sample to right after the push of the prediction.
    observed : Latencies
        The same until another process has the prediction.
    ledger : mapping of str to Latencies
        Parts of `push_to_prediction`.
    build_s : float
        Time until ready to accept samples, in seconds; the median of the rounds.
    busy : float
        Share of one core used.
    over_budget : int
        Predictions that took longer than 10 ms.
    control : Latencies
        How late a process that only sleeps woke up beside this row.
    control_over_budget : int
        How often later than 10 ms.
    sender_late : Latencies
        Push after due time.
    events : mapping of str to int
        What our session reported (gaps would be the machine's fault).
    """

    label: str
    engine: str
    history_s: float
    push_to_prediction: Latencies
    observed: Latencies
    ledger: Mapping[str, Latencies]
    build_s: float
    busy: float
    over_budget: int
    control: Latencies
    control_over_budget: int
    sender_late: Latencies
    events: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one round of one contender brought."""

    engine: str
    build_s: float
    measured: Measured
    trace: Trace
    sent: Sent
    control_s: np.ndarray


@dataclass(frozen=True, slots=True)
class Report:
    """All rows, with the machine and what could not be measured."""

    settings: Settings
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    machine: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"bench": "e2e", **asdict(self), "ratios": ratios(self.rows)}


def run(settings: Settings, progress: Callable[[str], None]) -> Report:
    """Measure all rows.

    Parameters
    ----------
    settings : Settings
    progress : callable
        Told what is being measured.

    Returns
    -------
    report : Report

    Raises
    ------
    StreamError
        If a process fails or a stream does not answer.
    """
    before = machine.describe()
    rows, notes = contenders(settings)
    with private_lsl():
        summaries = measure_all(rows, settings, progress)
    after = {**before, "load_average_after": machine.load(), "threads": settings.n_threads}
    return Report(settings, summaries, tuple(notes), after)


def measure_all(rows: list[Contender], settings: Settings, progress: Callable[[str], None]) -> tuple[Row, ...]:
    """Measure contenders in turn, and in reverse order in every second round."""
    turns: dict[str, list[Turn]] = {contender.label: [] for contender in rows}
    for k in range(settings.n_rounds):
        for contender in rows if k % 2 == 0 else rows[::-1]:
            progress(f"round {k + 1} of {settings.n_rounds}: {contender.label}")
            turns[contender.label].append(run_turn(contender, settings, settings.seed + k))
    return tuple(_row(contender, turns[contender.label]) for contender in rows)


def contenders(settings: Settings) -> tuple[list[Contender], list[str]]:
    """Return the rows to measure, and notes on those that cannot be."""
    if settings.alone:
        label = f"ours, {settings.engine}" + (", --realtime" if settings.real_time else "")
        return [Contender(label, ours.decode, settings.engine, settings.history_s, settings.real_time)], []
    notes = []
    if missing := missing_hygiene():
        notes.append(f"Rows with --realtime were not measured: {' '.join(missing)}")
    kinds: list[tuple[str, Callable[..., None], str]] = [("ours", ours.decode, settings.engine)]
    if settings.with_peer and importlib.util.find_spec("mne_lsl") is None:
        notes.append(f"The peer was not measured: mne-lsl is not installed ({peer.INSTALL}).")
    elif settings.with_peer:
        kinds += [("peer", peer.decode, mode) for mode in peer.MODES]
    rows = []
    for who, work, choice in kinds:
        rows.append(Contender(f"{who}, {choice}", work, choice, settings.history_s))
        if not missing:
            rows.append(Contender(f"{who}, {choice}, --realtime", work, choice, settings.history_s, True))
    if settings.engine != "eager":
        rows.append(Contender("ours, eager", ours.decode, "eager", settings.history_s))
    if settings.history_s < LONG_HISTORY_S:
        for who, work, choice in kinds[:2]:
            label = f"{who}, {choice}, {LONG_HISTORY_S:g} s of history"
            rows.append(Contender(label, work, choice, LONG_HISTORY_S))
    return rows, notes


def ratios(rows: tuple[Row, ...]) -> dict[str, dict[str, float]]:
    """Return how many times longer the peer's best row takes than each of ours, at p50 and p99."""
    peers = [row for row in rows if row.label.startswith("peer")]
    if not peers:
        return {}
    best = min(peers, key=lambda row: row.push_to_prediction.p50).push_to_prediction
    return {
        row.label: {
            "p50": best.p50 / row.push_to_prediction.p50,
            "p99": best.p99 / row.push_to_prediction.p99,
        }
        for row in rows
        if row not in peers
    }


def run_turn(contender: Contender, settings: Settings, seed: int) -> Turn:
    """Measure one contender once, with its own fresh processes.

    Raises
    ------
    StreamError
        If a process fails or the predictions do not appear.
    """
    import pylsl

    key = uuid.uuid4().hex[:12]
    stream, out = f"bci-bench-{key}", f"bci-bench-{key}-pred"
    settle_s = SETTLE_S + contender.history_s / CATCH_UP
    sending_s = settle_s + settings.duration_s / settings.n_rounds
    with children() as started:

        def start(name: str, work: Callable[..., None], *arguments: Any, n_threads: int = 1) -> Child:
            started.append(Child(name, work, arguments, n_threads))
            return started[-1]

        n = settings.n_threads
        asked = (stream, out, contender.choice, contender.history_s, n)
        if contender.real_time:
            decoding = start("decoding", in_real_time, contender.left_out, contender.work, *asked, n_threads=n)
        else:
            decoding = start("decoding", contender.work, *asked, n_threads=n)
        engine, build_s = decoding.answer(BUILD_TIMEOUT_S)
        sending = start("sending", sender.send, stream, contender.history_s, sending_s, seed)
        found = pylsl.resolve_byprop("name", out, 1, SLACK_S)
        if not found:
            raise StreamError(
                f"The predictions of {contender.label!r} must appear within {SLACK_S:g} s, got no stream. "
                "Is LSL blocked on the loopback interface?"
            )
        inlet = pylsl.StreamInlet(found[0], recover=False)
        inlet.open_stream(SLACK_S)
        sleeping = start("control", sender.control)
        observed = []
        deadline = pylsl.local_clock() + sending_s + SLACK_S
        while not sending.has_answer() and not decoding.has_answer() and pylsl.local_clock() < deadline:
            values, stamp = inlet.pull_sample(_LISTEN_S)
            if values is not None:
                observed.append((stamp, pylsl.local_clock()))
        inlet.close_stream()
        sent = sending.answer(1.0)
        sleeping.stop()
        decoding.stop()
        trace, control_s = decoding.answer(SLACK_S), sleeping.answer(SLACK_S)
        sending.stop()
    return Turn(engine, build_s, measure(trace, sent, observed, settle_s), trace, sent, control_s)


def _row(contender: Contender, turns: list[Turn]) -> Row:
    published = np.concatenate([turn.measured.published_s for turn in turns])
    control_s = np.concatenate([turn.control_s for turn in turns])
    events: dict[str, int] = {}
    for turn in turns:
        for kind, n in turn.trace.events.items():
            events[kind] = events.get(kind, 0) + n
    return Row(
        label=contender.label.replace("auto", turns[0].engine),
        engine=turns[0].engine,
        history_s=contender.history_s,
        push_to_prediction=Latencies.of(published),
        observed=Latencies.of(np.concatenate([turn.measured.observed_s for turn in turns])),
        ledger={
            stage: Latencies.of(np.concatenate([turn.measured.stages_s[stage] for turn in turns]))
            for stage in turns[0].measured.stages_s
        },
        build_s=float(np.median([turn.build_s for turn in turns])),
        busy=float(np.mean([turn.trace.busy for turn in turns])),
        over_budget=int((published * 1e3 > BUDGET_MS).sum()),
        control=Latencies.of(control_s),
        control_over_budget=int((control_s * 1e3 > BUDGET_MS).sum()),
        sender_late=Latencies.of(np.concatenate([turn.sent.pushed_s - turn.sent.stamps for turn in turns])),
        events=events,
    )

"""The live view of a session on a terminal: reads what the session counts, never asks it to wait."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bci.alarm_figures import Figures
from bci.budget_events import BudgetFigures
from bci.decision import AlarmFlags, State
from bci.session import Session, Summary
from bci.telemetry import Percentiles
from bci.texts import visible

if TYPE_CHECKING:
    from bci.engines.selection import EngineReport

REFRESH_S = 0.5
BAR = 30
STATES = {
    State.SETTLING: ("· settling", "cyan"),
    State.OK: ("✓ ok", "green"),
    State.WARNING: ("△ warning", "yellow"),
    State.ALARM: ("■ ALARM", "bold white on red"),
    State.FAULT: ("✗ fault", "magenta"),
}


class Redrawn(ABC):
    """Context manager that redraws a picture twice a second, on a terminal only.

    Parameters
    ----------
    console : Console or None, default=None
        Where to draw.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="console-view", daemon=True)

    @abstractmethod
    def picture(self) -> RenderableType:
        """Return what is shown now."""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _draw(self) -> None:
        with Live(console=self._console, auto_refresh=False) as live:
            while not self._done.wait(REFRESH_S):
                live.update(self.picture(), refresh=True)
            live.update(self.picture(), refresh=True)


class ConsoleView(Redrawn):
    """The newest prediction of a session.

    Parameters
    ----------
    session : Session
        Running session.
    title : str
        Heading.
    classes : tuple of str
        Names in logit order.
    console : Console or None, default=None
        Where to draw.
    """

    def __init__(self, session: Session, title: str, classes: tuple[str, ...], console: Console | None = None) -> None:
        super().__init__(console)
        self._session, self._title, self._classes = session, title, classes

    def picture(self) -> Group:
        """Return what is shown now."""
        output = self._session.newest
        counts = self._session.telemetry.counts
        head = Text(visible(self._title), style="bold")
        if output is None:
            return Group(head, Text(f"waiting for the first window… {counts['samples']} samples"))
        p = output.prediction
        alarms = self._session.alarms  # not the prediction's: a lost stream is a fault without one
        word, style = STATES[alarms.state]
        table = Table.grid(padding=(0, 1))
        for name, probability in zip(self._classes, p.probabilities, strict=True):
            filled = round(BAR * float(probability)) if math.isfinite(probability) else 0
            table.add_row(escape(visible(name)), "█" * filled + "░" * (BAR - filled), f"{probability:.3f}")
        latency = self._session.telemetry.latency
        total, engine = latency["total"].percentiles(), latency["engine"].percentiles()
        line = (
            f"predictions {counts['predictions']}   quality {p.quality:.2f}   gaps {counts.get('gap', 0)}   "
            f"stamp→published p50 {total.p50:.2f} ms  p99 {total.p99:.2f} ms   engine p50 {engine.p50:.2f} ms"
        )
        said = Text.assemble((f" {word} ", style), f"  {alarm_words(alarms.state, alarms.flags, alarms.mute_left_s)}")
        figures = figures_line(alarms.figures())
        return Group(head, said, table, Text(line), *([Text(figures)] if figures else []))


def alarm_words(state: State, flags: AlarmFlags, mute_left_s: float) -> str:
    """Return what holds beside the state, in words."""
    words = []
    if flags.on and state is not State.ALARM:
        words.append("alarm held")
    if flags.latched:
        words.append("latched: waits to be acknowledged")
    if flags.acknowledged:
        words.append("acknowledged")
    if flags.muted:
        words.append(f"muted, {mute_left_s:.0f} s left")
    return " · ".join(words)


def figures_line(figures: Figures) -> str:
    """Return how the alarm has done so far, in one line; empty before anything could be judged."""
    if figures.alarm_share is None or figures.per_day is None:
        return ""
    n = figures.n_alarms
    line = (
        f"time in warning {100 * figures.alarm_share:.1f} % of {figures.observed_s / 3600:.2f} h   "
        f"{n} alarm{'' if n == 1 else 's'}, {figures.per_day:.1f} per 24 h "
        f"(95 %: {figures.per_day_low:.1f} to {figures.per_day_high:.1f})"
    )
    if figures.n_seizures:
        line += f"   {figures.n_detected} of {figures.n_seizures} annotated seizures"
    if figures.delay_s is not None:
        line += f", delay {figures.delay_s:.1f} s"
    return line


def print_summary(summary: Summary, console: Console | None = None) -> None:
    """Print how a session went."""
    console = console or Console()
    table = Table("stage", "windows", "p50 ms", "p99 ms", "p99.9 ms", "max ms", title="Latency")
    for stage, p in summary.latency.items():
        table.add_row(stage, *_cells(p), style="bold" if stage == "total" else None)
    console.print(table)
    if summary.algorithmic is not None:
        console.print(f"Algorithmic latency: {summary.algorithmic}.", soft_wrap=True, highlight=False)
    if summary.budget is not None:
        console.print(budget_line(summary.budget), soft_wrap=True, highlight=False)
    if summary.clock_offset_s is not None:
        console.print(
            f"The stream's stamps lie {summary.clock_offset_s:.1f} s off this computer's clock: "
            "receive and total are no latencies.",
            soft_wrap=True,
        )
    events = {k: n for k, n in summary.counts.items() if k not in ("samples", "predictions")}
    console.print(
        f"{summary.counts['predictions']} windows from {summary.counts['samples']} samples, "
        f"{summary.n_held} values held. "
        f"Events: {', '.join(f'{k} {n}' for k, n in events.items()) or 'none'}. "
        f"Ended: {escape(visible(summary.ended.rstrip('.')))}.",
        soft_wrap=True,
    )
    if summary.alarms is not None and (line := figures_line(summary.alarms)):
        console.print(line[0].upper() + line[1:] + ".", soft_wrap=True)


def budget_line(figures: BudgetFigures) -> str:
    """Return in one line how a budget was kept."""
    limits = ", ".join(f"{stage} {limit:g} ms" for stage, limit in figures.limits_ms.items())
    missed = ", ".join(f"{stage} {n}" for stage, n in figures.by_stage.items())
    line = f"Budget ({limits}): {figures.missed} of {figures.predictions} predictions missed it"
    line += f" ({missed})." if missed else "."
    if figures.policy is not None:
        line += f" {figures.policy} acted {figures.acted} time{'' if figures.acted == 1 else 's'}."
    return line


def _cells(p: Percentiles) -> tuple[str, ...]:
    return (str(p.count), f"{p.p50:.3f}", f"{p.p99:.3f}", f"{p.p999:.3f}", f"{p.max:.3f}")


def print_engine(report: EngineReport, console: Console | None = None) -> None:
    """Print in one line what computes, and what ``auto`` measured and passed over."""
    line = (
        f"Engine: {report.name}, {report.precision}, built in {report.build_s:.2f} s, "
        f"parity error {report.parity_error:.1e}."
    )
    if report.tried:
        when = "Measured earlier" if report.remembered else "Measured"
        line += f" {when}: {', '.join(map(str, report.tried))}."
    if report.passed_over:
        line += f" Passed over: {'; '.join(' '.join(reason.split()) for reason in report.passed_over)}."
    (console or Console()).print(line, markup=False, highlight=False, soft_wrap=True)

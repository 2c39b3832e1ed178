"""The live view of several beds on a terminal, and what is printed when they end."""

from __future__ import annotations

import math

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from apps.console import STATES, Redrawn, alarm_words
from bci.beds import Bed, Beds
from bci.texts import printable, visible

MAX_ROWS = 40


class BedsView(Redrawn):
    """One line for each bed.

    Parameters
    ----------
    beds : Beds
        That are running.
    title : str
        Heading.
    watched : str
        Class whose smoothed probability is shown; empty if nothing raises an alarm.
    console : Console or None, default=None
        Where to draw.
    """

    def __init__(self, beds: Beds, title: str, watched: str, console: Console | None = None) -> None:
        super().__init__(console)
        self._beds, self._title, self._watched = beds, title, watched

    def picture(self) -> Group:
        """Return what is shown now."""
        beds = self._beds.all
        table = Table("bed", "state", self._watched or "level", "quality", "windows", "gaps", "p50 ms", "p99 ms", "")
        for bed in beds[:MAX_ROWS]:
            table.add_row(*_row(bed))
        more = len(beds) - MAX_ROWS
        rest = [Text(f"and {more} more")] if more > 0 else []
        return Group(Text(visible(self._title), style="bold"), table, *rest)


def _row(bed: Bed) -> list[Text | str]:
    session = bed.session
    name = Text(printable(bed.name))
    if bed.error:
        return [name, Text("✗ ended", style="red"), "", "", "", "", "", "", Text(printable(bed.error))]
    counts, output = session.telemetry.counts, session.newest
    if output is None:
        waiting = f"waiting… {counts['samples']} samples" if bed.summary is None else f"ended: {bed.summary.ended}"
        return [name, "", "", "", "0", "", "", "", Text(visible(waiting))]
    alarms = session.alarms
    word, style = STATES[alarms.state]
    total = session.telemetry.latency["total"].percentiles()
    level = output.prediction.level
    said = alarm_words(alarms.state, alarms.flags, alarms.mute_left_s)
    return [
        name,
        Text("ended") if bed.summary is not None else Text(word, style=style),
        f"{level:.3f}" if math.isfinite(level) else "–",
        f"{output.prediction.quality:.2f}",
        str(counts["predictions"]),
        str(counts.get("gap", 0)),
        f"{total.p50:.1f}",
        f"{total.p99:.1f}",
        Text(said if bed.summary is None else visible(bed.summary.ended)),
    ]


def ending(bed: Bed) -> str:
    """Return in one line how a bed has ended, before the others have."""
    name = visible(bed.name)
    if bed.error:
        return f"{name}: error: {visible(' '.join(bed.error.split()))}"
    return f"{name}: ended: {visible(bed.summary.ended) if bed.summary else 'stopped'}."


def print_beds(ended: list[Bed], sizes: dict[int, int], console: Console | None = None) -> None:
    """Print how all beds went.

    Parameters
    ----------
    ended : list of Bed
        That have ended.
    sizes : dict of int to int
        Calls of the engine, by number of windows.
    console : Console or None, default=None
        Where to.
    """
    console = console or Console()
    table = Table("bed", "samples", "windows", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "ended", title="Beds")
    for bed in ended:
        telemetry = bed.session.telemetry
        total = telemetry.latency["total"].percentiles()
        figures = [f"{ms:.3f}" for ms in (total.p50, total.p99, total.p999, total.max)]
        why = "error" if bed.summary is None else bed.summary.ended
        counts = [str(telemetry.counts[what]) for what in ("samples", "predictions")]
        table.add_row(escape(visible(bed.name)), *counts, *figures, escape(printable(why)))
    console.print(table)
    n_calls, n_windows = sum(sizes.values()), sum(size * n for size, n in sizes.items())
    mean = n_windows / n_calls if n_calls else 0.0
    console.print(
        f"Engine: {n_windows} windows in {n_calls} calls, {mean:.2f} a call, at most {max(sizes, default=0)}.",
        soft_wrap=True,
        highlight=False,
    )

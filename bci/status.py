"""What a session says about how it goes: the regular ``status`` event, and the summary at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bci.alarm_events import AlarmEvents
from bci.alarm_figures import Figures
from bci.algorithmic import AlgorithmicLatency
from bci.budget_events import BudgetFigures
from bci.decoder import Decoder
from bci.engines.gpu_memory import gpu_memory
from bci.events import Event
from bci.identity import Identity
from bci.telemetry import Percentiles, Telemetry


@dataclass(frozen=True, slots=True)
class Summary:
    """How a session went.

    Parameters
    ----------
    latency : dict of str to Percentiles
        Per stage, in milliseconds.
    counts : dict of str to int
        Samples, predictions and events by kind.
    ended : str
        Why it ended: ``end of stream``, ``duration``, ``stopped`` or the error of a lost stream.
    lost : bool
        Whether it ended because the stream was lost.
    n_held : int, default=0
        Values that were no numbers, replaced by the last that was.
    clock_offset_s : float or None, default=None
        Receipt of the first samples less their stamp, in seconds, if that is more than any delay.
    n_lost : int, default=0
        Samples that never came, by the stamps of those around them.
    n_skipped : int, default=0
        Windows that a newer one had overtaken before there was time for them.
    longest_silence_s : float, default=0.0
        Longest time without samples that was reported as ``lost``, in seconds.
    alarms : Figures or None, default=None
        How the alarm did; None if nothing raises one.
    budget : BudgetFigures or None, default=None
        How the budget was kept; None if there is none.
    algorithmic : AlgorithmicLatency or None, default=None
        Age of the evidence by construction, apart from the latencies that were measured.
    """

    latency: dict[str, Percentiles]
    counts: dict[str, int]
    ended: str
    lost: bool
    n_held: int = 0
    clock_offset_s: float | None = None
    n_lost: int = 0
    n_skipped: int = 0
    longest_silence_s: float = 0.0
    alarms: Figures | None = None
    budget: BudgetFigures | None = None
    algorithmic: AlgorithmicLatency | None = None


class Status:
    """Makes the ``status`` events of a session.

    Parameters
    ----------
    telemetry : Telemetry
        What is counted.
    decoder : Decoder
        Whose pipeline counts held values.
    identity : Identity
        Engine and precision.
    alarms : AlarmEvents
        State and figures of the alarm.
    now_s : float
        When the first span begins, in seconds.
    budget : callable
        Returns how the budget was kept so far; None if there is none.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        decoder: Decoder,
        identity: Identity,
        alarms: AlarmEvents,
        now_s: float,
        budget: Callable[[], BudgetFigures | None],
    ) -> None:
        self._telemetry, self._decoder, self._identity, self._alarms = telemetry, decoder, identity, alarms
        self._budget = budget
        self._n_reported = 0
        self.since_s = now_s

    def begin(self, now_s: float, n_before: int) -> None:
        """Begin the first span of a rate at `now_s`, when `n_before` samples were already there."""
        self.since_s, self._n_reported = now_s, n_before

    def take(self, now_s: float, speed: float, offset_s: float) -> Event:
        """Return the event of the span that ends at `now_s`, and begin the next one.

        Parameters
        ----------
        now_s : float
            In seconds of the local LSL clock.
        speed : float
            Speed of the replay in force.
        offset_s : float
            Newest clock offset, in seconds.

        Returns
        -------
        event : Event
        """
        span_s, self.since_s = max(now_s - self.since_s, 1e-9), now_s
        counts = self._telemetry.counts
        n_new, self._n_reported = counts["samples"] - self._n_reported, counts["samples"]
        stages = {
            stage: {"p50_ms": round(p.p50, 4), "p99_ms": round(p.p99, 4), "max_ms": round(p.max, 4)}
            for stage, p in self._telemetry.take_recent().items()
        }
        return Event(
            "status",
            now_s,
            {
                "latency": stages,
                "samples": counts["samples"],
                "predictions": counts["predictions"],
                "dropped": self._decoder.n_skipped,
                "gaps": counts.get("gap", 0),
                "bad_channels": list(self._decoder.pipeline.bad_channels),
                "held": self._decoder.pipeline.gate.n_held,
                "rate": round(n_new / span_s, 3),
                "nominal_rate": self._decoder.signal_in.sfreq * speed,
                "clock_offset_s": offset_s,
                "engine": self._identity.engine,
                "precision": self._identity.precision,
                **self._alarms.fields(),
                **self._where_known(),
            },
        )

    def _where_known(self) -> dict[str, Any]:
        """Return what only sessions with a budget, a GPU or doubtful channels can tell."""
        budget, memory, doubtful = self._budget(), gpu_memory(), self._decoder.pipeline.doubtful_channels
        told: dict[str, Any] = {}
        if budget is not None:
            told["budget"] = {"limits_ms": budget.limits_ms, "missed": budget.missed}
        if memory is not None:
            told["gpu_memory"] = memory
        if doubtful:
            told["doubtful_channels"] = list(doubtful)
        return told

"""Latency and health out of the session's ``status`` events: kept for a minute, shown as they were said."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from apps.monitor.fields import count, mapping, number, text
from apps.monitor.snapshot import HealthPanel

MINUTE_S = 60.0
MAX_STATUSES = 240
MAX_STAGES = 16


class HealthFigures:
    """Keeps the ``status`` events of the last minute."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, ...]] = deque(maxlen=MAX_STATUSES)  # received, p50, p99, max
        self._newest: Mapping[str, Any] = {}
        self.newest_s = math.nan
        """When the newest ``status`` came; NaN before one."""

    def take(self, received_s: float, fields: Mapping[str, Any]) -> None:
        """Take a ``status`` event that has just come."""
        total = mapping(mapping(fields, "latency"), "total")
        self._newest, self.newest_s = fields, received_s
        said = [number(total, key) for key in ("p50_ms", "p99_ms", "max_ms")]
        is_empty = not any(said)  # no prediction since the status before: 0 ms are no latency
        self._recent.append((received_s, *([math.nan] * 3 if is_empty else said)))

    def panel(self, now_s: float, hop_s: float, monitor_dropped: int) -> HealthPanel:
        """Return the figures at `now_s`.

        Parameters
        ----------
        now_s : float
            LSL clock, in seconds.
        hop_s : float
            Time between predictions: the budget, unless the session has declared one.
        monitor_dropped : int
            What this monitor did not show.
        """
        fields, latency = self._newest, mapping(self._newest, "latency")
        recent = np.array([row for row in self._recent if row[0] > now_s - MINUTE_S]).reshape(-1, 4)
        budget = mapping(fields, "budget")
        limits = mapping(budget, "limits_ms")
        budget_ms = number(limits, "total", number(limits, "compute", 1e3 * hop_s if hop_s > 0 else math.nan))
        p99_ms = _most(recent[:, 2])
        stages = {
            str(name)[:40]: (number(one, "p50_ms"), number(one, "p99_ms"))
            for name, one in list(latency.items())[:MAX_STAGES]
            if isinstance(one, dict)
        }
        known = recent[np.isfinite(recent[:, 1]), 1]
        return HealthPanel(
            p50_ms=float(np.median(known)) if len(known) else math.nan,
            p99_ms=p99_ms,
            max_ms=_most(recent[:, 3]),
            sparkline_ms=recent[:, 2].astype(np.float32),
            stages_ms=stages,
            budget_ms=budget_ms,
            budget_share=p99_ms / budget_ms if budget_ms > 0 else math.nan,
            predictions=count(fields, "predictions"),
            dropped=count(fields, "dropped"),
            gaps=count(fields, "gaps"),
            held=count(fields, "held"),
            missed=count(budget, "missed"),
            rate=number(fields, "rate"),
            nominal_rate=number(fields, "nominal_rate"),
            clock_offset_s=number(fields, "clock_offset_s"),
            engine=text(fields, "engine"),
            precision=text(fields, "precision"),
            gpu_memory=_memory(mapping(fields, "gpu_memory")),
            silent_s=max(now_s - self.newest_s, 0.0),
            monitor_dropped=monitor_dropped,
        )


def _memory(memory: Mapping[str, Any]) -> str:
    used, total = number(memory, "used_mb"), number(memory, "total_mb")
    return f"{used / 1024:.1f} of {total / 1024:.1f} GiB" if math.isfinite(used + total) else ""


def _most(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else math.nan

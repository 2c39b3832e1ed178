"""What one side of the latency benchmark measured, and its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from apps.bench.sender import Sent
from bci.errors import StreamError

SAME_CHUNK_S = 0.002  # stamps travel with a clock offset of microseconds
BUDGET_MS = 10.0


@dataclass(frozen=True, slots=True)
class Trace:
    """Times of every prediction, in seconds of the LSL clock.

    Parameters
    ----------
    evidence_s, published_s : ndarray of float64, shape (n_predictions,)
        Stamp of the newest sample used, and when the prediction had left on its outlet.
    stages_s : mapping of str to ndarray, shape (n_predictions,)
        Parts of the time between; ``receive`` begins at the stamp.
    busy : float
        Share of one core that the process used, prefilling included.
    events : mapping of str to int, default={}
        What the session reported.
    """

    evidence_s: np.ndarray
    published_s: np.ndarray
    stages_s: Mapping[str, np.ndarray]
    busy: float
    events: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        outputs: Sequence[tuple[float, float, Mapping[str, float]]],
        busy: float,
        events: Mapping[str, int] | None = None,
    ) -> Trace:
        """Return the trace of ``(evidence time, publication time, stages)`` tuples."""
        names = [name for name in (outputs[0][2] if outputs else ()) if name != "total"]
        return cls(
            np.array([o[0] for o in outputs]),
            np.array([o[1] for o in outputs]),
            {name: np.array([o[2][name] for o in outputs]) for name in names},
            busy,
            dict(events or {}),
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies from the push of the newest sample, in seconds, of the predictions in the measured stretch."""

    published_s: np.ndarray
    observed_s: np.ndarray
    stages_s: Mapping[str, np.ndarray]


def measure(trace: Trace, sent: Sent, observed: Sequence[tuple[float, float]], settle_s: float) -> Measured:
    """Join what was published and observed with the moments of the pushes.

    Parameters
    ----------
    trace : Trace
    sent : Sent
    observed : sequence of (stamp, time of receipt)
        Of another process that listens to the predictions.
    settle_s : float
        Time after the first chunk in real time that is not measured, in seconds.

    Returns
    -------
    measured : Measured

    Raises
    ------
    StreamError
        If no prediction fell into the measured stretch.
    """
    pushed_s, which = _pushed(trace.evidence_s, sent, settle_s)
    seen = np.array(observed).reshape(-1, 2)
    seen_pushed_s, seen_which = _pushed(seen[:, 0], sent, settle_s)
    if not which.any() or not seen_which.any():
        raise StreamError(
            f"At least one prediction is needed after the first {settle_s:g} s, got none of "
            f"{len(which)}. Use a longer --duration."
        )
    stages = {name: values[which] for name, values in trace.stages_s.items()}
    if "receive" in stages:
        stages["receive"] = stages["receive"] - (pushed_s - trace.evidence_s)[which]
    published = (trace.published_s - pushed_s)[which]
    stages["rest"] = published - np.sum(list(stages.values()), axis=0)
    return Measured(published, (seen[:, 1] - seen_pushed_s)[seen_which], stages)


def _pushed(stamps: np.ndarray, sent: Sent, settle_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return when the chunks ending at `stamps` were pushed, and which of them lie in the measured stretch."""
    nearest = np.clip(np.searchsorted(sent.stamps, stamps - SAME_CHUNK_S), 0, len(sent.stamps) - 1)
    same = np.abs(sent.stamps[nearest] - stamps) < SAME_CHUNK_S
    return sent.pushed_s[nearest], same & (stamps >= sent.stamps[0] + settle_s)
